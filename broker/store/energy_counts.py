"""Energy by month, cluster and city, and of each lease: counted as time passes, exactly.

A card draws its model's watts and its share of the host's from the offer of its lease to the end, times the hub's PUE,
all as they are when it is counted. Counted is up to a minute ago: by then every transaction that could still tell of
that time has ended, so the counts are what the leases say, to the microsecond.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString

from broker.ids import JobId, LeaseId
from broker.store.database import Connection
from broker.worlds.green import Slice, it_joules, month_of, slices, start_of

SETTLED: Final = timedelta(minutes=1)
_LOCK_KEY: Final = 0x65636F756E74  # "ecount"

ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock($1)"
COUNTED: Final[LiteralString] = "SELECT since, until FROM energy_counted"
PUT_COUNTED: Final[LiteralString] = """
    INSERT INTO energy_counted (since, until) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET until = excluded.until
"""
GREEN: Final[LiteralString] = "SELECT hub, green_hours, green_share_ppm FROM hubs ORDER BY hub"

# Thousandths of a card times seconds times millionths: factors instead of divisions, which would round.
_DRAWN: Final[LiteralString] = """
    WITH slice AS (
        SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::date[], $5::bigint[])
                 AS s (hub, begins, ends, month, green_ppm)
    ), wanted AS (
        {leases}
    ), drawn AS (
        SELECT l.lease_id, l.city, l.cluster, s.month, p.model, m.watts + m.host_watts AS watts,
               greatest(h.pue_milli, 1000) AS pue_milli,
               held.milli * 0.001 * extract(epoch FROM least(w.ends, s.ends) - greatest(w.begins, s.begins))
               AS card_seconds, s.green_ppm * 0.000001 AS green
          FROM wanted w JOIN leases l USING (lease_id) JOIN pools p USING (pool_id)
          CROSS JOIN LATERAL (
               SELECT sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
                 FROM lease_nodes n WHERE n.lease_id = w.lease_id) AS held  -- by its key, whatever is estimated
          JOIN accelerator_models m USING (model) JOIN clusters c ON c.cluster = l.cluster JOIN hubs h USING (hub)
          JOIN slice s ON s.hub = c.hub AND w.begins < s.ends AND w.ends > s.begins
    )
"""
_ADD: Final[LiteralString] = """
    INSERT INTO energy_counts AS e (month, cluster, city, model, watts, pue_milli, card_seconds, green_card_seconds)
    SELECT month, cluster, city, model, watts, pue_milli, {sign} * sum(card_seconds), {sign} * sum(card_seconds * green)
      FROM drawn GROUP BY month, cluster, city, model, watts, pue_milli
    ON CONFLICT (month, cluster, city, model, watts, pue_milli) DO UPDATE
       SET card_seconds = e.card_seconds + excluded.card_seconds,
           green_card_seconds = e.green_card_seconds + excluded.green_card_seconds
"""
_LIVED: Final[LiteralString] = """
        SELECT lease_id, offered_at AS begins, 'infinity' AS ends FROM leases WHERE state <> 'ended' UNION ALL
        SELECT lease_id, offered_at, ended_at FROM leases WHERE state = 'ended' AND ended_at > $6
"""
# Who is open is noted by the statement that counts: what ends beside it is then in one of both, and not in neither.
_NOTED: Final[LiteralString] = """
    , closed AS (
        DELETE FROM energy_open WHERE lease_id = ANY(ARRAY(SELECT lease_id FROM wanted WHERE ends < 'infinity'))
    ), opened AS (
        INSERT INTO energy_open SELECT lease_id FROM wanted WHERE ends = 'infinity' ON CONFLICT (lease_id) DO NOTHING
    )
"""
COUNT: Final[LiteralString] = _DRAWN.replace("{leases}", _LIVED) + _NOTED + _ADD.replace("{sign}", "1")
LATE: Final[LiteralString] = """
    SELECT lease_id, offered_at, ended_at FROM energy_open JOIN leases USING (lease_id)
     WHERE state = 'ended' AND ended_at <= $1
"""
_BEYOND_THE_END: Final[LiteralString] = """
        SELECT * FROM unnest($6::bigint[], $7::timestamptz[], $8::timestamptz[]) AS w (lease_id, begins, ends)
"""
TAKE_BACK: Final[LiteralString] = _DRAWN.replace("{leases}", _BEYOND_THE_END) + _ADD.replace("{sign}", "-1")
CLOSE: Final[LiteralString] = "DELETE FROM energy_open WHERE lease_id = ANY($1)"
ENDED: Final[LiteralString] = """
    SELECT lease_id, offered_at FROM leases WHERE state = 'ended' AND ended_at > $1 AND ended_at <= $2
"""
_NAMED: Final[LiteralString] = """
        SELECT lease_id, offered_at AS begins, coalesce(ended_at, 'infinity') AS ends
          FROM leases WHERE lease_id = ANY($6)
"""
OF_LEASES: Final[LiteralString] = (
    _DRAWN.replace("{leases}", _NAMED)
    + """
    SELECT lease_id, city, max(pue_milli) AS pue_milli, floor(sum(card_seconds * watts))::bigint AS it_joules,
           sum(card_seconds * green) / greatest(sum(card_seconds), 0.000001) AS green
      FROM drawn GROUP BY lease_id, city ORDER BY lease_id
"""
)
# As `_DRAWN`, but of many leases and slices at once: what a lease draws is found once, not for each of its slices.
BY_PART: Final[LiteralString] = """
    WITH slice AS (
        SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::date[], $5::bigint[])
                 AS s (hub, begins, ends, part, green_ppm)
    ), drawing AS MATERIALIZED (
        SELECT c.hub, l.offered_at AS begins, coalesce(l.ended_at, 'infinity') AS ends, m.watts + m.host_watts AS watts,
               greatest(h.pue_milli, 1000) AS pue_milli, held.milli * 0.001 AS cards
          FROM leases l JOIN pools p USING (pool_id)
          CROSS JOIN LATERAL (
               SELECT sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
                 FROM lease_nodes n WHERE n.lease_id = l.lease_id) AS held
          JOIN accelerator_models m USING (model) JOIN clusters c ON c.cluster = l.cluster JOIN hubs h USING (hub)
         WHERE l.offered_at < $7 AND coalesce(l.ended_at, 'infinity') > $6
    ), drawn AS (
        SELECT s.part, hub, d.watts, d.pue_milli, s.green_ppm * 0.000001 AS green,
               sum(d.cards * extract(epoch FROM least(d.ends, s.ends) - greatest(d.begins, s.begins))) AS card_seconds
          FROM drawing d JOIN slice s USING (hub) WHERE d.begins < s.ends AND d.ends > s.begins
         GROUP BY s.part, hub, d.watts, d.pue_milli, green
    )
    SELECT part, hub, floor(sum(card_seconds * watts))::bigint AS it_joules,
           floor(sum(card_seconds * watts * pue_milli) * 0.001)::bigint AS meter_joules,
           floor(sum(card_seconds * green * watts * pue_milli) * 0.001)::bigint AS green_joules
      FROM drawn GROUP BY part, hub ORDER BY part, hub
"""
PUT_LEASES: Final[LiteralString] = """
    INSERT INTO lease_energy (lease_id, city, it_joules, meter_joules, green_joules)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (lease_id) DO NOTHING
"""
OF_JOB: Final[LiteralString] = """
    SELECT l.lease_id, c.hub, l.cluster, l.offered_at, l.ended_at, e.it_joules, e.meter_joules, e.green_joules
      FROM leases l JOIN clusters c USING (cluster) LEFT JOIN lease_energy e USING (lease_id)
     WHERE l.job_id = $1 ORDER BY l.lease_id
"""
SUMS: Final[LiteralString] = """
    SELECT c.hub, e.cluster, c.owner, e.city, floor(sum(card_seconds * watts))::bigint AS it_joules,
           floor(sum(card_seconds * watts * pue_milli) * 0.001)::bigint AS meter_joules,
           floor(sum(green_card_seconds * watts * pue_milli) * 0.001)::bigint AS green_joules
      FROM energy_counts e JOIN clusters c USING (cluster)
     WHERE e.month >= $1 AND e.month < $2 AND ($3 = '' OR c.hub = $3)
     GROUP BY c.hub, e.cluster, c.owner, e.city ORDER BY c.hub, e.cluster, e.city
"""
LINES: Final[LiteralString] = """
    SELECT hub, pue_milli, pue_line_milli, green_line_ppm, green_hours, green_share_ppm,
           energy_kilowatt_hours_per_year AS quota_kilowatt_hours
      FROM hubs WHERE $1 = '' OR hub = $1 ORDER BY hub
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Energy in joules, rounded down: of cards and hosts, the same at the meter, and what of the latter was green."""

    it_joules: int = 0
    meter_joules: int = 0
    green_joules: int = 0


@dataclass(frozen=True, slots=True)
class Sum:
    """What a city has drawn in a cluster."""

    hub: str
    cluster: str
    owner: str
    city: str
    drawn: Drawn


@dataclass(frozen=True, slots=True)
class LeaseEnergy:
    """What a lease has drawn; final when it has ended and is counted, up to now otherwise."""

    lease: LeaseId
    hub: str
    cluster: str
    offered_at: datetime
    ended_at: datetime | None
    drawn: Drawn
    final: bool


@dataclass(frozen=True, slots=True)
class HubLines:
    """What a hub is measured against; 0: no such line, not known."""

    hub: str
    pue_milli: int
    pue_line_milli: int
    green_line_ppm: int
    green_hours: tuple[int, ...]
    green_share_ppm: int
    quota_kilowatt_hours: int


async def count(tx: Connection, now: datetime) -> int:
    """Bring the counts up to a minute before `now`, and write what ended leases drew; return how many those are.

    The first count of all begins with the month: what was drawn before is in none.
    """
    await tx.execute(ONE_AT_A_TIME, _LOCK_KEY)
    until = now - SETTLED
    row = await tx.fetchrow(COUNTED)
    since = start_of(month_of(until)) if row is None else row["until"]
    if row is not None and until <= since:
        return 0
    green = await _green(tx)
    late = await _take_back(tx, green, since)
    await tx.execute(COUNT, *_columns(green, since, until), since)
    ended = [*late, *await tx.fetch(ENDED, since, until)]
    if ended:
        first = min(r["offered_at"] for r in ended)
        leases = await _of_leases(tx, green, [r["lease_id"] for r in ended], first, until)
        drawn = [(lease, city, d.it_joules, d.meter_joules, d.green_joules) for lease, (city, d) in leases.items()]
        await tx.execute(PUT_LEASES, *([each[i] for each in drawn] for i in range(5)))
    await tx.execute(PUT_COUNTED, since, until)
    return len(ended)


async def _take_back(tx: Connection, green: "Green", since: datetime) -> list[Any]:
    """Take out of the counts what is beyond ends that became known late; return those leases."""
    late = await tx.fetch(LATE, since)
    if late:
        ids, ends = [r["lease_id"] for r in late], [r["ended_at"] for r in late]
        await tx.execute(TAKE_BACK, *_columns(green, min(ends), since), ids, ends, [since] * len(late))
        await tx.execute(CLOSE, ids)
    return late


async def counted(tx: Connection) -> tuple[datetime, datetime] | None:
    """Return from when and up to when energy is counted; None: it is not yet."""
    row = await tx.fetchrow(COUNTED)
    return None if row is None else (row["since"], row["until"])


async def sums(tx: Connection, first: date, end: date, hub: str = "") -> list[Sum]:
    """Return what was counted from the month `first` to before the month `end`, by hub, cluster and city.

    With a city's role only what the city has drawn is seen.
    """
    return [
        Sum(r["hub"], r["cluster"], r["owner"], r["city"], _drawn(r)) for r in await tx.fetch(SUMS, first, end, hub)
    ]


async def by_part(
    tx: Connection, columns: Sequence[list[Any]], begin: datetime, end: datetime
) -> list[tuple[date, str, Drawn]]:
    """Return what hubs drew in parts of a span, such as its days, at the watts and the PUE of now; by part and hub.

    Args:
        columns: slices within the span: hub, begin, end, the part that it is of, its green share in millionths.
        begin, end: of the span.
    """
    return [(r["part"], r["hub"], _drawn(r)) for r in await tx.fetch(BY_PART, *columns, begin, end)]


async def lines(tx: Connection, hub: str = "") -> list[HubLines]:
    """Return what hubs are measured against, by name."""
    rows = await tx.fetch(LINES, hub)
    return [HubLines(**(dict(r) | {"green_hours": tuple(r["green_hours"])})) for r in rows]


async def of_job(tx: Connection, job: JobId, now: datetime) -> list[LeaseEnergy]:
    """Return what each attempt of a job has drawn, in order; of one that is not counted yet, what it drew up to now."""
    rows = await tx.fetch(OF_JOB, job)
    open_ = [r for r in rows if r["it_joules"] is None]
    drawn: Mapping[int, tuple[str, Drawn]] = {}
    if open_:
        first = min(r["offered_at"] for r in open_)
        drawn = await _of_leases(tx, await _green(tx), [r["lease_id"] for r in open_], first, now)
    return [
        LeaseEnergy(
            LeaseId(r["lease_id"]),
            r["hub"],
            r["cluster"],
            r["offered_at"],
            r["ended_at"],
            drawn.get(r["lease_id"], ("", Drawn()))[1] if r["it_joules"] is None else _drawn(r),
            final=r["it_joules"] is not None,
        )
        for r in rows
    ]


def _drawn(r: Any) -> Drawn:
    return Drawn(r["it_joules"], r["meter_joules"], r["green_joules"])


Green = Sequence[tuple[str, tuple[int, ...], int]]
"""Name, green hours and share outside of them of each hub."""


async def _green(tx: Connection) -> Green:
    return [(r["hub"], tuple(r["green_hours"]), r["green_share_ppm"]) for r in await tx.fetch(GREEN)]


async def _of_leases(
    tx: Connection, green: Green, leases: Sequence[int], since: datetime, until: datetime
) -> dict[int, tuple[str, Drawn]]:
    """Return city and energy of these leases. What a meter has measured of one would go before what is computed."""
    found = {}
    for r in await tx.fetch(OF_LEASES, *_columns(green, since, until), list(leases)):
        drawn = it_joules(r["it_joules"])
        meter = drawn * r["pue_milli"] // 1000
        found[r["lease_id"]] = (r["city"], Drawn(drawn, meter, min(meter, int(meter * r["green"]))))
    return found


def _columns(green: Green, since: datetime, until: datetime) -> tuple[list[object], ...]:
    """Return the slices of all hubs as columns: hub, begin, end, month, share that is green."""
    rows: Iterable[tuple[str, Slice]] = (
        (hub, each) for hub, hours, share in green for each in slices(hours, share, since, until)
    )
    found = [(hub, s.begin, s.end, s.month, s.green_ppm) for hub, s in rows]
    return tuple([row[i] for row in found] for i in range(5))
