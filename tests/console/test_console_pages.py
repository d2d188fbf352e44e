"""Pages say what the use cases say; an open page gets what changed; acts do what their preview told."""

import json

from broker.ids import job_text
from tests.console.conftest import Desk

LIVE = {"X-Live": "1"}


async def test_the_console_overview_counts_cards_and_shows_who_uses_them(desk: Desk) -> None:
    async with desk.visitor("operator") as visitor:
        _, text = await visitor.get("/")

    assert "13 of 24 cards" in text
    assert "<title>Ganzhou  6 → Qingyang  13: 6</title>" in text


async def test_the_console_shows_capacity_in_cards_racks_and_pflops_side_by_side(desk: Desk) -> None:
    """24 cards of 400 W fill 3.84 standard racks; 320 TFLOPS each are 7.7 P. The park's own words stand beside them."""
    async with desk.table.world.database.hub() as tx:
        await tx.execute(
            """INSERT INTO hub_capacity (hub, date, fp16_milli_pflops, cards, racks, planned, doubtful, source)
               VALUES ('qingyang', '2025-08-01', 66000000, 0, 21000, false, true, 'a newspaper'),
                      ('qingyang', '2030-01-01', 0, 0, 800000, true, false, 'a plan')"""
        )
    async with desk.visitor("operator") as visitor:
        _, overview = await visitor.get("/")
        _, cluster = await visitor.get("/clusters/east")

    row = overview.partition("As the park last reported it")[2].partition("</table>")[0]
    assert [part.partition("</td>")[0] for part in row.split('<td class="n">')[1:7]] == [
        "24", "3.8", "7.7", "–", "21,000", "66,000",
    ]  # fmt: skip
    assert "2025-08-01 <small>doubtful</small>" in row
    assert "800,000" not in row
    assert "Standard racks of 2.5 kW" in cluster


async def test_the_console_queue_says_why_and_the_job_what_would_help(desk: Desk) -> None:
    async with desk.visitor("ganzhou") as visitor:
        _, queue = await visitor.get("/queue")
        _, job = await visitor.get(f"/jobs/{job_text(desk.waits)}")
        _, chinese = await visitor.get(f"/jobs/{job_text(desk.waits)}?language=zh")

    assert "too few free cards <small>CARDS_SHORT</small>" in queue
    assert "too few free cards" in job
    assert "空闲卡不足" in chinese


async def test_the_console_tells_the_story_of_a_job_with_its_place_and_price(desk: Desk) -> None:
    async with desk.visitor("ganzhou") as visitor:
        _, text = await visitor.get(f"/jobs/{job_text(desk.runs)}")

    assert text.index("<b>submitted</b>") < text.index("<b>leased</b>")
    assert "east/main" in text
    assert "yuan per card-hour" in text


async def test_the_console_opens_a_round_with_winners_prices_and_reasons(desk: Desk) -> None:
    async with desk.visitor("auditor") as visitor:
        _, rounds = await visitor.get("/rounds")
        _, text = await visitor.get("/rounds/1")
        _, second = await visitor.get("/rounds/2")

    assert 'href="/rounds/1"' in rounds
    assert job_text(desk.runs) in text
    assert "CARDS_SHORT" in second
    assert "xisuan rounds replay 1" in text


async def test_the_console_map_has_a_letter_for_each_card(desk: Desk) -> None:
    async with desk.visitor("operator") as visitor:
        cards = json.loads((await visitor.get("/clusters/east/cards"))[1])

    [pool] = cards["pools"]
    assert pool["nodes"] == ["n1", "n2"]
    assert sorted(text.count("L") for text in pool["cards"]) == [6, 7]
    assert {len(text) for text in pool["cards"]} == {8}


async def test_an_open_console_page_gets_only_what_changed(desk: Desk) -> None:
    async with desk.visitor("operator") as visitor:
        first = await visitor.session.get("/queue", headers=LIVE)
        part = await first.text()
        same = await visitor.session.get("/queue", headers=LIVE | {"If-None-Match": first.headers["ETag"]})
        await desk.table.submit("nanjing", cards_per_task=8)
        changed = await visitor.session.get("/queue", headers=LIVE | {"If-None-Match": first.headers["ETag"]})

    assert "<html" not in part
    assert (first.status, same.status, changed.status) == (200, 304, 200)


async def test_a_drain_in_the_console_is_previewed_then_done_then_undone(desk: Desk) -> None:
    async with desk.visitor("operator") as visitor:
        _, preview = await visitor.get("/clusters/east/close?act=drain&nodes=n1")
        _, before = await visitor.get("/clusters/east")
        token = await visitor.token()
        unsaid = await visitor.send("/clusters/east/close", form_token=token, act="drain", nodes="n1")
        done = await visitor.send("/clusters/east/close", form_token=token, act="drain", nodes="n1", reason="new fans")
        _, after = await visitor.get("/clusters/east")
        await visitor.send("/clusters/east/open", form_token=token, nodes="n1")
        _, again = await visitor.get("/clusters/east")

    assert "Nothing is changed yet" in preview
    assert "lease-" in preview
    assert "state-draining" not in before
    assert (unsaid.status, done.status, done.headers["Location"]) == (400, 303, "/clusters/east")
    assert "state-draining" in after
    assert "new fans" in after
    assert "state-draining" not in again


async def test_the_console_previews_a_round_without_a_city(desk: Desk) -> None:
    async with desk.visitor("observer") as visitor:
        _, text = await visitor.get("/pause?city=ganzhou")

    assert "Worth of the next round" in text


async def test_the_console_shows_prices_and_their_history(desk: Desk) -> None:
    async with desk.visitor("owner") as visitor:
        _, prices = await visitor.get("/prices")
        _, history = await visitor.get("/prices/east/main?span=week")

    assert "/prices/east/main" in prices
    assert '<svg class="chart"' in history
