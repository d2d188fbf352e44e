"""The voucher office's pages: programmes with their burn-down, applications and their review; a city sees its own."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from broker.market.prices import Prices
from broker.store.database import Database
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.console.conftest import Desk, open_desk
from tests.console.test_console_browser import IS_WIDE, STICKING_OUT, page_of
from tests.market.test_rounds import Table
from tests.small_world import GANZHOU, NANJING, T0
from tests.voucher_world import OF_ACME, VoucherWorld, open_office


@pytest.fixture
async def office(database: Database, dsns: Dsns) -> VoucherWorld:
    return await open_office(database, dsns)


@pytest.fixture
async def counter(database: Database, office: VoucherWorld) -> AsyncIterator[Desk]:
    """A console where the voucher office works, and nothing else does."""
    world = ClusterWorld(database)
    world.now = T0
    prices = Prices(database, changes_days=31, hours_days=31)
    async with open_desk(database, Table(world), prices, (1, 1, 1), without=("owner", "stranger", "agent")) as desk:
        yield desk


async def test_the_office_reviews_an_application_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    made, _ = await office.vouchers.apply(GANZHOU, OF_ACME, now=T0)
    place = f"/vouchers/applications/{made.application}"
    async with counter.visitor("office") as visitor:
        _, overview = await visitor.get("/vouchers")
        _, before = await visitor.get(place)
        token = await visitor.token(place)
        begun = await visitor.send(place, form_token=token, act="begin", officer="Li Na")
        again = await visitor.send(place, form_token=token, act="begin", officer="Li Na")
        unsaid = await visitor.send(place, form_token=token, act="refuse", officer="Li Na")
        refused = await visitor.send(place, form_token=token, act="refuse", officer="Li Na", note="no contract")
        _, after = await visitor.get(place)

    assert place in overview
    assert "Begin the review" in before
    assert [each.status for each in (begun, again, unsaid, refused)] == [303, 409, 400, 303]
    assert "no contract" in after
    assert await office.story(application=made.application) == ["applied", "review_begun", "refused"]


async def test_the_office_sees_a_grant_and_makes_it_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    """A paper is missing, so a part can be used at once; what is tried changes nothing."""
    number = await office.applied(papers=("contract",))
    place = f"/vouchers/applications/{number}"
    async with counter.visitor("office") as visitor:
        _, before = await visitor.get(place)
        _, tried = await visitor.get(f"{place}/grant?yuan=0.003")
        still = await office.story(application=number)
        form = {"form_token": await visitor.token(place), "yuan": "0.003", "note": "as agreed"}
        unsaid = await visitor.send(f"{place}/grant", **form)
        done = await visitor.send(f"{place}/grant", **form, officer="Li Na")
        again = await visitor.send(f"{place}/grant", **form, officer="Li Na")
        _, after = await visitor.get(place)
        _, vouchers = await visitor.get("/vouchers")

    assert 'name="paper" value="invoice"' in before
    assert "Nothing is changed yet" in tried
    assert "the rest with invoice" in tried
    assert "qy-2026-1" in tried
    assert still == ["applied", "review_begun"]
    assert [each.status for each in (unsaid, done, again)] == [400, 303, 409]
    assert "as agreed" in after
    assert "Li Na" in after
    assert "qy-2026-1" in vouchers
    voucher = await office.voucher("qy-2026-1")
    assert (voucher.granted_micro_yuan, voucher.rest_micro_yuan) == (3000, 2000)


async def test_papers_in_hand_make_a_whole_grant_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    number = await office.applied(papers=("contract",))
    place = f"/vouchers/applications/{number}"
    async with counter.visitor("office") as visitor:
        _, tried = await visitor.get(f"{place}/grant?paper=invoice")
        form = {"form_token": await visitor.token(place), "paper": "invoice", "officer": "Li Na"}
        await visitor.send(f"{place}/grant", **form)

    assert "the rest with" not in tried
    assert (await office.voucher("qy-2026-1")).rest_micro_yuan == 0


@pytest.mark.parametrize(
    "wrong",
    ["yuan=abc", "yuan=-1", "yuan=1e3", "yuan=0", "yuan=1.1234567", "paper=A+b", "due=2026-13-01", "due=2020-01-01",
     "due=tomorrow", "due=2099-01-01"],
)  # fmt: skip
async def test_a_wrong_grant_is_told_what_is_wrong_in_the_console(
    counter: Desk, office: VoucherWorld, wrong: str
) -> None:
    number = await office.applied()
    async with counter.visitor("office") as visitor:
        status, text = await visitor.get(f"/vouchers/applications/{number}/grant?{wrong}")

    assert status == 400
    assert "must" in text


async def test_more_than_a_cap_is_refused_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    number = await office.applied()
    async with counter.visitor("office") as visitor:
        status, _ = await visitor.get(f"/vouchers/applications/{number}/grant?yuan=0.007")

    assert status == 409


async def test_an_auditor_and_a_city_grant_nothing_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    number = await office.applied()
    place = f"/vouchers/applications/{number}"
    async with counter.visitor("auditor") as auditor, counter.visitor("ganzhou") as city:
        for visitor in (auditor, city):
            token = await visitor.token()
            sent = await visitor.send(f"{place}/grant", form_token=token, officer="x")
            refused = await visitor.send(place, form_token=token, act="refuse", officer="x", note="x")
            _, page = await visitor.get(place)
            assert (sent.status, refused.status, (await visitor.get(f"{place}/grant"))[0]) == (403, 403, 403)
            assert '<form class="stack"' not in page
    assert await office.story(application=number) == ["applied", "review_begun"]


@pytest.mark.parametrize("step", ["", "/grant?yuan=0.003"])
async def test_pages_of_a_grant_fit_a_narrow_screen_of_the_console(
    counter: Desk, office: VoucherWorld, chromium: Browser, step: str
) -> None:
    place = f"/vouchers/applications/{await office.applied(papers=('contract',))}{step}"
    async with page_of(chromium, counter, "office") as page:
        await page.set_viewport_size({"width": 390, "height": 844})
        await page.goto(counter.address + place)

        await expect(page.locator("main form").first).to_be_visible()
        assert not await page.evaluate(IS_WIDE)
        assert await page.evaluate(STICKING_OUT) == []


async def test_a_grant_from_another_site_does_nothing_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    place = f"/vouchers/applications/{await office.applied()}/grant"
    async with counter.visitor("office") as visitor:
        token = await visitor.token("/vouchers/applications/1")
        without = await visitor.send(place, officer="x")
        elsewhere = await visitor.send(place, {"Origin": "https://evil.example"}, form_token=token, officer="x")

    assert (without.status, elsewhere.status) == (403, 403)


async def test_a_granted_voucher_and_its_budget_stand_on_the_page_of_the_console(
    counter: Desk, office: VoucherWorld
) -> None:
    made = await office.granted()
    async with counter.visitor("auditor") as visitor:
        _, text = await visitor.get("/vouchers")
        _, application = await visitor.get("/vouchers/applications/1")

    assert made.voucher in text
    assert "Runs out" in text
    assert "Begin the review" not in application


async def test_a_city_sees_its_own_vouchers_and_no_budget_in_the_console(counter: Desk, office: VoucherWorld) -> None:
    made, _ = await office.vouchers.apply(GANZHOU, OF_ACME, now=T0)
    assert not await office.vouchers.applications(NANJING, "", "", None, 0, 10)
    place = f"/vouchers/applications/{made.application}"
    async with counter.visitor("ganzhou") as mine, counter.visitor("nanjing") as other:
        _, text = await mine.get("/vouchers")
        status, _ = await other.get(place)
        _, others = await other.get("/vouchers")
        change = await mine.send(place, form_token=await mine.token(), act="begin", officer="x")

    assert place in text
    assert "Runs out" not in text
    assert (status, change.status) == (404, 403)
    assert place not in others


async def test_the_office_begins_at_its_own_page_of_the_console(counter: Desk) -> None:
    async with counter.visitor("office") as visitor:
        answer = await visitor.session.get("/", allow_redirects=False)
        status, _ = await visitor.get("/jobs")

    assert (answer.status, answer.headers["Location"], status) == (303, "/vouchers", 403)
