"""Why a job waits, or what its choices are: one verdict for each pool, by the prices of the last round."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from broker.caller import Caller
from broker.clock import Clock
from broker.errors import JobNotFound
from broker.ids import JobId, RoundId, job_text
from broker.job import Job
from broker.lifecycle import JOB_FINAL, JobState
from broker.market.access import transaction_of
from broker.market.snapshot import Prepared, prepare
from broker.market.verdicts import Explanation, Verdict
from broker.store import jobs, rounds, snapshots
from broker.store.database import Database
from scheduler.explain import PoolVerdict, cheapest_clearing, explain
from scheduler.plan import Plan, Prices
from scheduler.planner import plan as make_plan
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.snapshot import Snapshot

FITS: Final = "FITS"
"""The job would fit into the pool now, and pays the price at which the last round cleared."""

MICRO: Final = 1_000_000

_NEAREST_FIRST: Final = (
    FITS,
    Reason.OUTBID,
    Reason.CARDS_SHORT,
    Reason.CPU_SHORT,
    Reason.MEMORY_SHORT,
    Reason.PRICE_BELOW_ASK,
    Reason.POOL_CLOSED,
    Reason.GANG_TOO_LARGE,
    Reason.ROUND_TRIP_TOO_LONG,
    Reason.HUB_NOT_ALLOWED,
    Reason.MODEL_WITHOUT_FIGURE,
    Reason.NO_MATCHING_MODEL,
)


@dataclass(frozen=True, slots=True)
class LastRound:
    """What later questions need of the last committed round."""

    round: RoundId
    plan: Plan
    pool_names: tuple[str, ...]


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

    async def __call__(self, caller: Caller, job_id: JobId) -> Explanation:
        """Explain one job. Raise JobNotFound when there is none that the caller may see."""
        async with transaction_of(self._database, caller) as tx:
            job = await jobs.get(tx, job_id)
        if job is None:
            raise JobNotFound(job=job_text(job_id))
        async with self._database.hub() as tx:
            view = await snapshots.read_for(tx, job_id)
        prepared = prepare(view, self._clock.now())
        last = await self._last_round()
        found = await asyncio.to_thread(_verdicts, prepared, last, job_text(job_id), self._policy)
        verdicts = sorted(found, key=lambda v: (_NEAREST_FIRST.index(v.reason), v.cards_short, v.cluster, v.pool))
        summary = _summary(job, verdicts)
        return Explanation(job, tuple(verdicts), 0 if last is None else last.round, summary)

    async def _last_round(self) -> LastRound | None:
        """Return the newest round, whichever broker committed it."""
        async with self._database.hub() as tx:
            newest = await rounds.newest_record(tx)
            if newest is None or (self._last is not None and self._last.round >= newest):
                return self._last
            record = await rounds.record(tx, newest)
        if record is not None:
            names = Snapshot.from_bytes(record.snapshot).pool_names
            self._last = LastRound(newest, Plan.from_bytes(record.plan), names)
        return self._last


def _verdicts(prepared: Prepared, last: LastRound | None, job_id: str, policy: Policy) -> list[Verdict]:
    """Ask the scheduler what each pool says to the job alone, at the last round's prices."""
    world = prepared.snapshot
    plan = make_plan(world, replace(policy, effort=0))
    plan = replace(plan, placements=(), prices=_prices(world, plan.prices, last))
    found = explain(world, plan, job_id)
    cheapest = cheapest_clearing(found)
    return [_verdict(prepared, v, cheapest, known=last is not None) for v in found]


def _prices(world: Snapshot, empty: Prices, last: LastRound | None) -> Prices:
    """Return the last round's prices in the order of this world's pools; a pool that it did not know clears at 0."""
    old = None if last is None else last.plan.prices
    at = {} if last is None else {name: i for i, name in enumerate(last.pool_names)}
    nothing = tuple(0 for _ in (old or empty).block_cards)

    def of(name: str, values: Sequence[int]) -> int:
        return values[at[name]] if name in at else 0

    names = world.pool_names
    if old is None:
        return replace(
            empty,
            cards_micro_yuan_per_block_hour=tuple(nothing for _ in names),
            cpu_micro_yuan_per_core_hour=tuple(0 for _ in names),
            memory_micro_yuan_per_gib_hour=tuple(0 for _ in names),
        )
    return Prices(
        block_cards=old.block_cards,
        cards_micro_yuan_per_block_hour=tuple(
            old.cards_micro_yuan_per_block_hour[at[name]] if name in at else nothing for name in names
        ),
        cpu_micro_yuan_per_core_hour=tuple(of(name, old.cpu_micro_yuan_per_core_hour) for name in names),
        memory_micro_yuan_per_gib_hour=tuple(of(name, old.memory_micro_yuan_per_gib_hour) for name in names),
    )


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
        Reason.PRICE_BELOW_ASK: f"the ceiling is {short:.2f} yuan per PFLOPS-hour below what the owner asks",
        Reason.POOL_CLOSED: "it would fit if cordoned or silent nodes were open",
        Reason.GANG_TOO_LARGE: "even the empty pool could not hold the gang",
        Reason.ROUND_TRIP_TOO_LONG: "the round trip to the hub is over the job's limit, or not known",
        Reason.HUB_NOT_ALLOWED: "the job does not allow this hub",
        Reason.MODEL_WITHOUT_FIGURE: "the model has no programme-counted FP16 figure to price by",
        Reason.NO_MATCHING_MODEL: "no build of the job runs on this model",
    }
    text = sentences.get(reason, reason)
    return f"{text}; cheapest of all" if cheapest and reason == Reason.OUTBID else text


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _summary(job: Job, verdicts: Sequence[Verdict]) -> str:
    if job.state in JOB_FINAL:
        return f"The job is {job.state} and waits for nothing."
    if job.state is not JobState.PENDING:
        where = f" on {job.placement.cluster}/{job.placement.pool}" if job.placement else ""
        return f"The job is {job.state}{where}; the verdicts say what it could choose from now."
    if not verdicts:
        return "No cluster has attached yet: the job waits for the first one."
    nearest = verdicts[0]
    return f"Nearest to starting is {nearest.cluster}/{nearest.pool}: {nearest.detail}."
