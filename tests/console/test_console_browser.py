"""The console in a real browser: no errors, both languages, by keyboard alone, live, and a drain from end to end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from broker.ids import job_text
from tests.console.conftest import Desk, path_of

IS_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
STICKING_OUT = """
    [...document.querySelectorAll("main form :is(input:not([type=hidden]), select)")]
        .filter(each => each.getBoundingClientRect().right > each.form.getBoundingClientRect().right + 0.5)
        .map(each => each.name)
"""


@asynccontextmanager
async def page_of(browser: Browser, desk: Desk, who: str = "operator", locale: str = "en-GB") -> AsyncIterator[Page]:
    """Open a page, log in with the keyboard, and fail at the end for whatever the browser complained about."""
    context = await browser.new_context(locale=locale, viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(desk.address)
    # The browser gives the field its focus when it first paints, which on a busy machine is after `goto` is done.
    await expect(page.locator("#api_key")).to_be_focused()
    await page.keyboard.type(desk.keys[who])
    await page.keyboard.press("Enter")
    await expect(page.locator("header nav")).to_be_visible()
    try:
        yield page
        assert complaints == []
    finally:
        await context.close()


@pytest.mark.parametrize(("locale", "heading"), [("en-GB", "Overview"), ("zh-CN", "总览")])
async def test_every_console_page_shows_without_complaints(
    desk: Desk, chromium: Browser, locale: str, heading: str
) -> None:
    async with page_of(chromium, desk, locale=locale) as page:
        await expect(page.locator("h1")).to_have_text(heading)
        for place in (*desk.places.values(), f"/jobs/{job_text(desk.waits)}"):
            # No agent is there to tell output, and nobody has applied.
            if not place.endswith(("/cards", "/log", "/" + job_text(desk.runs), "/applications/1", "/grant")):
                await page.goto(desk.address + place)
                await expect(page.locator("h1")).to_be_visible()
        await page.get_by_role("link", name="English" if locale == "zh-CN" else "中文").click()
        await expect(page.locator("html")).to_have_attribute("lang", "en" if locale == "zh-CN" else "zh")


async def test_the_console_can_be_walked_by_keyboard(desk: Desk, chromium: Browser) -> None:
    """The first stop is the way past the navigation, what has the focus is marked, letters go to pages."""
    async with page_of(chromium, desk) as page:
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await expect(page.locator(".skip")).to_be_in_viewport()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("g")
        await page.keyboard.press("c")
        await page.wait_for_url("**/clusters")
        canvas = page.locator("canvas[data-painted]")
        await canvas.focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#map-told")).to_contain_text("east / main / n1")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/clusters/east")
        await page.locator("canvas[data-painted]").focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/clusters/east/nodes/n2")
        await page.keyboard.press("?")
        await page.wait_for_url("**/shortcuts")


async def test_an_open_console_page_shows_news_without_a_reload(desk: Desk, chromium: Browser) -> None:
    async with page_of(chromium, desk) as page:
        await page.goto(f"{desk.address}/queue")
        await page.evaluate("window.sameDocument = true")
        waiting = page.locator("[data-part=figures] dd").first
        await expect(waiting).to_have_text("1 jobs")

        await desk.table.submit("nanjing", cards_per_task=8)

        await expect(waiting).to_have_text("2 jobs", timeout=10_000)
        assert await page.evaluate("window.sameDocument") is True


async def test_a_drain_is_seen_before_it_is_done_in_the_console(desk: Desk, chromium: Browser) -> None:
    async with page_of(chromium, desk) as page:
        await page.goto(f"{desk.address}/clusters/east")
        await page.get_by_label("Nodes").fill("n1")
        await page.get_by_role("button", name="Preview").click()
        await expect(page.locator(".lead")).to_contain_text("Nothing is changed yet")
        await expect(page.locator("text=lease-").first).to_be_visible()

        await page.get_by_label("Why").fill("new fans")
        await page.get_by_role("button", name="Drain").click()

        assert path_of(page.url) == "/clusters/east"
        await expect(page.locator("[data-part=nodes] tr", has_text="n1")).to_contain_text("draining")


async def test_a_queue_is_paused_and_resumed_in_the_console_by_keyboard_alone(desk: Desk, chromium: Browser) -> None:
    """From the letters that lead there to the reason and back; another open page hears of it."""
    waits = await desk.table.submit("nanjing", cards_per_task=1)
    async with page_of(chromium, desk) as page, page_of(chromium, desk, "nanjing") as other:
        await other.goto(f"{desk.address}/queue")
        await page.keyboard.press("g")
        await page.keyboard.press("w")
        await page.wait_for_url("**/pause")
        await page.keyboard.press("/")
        await expect(page.locator("#city")).to_be_focused()
        await page.keyboard.type("Nan")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".lead")).to_contain_text("Nothing is changed yet")
        await expect(page.locator("dl.figures dd").first).to_have_text("1 jobs")

        await page.locator("#why").focus()
        await page.keyboard.type("budget under review")
        await page.keyboard.press("Enter")

        await expect(page.locator("[data-part=pauses]")).to_contain_text("budget under review")
        await expect(other.locator("[data-part=pause]")).to_contain_text("This queue is paused", timeout=10_000)
        await desk.table.round()
        assert (await desk.table.world.job(waits)).waiting_reason == "QUEUE_PAUSED"
        await page.locator("#resume-queue-nanjing").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("[data-part=pauses]")).to_contain_text("Nothing is paused")
        await expect(other.locator("[data-part=pause]")).to_be_empty(timeout=10_000)


@pytest.mark.parametrize("place", ["/", "/pause?cluster=east", "/queue", "/clusters/east", "/vouchers"])
async def test_no_page_of_the_console_scrolls_sideways_on_a_narrow_screen(
    desk: Desk, chromium: Browser, place: str
) -> None:
    """Wide tables scroll in their frames, and what is typed into fits into its own."""
    async with page_of(chromium, desk) as page:
        await page.set_viewport_size({"width": 390, "height": 844})
        await page.goto(desk.address + place)

        assert not await page.evaluate(IS_WIDE)
        assert await page.evaluate(STICKING_OUT) == []


async def test_every_card_is_painted_in_the_console(desk: Desk, chromium: Browser) -> None:
    async with page_of(chromium, desk) as page:
        await page.goto(f"{desk.address}/clusters")
        canvas = page.locator("canvas[data-painted]")

        await expect(canvas).to_have_attribute("data-painted", "24")
        colours = await canvas.evaluate(
            "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
        )
        assert colours >= 3
