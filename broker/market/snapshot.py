"""Turn the rows of a world view into the scheduler's snapshot, and remember which row stands at which index."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broker.ids import JobId, job_text
from broker.job import PriorityClass, Within
from broker.market import ceilings, snapshot_rules
from broker.market.ahead import LEVEL, Margin, horizon_of
from broker.store.node_table import NodeTable
from broker.store.snapshots import PoolRow, WaitingRow, WorldView
from scheduler.horizon import Horizon
from scheduler.snapshot import UNKNOWN, Snapshot
from scheduler.zones import Zoned, open_world

FULL_SPEED_PPM = 1_000_000

Shapes = Mapping[int, Mapping[str, Any]]
"""Requirements of jobs by shape_id, see `JobSpec.requirement`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A snapshot and the rows that its indices stand for."""

    snapshot: Snapshot
    pools: tuple[PoolRow, ...]
    nodes: NodeTable
    waiting: dict[str, WaitingRow]  # by the job id as the snapshot writes it
    shape_of: dict[str, int]  # position of each job's shape
    splits: tuple[tuple[int, int], ...]  # node_id and card of each split card
    rules_version: int  # of the rules that it was made by
    view: WorldView
    horizon: Horizon = field(default_factory=Horizon)  # what is known beyond now, of a world for a round
    margin_seconds: int | None = None  # of the round's policy: how long after its end a lease may hold its cards

    def job(self, job_id: str) -> JobId:
        """Return the id of a job that the snapshot names."""
        return self.waiting[job_id].job


def prepare(view: WorldView, now: datetime, *, margin_seconds: int | None = None) -> Prepared:
    """Return the snapshot of a world view. Equal views at the same time give equal snapshots.

    `margin_seconds`: for a round with a policy of this margin: with the horizon, which tells of windows, so that no
    pool has an end.
    """
    ahead = margin_seconds is not None
    pool_index = {pool.pool_id: i for i, pool in enumerate(view.pools)}
    shape_index = {shape_id: i for i, shape_id in enumerate(sorted(view.shapes))}
    nodes, domain = _in_order(NodeTable.of(view.nodes), pool_index)
    ruled = snapshot_rules.arrays(view)
    owners = tuple(sorted({p.owner for p in view.pools}))
    arrays = {
        **_catalogue(view),
        **_pools(view, owners),
        "pool_until_s": _ints(UNKNOWN for _ in view.pools) if ahead else _pool_until(view.pools, nodes),
        **_nodes(nodes, pool_index),
        "node_domain": domain,
        **_splits(nodes),
        **_of_jobs(view, shape_index, owners, ruled["tenant_names"], margin_seconds),
        **ruled,
    }
    snapshot = Snapshot(taken_at_s=_floor(now), **arrays)
    return Prepared(
        snapshot,
        pools=view.pools,
        nodes=nodes,
        waiting=dict(zip(snapshot.job_id, view.waiting, strict=True)),
        shape_of=dict(zip(snapshot.job_id, snapshot.job_shape.tolist(), strict=True)),
        splits=tuple((int(nodes.node_id[at]), card) for at, split in sorted(nodes.split.items()) for card in split),
        rules_version=view.rules.version,
        view=view,
        horizon=Horizon() if margin_seconds is None else horizon_of(view, snapshot, nodes, margin_seconds),
        margin_seconds=margin_seconds,
    )


def zones(world: Prepared, margin_seconds: int) -> tuple[Prepared, Zoned]:
    """Return the world as it is open to jobs that are promised nothing, and what its positions were before."""
    around = open_world(world.snapshot, world.horizon, margin_seconds)
    if around.world is world.snapshot:
        return world, around
    cut = replace(
        world,
        snapshot=around.world,
        pools=tuple(world.pools[at] for at in around.pool_of.tolist()),
        nodes=world.nodes.take(around.node_of),
        splits=tuple(world.splits[at] for at in around.split_of.tolist()),
    )
    return cut, around


def arrived(world: Prepared, waiting: Sequence[WaitingRow], shapes: Shapes, now: datetime) -> Prepared:
    """Return the same world with these jobs alone in it; without those of cities that it does not know yet."""
    cities = {city for city, _ in world.view.cities}
    view = replace(world.view, waiting=tuple(job for job in waiting if job.city in cities), shapes=shapes)
    shape_index = {shape_id: i for i, shape_id in enumerate(sorted(view.shapes))}
    snapshot = world.snapshot.with_jobs(
        _floor(now),
        **_of_jobs(view, shape_index, world.snapshot.owner_names, world.snapshot.tenant_names, world.margin_seconds),
    )
    return replace(
        world,
        snapshot=snapshot,
        waiting=dict(zip(snapshot.job_id, view.waiting, strict=True)),
        shape_of=dict(zip(snapshot.job_id, snapshot.job_shape.tolist(), strict=True)),
        view=view,
    )


def _of_jobs(
    view: WorldView,
    shape_index: Mapping[int, int],
    owners: Sequence[str],
    tenants: Sequence[str],
    margin_seconds: int | None,
) -> dict[str, Any]:
    shapes = [view.shapes[shape_id] for shape_id in shape_index]
    return {
        **_shapes(view, shapes),
        **_forms(shapes),
        **_places(view, shapes, owners),
        **_jobs(view, shape_index, margin_seconds),
        "job_tenant": _tenants(view.waiting, tenants),
    }


def _catalogue(view: WorldView) -> dict[str, Any]:
    hub_index = {hub: i for i, hub in enumerate(view.hubs)}
    city_index = {city: i for i, (city, _) in enumerate(view.cities)}
    round_trips = np.full((len(view.cities), len(view.hubs)), UNKNOWN, dtype=np.int64)
    for (city, hub), micros in view.round_trips.items():
        round_trips[city_index[city], hub_index[hub]] = micros
    return {
        "model_names": tuple(m.model for m in view.models),
        "model_stack": tuple(m.stack for m in view.models),
        "model_origin": tuple(m.origin for m in view.models),
        "model_fp16_programme_milli_tflops": _ints(m.programme or UNKNOWN for m in view.models),
        "model_fp16_nameplate_milli_tflops": _ints(m.nameplate or UNKNOWN for m in view.models),
        "model_fp16_measured_milli_tflops": _ints(m.measured or UNKNOWN for m in view.models),
        "hub_names": view.hubs,
        "city_names": tuple(city for city, _ in view.cities),
        "city_weight_ppm": _ints(weight for _, weight in view.cities),
        "round_trip_micros": round_trips,
    }


def _pools(view: WorldView, owners: Sequence[str]) -> dict[str, Any]:
    hub_index = {hub: i for i, hub in enumerate(view.hubs)}
    model_index = {m.model: i for i, m in enumerate(view.models)}
    return {
        "pool_names": tuple(f"{p.cluster}/{p.pool}" for p in view.pools),
        "pool_cluster": tuple(p.cluster for p in view.pools),
        "pool_hub": _ints(hub_index[p.hub] for p in view.pools),
        "pool_model": _ints(model_index[p.model] for p in view.pools),
        "pool_ask_micro_yuan_per_card_hour": _ints(p.ask_micro_yuan_per_card_hour for p in view.pools),
        "owner_names": owners,
        "pool_owner": _ints(owners.index(p.owner) for p in view.pools),
    }


def _in_order(nodes: NodeTable, pool_index: Mapping[int, int]) -> tuple[NodeTable, NDArray[np.int64]]:
    """Return the nodes by pool, fabric domain and name, and the number of each one's domain within its pool."""
    by_name = np.array(sorted(range(len(nodes)), key=nodes.node.__getitem__), dtype=np.int64)
    named = nodes.take(by_name)
    pool = _ints(map(pool_index.__getitem__, named.pool_id.tolist()))
    within = list(zip(pool.tolist(), named.domain, strict=True))
    numbers: dict[tuple[int, str], int] = {}
    last, number = -1, 0
    for key in sorted(set(within)):
        number = number + 1 if key[0] == last else 0
        numbers[key], last = number, key[0]
    domain = _ints(map(numbers.__getitem__, within))
    order = np.lexsort((domain, pool))
    return named.take(order), domain[order]


def _pool_until(pools: Sequence[PoolRow], nodes: NodeTable) -> NDArray[np.int64]:
    """Return [P]: when the first window begins in pools all of whose open nodes have one ahead; UNKNOWN for others.

    For a question about one job alone; a round knows the windows of every node.
    """
    starts: dict[int, list[int]] = {pool.pool_id: [] for pool in pools}
    for at in np.flatnonzero(nodes.open).tolist():
        window = nodes.window.get(at)
        starts[int(nodes.pool_id[at])].append(UNKNOWN if window is None else _floor(window[0]))
    return _ints(min(starts[pool.pool_id], default=UNKNOWN) for pool in pools)


def _nodes(nodes: NodeTable, pool_index: Mapping[int, int]) -> dict[str, Any]:
    return {
        "node_names": nodes.node,
        "node_pool": _ints(map(pool_index.__getitem__, nodes.pool_id.tolist())),
        "node_open": nodes.open,
        "node_cards": nodes.cards,
        "node_cpu_milli": nodes.cpu_milli,
        "node_memory_mib": nodes.memory_mib,
        "node_free_cards": nodes.free_cards,
        "node_free_cpu_milli": nodes.free_cpu_milli,
        "node_free_memory_mib": nodes.free_memory_mib,
    }


def _splits(nodes: NodeTable) -> dict[str, Any]:
    split = [(at, card) for at, cards in sorted(nodes.split.items()) for card in cards.values()]
    return {
        "split_node": _ints(i for i, _ in split),
        "split_free_milli": _ints(card.free_milli for _, card in split),
        "split_shares": _ints(card.tasks for _, card in split),
    }


def _shapes(view: WorldView, shapes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    builds = [build for shape in shapes for build in shape["builds"]]
    allowed = [[not s["allowed_hubs"] or hub in s["allowed_hubs"] for hub in view.hubs] for s in shapes]
    runs_on = [
        [m.stack == b["stack"] and (not b["models"] or m.model in b["models"]) for m in view.models] for b in builds
    ]
    return {
        "shape_tasks": _ints(s["tasks"] for s in shapes),
        "shape_cards_per_task": _ints(s["cards_per_task"] for s in shapes),
        "shape_cpu_milli_per_task": _ints(s["cpu_milli_per_task"] for s in shapes),
        "shape_memory_mib_per_task": _ints(s["memory_mib_per_task"] for s in shapes),
        "shape_round_trip_micros_max": _ints(s["round_trip_micros_max"] or UNKNOWN for s in shapes),
        "shape_hub_allowed": _table(allowed, len(view.hubs)),
        "build_start": np.cumsum([0, *(len(s["builds"]) for s in shapes)], dtype=np.int64),
        "build_stack": tuple(b["stack"] for b in builds),
        "build_models": _table(runs_on, len(view.models)),
        "build_speed_ppm": _ints(b["speed_ppm"] for b in builds),
    }


def _forms(shapes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the gangs may look like: shares, sizes, nearness. A requirement names only what it asks for."""
    sizes = [s.get("smaller_sizes", ()) for s in shapes]
    return {
        "shape_share_milli": _ints(s.get("share_milli", 0) for s in shapes),
        "shape_within": _ints(LEVEL[s.get("within", Within.POOL)] for s in shapes),
        "shape_spread_speed_ppm": _ints(s.get("spread_speed_ppm", FULL_SPEED_PPM) for s in shapes),
        "size_start": np.cumsum([0, *map(len, sizes)], dtype=np.int64),
        "size_tasks": _ints(size["tasks"] for smaller in sizes for size in smaller),
        "size_speed_ppm": _ints(size["speed_ppm"] for smaller in sizes for size in smaller),
    }


def _places(view: WorldView, shapes: Sequence[Mapping[str, Any]], owners: Sequence[str]) -> dict[str, Any]:
    """Return where shapes may run by owner and origin, and the data that they carry."""
    staged = [[hub in s.get("staged_hubs", ()) for hub in view.hubs] for s in shapes]
    allowed = [[owner in s.get("allowed_owners", owners) for owner in owners] for s in shapes]
    return {
        "shape_domestic_only": np.array([s.get("domestic_only", False) for s in shapes], dtype=np.bool_),
        "shape_owner_allowed": _table(allowed, len(owners)),
        "shape_input_gib": _ints(s.get("input_gib", 0) for s in shapes),
        "shape_output_gib": _ints(s.get("output_gib", 0) for s in shapes),
        "shape_staged": _table(staged, len(view.hubs)),
        "shape_transfer_seconds_max": _ints(s.get("transfer_seconds_max", 0) or UNKNOWN for s in shapes),
    }


def _tenants(jobs: Sequence[WaitingRow], names: Sequence[str]) -> NDArray[np.int64]:
    """Return whose quota each job counts to: its enterprise's where that has one, else its city's, else nobody's."""
    index = {name: i for i, name in enumerate(names)}
    by_city = [index.get(j.city, UNKNOWN) for j in jobs]
    return _ints(index.get(f"{j.city}/{j.enterprise}", city) for j, city in zip(jobs, by_city, strict=True))


def _jobs(view: WorldView, shape_index: Mapping[int, int], margin_seconds: int | None) -> dict[str, Any]:
    """Return the waiting jobs. Their time is with what grace takes beyond the margin, if there is one.

    So work that may be long in ending ends before the cards are promised; being done in time is by the walltime alone.
    """
    city_index = {city: i for i, (city, _) in enumerate(view.cities)}
    jobs = view.waiting
    finish_by = _column(jobs, "finish_by", lambda at: UNKNOWN if at is None else _floor(at))
    margin = None if margin_seconds is None else Margin(margin_seconds)
    over = _column(jobs, "grace_seconds", lambda grace: 0 if margin is None else margin.excess(grace))
    priority = _column(jobs, "priority", attrgetter("rank"))
    return {
        "job_id": tuple([job_text(j.job) for j in jobs]),
        "job_city": _column(jobs, "city", city_index.__getitem__),
        "job_shape": _column(jobs, "shape_id", shape_index.__getitem__),
        "job_priority": priority,
        "job_tier": np.where(priority == PriorityClass.EMERGENCY.rank, 0, 1).astype(np.int64),
        "job_ceiling_micro_yuan_per_pflops_hour": _ints(ceilings.of_jobs(view)),
        "job_submitted_at_s": np.floor([j.submitted_at.timestamp() for j in jobs]).astype(np.int64),
        "job_walltime_seconds": _column(jobs, "walltime_seconds", int) + over,
        "job_finish_by_s": np.where(finish_by < 0, finish_by, finish_by + over),
    }


def _column(jobs: Sequence[WaitingRow], name: str, as_int: Callable[[Any], int]) -> NDArray[np.int64]:
    """Return a number for each job's field of this name, worked out once for each value that there is."""
    values = list(map(attrgetter(name), jobs))
    number = {value: as_int(value) for value in set(values)}
    return _ints(map(number.__getitem__, values))


def _floor(at: datetime) -> int:
    """Return the whole seconds since 1970."""
    return math.floor(at.timestamp())


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def _table(rows: list[list[bool]], columns: int) -> NDArray[np.bool_]:
    return np.array(rows, dtype=np.bool_).reshape(len(rows), columns)
