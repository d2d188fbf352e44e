// What keeps an open page up to date, and the keyboard. No page needs it: without it, load the page again.
"use strict";
(() => {
  const INTERVAL_MS = 2000;
  const main = document.getElementById("main");
  const sign = document.getElementById("live");
  let tag = "", paused = false, timer = 0;

  function tell(state) {
    if (!sign) return;
    sign.textContent = sign.dataset[state];
    sign.className = "live " + state;
  }

  // Parts that differ are put in one by one: what has the focus, and what a person has typed, stays.
  function put(html) {
    const made = new DOMParser().parseFromString("<main>" + html + "</main>", "text/html");
    for (const fresh of made.querySelectorAll("[data-part]")) {
      const old = main.querySelector('[data-part="' + CSS.escape(fresh.dataset.part) + '"]');
      if (!old || old.innerHTML === fresh.innerHTML) continue;
      const held = old.contains(document.activeElement) ? document.activeElement : null;
      const place = held ? [...old.querySelectorAll("a,button,input,select")].indexOf(held) : -1;
      old.replaceChildren(...fresh.childNodes);
      if (held) {
        const again = (held.id && document.getElementById(held.id)) || old.querySelectorAll("a,button,input,select")[place];
        if (again) again.focus({ preventScroll: true });
      }
    }
    document.dispatchEvent(new CustomEvent("refreshed"));
  }

  async function refresh() {
    clearTimeout(timer);
    if (paused || document.hidden) return;
    try {
      const headers = { "X-Live": "1" };
      if (tag) headers["If-None-Match"] = tag;
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.status === 200) { tag = answer.headers.get("ETag") || ""; put(await answer.text()); }
      else if (answer.status !== 304) throw new Error(String(answer.status));
      tell("on");
    } catch (error) {
      tell("off");
    }
    timer = setTimeout(refresh, INTERVAL_MS);
  }

  if (main && main.hasAttribute("data-live")) {
    tell("on");
    timer = setTimeout(refresh, INTERVAL_MS);
    document.addEventListener("visibilitychange", refresh);
  }

  // The output of a task: what is new is added at the end, and followed when the end is in sight.
  for (const form of document.querySelectorAll("[data-log]")) {
    const box = form.parentElement.querySelector("pre.log");
    let offset = 0, chosen = 0;
    async function more(mine) {
      if (mine !== chosen) return;
      const choice = new URLSearchParams(new FormData(form));
      choice.set("offset", String(offset));
      try {
        const answer = await fetch(form.dataset.log + "?" + choice, { cache: "no-store", headers: { "X-Live": "1" } });
        const text = await answer.text();
        if (mine !== chosen) return;
        if (answer.ok && text) {
          const follows = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
          if (offset === 0) box.textContent = "";
          box.append(text);
          if (follows) box.scrollTop = box.scrollHeight;
          offset = Number(answer.headers.get("X-Offset"));
        } else if (offset === 0) box.textContent = form.dataset.none;
      } catch (error) { /* the sign above tells that nobody answers */ }
      setTimeout(more, INTERVAL_MS / 2, mine);
    }
    const start = () => { offset = 0; chosen += 1; more(chosen); };
    form.addEventListener("change", start);
    form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
    start();
  }

  let before = "";
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const key = event.key;
    if (key === "/") {
      const field = main.querySelector("input:not([type=hidden]), select");
      if (field) { event.preventDefault(); field.focus(); }
    } else if (key === "." && main.hasAttribute("data-live")) {
      paused = !paused;
      if (paused) { clearTimeout(timer); tell("paused"); } else refresh();
    } else {
      const link = document.querySelector('[data-key="' + CSS.escape((before === "g" ? "g" : "") + key) + '"]');
      if (link) { event.preventDefault(); link.click(); }
    }
    before = key;
  });
})();
