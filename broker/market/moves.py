"""Planned defragmentation for operators: what moving preemptible work would gain, and leave to do it.

What is proposed is planned here, beside the rounds. An operator names a waiting job; the next round in which moving
others for it pays orders them to stop and promises the job their nodes (`scheduler/defragmentation.py`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from broker.caller import Caller
from broker.ids import JobId, LeaseId, job_text, parse_lease
from broker.market.snapshot import Prepared, prepare
from broker.store import acts, jobs, snapshots
from broker.store.database import Database
from broker.store.snapshots import WorldView
from scheduler.decide import decide
from scheduler.defragmentation import Move, Proposal, proposals
from scheduler.horizon import NEVER
from scheduler.policy import Policy

PROPOSALS_MAX: Final = 8
EFFORT_MAX: Final = 20
GREEDY_ABOVE: Final = 10_000
"""Above so many nodes, or waiting jobs, the round is planned greedily: a better plan would take minutes."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A lease that would be stopped; where its job would find room again, node by node."""

    lease: LeaseId
    job: JobId
    nodes: tuple[str, ...]
    to: tuple[str, ...]
    lost_card_seconds: int  # to be done again, and standing still
    loss_micro_yuan: int


@dataclass(frozen=True, slots=True)
class Proposed:
    """A waiting gang that would start sooner."""

    job: JobId
    city: str
    cluster: str
    pool: str
    nodes: tuple[str, ...]
    starts_at: datetime
    instead_of: datetime | None  # when it would start otherwise; None: nobody knows
    gain_micro_yuan: int
    loss_micro_yuan: int
    moves: tuple[Moved, ...]


class Moves:
    """The use cases behind ListMoves and MakeRoom. `wake` lets a round look at once."""

    def __init__(self, database: Database, policy: Policy, *, jobs_max: int, wake: Callable[[], None]) -> None:
        """`policy`: of the rounds; `jobs_max`: waiting jobs of a round at most."""
        self._database = database
        self._policy = policy
        self._jobs_max = jobs_max
        self._wake = wake
        self._turn = asyncio.Lock()

    async def proposed(self, job: JobId | None, *, now: datetime) -> list[Proposed]:
        """Return what would pay now, the best first; of one job only, if one is named."""
        async with self._turn:
            async with self._database.hub() as tx:
                view = await snapshots.read(tx, now, self._jobs_max)
            return await asyncio.to_thread(self._planned, view, job, now)

    async def make_room(self, caller: Caller, job: JobId, *, now: datetime, withdraw: bool = False) -> None:
        """Let running work be moved for a waiting job, or no longer. Raise JobNotFound, JobNotWaiting."""
        async with self._database.hub() as tx:
            if await jobs.make_room(tx, job, wanted=not withdraw):
                await acts.record(
                    tx,
                    at=now,
                    key_id=caller.key_id,
                    act="withdraw_room" if withdraw else "make_room",
                    subject=job_text(job),
                    detail={},
                )
        self._wake()

    def _planned(self, view: WorldView, job: JobId | None, now: datetime) -> list[Proposed]:
        world = prepare(view, now, margin_seconds=self._policy.lease_end_margin_seconds)
        greedy = max(len(world.nodes), len(world.waiting)) > GREEDY_ABOVE
        policy = replace(self._policy, effort=0 if greedy else min(self._policy.effort, EFFORT_MAX))
        made = decide(world.snapshot, world.horizon, policy)
        left = max(0, policy.churn_card_seconds_max - view.lost_card_seconds)
        only = () if job is None else (job_text(job),)
        found = proposals(world.snapshot, world.horizon, made, policy, left, PROPOSALS_MAX, only)
        jobs_of = dict(zip(view.leases.lease, view.leases.job, strict=True))
        return [_proposed(world, each, jobs_of) for each in found]


def _proposed(world: Prepared, found: Proposal, jobs_of: dict[int, int]) -> Proposed:
    promise, pool = found.promise, world.pools[found.promise.pool]
    waiting = world.waiting[promise.job_id]
    return Proposed(
        job=waiting.job,
        city=waiting.city,
        cluster=pool.cluster,
        pool=pool.pool,
        nodes=_names(world, promise.nodes),
        starts_at=datetime.fromtimestamp(promise.start_s, UTC),
        instead_of=None if found.instead_of_s == NEVER else datetime.fromtimestamp(found.instead_of_s, UTC),
        gain_micro_yuan=found.gain_micro_yuan,
        loss_micro_yuan=found.loss_micro_yuan,
        moves=tuple(_moved(world, move, jobs_of) for move in found.moves),
    )


def _moved(world: Prepared, move: Move, jobs_of: dict[int, int]) -> Moved:
    lease = parse_lease(move.lease_id) or LeaseId(0)
    return Moved(
        lease=lease,
        job=JobId(jobs_of[lease]),
        nodes=_names(world, move.nodes),
        to=_names(world, move.to),
        lost_card_seconds=move.lost_card_seconds,
        loss_micro_yuan=move.loss_micro_yuan,
    )


def _names(world: Prepared, nodes: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(world.nodes[node].node for node in nodes)
