"""Energy at the meters of hubs, by calendar year of UTC+8, the programme's time: counted from leases as time passes.

A card draws its model's watts and its share of the host's from the offer of its lease to the end, times the hub's PUE.
An operator may put in what a real meter says; from there the count goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final, LiteralString

from broker.store.database import Connection

PROGRAMME_TIME: Final = timezone(timedelta(hours=8))
_LOCK_KEY: Final = 0x656E65726779  # "energy"

ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock($1)"


@dataclass(frozen=True, slots=True)
class Year:
    """A calendar year of UTC+8."""

    number: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """What the meter of a hub has counted in a year, in joules, and up to when."""

    hub: str
    year: int
    used_joules: int
    counted_until: datetime


def year_of(at: datetime) -> Year:
    """Return the year that a moment lies in."""
    return _year(at.astimezone(PROGRAMME_TIME).year)


def _year(number: int) -> Year:
    start, end = (datetime(n, 1, 1, tzinfo=PROGRAMME_TIME) for n in (number, number + 1))
    return Year(number, start, end)


ACCOUNTS: Final[LiteralString] = "SELECT hub, year, used_joules, counted_until FROM hub_energy WHERE year = $1"
LAST_ACCOUNTS: Final[LiteralString] = """
    SELECT h.hub, a.year, coalesce(a.used_joules, 0) AS used_joules, a.counted_until
      FROM hubs h LEFT JOIN LATERAL (
           SELECT year, used_joules, counted_until FROM hub_energy e WHERE e.hub = h.hub
            ORDER BY year DESC LIMIT 1) a ON true
     ORDER BY h.hub
"""
PUT: Final[LiteralString] = """
    INSERT INTO hub_energy (hub, year, used_joules, counted_until) VALUES ($1, $2, $3, $4)
    ON CONFLICT (hub, year) DO UPDATE
       SET used_joules = excluded.used_joules, counted_until = excluded.counted_until
"""
# Thousandths of a card times watts times seconds, so a thousandth of a joule each; at the meter it is times PUE / 1000.
DRAWN: Final[LiteralString] = """
    WITH period AS (SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS t (hub, since)), held AS (
        SELECT lease_id, sum(milli) AS milli FROM held_cards GROUP BY lease_id
    ), drawing AS (
        SELECT l.pool_id, l.cluster, l.offered_at, $3 AS ended_at, held.milli
          FROM held JOIN leases l USING (lease_id)
        UNION ALL
        SELECT l.pool_id, l.cluster, l.offered_at, least(l.ended_at, $3), of_lease.milli
          FROM leases l CROSS JOIN LATERAL (
               SELECT sum(CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards) ELSE n.tasks * n.share_milli END)
                      AS milli
                 FROM lease_nodes n WHERE n.lease_id = l.lease_id) of_lease
         WHERE l.state = 'ended' AND l.ended_at > $4
    )
    SELECT period.hub,
           ceil(sum(d.milli * (m.watts + m.host_watts)
                    * greatest(0, extract(epoch FROM d.ended_at - greatest(d.offered_at, period.since))))
                * max(CASE h.pue_milli WHEN 0 THEN 1000 ELSE h.pue_milli END) / 1000000)::bigint AS joules
      FROM period JOIN hubs h USING (hub) JOIN clusters c USING (hub) JOIN drawing d USING (cluster)
      JOIN pools p USING (pool_id) JOIN accelerator_models m USING (model)
     GROUP BY period.hub
"""
COMMITTED: Final[LiteralString] = """
    WITH held AS (SELECT lease_id, sum(milli) AS milli FROM held_cards GROUP BY lease_id)
    SELECT h.hub,
           ceil(sum(held.milli * (m.watts + m.host_watts) * greatest(0, extract(epoch FROM
                    least(coalesce(l.started_at, l.offered_at) + j.walltime_seconds * interval '1 second', $3) - $2)))
                * max(CASE h.pue_milli WHEN 0 THEN 1000 ELSE h.pue_milli END) / 1000000)::bigint AS joules
      FROM hubs h JOIN clusters c USING (hub) JOIN leases l USING (cluster) JOIN held USING (lease_id)
      JOIN jobs j USING (job_id) JOIN pools p USING (pool_id) JOIN accelerator_models m USING (model)
     WHERE h.hub = ANY($1)
     GROUP BY h.hub
"""


async def lock(tx: Connection) -> None:
    """Let only this transaction change accounts until it ends."""
    await tx.execute(ONE_AT_A_TIME, _LOCK_KEY)


async def used(tx: Connection, hubs: list[str], now: datetime) -> dict[str, int]:
    """Return the joules that the meters of hubs have counted in the year of `now`, up to now."""
    year = year_of(now)
    counted = {r["hub"]: Account(*r.values()) for r in await tx.fetch(ACCOUNTS, year.number)}
    since = {hub: counted[hub].counted_until if hub in counted else year.start for hub in hubs}
    drawn = await _drawn(tx, since, now)
    return {hub: (counted[hub].used_joules if hub in counted else 0) + drawn.get(hub, 0) for hub in hubs}


async def committed(tx: Connection, hubs: list[str], now: datetime) -> dict[str, int]:
    """Return the joules that running work will still use by its walltime, in this year, by hub."""
    rows = await tx.fetch(COMMITTED, hubs, now, year_of(now).end)
    return dict.fromkeys(hubs, 0) | {r["hub"]: r["joules"] for r in rows}


async def count(tx: Connection, now: datetime) -> int:
    """Bring the accounts of all hubs up to `now`; return how many changed. A year that has ended is finished first."""
    await lock(tx)
    this, changed = year_of(now), 0
    accounts: dict[str, Account] = {}
    for r in await tx.fetch(LAST_ACCOUNTS):
        account = Account(*r.values()) if r["year"] is not None else Account(r["hub"], this.number, 0, this.start)
        accounts[account.hub] = account
    while behind := [a for a in accounts.values() if a.counted_until < min(_year(a.year).end, now)]:
        oldest = min(a.year for a in behind)
        group = [a for a in behind if a.year == oldest]
        until = min(_year(oldest).end, now)
        drawn = await _drawn(tx, {a.hub: a.counted_until for a in group}, until)
        for a in group:
            await tx.execute(PUT, a.hub, a.year, a.used_joules + drawn.get(a.hub, 0), until)
            accounts[a.hub] = Account(a.hub, a.year, 0, until) if until == now else Account(a.hub, a.year + 1, 0, until)
        changed += len(group)
    return changed


async def put_reading(tx: Connection, hub: str, used_joules: int, now: datetime) -> None:
    """Let the account of this year be what a meter says now."""
    await lock(tx)
    await tx.execute(PUT, hub, year_of(now).number, used_joules, now)


async def _drawn(tx: Connection, since: Mapping[str, datetime], until: datetime) -> dict[str, int]:
    if not since:
        return {}
    rows = await tx.fetch(DRAWN, list(since), list(since.values()), until, min(since.values()))
    return {r["hub"]: r["joules"] for r in rows}
