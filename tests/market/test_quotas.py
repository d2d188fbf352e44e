"""Quotas are a tree whose guarantees fit into one another; changes are on record, and the same again is none."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.errors import (
    BrokerError,
    CityNotFound,
    FieldProblem,
    HubNotFound,
    InvalidRequest,
    QuotaHasChildren,
    QuotaNotFound,
)
from broker.market.energy import HubEnergy, PowerChange
from broker.market.quotas import Quotas, QuotaUse, standing
from broker.market.worlds import Worlds
from broker.store import rules
from broker.store.database import Database
from broker.store.rules import ModelRules, RulesView, UseRow
from broker.worlds.quotas import QuotaRow
from tests.small_world import OPERATOR, T0, lay_out, placed, submitted
from tests.worlds.small import changed

P = 1_000_000  # milli-TFLOPS in a PFLOPS


class Setting:
    """The use cases, how often they woke the rounds, and what is on record."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.woken = 0
        self.quotas = Quotas(database, wake=self._wake)
        self.energy = HubEnergy(database, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def set(self, quota: str, guaranteed: int, borrow: int | None = None, lend: int | None = None) -> QuotaUse:
        return await self.quotas.set(OPERATOR, QuotaRow(quota, guaranteed, borrow, lend), now=T0)

    async def listed(self, hub: str = "") -> list[str]:
        return [use.quota.quota for use in await self.quotas.list(hub, now=T0)]

    async def remove(self, quota: str, *, dry_run: bool = False) -> QuotaUse:
        return await self.quotas.remove(OPERATOR, quota, now=T0, dry_run=dry_run)

    async def acts(self) -> list[Any]:
        async with self.database.hub() as tx:
            return await tx.fetch("SELECT key_id, act, subject, detail FROM operator_acts ORDER BY act_id")

    async def version(self) -> int:
        async with self.database.hub() as tx:
            return (await rules.read(tx, T0)).version


@pytest.fixture
async def setting(database: Database) -> Setting:
    return Setting(await lay_out(database))


async def test_a_tree_is_set_from_above_and_listed_so(setting: Setting) -> None:
    await setting.set("qingyang", 10_000)
    await setting.set("qingyang/ganzhou", 6_000, 2_000, 0)
    await setting.set("qingyang/ganzhou/acme", 1_000)
    await setting.set("guian", 0, 0)

    assert await setting.listed() == ["guian", "qingyang", "qingyang/ganzhou", "qingyang/ganzhou/acme"]
    assert await setting.listed("guian") == ["guian"]
    assert setting.woken == 4


async def test_the_same_again_is_no_act(setting: Setting) -> None:
    await setting.set("qingyang", 10_000, 5, 5)
    version = await setting.version()

    await setting.set("qingyang", 10_000, 5, 5)

    assert (setting.woken, len(await setting.acts()), await setting.version()) == (1, 1, version)


async def test_an_act_tells_what_was_and_what_is(setting: Setting) -> None:
    await setting.set("qingyang", 10_000)
    await setting.set("qingyang", 8_000, 0)
    await setting.remove("qingyang")

    first, second, third = await setting.acts()
    assert {act["key_id"] for act in (first, second, third)} == {OPERATOR.key_id}
    assert (first["act"], first["subject"], first["detail"]["before"]) == ("set_quota", "qingyang", None)
    assert second["detail"]["before"] == first["detail"]["after"]
    assert second["detail"]["after"]["guaranteed_milli_pflops"] == 8_000
    assert (third["act"], third["detail"]["before"]) == ("remove_quota", second["detail"]["after"])


WRONG: dict[str, tuple[tuple[str, int, int | None, int | None], str, str]] = {
    "no parent": (("guian/ganzhou", 1, None, None), "city", "guian has no quota: set that first"),
    "a city between is missing": (
        ("qingyang/nanjing/acme", 0, None, None),
        "enterprise",
        "qingyang/nanjing has no quota",
    ),
    "more than the parent has left": (
        ("qingyang/nanjing", 5_000, None, None),
        "guaranteed_milli_pflops",
        "qingyang is guaranteed 10000 of which others have 6000: raise that first",
    ),
    "less than the children have": (
        ("qingyang", 5_999, None, None),
        "guaranteed_milli_pflops",
        "its children are guaranteed 6000: lower theirs first",
    ),
    "more to lend than there is": (
        ("qingyang/nanjing", 1, None, 2),
        "lend_milli_pflops",
        "more than the 1 that are guaranteed",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
async def test_a_quota_that_does_not_fit_into_the_tree_names_its_field(
    setting: Setting, case: tuple[tuple[str, int, int | None, int | None], str, str]
) -> None:
    await setting.set("qingyang", 10_000)
    await setting.set("qingyang/ganzhou", 6_000)
    wanted, field, why = case

    with pytest.raises(InvalidRequest) as refused:
        await setting.set(*wanted)

    [problem] = refused.value.fields
    assert problem.field == f"quota.{field}"
    assert why in problem.description
    assert await setting.listed() == ["qingyang", "qingyang/ganzhou"]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda s: s.set("zhongwei", 1), HubNotFound),
        (lambda s: s.listed("zhongwei"), HubNotFound),
        (lambda s: s.set("qingyang/hami", 1), CityNotFound),
        (lambda s: s.remove("guian"), QuotaNotFound),
        (lambda s: s.energy.set(OPERATOR, PowerChange("zhongwei", 1), now=T0), HubNotFound),
        (lambda s: s.energy.get("zhongwei", now=T0), HubNotFound),
    ],
)
async def test_what_the_catalogue_does_not_have_is_not_found(
    setting: Setting, ask: Callable[[Setting], Awaitable[Any]], error: type[BrokerError]
) -> None:
    with pytest.raises(error):
        await ask(setting)


async def test_a_quota_with_children_is_not_removed(setting: Setting) -> None:
    await setting.set("qingyang", 10_000)
    await setting.set("qingyang/ganzhou", 6_000)

    with pytest.raises(QuotaHasChildren, match="1 below it, such as qingyang/ganzhou"):
        await setting.remove("qingyang", dry_run=True)

    await setting.remove("qingyang/ganzhou")
    await setting.remove("qingyang")
    assert await setting.listed() == []


async def test_a_dry_run_removes_nothing_and_says_how_it_stands(setting: Setting) -> None:
    await setting.set("qingyang", 100)
    [job] = await submitted(setting.database, "key-1")
    await placed(setting.database, job, cards=(0, 1))
    version = await setting.version()

    use = await setting.remove("qingyang", dry_run=True)

    assert (use.used, use.borrowed, use.lent) == (2 * 320_000, 2 * 320_000 - 100_000, 0)
    assert await setting.listed() == ["qingyang"]
    assert (await setting.version(), len(await setting.acts())) == (version, 1)


async def test_a_world_that_does_not_fit_in_with_kept_quotas_is_refused(setting: Setting) -> None:
    """It names the hub's quota again, and not the city's, which stays."""
    await setting.set("qingyang", 10_000)
    await setting.set("qingyang/ganzhou", 6_000)
    small = [{"quota": "qingyang", "guaranteed_milli_pflops": 5_000, "source": "paper"}]
    worlds = Worlds(setting.database, wake=lambda: None)

    with pytest.raises(InvalidRequest) as refused:
        await worlds.apply(OPERATOR, changed(lambda world: world.update(quotas=small)), now=T0)

    assert refused.value.fields == (
        FieldProblem(
            "quotas[0].guaranteed_milli_pflops", "is 5000, its children are guaranteed 6000: lower theirs first"
        ),
    )


def _standing(**used: int) -> dict[str, tuple[int, int, int]]:
    """Return (used, borrowed, lent) in whole PFLOPS where a hub of 10 P guarantees 4, 3 and 2 to three cities."""
    view = RulesView(
        models={"card": ModelRules(P, 0, (), 0)},
        quotas=(
            QuotaRow("hub", 10_000),
            QuotaRow("hub/a", 4_000),
            QuotaRow("hub/b", 3_000, None, 1_000),
            QuotaRow("hub/c", 2_000),
        ),
        use=tuple(UseRow("hub", city, "", "card", cards * 1000) for city, cards in used.items()),
    )
    return {q: (use.used // P, use.borrowed // P, use.lent // P) for q, use in standing(view).items()}


def test_what_nobody_was_promised_is_borrowed_before_anybody_lends() -> None:
    assert _standing(c=3) == {"hub": (3, 0, 0), "hub/a": (0, 0, 0), "hub/b": (0, 0, 0), "hub/c": (3, 1, 0)}


def test_lenders_lend_in_proportion_to_what_they_may() -> None:
    """c borrows 6 P: 1 was promised to nobody, 4 of a's and 1 of b's are lent, as b lends no more."""
    assert _standing(c=8) == {"hub": (8, 0, 0), "hub/a": (0, 0, 4), "hub/b": (0, 0, 1), "hub/c": (8, 6, 0)}


def test_work_of_a_city_without_a_quota_borrows_from_those_that_have_one() -> None:
    found = _standing(d=6)

    assert found["hub"] == (6, 0, 0)
    assert (found["hub/a"], found["hub/b"], found["hub/c"]) == ((0, 0, 2), (0, 0, 0), (0, 0, 1))


async def test_power_is_set_in_parts_and_stays(setting: Setting) -> None:
    await setting.energy.set(OPERATOR, PowerChange("qingyang", power_kilowatts_max=20, pue_milli=1200), now=T0)
    await setting.energy.set(OPERATOR, PowerChange("qingyang", micro_yuan_per_kilowatt_hour=400_000), now=T0)

    again = await setting.energy.set(OPERATOR, PowerChange("qingyang", pue_milli=1200), now=T0)

    assert (again.power.power_kilowatts_max, again.power.pue_milli) == (20, 1200)
    assert again.power.micro_yuan_per_kilowatt_hour == 400_000
    assert (again.pace_watts, again.energy) == (None, None)
    assert [act["act"] for act in await setting.acts()] == ["set_hub_power"] * 2
    assert setting.woken == 2


async def test_a_hub_shows_what_its_leases_draw_and_the_pace(setting: Setting) -> None:
    """Two cards of 400 W at a PUE of 1.5, and a reading of the meter from which the count goes on."""
    [job] = await submitted(setting.database, "key-1")
    await placed(setting.database, job, cards=(0, 1))
    change = PowerChange("qingyang", pue_milli=1500, energy_kilowatt_hours_per_year=100_000, used_kilowatt_hours=4_000)

    shown = await setting.energy.set(OPERATOR, change, now=T0)

    assert shown.used_watts == 1200
    assert shown.energy is not None
    assert shown.energy.used_joules == 4_000 * 3_600_000
    assert shown.energy.committed_joules == pytest.approx(1200 * 3601, rel=1e-9)
    hours_left = (365 - 31 - 28) * 24 - 16  # 16:00 of the first of March in UTC+8
    assert shown.pace_watts == 96_000 * 1000 // hours_left
