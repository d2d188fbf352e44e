"""The page of a month in a real browser: no complaint, nothing asked of a network, and nothing beside the paper."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from broker.papers.month_page import page
from tests.papers.a_month import a_month


@pytest.mark.parametrize(("language", "hub"), [("en", "qingyang"), ("zh", "")])
async def test_the_console_of_a_browser_says_nothing_about_the_page_of_a_month(
    chromium: Browser, tmp_path: Path, language: str, hub: str
) -> None:
    file = tmp_path / "month.html"
    file.write_text(page(a_month(hub=hub), language), encoding="utf-8")
    context = await chromium.new_context(viewport={"width": 1240, "height": 900})
    opened = await context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda told: complaints.append(told.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))

    await opened.goto(file.as_uri())
    paper = await opened.pdf(prefer_css_page_size=True)

    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert await opened.locator("svg.plot").count() >= 8
    for width in (1240, 794, 420):  # a screen, A4, a telephone
        await opened.set_viewport_size({"width": width, "height": 900})
        assert await opened.evaluate("document.documentElement.scrollWidth") <= width
    await opened.emulate_media(media="print")
    await opened.set_viewport_size({"width": 703, "height": 1000})  # what the margins leave of A4
    assert await opened.evaluate("document.documentElement.scrollWidth") <= 703
    assert (
        await opened.evaluate("getComputedStyle(document.querySelector('.two')).gridTemplateColumns.split(' ').length")
        == 2
    )
    assert paper.startswith(b"%PDF")
    await context.close()
