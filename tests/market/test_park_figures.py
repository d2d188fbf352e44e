"""What parks enter: versions that are added, what contradicts itself is refused, and who did it is kept."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import HubNotFound, InvalidRequest
from broker.market.hub_months import HubMonths
from broker.market.park_figures import Entry, ParkEntries, ParkFigure, next_version
from broker.papers.month import Month
from broker.store.database import Database
from tests.small_world import OPERATOR, T0, lay_out

MARCH = Month(2026, 3)
SURVEY = Entry("qingyang", MARCH, "survey", racks=1000, racks_used=650)


@pytest.fixture
async def entries(database: Database) -> ParkEntries:
    await lay_out(database)
    return ParkEntries(database)


async def test_what_is_not_given_stays_and_each_entry_is_a_version(entries: ParkEntries, database: Database) -> None:
    first = await entries.enter(OPERATOR, SURVEY, now=T0)
    second = await entries.enter(
        OPERATOR, Entry("qingyang", MARCH, "meter", pue_milli=1184, recovered_heat_kilowatt_hours=0), now=T0
    )
    third = await entries.enter(
        OPERATOR, Entry("qingyang", MARCH, "broken meter", withdrawn={ParkFigure.PUE}), now=T0 + timedelta(hours=1)
    )

    assert (first.figures.version, first.figures.pue_milli, first.figures.rack_ppm) == (1, None, 650_000)
    assert (second.figures.racks_used, second.figures.pue_milli) == (650, 1184)
    assert second.figures.recovered_heat_kilowatt_hours == 0
    assert (third.figures.version, third.figures.pue_milli, third.figures.racks) == (3, None, 1000)
    assert await entries.listed("qingyang", MARCH) == [third.figures, second.figures, first.figures]
    assert await entries.listed("", None) == [third.figures]
    async with database.hub() as tx:
        acts = await tx.fetch("SELECT act, subject, key_id, detail FROM operator_acts ORDER BY act_id")
    assert [(a["act"], a["subject"], a["key_id"]) for a in acts] == [
        ("set_park_figures", "qingyang", "key-operator")
    ] * 3
    assert acts[2]["detail"]["before"]["pue_milli"] == 1184
    assert acts[2]["detail"]["after"]["pue_milli"] is None


async def test_the_same_again_adds_nothing_and_a_dry_run_neither(entries: ParkEntries) -> None:
    dry = await entries.enter(OPERATOR, SURVEY, now=T0, dry_run=True)
    first = await entries.enter(OPERATOR, SURVEY, now=T0)
    again = await entries.enter(OPERATOR, SURVEY, now=T0 + timedelta(days=1))
    otherwise = await entries.enter(OPERATOR, replace(SURVEY, source="another survey"), now=T0)

    assert (dry.figures, dry.unchanged) == (first.figures, False)
    assert (again.figures, again.unchanged) == (first.figures, True)
    assert otherwise.figures.version == 2
    assert len(await entries.listed("qingyang", MARCH)) == 2


async def test_entries_at_once_are_versions_one_behind_the_other(entries: ParkEntries) -> None:
    made = await asyncio.gather(*(entries.enter(OPERATOR, replace(SURVEY, racks_used=n), now=T0) for n in range(1, 9)))

    assert sorted(each.figures.version for each in made) == list(range(1, 9))


async def test_what_cannot_be_is_refused(entries: ParkEntries) -> None:
    await entries.enter(OPERATOR, SURVEY, now=T0)
    for entry, field in (
        (replace(SURVEY, racks_used=1001), "racks_used"),
        (Entry("qingyang", MARCH, "s", racks=649), "racks_used"),
        (replace(SURVEY, withdrawn={ParkFigure.RACKS}), "withdrawn"),
        (replace(SURVEY, month=Month(2026, 4)), "month"),
        (Entry("guian", MARCH, "s", withdrawn={ParkFigure.PUE}), "racks"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await entries.enter(OPERATOR, entry, now=T0)
        assert f"{field}: " in str(caught.value)
    with pytest.raises(HubNotFound):
        await entries.enter(OPERATOR, replace(SURVEY, hub="nowhere"), now=T0)
    with pytest.raises(HubNotFound):
        await entries.listed("nowhere", None)


async def test_a_version_is_never_changed(entries: ParkEntries, database: Database) -> None:
    """The broker's own role may add, and nothing else."""
    await entries.enter(OPERATOR, SURVEY, now=T0)
    for statement in ("UPDATE park_figures SET racks = 0", "DELETE FROM park_figures"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.hub() as tx:
                await tx.execute(statement)


async def test_the_month_of_a_hub_shows_a_year_of_entries_beside_the_lines(
    entries: ParkEntries, database: Database
) -> None:
    for month in (Month(2025, 3), Month(2025, 4), MARCH):
        await entries.enter(OPERATOR, replace(SURVEY, month=month), now=T0)
    await entries.enter(OPERATOR, replace(SURVEY, racks_used=700), now=T0)
    async with database.hub() as tx:
        await tx.execute("UPDATE hubs SET rack_line_ppm = 650000, rack_line_source = 'plan' WHERE hub = 'qingyang'")

    found = await HubMonths(database).month(OPERATOR, MARCH, "qingyang", now=T0)

    [hub] = found.hubs
    assert [(f.month, f.version, f.racks_used) for f in hub.figures] == [("2025-04", 1, 650), ("2026-03", 2, 700)]
    assert (hub.rack_line_ppm, hub.rack_line_source) == (650_000, "plan")
    assert hub.entered("2026-03") == hub.figures[-1]
    assert hub.entered("2025-03") is None


COUNT = st.none() | st.integers(0, 50)


@given(st.lists(st.tuples(COUNT, COUNT, st.sets(st.sampled_from(ParkFigure))), max_size=8))
def test_whatever_is_entered_no_version_contradicts_itself(given_: list[tuple[int | None, int | None, set]]) -> None:
    standing = None
    for racks, used, withdrawn in given_:
        entry = replace(SURVEY, racks=racks, racks_used=used, withdrawn=withdrawn)
        try:
            standing = next_version(standing, entry, "key", T0)
        except InvalidRequest:
            continue
        assert standing.racks is None or standing.racks_used is None or standing.racks_used <= standing.racks
        assert racks is None or standing.racks == racks
        assert ParkFigure.RACKS not in withdrawn or standing.racks is None
