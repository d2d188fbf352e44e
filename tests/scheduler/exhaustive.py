"""The best plan of a tiny world, found by trying everything. Slow, and sure."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from scheduler.plan import Plan, PlanStatus, Prices
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import _Worth

Need = tuple[int, int, int]


def optimum(snapshot: Snapshot, policy: Policy) -> int:
    """Return the largest worth of any plan, micro-yuan per hour. For a handful of jobs, nodes and pools only."""
    worth = worths(snapshot, policy)
    pools = range(len(snapshot.pool_names))
    options = [[None, *(p for p in pools if worth[p][job] > 0)] for job in range(len(snapshot.job_id))]
    best = 0
    for picks in product(*options):
        total = sum(worth[pool][job] for job, pool in enumerate(picks) if pool is not None)
        if total > best and all(_packs(snapshot, pool, picks) for pool in pools):
            best = total
    return best


def worths(snapshot: Snapshot, policy: Policy) -> list[list[int]]:
    """Return [pool][job], by the verifier's own definition."""
    no_plan = Plan(
        snapshot_hash="",
        policy=policy,
        placements=(),
        refusals=(),
        prices=Prices((), (), (), ()),
        objective_micro_yuan_per_hour=0,
        bound_micro_yuan_per_hour=0,
        effort_spent=0,
        status=PlanStatus.OPTIMAL,
    )
    definition = _Worth(snapshot, no_plan)
    return [definition.of_all(pool).tolist() for pool in range(len(snapshot.pool_names))]


def _packs(snapshot: Snapshot, pool: int, picks: tuple[int | None, ...]) -> bool:
    tasks: list[Need] = []
    for job, picked in enumerate(picks):
        if picked == pool:
            shape = int(snapshot.job_shape[job])
            need = (
                int(snapshot.shape_cards_per_task[shape]),
                int(snapshot.shape_cpu_milli_per_task[shape]),
                int(snapshot.shape_memory_mib_per_task[shape]),
            )
            tasks += [need] * int(snapshot.shape_tasks[shape])
    nodes = [
        (int(snapshot.node_free_cards[n]), int(snapshot.node_free_cpu_milli[n]), int(snapshot.node_free_memory_mib[n]))
        for n in range(len(snapshot.node_names))
        if snapshot.node_pool[n] == pool and snapshot.node_open[n]
    ]
    return _fit(tuple(sorted(tasks, reverse=True)), tuple(sorted(nodes)))


@lru_cache(maxsize=100_000)
def _fit(tasks: tuple[Need, ...], nodes: tuple[Need, ...]) -> bool:
    if not tasks:
        return True
    need, *rest = tasks
    for place in range(len(nodes)):
        have = nodes[place]
        if place and nodes[place - 1] == have:
            continue  # the same node again
        if all(h >= n for h, n in zip(have, need, strict=True)):
            after = (*nodes[:place], tuple(h - n for h, n in zip(have, need, strict=True)), *nodes[place + 1 :])
            if _fit(tuple(rest), tuple(sorted(after))):
                return True
    return False
