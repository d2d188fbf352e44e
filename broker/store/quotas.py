"""Quotas as rows: a tree named by paths, written parents first and removed leaves first."""

from collections.abc import Sequence
from typing import Final, LiteralString

from broker.store.database import Connection
from broker.worlds.quotas import QuotaRow

ALL: Final[LiteralString] = """
    SELECT quota, guaranteed_milli_pflops, borrow_milli_pflops, lend_milli_pflops FROM quotas
     ORDER BY quota COLLATE "C"
"""
PUT: Final[LiteralString] = """
    INSERT INTO quotas (hub, city, enterprise, guaranteed_milli_pflops, borrow_milli_pflops, lend_milli_pflops)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (quota) DO UPDATE
       SET guaranteed_milli_pflops = excluded.guaranteed_milli_pflops,
           borrow_milli_pflops = excluded.borrow_milli_pflops, lend_milli_pflops = excluded.lend_milli_pflops
"""
REMOVE: Final[LiteralString] = "DELETE FROM quotas WHERE quota = $1"


async def all_quotas(tx: Connection) -> list[QuotaRow]:
    """Return every quota by path, so that a parent comes before its children."""
    return [QuotaRow(*r.values()) for r in await tx.fetch(ALL)]


async def put(tx: Connection, rows: Sequence[QuotaRow]) -> None:
    """Add quotas or make the stored ones equal to them; their parents must be there or among them."""
    values = [
        (*r.place, r.guaranteed_milli_pflops, r.borrow_milli_pflops, r.lend_milli_pflops)
        for r in sorted(rows, key=lambda r: r.quota)
    ]
    await tx.executemany(PUT, values)


async def remove(tx: Connection, quota: str) -> None:
    """Remove a quota that has no children."""
    await tx.execute(REMOVE, quota)
