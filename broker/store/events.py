"""Number what happened, and read it: one gap-free sequence of events for each city.

Every change of a job writes its event to `event_outbox` in its own transaction, without a number. One numberer at a
time moves committed rows to `events`. So a cursor's order is the order in which changes became visible, no number is
ever skipped (not by a rollback either), and no writer waits for another. Two events of which one caused the other
keep their order: the later writer had seen the earlier one's commit, so its `event_id` is higher.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString, NamedTuple

from broker.ids import JobId, LeaseId
from broker.job import Ending, Event, Placement
from broker.lifecycle import JobEvent
from broker.store.database import Connection, planned_for
from broker.store.placements import placements

NUMBERER_LOCK: Final = 0x7869_7375_616E_0001
"""Key of the advisory lock that only one numberer holds."""

CURSOR_MAX: Final = 2**63 - 1

TRY_LOCK: Final[LiteralString] = "SELECT pg_try_advisory_xact_lock($1)"
# Up to an id, not by a join: the outbox is empty at most times, and a plan that was made then would look through all of
# it for each event of a burst. What is seen up to the last one of the oldest is those, and nothing else.
NUMBER: Final[LiteralString] = """
    WITH first AS (
        SELECT max(event_id) AS last FROM (SELECT event_id FROM event_outbox ORDER BY event_id LIMIT $1) AS oldest
    ), taken AS (
        DELETE FROM event_outbox o WHERE o.event_id <= (SELECT last FROM first)
        RETURNING o.event_id, o.city, o.job_id, o.kind, o.at, o.attempt, o.lease_id, o.ending
    ), counted AS (
        SELECT city, count(*) AS events FROM taken GROUP BY city
    ), advanced AS (
        INSERT INTO event_cursors AS c (city, last)
        SELECT city, events FROM counted
            ON CONFLICT (city) DO UPDATE SET last = c.last + excluded.last
        RETURNING city, last
    ), numbered AS (
        INSERT INTO events (city, cursor, job_id, kind, at, attempt, lease_id, ending)
        SELECT t.city, a.last - n.events + row_number() OVER (PARTITION BY t.city ORDER BY t.event_id),
               t.job_id, t.kind, t.at, t.attempt, t.lease_id, t.ending
          FROM taken t JOIN advanced a USING (city) JOIN counted n USING (city)
    )
    SELECT t.city, t.job_id, t.kind, t.attempt, t.lease_id, t.ending ->> 'reason' AS reason, a.last
      FROM taken t JOIN advanced a USING (city) ORDER BY t.event_id
"""
READ: Final[LiteralString] = """
    SELECT cursor, job_id, kind, at, attempt, lease_id, ending
      FROM events WHERE city = $1 AND cursor > $2 AND cursor <= $4 ORDER BY cursor LIMIT $3
"""
LAST: Final[LiteralString] = "SELECT last FROM event_cursors WHERE city = $1"
LAST_OF: Final[LiteralString] = "SELECT city, last FROM event_cursors WHERE city = ANY($1)"


class NumberedEvent(NamedTuple):
    """An event that got its number, for logs and figures. `lease`: of "leased" only; `reason`: of endings only."""

    city: str
    job: JobId
    kind: str
    attempt: int
    lease: LeaseId | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Numbered:
    """What one batch numbered, oldest first, and the last cursor of each city that got some."""

    events: tuple[NumberedEvent, ...]
    last: Mapping[str, int]


async def number(tx: Connection, limit: int) -> Numbered:
    """Number up to `limit` committed events, the oldest first; none when another transaction is numbering now.

    Needs the hub's role. The numbers can be read by others when the transaction has been committed.
    """
    if not await tx.fetchval(TRY_LOCK, NUMBERER_LOCK):
        return Numbered((), {})
    rows = await tx.fetch(NUMBER, limit)
    events = tuple([NumberedEvent._make(r[:-1]) for r in rows])
    return Numbered(events, {r["city"]: r["last"] for r in rows})


async def read(tx: Connection, city: str, after: int, limit: int, *, until: int = CURSOR_MAX) -> list[Event]:
    """Return up to `limit` of the city's events beyond the cursor `after`, in their order, none beyond `until`.

    A transaction of an enterprise sees its own: the numbers between them are others'.
    """
    rows = await tx.fetch(READ, city, after, limit, until)
    leased = {LeaseId(r["lease_id"]) for r in rows if r["kind"] == JobEvent.LEASED and r["lease_id"] is not None}
    async with planned_for(tx, len(leased)):
        placed = await placements(tx, leased)
    return [_event(r, placed) for r in rows]


async def last(tx: Connection, city: str) -> int:
    """Return the city's last cursor, 0 when nothing has happened yet."""
    return await tx.fetchval(LAST, city) or 0


async def last_of(tx: Connection, cities: list[str]) -> dict[str, int]:
    """Return the last cursors of these cities; those where nothing has happened are left out."""
    return {r["city"]: r["last"] for r in await tx.fetch(LAST_OF, cities)}


def _event(row: Any, placed: Mapping[LeaseId, Placement]) -> Event:
    kind = JobEvent(row["kind"])
    return Event(
        cursor=row["cursor"],
        job=JobId(row["job_id"]),
        kind=kind,
        at=row["at"],
        attempt=row["attempt"],
        placement=placed.get(LeaseId(row["lease_id"])) if kind is JobEvent.LEASED and row["lease_id"] else None,
        ending=None if row["ending"] is None else Ending.from_json(row["ending"]),
    )
