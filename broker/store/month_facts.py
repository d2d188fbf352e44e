"""Facts of a month beside use: cards that are there, waiting, quotes and promises, rounds, vouchers, energy by day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString

from broker.papers.hub_month import DayEnergy, GapBucket, HubPart, ProgrammeMonth, Rounds, Title
from broker.papers.month import PROGRAMME_TIME, Month
from broker.store import energy_counts
from broker.store.database import Connection
from broker.worlds.green import slices

GAPS_PPM: Final = (100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
"""Upper ends of the buckets of gaps; what is beyond the last is in one more."""

HUBS: Final[LiteralString] = """
    SELECT h.hub, h.title, h.rack_line_ppm, h.rack_line_source, h.pue_line_milli, h.pue_line_source, h.green_line_ppm,
           h.green_line_source, h.pue_milli, h.energy_kilowatt_hours_per_year * 3600000 AS quota_joules,
           coalesce(there.cards, 0) AS cards, coalesce(there.nameplate, 0) AS nameplate_milli_tflops,
           coalesce(there.programme, 0) AS programme_milli_tflops, coalesce(there.measured, 0) AS measured_milli_tflops,
           coalesce(told.racks, 0) AS reported_racks, coalesce(told.date::text, '') AS reported_on
      FROM hubs h LEFT JOIN LATERAL (
           SELECT sum(n.cards)::bigint AS cards, sum(n.cards * m.fp16_nameplate_milli_tflops)::bigint AS nameplate,
                  sum(n.cards * m.fp16_programme_milli_tflops)::bigint AS programme,
                  sum(n.cards * m.fp16_measured_milli_tflops)::bigint AS measured
             FROM nodes n JOIN clusters c ON c.cluster = n.cluster JOIN pools p USING (pool_id)
             JOIN accelerator_models m USING (model) WHERE n.present AND c.hub = h.hub
      ) there ON true LEFT JOIN LATERAL (
           SELECT racks, date FROM hub_capacity k
            WHERE k.hub = h.hub AND racks > 0 AND NOT planned AND date < $2 ORDER BY date DESC, source LIMIT 1
      ) told ON true
     WHERE $1 = '' OR h.hub = $1 ORDER BY h.hub
"""
TITLES: Final[LiteralString] = """
    SELECT 'city' AS kind, city AS name, title FROM cities WHERE city = ANY($1) UNION ALL
    SELECT 'hub', hub, title FROM hubs ORDER BY kind, name
"""
CARDS: Final[LiteralString] = """
    SELECT c.hub, p.model, m.fp16_programme_milli_tflops AS programme, sum(n.cards)::bigint AS cards
      FROM nodes n JOIN clusters c ON c.cluster = n.cluster JOIN pools p USING (pool_id)
      JOIN accelerator_models m USING (model) WHERE n.present GROUP BY c.hub, p.model, programme
"""
POOL_CARDS: Final[LiteralString] = """
    SELECT pool_id, sum(cards)::bigint AS cards FROM nodes WHERE present GROUP BY pool_id
"""
# Of the first lease alone: a later attempt has waited for other reasons too.
WAITS: Final[LiteralString] = """
    WITH first AS (
        SELECT cluster, pool_id, extract(epoch FROM offered_at - greatest(submitted_at, earliest_start)) AS waited
          FROM leases JOIN jobs USING (job_id) WHERE epoch = 1 AND offered_at >= $1 AND offered_at < $2
    )
    SELECT c.hub, p.model, count(*) AS waits,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY greatest(0, floor(waited))::bigint) AS p50,
           percentile_disc(0.9) WITHIN GROUP (ORDER BY greatest(0, floor(waited))::bigint) AS p90
      FROM first JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = first.cluster GROUP BY c.hub, p.model
"""
QUOTES: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE accepted_at >= $1 AND accepted_at < $2) AS accepted,
           count(*) FILTER (WHERE state = 'kept' AND decided_at >= $1 AND decided_at < $2) AS kept,
           count(*) FILTER (WHERE state = 'missed' AND decided_at >= $1 AND decided_at < $2) AS missed,
           coalesce(sum(credit_micro_yuan) FILTER (WHERE decided_at >= $1 AND decided_at < $2), 0)::bigint AS credit
      FROM quotes q JOIN pools USING (pool_id) JOIN clusters c USING (cluster)
     WHERE accepted_at IS NOT NULL AND ($3 = '' OR c.hub = $3)
"""
STARTS: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE fate = 'kept') AS kept, count(*) FILTER (WHERE fate = 'late') AS late,
           count(*) FILTER (WHERE fate = 'moved') AS moved, count(*) FILTER (WHERE fate = 'broken') AS broken
      FROM promise_history WHERE at >= $1 AND at < $2
"""
ROUNDS: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE outcome = 'committed') AS committed,
           count(*) FILTER (WHERE outcome <> 'committed') AS other,
           coalesce(sum(placed) FILTER (WHERE outcome = 'committed'), 0)::bigint AS placed,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY gap_ppm) FILTER (WHERE outcome = 'committed') AS gap_p50_ppm,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY gap_ppm) FILTER (WHERE outcome = 'committed') AS gap_p95_ppm,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY millis) FILTER (WHERE outcome = 'committed') AS millis_p50,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY millis) FILTER (WHERE outcome = 'committed') AS millis_p95
      FROM (SELECT *, snapshot_millis + plan_millis + verify_millis + commit_millis AS millis FROM rounds
             WHERE at >= $1 AND at < $2) AS of_month
"""
BY_GAP: Final[LiteralString] = """
    SELECT width_bucket(gap_ppm - 1, $3::int[]) AS bucket, count(*) AS rounds
      FROM rounds WHERE at >= $1 AND at < $2 AND outcome = 'committed' GROUP BY bucket
"""
PROGRAMMES: Final[LiteralString] = """
    WITH used AS (
        SELECT v.programme, -sum(p.micro_yuan) FILTER (WHERE t.at >= $2) AS month,
               -sum(p.micro_yuan) FILTER (WHERE t.at < $2) AS before
          FROM vouchers v JOIN ledger_accounts a ON a.name = 'voucher/' || v.city || '/' || v.voucher
          JOIN ledger_postings p USING (account_id) JOIN ledger_transactions t USING (transaction_id)
         WHERE t.kind = 'capture' AND t.at >= $1 AND t.at < $3 GROUP BY v.programme
    ), granted AS (
        SELECT programme, sum(granted_micro_yuan) FILTER (WHERE granted_at >= $2) AS month,
               sum(granted_micro_yuan) FILTER (WHERE granted_at < $2) AS before,
               count(*) FILTER (WHERE granted_at >= $2) AS vouchers
          FROM vouchers WHERE granted_at < $3 GROUP BY programme
    )
    SELECT p.programme, p.hub, p.year, p.budget_micro_yuan, coalesce(g.month, 0)::bigint AS granted_micro_yuan,
           coalesce(g.before, 0)::bigint AS granted_before_micro_yuan, coalesce(u.month, 0)::bigint AS used_micro_yuan,
           coalesce(u.before, 0)::bigint AS used_before_micro_yuan, coalesce(g.vouchers, 0) AS vouchers
      FROM voucher_programmes p LEFT JOIN used u USING (programme) LEFT JOIN granted g USING (programme)
     WHERE p.year = $4 AND ($5 = '' OR p.hub = $5) ORDER BY p.programme
"""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long first leases had been waited for, in seconds."""

    count: int = 0
    p50_seconds: int = 0
    p90_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of accepted quotes and of promised starts."""

    quotes_accepted: int
    quotes_kept: int
    quotes_missed: int
    missed_credit_micro_yuan: int
    starts_kept: int
    starts_late: int
    starts_moved: int
    starts_broken: int


async def hubs(tx: Connection, hub: str, month: Month) -> list[HubPart]:
    """Return hubs with what is there now, and their lines; energy and entries are for others to add."""
    return [HubPart(**dict(r)) for r in await tx.fetch(HUBS, hub, _day(month.ends_at))]


async def titles(tx: Connection, cities: Iterable[str]) -> tuple[Title, ...]:
    """Return what people call these cities, and all hubs; by name."""
    return tuple(Title(*r) for r in await tx.fetch(TITLES, sorted(set(cities))))


async def cards(tx: Connection) -> dict[tuple[str, str], tuple[int, int]]:
    """Return by hub and model the cards that are there now, and milli-TFLOPS of one as the programme counts."""
    return {(r["hub"], r["model"]): (r["cards"], r["programme"]) for r in await tx.fetch(CARDS)}


async def pool_cards(tx: Connection) -> dict[int, int]:
    """Return by pool_id the cards that are there now."""
    return {r["pool_id"]: r["cards"] for r in await tx.fetch(POOL_CARDS)}


async def waits(tx: Connection, month: Month) -> dict[tuple[str, str], Waits]:
    """Return by hub and model how long first leases of the month had been waited for."""
    rows = await tx.fetch(WAITS, month.begins_at, month.ends_at)
    return {(r["hub"], r["model"]): Waits(r["waits"], r["p50"], r["p90"]) for r in rows}


async def kept(tx: Connection, month: Month, hub: str) -> Kept:
    """Return what became of accepted quotes of a hub, and of promised starts of all."""
    span = (month.begins_at, month.ends_at)
    [quotes], [starts] = await tx.fetch(QUOTES, *span, hub), await tx.fetch(STARTS, *span)
    return Kept(*quotes, *starts)


async def rounds(tx: Connection, month: Month) -> Rounds:
    """Return how rounds of the month were."""
    span = (month.begins_at, month.ends_at)
    [row] = await tx.fetch(ROUNDS, *span)
    found = {b["bucket"]: b["rounds"] for b in await tx.fetch(BY_GAP, *span, list(GAPS_PPM))}
    buckets = tuple(GapBucket(most, found.get(i, 0)) for i, most in enumerate((*GAPS_PPM, 0)))
    return Rounds(**{name: each or 0 for name, each in row.items()}, gaps=buckets)


async def programmes(tx: Connection, month: Month, hub: str) -> tuple[ProgrammeMonth, ...]:
    """Return the voucher programmes of the month's year: granted out of the budget, and paid by vouchers."""
    january = Month(month.year, 1).begins_at
    rows = await tx.fetch(PROGRAMMES, january, month.begins_at, month.ends_at, month.year, hub)
    return tuple(ProgrammeMonth(**dict(r)) for r in rows)


async def energy_by_day(tx: Connection, month: Month, hub: str, counted: tuple[datetime, datetime]) -> list[DayEnergy]:
    """Return what hubs drew day by day, of the part of the month in which energy is counted.

    From leases, at the watts and the PUE of now: where these have changed within the month, days do not add up to what
    was counted.
    """
    lines = await energy_counts.lines(tx, hub)
    begin, end = max(month.begins_at, counted[0]), min(month.ends_at, counted[1])
    rows: list[tuple[Any, ...]] = []
    day = month.begins_at
    while day < end:
        following = day + timedelta(hours=24)
        for line in lines:
            spans = slices(line.green_hours, line.green_share_ppm, max(day, begin), min(following, end))
            rows += [(line.hub, s.begin, s.end, _day(day), s.green_ppm) for s in spans]
        day = following
    if not rows:
        return []
    columns: Sequence[list[Any]] = [[row[i] for row in rows] for i in range(5)]
    return [
        DayEnergy(part.isoformat(), name, drawn.it_joules, drawn.meter_joules, drawn.green_joules)
        for part, name, drawn in await energy_counts.by_part(tx, columns, begin, end)
    ]


def _day(at: datetime) -> date:
    return at.astimezone(PROGRAMME_TIME).date()
