"""Energy at the meters of hubs, by calendar year of UTC+8, the programme's time: counted from leases as time passes.

A card draws its model's watts and its share of the host's from the offer of its lease to the end, times the hub's PUE.
An operator may put in what a real meter says; from there the count goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.store.database import Connection
from broker.worlds.rates import PROGRAMME_TIME

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
# Thousandths of a card times watts times seconds are thousandths of joules; at the meter they are times PUE / 1000.
LIVE: Final[LiteralString] = """
    WITH of_lease AS (SELECT lease_id, sum(milli) AS milli FROM held_cards GROUP BY lease_id), drawing AS (
        SELECT c.hub, h.pue_milli, of_lease.milli * (m.watts + m.host_watts) AS milli_watts,
               extract(epoch FROM $3 - greatest(l.offered_at, period.since)) AS drew_seconds,
               extract(epoch FROM least(coalesce(l.started_at, l.offered_at) + j.walltime_seconds * interval '1 second',
                                        $4) - $3) AS left_seconds
          FROM of_lease JOIN leases l USING (lease_id) JOIN jobs j USING (job_id) JOIN pools p USING (pool_id)
          JOIN accelerator_models m USING (model) JOIN clusters c ON c.cluster = l.cluster JOIN hubs h USING (hub)
          JOIN unnest($1::text[], $2::timestamptz[]) AS period (hub, since) ON period.hub = h.hub
    )
    SELECT hub, ceil(sum(milli_watts * greatest(0, drew_seconds))
                     * max(CASE pue_milli WHEN 0 THEN 1000 ELSE pue_milli END) / 1000000)::bigint AS drew,
           ceil(sum(milli_watts * greatest(0, left_seconds))
                * max(CASE pue_milli WHEN 0 THEN 1000 ELSE pue_milli END) / 1000000)::bigint AS committed
      FROM drawing GROUP BY hub
"""
ENDED: Final[LiteralString] = """
    WITH drawing AS (
        SELECT c.hub, h.pue_milli, m.watts + m.host_watts AS watts,
               CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards) ELSE n.tasks * n.share_milli END AS milli,
               extract(epoch FROM least(l.ended_at, $3) - greatest(l.offered_at, period.since)) AS drew_seconds
          FROM leases l JOIN lease_nodes n USING (lease_id) JOIN pools p USING (pool_id)
          JOIN accelerator_models m USING (model) JOIN clusters c ON c.cluster = l.cluster JOIN hubs h USING (hub)
          JOIN unnest($1::text[], $2::timestamptz[]) AS period (hub, since) ON period.hub = h.hub
         WHERE l.state = 'ended' AND l.ended_at > $4
    )
    SELECT hub, ceil(sum(milli::bigint * watts * greatest(0, drew_seconds))
                     * max(CASE pue_milli WHEN 0 THEN 1000 ELSE pue_milli END) / 1000000)::bigint AS drew
      FROM drawing GROUP BY hub
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a hub's meter has counted since some moment, and what running work will still use, in joules."""

    drew: int = 0
    committed: int = 0


async def lock(tx: Connection) -> None:
    """Let only this transaction change accounts until it ends."""
    await tx.execute(ONE_AT_A_TIME, _LOCK_KEY)


async def standing(tx: Connection, hubs: list[str], now: datetime) -> dict[str, Drawn]:
    """Return by hub what its meter has counted in the year of `now`, and what running work will use of that year."""
    year = year_of(now)
    counted = {r["hub"]: Account(*r.values()) for r in await tx.fetch(ACCOUNTS, year.number)}
    accounts = {hub: counted.get(hub, Account(hub, year.number, 0, year.start)) for hub in hubs}
    drawn = await _drawn(tx, {hub: a.counted_until for hub, a in accounts.items()}, now)
    return {hub: Drawn(a.used_joules + drawn[hub].drew, drawn[hub].committed) for hub, a in accounts.items()}


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
            await tx.execute(PUT, a.hub, a.year, a.used_joules + drawn[a.hub].drew, until)
            accounts[a.hub] = Account(a.hub, a.year, 0, until) if until == now else Account(a.hub, a.year + 1, 0, until)
        changed += len(group)
    return changed


async def put_reading(tx: Connection, hub: str, used_joules: int, now: datetime) -> None:
    """Let the account of this year be what a meter says now."""
    await lock(tx)
    await tx.execute(PUT, hub, year_of(now).number, used_joules, now)


async def _drawn(tx: Connection, since: Mapping[str, datetime], until: datetime) -> dict[str, Drawn]:
    """Return what was drawn from `since` by hub to `until`, and what running work will use of the year of `until`."""
    if not since:
        return {}
    period = (list(since), list(since.values()), until)
    live = {r["hub"]: Drawn(r["drew"], r["committed"]) for r in await tx.fetch(LIVE, *period, year_of(until).end)}
    ended = {r["hub"]: r["drew"] for r in await tx.fetch(ENDED, *period, min(since.values()))}
    return {
        hub: Drawn(live.get(hub, Drawn()).drew + ended.get(hub, 0), live.get(hub, Drawn()).committed) for hub in since
    }
