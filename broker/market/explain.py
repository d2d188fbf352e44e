"""Why a job waits, or what its choices are: one verdict for each pool, by the prices of the last round."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final, TypeVar

from broker.caller import Caller
from broker.clock import Clock
from broker.errors import JobNotFound
from broker.ids import JobId, RoundId, job_text
from broker.job import ExpectedStart, Job, Placement
from broker.lifecycle import JOB_FINAL, Held, JobState
from broker.market import ceilings
from broker.market.access import transaction_of
from broker.market.ahead import Margin
from broker.market.funding import Short, shortage
from broker.market.remedies import offered_by, offered_changes, yuan_text
from broker.market.snapshot import Prepared, prepare, zones
from broker.market.verdicts import ChangeOffer, EarliestStart, Explanation, Verdict
from broker.store import jobs, pauses, rounds, snapshots
from broker.store.database import Database
from broker.store.pauses import Pause, Paused
from broker.store.rounds import RoundRecord
from broker.store.snapshots import WorldView
from scheduler.decide import before_planning
from scheduler.errors import BadPlan, BadSnapshot
from scheduler.explain import PoolVerdict, cheapest_clearing, explain
from scheduler.horizon import Horizon
from scheduler.levers import Lever
from scheduler.placer import last_prices
from scheduler.plan import Plan, Prices
from scheduler.planner import plan as make_plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.reasons import Reason
from scheduler.snapshot import Snapshot
from scheduler.worth_split import WorthSplit, worth_split

FITS: Final = "FITS"
"""The job would fit into the pool now, and pays the price at which the last round cleared."""

UPSTREAMS_SHOWN_MAX: Final = 8
MICRO: Final = 1_000_000

P = TypeVar("P")

_NEAREST_FIRST: Final = (
    FITS,
    Reason.OUTBID,
    Reason.QUOTA_SHORT,
    Reason.POWER_SHORT,
    Reason.FABRIC_SHORT,
    Reason.CARDS_SHORT,
    Reason.CPU_SHORT,
    Reason.MEMORY_SHORT,
    Reason.PRICE_BELOW_ASK,
    Reason.RESERVED,  # nearer than what a zone alone is too small for
    Reason.POOL_CLOSED,
    Reason.GANG_TOO_LARGE,
    Reason.TOO_LATE,
    Reason.TRANSFER_TOO_LONG,
    Reason.ROUND_TRIP_TOO_LONG,
    Reason.HUB_NOT_ALLOWED,
    Reason.CARD_NOT_SHARED,
    Reason.OWNER_NOT_ALLOWED,
    Reason.DOMESTIC_ONLY,
    Reason.MODEL_WITHOUT_FIGURE,
    Reason.NO_MATCHING_MODEL,
)


@dataclass(frozen=True)
class LastRound:
    """What later questions need of the last committed round. `horizon`: None of a record from before there were any."""

    round: RoundId
    plan: Plan
    snapshot: Snapshot
    horizon: Horizon | None

    @cached_property
    def world(self) -> Snapshot:
        """What was planned: without what was promised, and with its pools cut into zones.

        Worked out when it is asked for, and not on the loop of events: it takes a part of a second at national size.
        """
        if self.horizon is None:
            return self.snapshot
        return before_planning(self.snapshot, self.horizon, self.plan.policy)[2].world

    @cached_property
    def prices(self) -> tuple[OpeningPrice, ...]:
        """Prices of its last tier, by name; worked out when they are asked for, as the world is."""
        return last_prices(self.world, self.plan)


class Explain:
    """The use case behind ExplainJob."""

    def __init__(self, database: Database, policy: Policy, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._policy = policy
        self._last: LastRound | None = None

    def remember(self, last: LastRound) -> None:
        """Take note of a round that was committed here."""
        self._last = last

    async def __call__(self, caller: Caller, job_id: JobId, start_by: datetime | None = None) -> Explanation:
        """Explain one job. Raise JobNotFound when there is none that the caller may see.

        `start_by`: tell when it could start, and what would start it by then instead of now.
        """
        async with transaction_of(self._database, caller) as tx:
            job = await jobs.get(tx, job_id)
        if job is None:
            raise JobNotFound(job=job_text(job_id))
        now = self._clock.now()
        async with self._database.hub() as tx:
            view = await snapshots.read_for(tx, job_id, now, with_leases=start_by is not None)
        async with self._database.hub() as tx:
            pause = await pauses.get(tx, Paused.QUEUE, job.city) if job.waiting_reason == Held.QUEUE_PAUSED else None
        last = await self.last_round()
        told = await asyncio.to_thread(
            _explained, view, now, last, job, self._policy, start_by, city_told=not caller.enterprise
        )
        return told if pause is None else replace(told, summary=_paused(pause))

    async def last_round(self) -> LastRound | None:
        """Return the newest committed round, whichever broker committed it; None before the first one."""
        async with self._database.hub() as tx:
            newest = await rounds.newest_record(tx)
            if newest is None or (self._last is not None and self._last.round >= newest):
                return self._last
            record = await rounds.record(tx, newest)
        if record is not None:
            try:
                self._last = await asyncio.to_thread(stored, newest, record)
            except (BadPlan, BadSnapshot):  # of a release before: its prices are not known, until the next round
                return self._last
        return self._last


def _explained(
    view: WorldView,
    now: datetime,
    last: LastRound | None,
    job: Job,
    policy: Policy,
    start_by: datetime | None,
    *,
    city_told: bool,
) -> Explanation:
    """Explain the job in the world as it is open to it: without what is promised to others.

    A view without leases takes what is promised of a node from what is free there now. `city_told`: what its city's
    account has may be told; to an enterprise it is not.
    """
    margin = policy.lease_end_margin_seconds
    whole = prepare(view, now, margin_seconds=margin)
    others = tuple(promise for promise in whole.horizon.promises if promise.job_id != job_text(job.job))
    whole = replace(whole, horizon=replace(whole.horizon, promises=others))
    free, _ = zones(whole, margin)
    alone = make_plan(free.snapshot, replace(policy, effort=0))
    verdicts = _verdicts(free, alone, last, job)
    earliest, offers = _offers(whole, free, last, job, policy, start_by) if verdicts else (None, ())
    offers = tuple(_by_the_job(offer, job, view) for offer in offers)
    number = RoundId(0) if last is None else last.round
    worth = _worth(whole, policy, _prices(whole.snapshot, alone.prices, last), job)
    short = next((shortage(view, row, now) for row in view.waiting), None)
    return Explanation(
        job, verdicts, number, _summary(job, verdicts, now, _short_of_money(short, city_told)), offers, worth, earliest
    )


def _offers(
    whole: Prepared, free: Prepared, last: LastRound | None, job: Job, policy: Policy, start_by: datetime | None
) -> tuple[EarliestStart | None, tuple[ChangeOffer, ...]]:
    """Return when a waiting job could start as it is, if a time is asked for, and what would start it.

    `whole`, `free`: the world before and after what is promised to others is taken off. Shares of cards are promised
    nothing and fit somewhere soon, so of them it is asked what would start them now.
    """
    timed = job.waiting_reason in (Held.NOT_YET, Held.GREEN_WAITS)
    held = job.waiting_reason in (Held.UPSTREAM_RUNS, Held.QUEUE_PAUSED) or (timed and start_by is None)
    if job.state is not JobState.PENDING or held:
        return None, ()
    rounded, name = None if last is None else (last.world, last.plan), job_text(job.job)
    over = Margin(policy.lease_end_margin_seconds).excess(job.spec.grace_seconds)
    if start_by is None or job.spec.share_milli:
        return None, offered_changes(free.snapshot, policy, rounded, name, over)
    first = job.held_until or job.spec.earliest_start
    return offered_by(whole.snapshot, whole.horizon, policy, rounded, name, over, start_by, first)


def _by_the_job(offer: ChangeOffer, job: Job, view: WorldView) -> ChangeOffer:
    """Return the offer; of a ceiling that is that of the whole job, with what this would have to be."""
    spec = job.spec
    if offer.lever is not Lever.CEILING or offer.before >= spec.ceiling_micro_yuan_per_pflops_hour:
        return offer
    fastest = ceilings.fastest_micro_pflops(spec.requirement(), view.models)
    least = ceilings.raised(offer.after, fastest, spec.walltime_seconds)
    told = f"; it is that of the whole job which counts: raise it to {yuan_text(least)} yuan"
    return replace(offer, detail=offer.detail + told)


def stored(number: RoundId, record: RoundRecord) -> LastRound:
    """Return a round from its record. Raise BadPlan or BadSnapshot for one of a release that wrote others."""
    horizon = None if record.horizon is None else Horizon.from_bytes(record.horizon)
    return LastRound(number, Plan.from_bytes(record.plan), Snapshot.from_bytes(record.snapshot), horizon)


def _verdicts(free: Prepared, alone: Plan, last: LastRound | None, job: Job) -> tuple[Verdict, ...]:
    """Return what each pool says to the job at the last prices, the nearest first; of a pool's zones the nearest.

    `alone`: a plan of the world, which tells what rules anybody uses.
    """
    world = free.snapshot
    last_tier = replace(alone.tiers[-1], prices=_prices(world, alone.prices, last))
    found = explain(world, replace(alone, placements=(), tiers=(*alone.tiers[:-1], last_tier)), job_text(job.job))
    cheapest = cheapest_clearing(found)
    said = [_verdict(free, verdict, cheapest, known=last is not None) for verdict in found]
    said.sort(key=lambda v: (_NEAREST_FIRST.index(v.reason), v.cards_short, v.cluster, v.pool))
    nearest: dict[tuple[str, str], Verdict] = {}
    for verdict in said:
        nearest.setdefault((verdict.cluster, verdict.pool), verdict)
    return tuple(nearest.values())


def _worth(world: Prepared, policy: Policy, prices: Prices, job: Job) -> WorthSplit | None:
    """Return what a placed job is worth where it is."""
    if job.placement is None or job.state in JOB_FINAL or not (nodes := _nodes_of(world, job.placement)):
        return None
    taken_at_s = world.snapshot.taken_at_s
    since = taken_at_s if job.started_at is None else math.floor(job.started_at.timestamp())
    return worth_split(world.snapshot, policy, prices, job_text(job.job), nodes, job.placement.tasks, since)


def _nodes_of(prepared: Prepared, placement: Placement) -> list[int]:
    """Return the snapshot's indices of the nodes that a job is on."""
    pools = {p.pool_id for p in prepared.pools if (p.cluster, p.pool) == (placement.cluster, placement.pool)}
    names = {node.node for node in placement.nodes}
    return [at for at, node in enumerate(prepared.nodes) if node.pool_id in pools and node.node in names]


def _prices(world: Snapshot, empty: Prices, last: LastRound | None) -> Prices:
    """Return the last round's prices in the order of this world's names; what it did not know clears at 0.

    `empty` are prices of this world: they tell which rules anybody uses.
    """
    old, pools = (empty, world.pool_names) if last is None else (last.plan.prices, last.world.pool_names)
    hubs, quotas = ((), ()) if last is None else (last.world.hub_names, last.world.quota_names)

    def by_pool(values: Sequence[P], nothing: P) -> tuple[P, ...]:
        return _by_name(world.pool_names, pools, values if last else (), nothing)

    def by_hub(values: Sequence[int]) -> tuple[int, ...]:
        return _by_name(world.hub_names, hubs, values, 0) if empty.power_micro_yuan_per_kwh else ()

    def by_quota(values: Sequence[int]) -> tuple[int, ...]:
        return _by_name(world.quota_names, quotas, values, 0) if empty.quota_micro_yuan_per_pflops_hour else ()

    return Prices(
        block_cards=old.block_cards,
        cards_micro_yuan_per_block_hour=by_pool(old.cards_micro_yuan_per_block_hour, _zeros(old.block_cards)),
        cpu_micro_yuan_per_core_hour=by_pool(old.cpu_micro_yuan_per_core_hour, 0),
        memory_micro_yuan_per_gib_hour=by_pool(old.memory_micro_yuan_per_gib_hour, 0),
        slice_milli=old.slice_milli,
        slices_micro_yuan_per_slice_hour=by_pool(old.slices_micro_yuan_per_slice_hour, _zeros(old.slice_milli)),
        domain_blocks=old.domain_blocks,
        domains_micro_yuan_per_hour=by_pool(old.domains_micro_yuan_per_hour, _zeros(old.domain_blocks)),
        power_micro_yuan_per_kwh=by_hub(old.power_micro_yuan_per_kwh),
        quota_micro_yuan_per_pflops_hour=by_quota(old.quota_micro_yuan_per_pflops_hour),
        guarantee_micro_yuan_per_pflops_hour=by_quota(old.guarantee_micro_yuan_per_pflops_hour),
        tier_ppm=empty.tier_ppm,
    )


def _by_name(names: Sequence[str], were: Sequence[str], values: Sequence[P], nothing: P) -> tuple[P, ...]:
    """Return the values in the order of `names`, given in the order of `were`."""
    value_of = dict(zip(were, values, strict=False))  # no values at all where nobody used the rule
    return tuple(value_of.get(name, nothing) for name in names)


def _zeros(sizes: Sequence[object]) -> tuple[int, ...]:
    return (0,) * len(sizes)


def _verdict(prepared: Prepared, found: PoolVerdict, cheapest: PoolVerdict | None, *, known: bool) -> Verdict:
    pool = prepared.pools[found.pool]
    clearing = found.clearing if known and found.clearing > 0 else 0
    fits = found.reason is Reason.OUTBID and found.price_short_micro_yuan_per_pflops_hour <= 0
    reason = FITS if fits else str(found.reason)
    return Verdict(
        cluster=pool.cluster,
        pool=pool.pool,
        hub=pool.hub,
        model=pool.model,
        reason=reason,
        build=found.build,
        cards_short=found.cards_short if found.reason is Reason.CARDS_SHORT else 0,
        clearing_micro_yuan_per_pflops_hour=clearing,
        detail=_detail(reason, found, cheapest=cheapest is not None and cheapest.pool == found.pool),
    )


def _detail(reason: str, found: PoolVerdict, *, cheapest: bool) -> str:
    short = found.price_short_micro_yuan_per_pflops_hour / MICRO
    sentences = {
        FITS: "it would fit here now; the next round decides",
        Reason.OUTBID: f"it would fit, but the ceiling is {short:.2f} yuan per PFLOPS-hour below what others pay here",
        Reason.CARDS_SHORT: f"{_counted(found.cards_short, 'more free card')} needed, "
        f"{_counted(found.tasks_short, 'task')} without a node",
        Reason.CPU_SHORT: "enough cards are free, but too little CPU beside them",
        Reason.MEMORY_SHORT: "enough cards are free, but too little memory beside them",
        Reason.FABRIC_SHORT: "it would fit, but not within one fabric domain or node as the job wants it",
        Reason.POWER_SHORT: "it would fit, but the hub's power cap or its energy pace leaves too little",
        Reason.QUOTA_SHORT: "it would fit, but the quota of its city or enterprise leaves too little",
        Reason.PRICE_BELOW_ASK: f"the ceiling is {short:.2f} yuan per PFLOPS-hour below ask, energy and transfer",
        Reason.POOL_CLOSED: "it would fit if cordoned or silent nodes were open",
        Reason.GANG_TOO_LARGE: "even the empty pool could not hold the gang",
        Reason.ROUND_TRIP_TOO_LONG: "the round trip to the hub is over the job's limit, or not known",
        Reason.TOO_LATE: "it would end after the time by which it must be done",
        Reason.RESERVED: "it would still run when the nodes, or power for them, are promised, or they are closed",
        Reason.TRANSFER_TOO_LONG: "the input would arrive too late, or nobody measured the way to the hub",
        Reason.HUB_NOT_ALLOWED: "the job does not allow this hub",
        Reason.CARD_NOT_SHARED: "the model offers no slice of a card as large as the share asked for",
        Reason.OWNER_NOT_ALLOWED: "the job does not allow this owner",
        Reason.DOMESTIC_ONLY: "the job wants models of domestic origin only",
        Reason.MODEL_WITHOUT_FIGURE: "the model has no programme-counted FP16 figure to price by",
        Reason.NO_MATCHING_MODEL: "no build of the job runs on this model",
    }
    text = sentences.get(reason, reason)
    return f"{text}; cheapest of all" if cheapest and reason == Reason.OUTBID else text


def _upstreams(job: Job) -> list[str]:
    """Return what was named to run after; of many the first ones."""
    names = [*map(job_text, job.spec.after), *(f"key {key!r}" for key in job.spec.after_request_keys)]
    return names[:UPSTREAMS_SHOWN_MAX] + ["..."] * (len(names) > UPSTREAMS_SHOWN_MAX)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _summary(job: Job, verdicts: Sequence[Verdict], now: datetime, short_of_money: str = "") -> str:
    if job.state in JOB_FINAL:
        return f"The job is {job.state} and waits for nothing."
    if job.state is not JobState.PENDING:
        where = f" on {job.placement.cluster}/{job.placement.pool}" if job.placement else ""
        return f"The job is {job.state}{where}; the verdicts say what it could choose from now."
    if job.waiting_reason == Held.NOT_YET and job.spec.earliest_start is not None:
        return f"It does not start before {job.spec.earliest_start.isoformat(timespec='seconds')}."
    if job.waiting_reason == Held.GREEN_WAITS and job.held_until is not None:
        until = job.held_until.isoformat(timespec="seconds")
        return f"It prefers green hours, and waits for the one that begins at {until}: cards ask less then."
    if job.waiting_reason == Held.UPSTREAM_RUNS:
        return f"It waits for the end of jobs that it runs after: {', '.join(_upstreams(job))}."
    if short_of_money:
        return short_of_money
    if job.promised is not None:
        at, where = job.promised.starts_at, f"{job.promised.cluster}/{job.promised.pool}"
        return f"It is promised to start by {at.isoformat(timespec='seconds')} on {where}."
    if not verdicts:
        return "No cluster has attached yet: the job waits for the first one."
    nearest = verdicts[0]
    ahead = None if job.expected_start is None else job.expected_start.ahead(now)
    expected = "" if ahead is None else f" {_expected(ahead)}"
    return f"Nearest to starting is {nearest.cluster}/{nearest.pool}: {nearest.detail}.{expected}"


def _paused(pause: Pause) -> str:
    since = pause.paused_at.isoformat(timespec="seconds")
    return f"Operators paused the queue of its city at {since} ({pause.reason}): it waits until they resume it."


def _short_of_money(short: Short | None, city_told: bool) -> str:
    """Return what is said of a job that waits for money; nothing of one that does not."""
    if short is None:
        return ""
    wanted, usable = yuan_text(short.wanted), yuan_text(short.usable) if city_told else "too little"
    return (
        f"It waits for money: {wanted} yuan or more must be held for its whole walltime and grace, and "
        f"{' and '.join(short.accounts)} can give {usable}. Deposit what is short, or ask for less."
    )


def _expected(ahead: ExpectedStart) -> str:
    half = (
        "" if ahead.p50_at is None else f"{ahead.p50_at.isoformat(timespec='seconds')} (half of the jobs like it), by "
    )
    return f"It is expected to start by {half}{ahead.p90_at.isoformat(timespec='seconds')} (nine of ten jobs like it)."
