// The map of cards: every card is a square, painted into one picture. Clusters > nodes of a cluster > one node's page.
"use strict";
(() => {
  const box = document.querySelector("[data-cards]");
  if (!box) return;
  const canvas = box.querySelector("canvas");
  const told = box.querySelector("#map-told");
  const how = told.textContent;
  const names = box.dataset.cards.trim().split(/\s+/).filter(Boolean);
  const zoomed = box.hasAttribute("data-zoomed");
  const AGAIN_MS = 5000, LABEL = 16, GAP = 10;
  let clusters = [], blocks = [], tag = "", cell = 1, marked = null, width = 0, height = 0;

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { L: of("--accent"), F: of("--foreign"), C: of("--closed"), D: of("--bad"), ".": of("--free"), text: of("--muted"), mark: of("--text") };
  };
  const rgb = (text) => {
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
    return (255 << 24) | (b << 16) | (g << 8) | r;
  };

  // A node is a small block of cards, as square as may be; nodes fill rows of their cluster's block.
  function shape(cluster) {
    const most = Math.max(1, ...cluster.pools.flatMap((pool) => pool.cards.map((text) => text.length)));
    const across = Math.min(most, 2 ** Math.ceil(Math.log2(Math.sqrt(most))));
    return { across, down: Math.ceil(most / across) };
  }

  // The largest cell with which all blocks fit is found by trying.
  function lay() {
    const ratio = window.devicePixelRatio || 1;
    width = Math.max(200, box.clientWidth); height = 420;
    for (cell = 22; cell > 0.5; cell = cell > 2 ? cell - 1 : cell - 0.25) if (place()) break;
    const used = Math.max(40, ...blocks.map((block) => block.y + block.rows * block.h)) + 2;
    height = Math.min(height, Math.ceil(used));
    canvas.style.setProperty("height", height + "px");
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  }

  function place() {
    blocks = [];
    const many = clusters.length > 1;
    const total = clusters.reduce((sum, each) => sum + each.nodes.length * each.shape.across * each.shape.down, 0) || 1;
    let x = 0, y = 0, row = 0;
    for (const each of clusters) {
      const gap = cell > 3 ? 2 : cell > 1.5 ? 1 : 0;
      const w = each.shape.across * cell + gap, h = each.shape.down * cell + gap;
      const room = height - LABEL - GAP;
      let columns;
      if (!many) columns = Math.max(1, Math.floor(width / w));
      else {
        const share = each.nodes.length * each.shape.across * each.shape.down / total;
        const area = each.nodes.length * w * h;
        const want = Math.max(Math.sqrt(area * 1.6), 60 + 40 * share);
        columns = Math.max(1, Math.min(Math.floor(width / w), Math.round(want / w)));
      }
      const rows = Math.max(1, Math.ceil(each.nodes.length / columns));
      const wide = Math.max(columns * w, many ? 84 : 0), high = rows * h + (many ? LABEL : 0);
      if (many && x > 0 && x + wide > width) { x = 0; y += row + GAP; row = 0; }
      if (y + high > height || wide > width + w || high > room + LABEL + GAP) return false;
      blocks.push({ each, x, y: y + (many ? LABEL : 0), w, h, columns, rows, wide });
      x += wide + GAP * 1.6; row = Math.max(row, high);
    }
    return true;
  }

  function paint() {
    const pen = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
    const colour = colours();
    const picture = pen.createImageData(canvas.width, canvas.height);
    const dots = new Uint32Array(picture.data.buffer);
    const of = new Uint32Array(128);
    for (const key of ["L", "F", "C", "D", "."]) of[key.charCodeAt(0)] = rgb(colour[key]);
    const line = cell > 4 ? 1 : cell > 2.5 ? 0.5 : 0;
    for (const block of blocks) {
      const { across } = block.each.shape;
      block.each.nodes.forEach((node, i) => {
        const left = block.x + (i % block.columns) * block.w, top = block.y + Math.floor(i / block.columns) * block.h;
        for (let card = 0; card < node.cards.length; card += 1) {
          const shade = of[node.cards.charCodeAt(card)];
          const x0 = Math.round((left + (card % across) * cell) * ratio), y0 = Math.round((top + Math.floor(card / across) * cell) * ratio);
          const x1 = Math.max(x0 + 1, Math.round((left + (card % across + 1) * cell - line) * ratio)), y1 = Math.max(y0 + 1, Math.round((top + (Math.floor(card / across) + 1) * cell - line) * ratio));
          for (let y = y0; y < y1 && y < canvas.height; y += 1) dots.fill(shade, y * canvas.width + x0, y * canvas.width + Math.min(x1, canvas.width));
        }
      });
    }
    pen.putImageData(picture, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "11px system-ui, sans-serif"; pen.fillStyle = colour.text; pen.textBaseline = "alphabetic";
    if (blocks.length > 1) for (const block of blocks) pen.fillText(block.each.cluster, block.x, block.y - 4, block.wide);
    if (marked) {
      const { block, i } = marked;
      pen.strokeStyle = colour.mark; pen.lineWidth = 1.5;
      pen.strokeRect(block.x + (i % block.columns) * block.w - 1, block.y + Math.floor(i / block.columns) * block.h - 1, block.w + 1, block.h + 1);
    }
  }

  function say() {
    if (!marked) { told.textContent = how; return; }
    const node = marked.block.each.nodes[marked.i];
    const leased = [...node.cards].filter((state) => state === "L").length;
    told.textContent = `${marked.block.each.cluster} / ${node.pool} / ${node.node} · ${node.model} · ${leased}/${node.cards.length}`;
  }

  function mark(block, i) {
    marked = block && i >= 0 && i < block.each.nodes.length ? { block, i } : null;
    paint(); say();
  }

  function at(event) {
    const place = canvas.getBoundingClientRect();
    const x = event.clientX - place.left, y = event.clientY - place.top;
    for (const block of blocks) {
      const column = Math.floor((x - block.x) / block.w), row = Math.floor((y - block.y) / block.h);
      if (column >= 0 && column < block.columns && row >= 0 && row < block.rows) return [block, row * block.columns + column];
    }
    return [null, -1];
  }

  function open() {
    if (!marked) return;
    const cluster = encodeURIComponent(marked.block.each.cluster);
    location.href = zoomed ? `/clusters/${cluster}/nodes/${encodeURIComponent(marked.block.each.nodes[marked.i].node)}` : `/clusters/${cluster}`;
  }

  canvas.addEventListener("mousemove", (event) => mark(...at(event)));
  canvas.addEventListener("click", (event) => { mark(...at(event)); open(); });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.preventDefault(); if (zoomed) location.href = "/clusters"; else mark(null, -1); return; }
    if (event.key === "Enter") { event.preventDefault(); open(); return; }
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: NaN, ArrowUp: NaN }[event.key];
    if (step === undefined || !blocks.length) return;
    event.preventDefault();
    if (!marked) { mark(blocks[0], 0); return; }
    let { block, i } = marked;
    i += Number.isNaN(step) ? (event.key === "ArrowDown" ? block.columns : -block.columns) : step;
    const here = blocks.indexOf(block);
    if (i >= block.each.nodes.length && here + 1 < blocks.length) mark(blocks[here + 1], 0);
    else if (i < 0 && here > 0) mark(blocks[here - 1], blocks[here - 1].each.nodes.length - 1);
    else if (i >= 0 && i < block.each.nodes.length) mark(block, i);
  });

  function show() { marked = null; lay(); paint(); }

  async function load() {
    const first = !clusters.length;
    const place = zoomed ? `/clusters/${encodeURIComponent(names[0])}/cards` : "/cards";
    const headers = { "X-Live": "1" };
    if (tag) headers["If-None-Match"] = tag;
    const answer = await fetch(place, { cache: "no-store", headers });
    if (!answer.ok) return; // 304: every card is what it was
    tag = answer.headers.get("ETag") || "";
    const told = await answer.json(), found = zoomed ? [told] : told;
    const fresh = found.filter((each) => each && each.pools.some((pool) => pool.nodes.length)).map((each) => ({
      ...each, shape: shape(each),
      nodes: each.pools.flatMap((pool) => pool.nodes.map((node, i) => ({ node, pool: pool.pool, model: pool.model, cards: pool.cards[i] }))),
    }));
    const same = fresh.length === clusters.length && fresh.every((each, i) => each.cluster === clusters[i].cluster && each.nodes.length === clusters[i].nodes.length);
    if (same) { fresh.forEach((each, i) => { clusters[i].nodes = each.nodes; }); paint(); say(); }
    else { clusters = fresh; show(); }
    if (first) canvas.dataset.paintedMillis = String(Math.round(performance.now()));
    canvas.dataset.painted = String(clusters.reduce((sum, each) => sum + each.nodes.reduce((n, node) => n + node.cards.length, 0), 0));
  }

  async function again() {
    const began = performance.now();
    if (!document.hidden) try { await load(); } catch (error) { /* the sign above tells that nobody answers */ }
    setTimeout(again, Math.max(AGAIN_MS, 4 * (performance.now() - began)));
  }

  window.addEventListener("resize", show);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  again();
})();
