"""Worlds with a time to come: leases that end, nodes that close, and rounds that follow one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from planning_worlds import random_ruled_world, random_world

from scheduler.decide import Decision, decide
from scheduler.horizon import Horizon, Promise
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot

QUICK = Policy(
    effort=2,
    promises_max=4,
    promises_overdue=2,
    patience_seconds=3_600,
    patience_walltime_percent=0,
)


def random_horizon(world: Snapshot, seed: int) -> Horizon:
    """Return leases that hold what is not free on some nodes, and closed times of others."""
    draw = np.random.default_rng((seed, 3))
    split = np.bincount(world.split_node, minlength=len(world.node_names))
    held = world.node_cards - world.node_free_cards - split
    nodes = np.flatnonzero((held > 0) & (draw.random(held.size) < 0.9))
    now, count = world.taken_at_s, len(nodes)
    closed = np.flatnonzero(draw.random(held.size) < 0.2)
    begin = now + draw.integers(-3_600, 86_400, closed.size)
    return Horizon(
        lease_id=tuple(f"lease-{node}" for node in nodes),
        lease_ends_at_s=now + draw.integers(-600, 86_400, count),
        held_lease=np.arange(count),
        held_node=nodes,
        held_cards=held[nodes],
        held_cpu_milli=(world.node_cpu_milli - world.node_free_cpu_milli)[nodes],
        held_memory_mib=(world.node_memory_mib - world.node_free_memory_mib)[nodes],
        closed_node=closed,
        closed_from_s=begin,
        closed_until_s=np.maximum(begin + draw.integers(60, 40_000, closed.size), now + 1),
    )


def with_windows(world: Snapshot, horizon: Horizon) -> Snapshot:
    """Return the world with nodes shut that are closed now: who builds a snapshot does so."""
    opened = world.node_open.copy()
    shut = (horizon.closed_from_s <= world.taken_at_s) & (world.taken_at_s < horizon.closed_until_s)
    opened[horizon.closed_node[shut]] = False
    return replace(world, node_open=opened)


def ruled(seed: int) -> tuple[Snapshot, Horizon]:
    """Return a tiny world in which every rule is in use, with a time to come."""
    world = random_ruled_world(seed, jobs=9, nodes_per_pool=3)
    horizon = random_horizon(world, seed)
    return with_windows(world, horizon), horizon


@dataclass
class Running:
    """A job that runs in a simulated world."""

    nodes: tuple[int, ...]
    tasks: tuple[int, ...]
    takes: tuple[int, int, int]  # of a task: cards, CPU, memory
    limit_s: int
    ends_s: int


class Days:
    """Rounds that follow one another: jobs arrive, run for less than they asked, and nothing fails."""

    def __init__(self, seed: int, policy: Policy, *, jobs: int = 40) -> None:
        self.draw = np.random.default_rng((seed, 5))
        empty = random_world(seed, jobs=jobs, pools=2, nodes_per_pool=2, busy=0.0)
        self.policy = policy
        self.all = replace(empty, node_open=np.ones(len(empty.node_names), dtype=bool))
        self.arrives = np.sort(empty.taken_at_s + self.draw.integers(0, 40_000, jobs))
        self.running: dict[int, Running] = {}
        self.promises: tuple[Promise, ...] = ()
        self.started: dict[int, int] = {}
        self.never: set[int] = set()

    def rounds(self, most: int = 400) -> Iterator[tuple[Snapshot, Horizon, Decision]]:
        """Yield every round until nothing waits, and never more than `most`."""
        now = int(self.arrives[0])
        for _ in range(most):
            for job in [job for job, each in self.running.items() if each.ends_s <= now]:
                del self.running[job]
            world, horizon = self.world(now), self.horizon()
            made = decide(world, horizon, self.policy)
            self._start(now, made)
            yield world, horizon, made
            times = [each.ends_s for each in self.running.values()] + [each.start_s for each in self.promises]
            times += self.arrives[self.arrives > now][:1].tolist()
            if not times:
                return
            now = max(min(times), now + 1)

    def world(self, now: int) -> Snapshot:
        whole, free = self.all, {}
        for at, name in enumerate(("cards", "cpu_milli", "memory_mib")):
            left = getattr(whole, f"node_{name}").copy()
            for each in self.running.values():
                left[list(each.nodes)] -= np.array(each.tasks) * each.takes[at]
            free[f"node_free_{name}"] = left
        waiting = [job for job, when in enumerate(self.arrives.tolist()) if when <= now and job not in self.started]
        submitted = np.minimum(self.arrives, now)
        world = replace(whole, taken_at_s=now, job_submitted_at_s=submitted, **free)
        return world.of_jobs(waiting)

    def horizon(self) -> Horizon:
        jobs = list(self.running)
        held = [
            (at, node, *(tasks * each for each in self.running[job].takes))
            for at, job in enumerate(jobs)
            for node, tasks in zip(self.running[job].nodes, self.running[job].tasks, strict=True)
        ]
        table = np.array(held, dtype=np.int64).reshape(-1, 5)
        return Horizon(
            lease_id=tuple(str(job) for job in jobs),
            lease_ends_at_s=np.array([self.running[job].limit_s for job in jobs], dtype=np.int64),
            held_lease=table[:, 0],
            held_node=table[:, 1],
            held_cards=table[:, 2],
            held_cpu_milli=table[:, 3],
            held_memory_mib=table[:, 4],
            promises=self.promises,
        )

    def _start(self, now: int, made: Decision) -> None:
        self.promises = made.promises
        whole = self.all
        for each in made.placements:
            job = whole.job_id.index(each.job_id)
            shape, limit = int(whole.job_shape[job]), int(whole.job_walltime_seconds[job])
            takes = tuple(
                int(getattr(whole, f"shape_{name}_per_task")[shape]) for name in ("cards", "cpu_milli", "memory_mib")
            )
            lasts = max(int(limit * self.draw.uniform(0.05, 1)), 1) if self.draw.random() < 0.7 else limit
            self.running[job] = Running(each.nodes, each.tasks, takes, now + limit, now + lasts)
            self.started[job] = now
