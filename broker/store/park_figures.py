"""What parks say of themselves, month by month: versions that are added and never changed."""

from datetime import date
from typing import Any, Final, LiteralString

from broker.papers.hub_month import ParkFigures
from broker.store.database import Connection

LIST_MAX: Final = 1000

LOCK_HUB: Final[LiteralString] = "SELECT true FROM hubs WHERE hub = $1 FOR NO KEY UPDATE"
COLUMNS: Final[LiteralString] = """
    hub, to_char(month, 'YYYY-MM') AS month, version, racks, racks_used, pue_milli, recovered_heat_kilowatt_hours,
    source, set_at, set_by
"""
NEWEST: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM park_figures WHERE hub = $1 AND park_figures.month = $2 ORDER BY version DESC LIMIT 1"
)
ADD: Final[LiteralString] = """
    INSERT INTO park_figures (hub, month, version, racks, racks_used, pue_milli, recovered_heat_kilowatt_hours, source,
                              set_at, set_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
STANDING: Final[LiteralString] = (
    "SELECT DISTINCT ON (hub, park_figures.month) "
    + COLUMNS
    + """ FROM park_figures
     WHERE ($1 = '' OR hub = $1) AND park_figures.month >= $2 AND park_figures.month <= $3
     ORDER BY hub, park_figures.month DESC, version DESC LIMIT $4"""
)
VERSIONS: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + """ FROM park_figures WHERE ($1 = '' OR hub = $1) AND park_figures.month = $2
     ORDER BY hub, version DESC LIMIT $3"""
)


async def lock(tx: Connection, hub: str) -> bool:
    """Let only this transaction enter figures of a hub until it ends; False: there is no such hub."""
    return await tx.fetchval(LOCK_HUB, hub) is not None


async def newest(tx: Connection, hub: str, month: date) -> ParkFigures | None:
    """Return what stands of a month, by its first day; None: nothing was entered."""
    row = await tx.fetchrow(NEWEST, hub, month)
    return None if row is None else _figures(row)


async def add(tx: Connection, month: date, figures: ParkFigures) -> None:
    """Store a version. The caller holds the lock."""
    f = figures
    await tx.execute(
        ADD, f.hub, month, f.version, f.racks, f.racks_used, f.pue_milli, f.recovered_heat_kilowatt_hours, f.source,
        f.set_at, f.set_by,
    )  # fmt: skip


async def standing(tx: Connection, hub: str, first: date, last: date) -> list[ParkFigures]:
    """Return the newest version of each month from one to another, both by their first days; newest months first."""
    return [_figures(r) for r in await tx.fetch(STANDING, hub, first, last, LIST_MAX)]


async def versions(tx: Connection, hub: str, month: date) -> list[ParkFigures]:
    """Return all versions of a month, newest first."""
    return [_figures(r) for r in await tx.fetch(VERSIONS, hub, month, LIST_MAX)]


def _figures(row: Any) -> ParkFigures:
    return ParkFigures(**dict(row))
