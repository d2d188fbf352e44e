"""Which broker leads the rounds: one row, and an epoch that every commit of a round checks."""

from datetime import datetime, timedelta
from typing import Final, LiteralString

from broker.store.database import Connection

TOO_LATE: Final = timedelta(minutes=1)
"""How far beyond a term a lead may seem to last: brokers' clocks differ a little. What lasts longer was given by a
clock that was wrong, and would keep everybody from leading until the true time has come that far."""

ACQUIRE: Final[LiteralString] = """
    INSERT INTO leadership (holder, epoch, expires_at) VALUES ($1, 1, $3)
    ON CONFLICT (one) DO UPDATE SET
        holder = excluded.holder,
        expires_at = excluded.expires_at,
        epoch = leadership.epoch + (leadership.holder <> excluded.holder OR leadership.expires_at <= $2)::int
     WHERE leadership.holder = excluded.holder OR leadership.expires_at <= $2 OR leadership.expires_at > $4
    RETURNING epoch
"""
STILL: Final[LiteralString] = "SELECT true FROM leadership WHERE holder = $1 AND epoch = $2 FOR SHARE"
RESIGN: Final[LiteralString] = "UPDATE leadership SET expires_at = $2 WHERE holder = $1 AND expires_at > $2"


async def acquire(tx: Connection, holder: str, now: datetime, term: timedelta) -> int | None:
    """Take or renew the lead until `now + term`. Return its epoch, None while another broker leads."""
    epoch: int | None = await tx.fetchval(ACQUIRE, holder, now, now + term, now + term + TOO_LATE)
    return epoch


async def still_leads(tx: Connection, holder: str, epoch: int) -> bool:
    """Tell whether nobody has taken over since; nobody can until this transaction ends."""
    return bool(await tx.fetchval(STILL, holder, epoch))


async def resign(tx: Connection, holder: str, now: datetime) -> None:
    """Let another broker lead at once."""
    await tx.execute(RESIGN, holder, now)
