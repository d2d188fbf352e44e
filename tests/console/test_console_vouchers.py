"""The voucher office's pages: programmes with their burn-down, applications and their review; a city sees its own."""

from collections.abc import AsyncIterator

import pytest

from broker.market.prices import Prices
from broker.store.database import Database
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.console.conftest import Desk, open_desk
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
