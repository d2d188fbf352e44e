"""Limits and pauses that operators set: what was placed since then kept them. With SQL and arithmetic of its own.

A limit may be set below what runs; that runs on. So a limit is only judged at the moments when something was placed
after it came into force, by what was leased at that moment. Power is judged at the starts that are promised as well, by
what was promised and leased until after them: nothing that was given since the cap came into force may be beyond it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts


@dataclass(frozen=True, slots=True)
class HubCap:
    """Power that a hub may draw at its meter."""

    hub: str
    watts_max: int
    pue_milli: int
    in_force_at: datetime


@dataclass(frozen=True, slots=True)
class QuotaLimit:
    """Programme-counted FP16 that the work at or below a quota may use."""

    quota: str  # "hub", "hub/city" or "hub/city/enterprise"
    milli_tflops_max: int
    in_force_at: datetime


@dataclass(frozen=True, slots=True)
class Draw:
    """What one lease used of its hub, as long as it lived."""

    lease: int
    hub: str
    owner: str  # "hub/city/enterprise", the enterprise may be empty
    milli_watts: int  # of its cards with their hosts, before PUE
    milli_tflops: int
    offered_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Share:
    """Power of a hub that a standing promise or a live lease has from one time to another."""

    hub: str
    whose: str  # "job-4", "lease-2"
    promised: bool
    milli_watts: int  # of its cards with their hosts, before PUE
    begins_at: datetime
    until: datetime
    given_at: datetime  # when it was promised, or leased without


@dataclass(frozen=True, slots=True)
class PauseSpan:
    """A queue or cluster that was paused, since when and until when; None: it still is."""

    what: str  # "queue" or "cluster"
    name: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where and when a lease was made; `quoted`: for the job of an accepted quote."""

    lease: int
    city: str
    cluster: str
    offered_at: datetime
    quoted: bool


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """Limits and pauses with the leases that they are about."""

    caps: tuple[HubCap, ...] = ()
    quotas: tuple[QuotaLimit, ...] = ()
    draws: tuple[Draw, ...] = ()
    shares: tuple[Share, ...] = ()
    pauses: tuple[PauseSpan, ...] = ()
    placed: tuple[Placed, ...] = ()


END_MOMENT: Final = timedelta(seconds=30)
"""A round tells the time of its leases from its begin, so what it placed may seem that much older than it is."""

# A limit is in force since the last act that set it; a world sets all of them.
CAPS: Final = """
    SELECT h.hub, h.power_kilowatts_max * 1000 AS watts_max, CASE h.pue_milli WHEN 0 THEN 1000 ELSE h.pue_milli END,
           coalesce((SELECT max(coalesce((a.detail->>'in_force_at')::timestamptz, a.at)) FROM operator_acts a
                      WHERE a.act = 'apply_world' OR (a.act = 'set_hub_power' AND a.subject = h.hub)), 'epoch')
      FROM hubs h WHERE h.power_kilowatts_max > 0 ORDER BY h.hub
"""
QUOTAS: Final = """
    SELECT q.quota, (q.guaranteed_milli_pflops + q.borrow_milli_pflops) * 1000,
           coalesce((SELECT max(coalesce((a.detail->>'in_force_at')::timestamptz, a.at)) FROM operator_acts a
                      WHERE a.act = 'apply_world' OR (a.act = 'set_quota' AND a.subject = q.quota)), 'epoch')
      FROM quotas q WHERE q.borrow_milli_pflops IS NOT NULL ORDER BY q.quota
"""
DRAWS: Final = """
    WITH held AS (
        SELECT lease_id,
               sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
          FROM lease_nodes GROUP BY lease_id
    )
    SELECT l.lease_id, c.hub, concat_ws('/', c.hub, l.city, j.enterprise) AS owner,
           (held.milli * (m.watts + m.host_watts))::bigint,
           ceil(held.milli * m.fp16_programme_milli_tflops / 1000)::bigint, l.offered_at, l.ended_at
      FROM leases l JOIN held USING (lease_id) JOIN jobs j USING (job_id) JOIN pools p USING (pool_id)
      JOIN accelerator_models m USING (model) JOIN clusters c ON c.cluster = l.cluster
     ORDER BY l.lease_id
"""
# A lease has its power for as long as it was given, and no longer; of one that was promised since it was. A promise
# that was moved because a cap was set lower has it since it was made.
SHARES: Final = """
    SELECT c.hub, 'job-' || p.job_id, true,
           (1000 * p.cards_per_task * (SELECT sum(tasks) FROM unnest(p.tasks) AS tasks) * (m.watts + m.host_watts))
           ::bigint, p.starts_at, p.ends_at,
           coalesce((SELECT max(h.at) FROM promise_history h
                      WHERE h.job_id = p.job_id
                        AND (h.fate = 'made' OR (h.fate = 'moved' AND h.cause <> 'power_short'))), 'epoch')
      FROM promises p JOIN pools o USING (pool_id) JOIN accelerator_models m USING (model)
      JOIN clusters c ON c.cluster = o.cluster
     UNION ALL
    SELECT c.hub, 'lease-' || l.lease_id, false, (held.milli * (m.watts + m.host_watts))::bigint, l.offered_at,
           l.offered_at + j.walltime_seconds * interval '1 s',
           coalesce((SELECT max(h.at) FROM promise_history h
                      WHERE h.job_id = l.job_id AND h.fate IN ('made', 'moved') AND h.at <= l.offered_at
                        AND EXISTS (SELECT FROM promise_history k
                                     WHERE k.job_id = l.job_id AND k.round_id = l.round_id
                                       AND k.fate IN ('kept', 'late'))), l.offered_at)
      FROM leases l JOIN jobs j USING (job_id) JOIN pools o USING (pool_id) JOIN accelerator_models m USING (model)
      JOIN clusters c ON c.cluster = l.cluster
      CROSS JOIN LATERAL (
           SELECT sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
             FROM lease_nodes n WHERE n.lease_id = l.lease_id) AS held
     WHERE l.state <> 'ended' AND l.stop_ordered_at IS NULL
     ORDER BY 5, 2
"""
PAUSES: Final = """
    SELECT a.detail->>'what', a.subject, (a.detail->>'in_force_at')::timestamptz,
           (SELECT min((r.detail->>'in_force_at')::timestamptz) FROM operator_acts r
             WHERE r.act = 'resume' AND r.subject = a.subject AND r.detail->>'what' = a.detail->>'what'
               AND (r.detail->>'paused_at')::timestamptz = (a.detail->>'in_force_at')::timestamptz)
      FROM operator_acts a WHERE a.act = 'pause' ORDER BY 3
"""
PLACED: Final = """
    SELECT l.lease_id, l.city, l.cluster, l.offered_at, EXISTS (SELECT FROM quotes q WHERE q.job_id = l.job_id)
      FROM leases l WHERE l.offered_at > (SELECT min(at) FROM operator_acts WHERE act = 'pause') ORDER BY l.lease_id
"""


async def read(hub: Any) -> LimitFacts:
    """Return what the tables say of limits and leases; `hub` is a connection that sees all cities."""
    return LimitFacts(
        caps=tuple(HubCap(*r.values()) for r in await hub.fetch(CAPS)),
        quotas=tuple(QuotaLimit(*r.values()) for r in await hub.fetch(QUOTAS)),
        draws=tuple(Draw(*r.values()) for r in await hub.fetch(DRAWS)),
        shares=tuple(Share(*r.values()) for r in await hub.fetch(SHARES)),
        pauses=tuple(PauseSpan(*r.values()) for r in await hub.fetch(PAUSES)),
        placed=tuple(Placed(*r.values()) for r in await hub.fetch(PLACED)),
    )


def no_hub_over_its_power_cap(facts: "Facts") -> Iterator[str]:
    """Nothing was placed in a hub that its power cap had no room for."""
    for cap in facts.limits.caps:
        mine = [draw for draw in facts.limits.draws if draw.hub == cap.hub]
        for lease, milli_watts in _levels(mine, cap.in_force_at, lambda draw: draw.milli_watts):
            watts = _up(_up(milli_watts) * cap.pue_milli)
            if watts > cap.watts_max:
                yield f"hub {cap.hub} drew {watts} W when lease-{lease} was placed, its cap is {cap.watts_max} W"


def no_promised_power_is_somebody_elses(facts: "Facts") -> Iterator[str]:
    """When a promise starts, promises and leases together draw no more than a cap that was there before."""
    for cap in facts.limits.caps:
        mine = [share for share in facts.limits.shares if share.hub == cap.hub]
        for at in sorted({share.begins_at for share in mine if share.promised}):
            there = [share for share in mine if share.begins_at <= at < share.until]
            watts = _up(_up(sum(share.milli_watts for share in there)) * cap.pue_milli)
            if watts > cap.watts_max and max(share.given_at for share in there) > cap.in_force_at:
                yield (
                    f"hub {cap.hub} is to draw {watts} W at {at.isoformat()}, its cap is {cap.watts_max} W:"
                    f" {' and '.join(share.whose for share in there)}"
                )


def no_quota_over_its_limit(facts: "Facts") -> Iterator[str]:
    """Nothing was placed that a quota above it had no room for."""
    for limit in facts.limits.quotas:
        mine = [draw for draw in facts.limits.draws if f"{draw.owner}/".startswith(f"{limit.quota}/")]
        for lease, used in _levels(mine, limit.in_force_at, lambda draw: draw.milli_tflops):
            if used > limit.milli_tflops_max:
                yield (
                    f"quota {limit.quota} used {used} milli-TFLOPS when lease-{lease} was placed,"
                    f" its limit is {limit.milli_tflops_max}"
                )


def nothing_starts_where_it_is_paused(facts: "Facts") -> Iterator[str]:
    """No lease was made from a paused queue, but for accepted quotes, or on a paused cluster."""
    for pause in facts.limits.pauses:
        until = None if pause.until is None else pause.until - END_MOMENT
        for lease in facts.limits.placed:
            if lease.offered_at <= pause.since or (until is not None and lease.offered_at >= until):
                continue
            if (pause.what == "cluster" and lease.cluster == pause.name) or (
                pause.what == "queue" and lease.city == pause.name and not lease.quoted
            ):
                yield f"lease-{lease.lease} was made while {pause.what} {pause.name} was paused"


def _up(thousandths: int) -> int:
    return -(-thousandths // 1000)


def _levels(draws: Iterable[Draw], since: datetime, amount: Callable[[Draw], int]) -> Iterator[tuple[int, int]]:
    """Yield (lease, what was used then) for each moment after `since` at which something was placed.

    What was placed at one moment came together, and what ended at that moment had made room.
    """
    moments: dict[datetime, list[tuple[int, int]]] = {}
    for draw in draws:
        if draw.ended_at is None or draw.ended_at > draw.offered_at:
            moments.setdefault(draw.offered_at, []).append((amount(draw), draw.lease))
            if draw.ended_at is not None:
                moments.setdefault(draw.ended_at, []).append((-amount(draw), 0))
    level = 0
    for at in sorted(moments):
        level += sum(change for change, _ in moments[at])
        placed = [lease for _, lease in moments[at] if lease]
        if placed and at > since:
            yield max(placed), level


RULES: Final = (
    no_hub_over_its_power_cap,
    no_promised_power_is_somebody_elses,
    no_quota_over_its_limit,
    nothing_starts_where_it_is_paused,
)
