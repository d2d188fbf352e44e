"""What-if for operators: what a drain, a pause or a quota would do, planned and not done.

Both worlds get a whole round here, promises and preemption with it, one preview at a time, beside the rounds: nothing
is stored and nothing is held up.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from broker.errors import CityNotFound, ClusterNotFound, NodeNotFound
from broker.ids import JobId, LeaseId, lease_text
from broker.market.quotas import check_quota
from broker.market.snapshot import Prepared, prepare
from broker.store import catalogue, nodes, snapshots
from broker.store.database import Connection, Database
from broker.store.node_table import NodeRow
from broker.store.snapshots import WorldView
from broker.worlds.quotas import QuotaRow
from scheduler.horizon import Horizon
from scheduler.policy import Policy
from scheduler.preview import Outlook, preview
from scheduler.snapshot import Snapshot

EFFORT_MAX: Final = 20
GREEDY_ABOVE: Final = 10_000
"""Above so many nodes, or waiting jobs, two greedy plans are compared: better ones would take minutes."""


@dataclass(frozen=True, slots=True)
class CloseNodes:
    """Nodes take no new work, as after a drain or a cordon; all of the cluster when none is named."""

    cluster: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PauseCity:
    """No job of a city starts, but those of its accepted quotes."""

    city: str


@dataclass(frozen=True, slots=True)
class ChangeQuota:
    """A quota is set as a whole, new or as another one."""

    quota: QuotaRow


WhatIf = CloseNodes | PauseCity | ChangeQuota


@dataclass(frozen=True, slots=True)
class Running:
    """A lease that a change is about, and when its cards are free."""

    lease: LeaseId
    job: JobId
    ends_at: datetime  # at the latest, by walltime and grace; of one that would be stopped, by the order and grace


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do.

    Attributes:
        at: when the world was read.
        waiting: jobs that both plans decided about.
        running: leases on the nodes that would be closed, the first to end first: they run on, and are waited for.
        stopped: leases that the next round would stop for others with the change, and does not stop as things are.
        spared: the other way round.
        outlook: how the next round would differ.
        greedy: the world is large, so two greedy plans were compared; they have no prices.
    """

    at: datetime
    waiting: int
    running: tuple[Running, ...]
    stopped: tuple[Running, ...]
    spared: tuple[Running, ...]
    outlook: Outlook
    greedy: bool

    @property
    def change_micro_yuan_per_hour(self) -> int:
        """By how much the next round would be worth more."""
        return self.outlook.worth_after_micro_yuan_per_hour - self.outlook.worth_before_micro_yuan_per_hour


class Previews:
    """The use case behind GetPreview."""

    def __init__(self, database: Database, policy: Policy, *, jobs_max: int) -> None:
        """`policy`: of the rounds; `jobs_max`: waiting jobs of a round at most."""
        self._database = database
        self._policy = policy
        self._jobs_max = jobs_max
        self._turn = asyncio.Lock()

    async def preview(self, what: WhatIf, *, now: datetime) -> Preview:
        """Return what the change would do to what runs and to the next round.

        Raises: ClusterNotFound, NodeNotFound, CityNotFound, HubNotFound; InvalidRequest as setting the quota would.
        """
        async with self._database.hub() as tx:
            await _check(tx, what)
        async with self._turn:
            async with self._database.hub() as tx:
                view = await snapshots.read(tx, now, self._jobs_max)
            return await asyncio.to_thread(self._planned, view, what, now)

    def _planned(self, view: WorldView, what: WhatIf, now: datetime) -> Preview:
        world = prepare(view, now, margin_seconds=self._policy.lease_end_margin_seconds)
        closed = _closed(world, what)
        greedy = max(len(world.nodes), len(world.waiting)) > GREEDY_ABOVE
        policy = replace(
            self._policy,
            effort=0 if greedy else min(self._policy.effort, EFFORT_MAX),
            churn_card_seconds_max=max(0, self._policy.churn_card_seconds_max - view.lost_card_seconds),
        )
        outlook = preview(world.snapshot, world.horizon, *_changed(world, what, closed, now), policy)
        return Preview(
            at=now,
            waiting=len(world.waiting),
            running=_running(view, [node.node_id for node in closed]),
            stopped=_stopped(view, outlook.stops, now),
            spared=_stopped(view, outlook.spared, now),
            outlook=outlook,
            greedy=greedy,
        )


async def _check(tx: Connection, what: WhatIf) -> None:
    if isinstance(what, ChangeQuota):
        await check_quota(tx, what.quota)
    elif isinstance(what, PauseCity):
        if not await catalogue.city_exists(tx, what.city):
            raise CityNotFound(city=what.city)
    elif not await nodes.cluster_exists(tx, what.cluster):
        raise ClusterNotFound(cluster=what.cluster)


def _closed(world: Prepared, what: WhatIf) -> Sequence[NodeRow]:
    """Return the nodes that the change closes. Raise NodeNotFound for one that the cluster does not have."""
    if not isinstance(what, CloseNodes):
        return ()
    pools = {pool.pool_id for pool in world.pools if pool.cluster == what.cluster}
    of_cluster = {node.node: node for node in world.nodes if node.pool_id in pools}
    if missing := set(what.nodes) - of_cluster.keys():
        raise NodeNotFound(cluster=what.cluster, node=min(missing))
    return [of_cluster[name] for name in what.nodes or of_cluster]


def _changed(world: Prepared, what: WhatIf, closed: Sequence[NodeRow], now: datetime) -> tuple[Snapshot, Horizon]:
    """Return the world as it would be, and what would be known beyond now."""
    if isinstance(what, ChangeQuota):
        rules = world.view.rules
        rows: Mapping[str, QuotaRow] = {row.quota: row for row in rules.quotas} | {what.quota.quota: what.quota}
        changed = replace(rules, quotas=tuple(rows[quota] for quota in sorted(rows, key=lambda path: path.split("/"))))
        ruled = prepare(replace(world.view, rules=changed), now, margin_seconds=world.margin_seconds)
        return ruled.snapshot, ruled.horizon
    if isinstance(what, PauseCity):
        quoted = world.view.pinned
        jobs = [world.waiting[name] for name in world.snapshot.job_id]
        stay = [at for at, row in enumerate(jobs) if row.city != what.city or row.job in quoted]
        return world.snapshot.of_jobs(stay), world.horizon
    shut = {node.node_id for node in closed}
    nodes = [at for at, node in enumerate(world.nodes) if node.node_id in shut]
    still_open = world.snapshot.node_open.copy()
    still_open[nodes] = False
    return replace(world.snapshot, node_open=still_open), _without_windows(world.horizon, nodes)


def _without_windows(horizon: Horizon, nodes: Sequence[int]) -> Horizon:
    """Return the horizon in which these nodes have no window: one that is closed for good does not open after it."""
    left = ~np.isin(horizon.closed_node, nodes)
    return replace(
        horizon,
        closed_node=horizon.closed_node[left],
        closed_from_s=horizon.closed_from_s[left],
        closed_until_s=horizon.closed_until_s[left],
    )


def _stopped(view: WorldView, leases: Sequence[str], now: datetime) -> tuple[Running, ...]:
    """Return leases that would be ordered to stop now."""
    held, wanted = view.leases, set(leases)
    return tuple(
        Running(LeaseId(lease), JobId(job), now + timedelta(seconds=grace))
        for lease, job, grace in zip(held.lease, held.job, held.grace_seconds, strict=True)
        if lease_text(LeaseId(lease)) in wanted
    )


def _running(view: WorldView, closed: Sequence[int]) -> tuple[Running, ...]:
    """Return the leases that hold something on these nodes."""
    held, shut = view.leases, set(closed)
    found = [
        Running(LeaseId(lease), JobId(job), datetime.fromtimestamp(ends_s, UTC))
        for lease, job, ends_s, first, end in zip(
            held.lease, held.job, held.ends_s, held.first, held.first[1:], strict=False
        )
        if not shut.isdisjoint(held.node_id[first:end])
    ]
    return tuple(sorted(found, key=lambda each: (each.ends_at, each.lease)))
