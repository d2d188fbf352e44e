"""What operators enter of a park's month, for the broker cannot count it: racks, measured PUE, recovered heat."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from broker.caller import Caller
from broker.errors import HubNotFound, invalid
from broker.papers.hub_month import ParkFigures
from broker.papers.month import Month
from broker.store import acts, catalogue, park_figures
from broker.store.database import Database

FIRST: Final = date(2000, 1, 1)
LAST: Final = date(2099, 12, 1)


class ParkFigure(StrEnum):
    """A figure that parks enter; its value is how it is called in `ParkFigures`."""

    RACKS = "racks"
    RACKS_USED = "racks_used"
    PUE = "pue_milli"
    RECOVERED_HEAT = "recovered_heat_kilowatt_hours"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be entered of a hub's month; None leaves a figure as it was, what is withdrawn is unknown again."""

    hub: str
    month: Month
    source: str
    racks: int | None = None
    racks_used: int | None = None
    pue_milli: int | None = None
    recovered_heat_kilowatt_hours: int | None = None
    withdrawn: Collection[ParkFigure] = ()


@dataclass(frozen=True, slots=True)
class Entered:
    """What stands after an entry."""

    figures: ParkFigures
    unchanged: bool


class ParkEntries:
    """Use cases of entered figures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, caller: Caller, entry: Entry, *, now: datetime, dry_run: bool = False) -> Entered:
        """Add a version to what was entered of a month. What is so already stays, without a version or an act.

        Raises: HubNotFound. InvalidRequest: the month has not begun, more racks are used than there are, nothing is
            known that could be entered.
        """
        if entry.month.begins_at > now:
            raise invalid("month", f"{entry.month.text} has not begun: enter it when there is something to measure")
        month = date(entry.month.year, entry.month.number, 1)
        async with self._database.hub() as tx:
            if not await park_figures.lock(tx, entry.hub):
                raise HubNotFound(hub=entry.hub)
            before = await park_figures.newest(tx, entry.hub, month)
            after = next_version(before, entry, caller.key_id, now)
            if before is not None and replace(after, version=before.version, set_at=before.set_at,
                                              set_by=before.set_by) == before:  # fmt: skip
                return Entered(before, unchanged=True)
            if not dry_run:
                await park_figures.add(tx, month, after)
                detail = {
                    "month": after.month,
                    "version": after.version,
                    "before": None if before is None else _known(before),
                    "after": _known(after),
                    "source": after.source,
                }
                await acts.record(
                    tx, at=now, key_id=caller.key_id, act="set_park_figures", subject=entry.hub, detail=detail
                )
        return Entered(after, unchanged=False)

    async def listed(self, hub: str, month: Month | None) -> list[ParkFigures]:
        """Return every version of a month, or the newest of each, newest first. Raise HubNotFound."""
        async with self._database.hub() as tx:
            if hub and not await catalogue.hub_exists(tx, hub):
                raise HubNotFound(hub=hub)
            if month is None:
                return await park_figures.standing(tx, hub, FIRST, LAST)
            return await park_figures.versions(tx, hub, date(month.year, month.number, 1))


def next_version(before: ParkFigures | None, entry: Entry, key_id: str, now: datetime) -> ParkFigures:
    """Return the version that an entry makes of what stands. Raise InvalidRequest when it contradicts itself."""
    known = dict.fromkeys(ParkFigure) if before is None else {f: getattr(before, f) for f in ParkFigure}
    for figure in ParkFigure:
        given = getattr(entry, figure)
        if figure in entry.withdrawn:
            if given is not None:
                raise invalid("withdrawn", f"{figure} is both given and withdrawn: leave one of them out")
            known[figure] = None
        elif given is not None:
            known[figure] = given
    racks, used = known[ParkFigure.RACKS], known[ParkFigure.RACKS_USED]
    if racks is not None and used is not None and used > racks:
        raise invalid("racks_used", f"{used} racks cannot be used of {racks}: correct one of them")
    if before is None and all(value is None for value in known.values()):
        raise invalid("racks", "nothing is entered: give racks, racks_used, pue_milli or recovered_heat_kilowatt_hours")
    version = 1 if before is None else before.version + 1
    return ParkFigures(
        hub=entry.hub, month=entry.month.text, version=version, source=entry.source, set_at=now, set_by=key_id,
        **{figure.value: value for figure, value in known.items()},
    )  # fmt: skip


def _known(figures: ParkFigures) -> dict[str, int | None]:
    return {figure.value: getattr(figures, figure) for figure in ParkFigure}
