"""Small jobs race a gang of 1,024 cards: rounds plan for seconds, and the placer goes on meanwhile.

The simulation uses planner and placer as the broker does: a round reads the world, plans it for some seconds, and
commits what still fits; the placer of that world places what arrives, with room set aside for gangs or without.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from planning_worlds import arrays

from scheduler.placer import Placed, Placer, last_prices
from scheduler.plan import Placement, Plan
from scheduler.planner import plan
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Snapshot

NODES: Final = 160  # of 8 cards
CARDS: Final = (1, 2, 4, 8, 1)  # of a task, by shape; the last shape is the gang's
GANG_SHAPE, GANG_TASKS = 4, 1024
GANG_COMES_AT = 7
ROUND_EVERY, PLANS_FOR = 5, 3  # seconds
ARRIVALS_PER_SECOND, RUNS_FOR = 15, 4
POLICY = Policy(effort=0)


class Exchange:
    """What really is free, who waits and who runs, second by second."""

    def __init__(self, seed: int, *, set_aside: int) -> None:
        self._draw = np.random.Generator(np.random.PCG64(seed))
        self._set_aside = set_aside
        self._free = np.full(NODES, 8)
        self._waiting: dict[str, int] = {}  # shape by job
        self._running: list[tuple[int, list[int], list[int]]] = []  # end, nodes, cards on each
        self._world = self._snapshot(0)
        self._placer = Placer(self._world, POLICY)
        self._prices: tuple[OpeningPrice, ...] = ()
        self._round: tuple[int, Snapshot, Plan] | None = None  # when it will be committed
        self.small = 0  # jobs that came
        self.rounds_begun_since_gang = 0
        self.gang_started = False

    def second(self, now: int) -> None:
        self._end(now)
        if now == GANG_COMES_AT:
            self._waiting["gang"] = GANG_SHAPE
        if self._round is not None and self._round[0] == now:
            self._commit(now)
        if now % ROUND_EVERY == 0:
            self._begin(now)
        self._arrive(now)

    def _begin(self, now: int) -> None:
        self._world = self._snapshot(now)
        self._placer = Placer(self._world, POLICY, self._prices)
        self._placer.set_aside(self._world, self._set_aside)
        self._round = now + PLANS_FOR, self._world, plan(self._world, POLICY)
        self.rounds_begun_since_gang += "gang" in self._waiting

    def _commit(self, now: int) -> None:
        assert self._round is not None
        _, world, made = self._round
        started = [each for each in made.placements if self._start(each, now)]
        self._placer.settle(world, made, started)
        self._prices = last_prices(world, made)

    def _arrive(self, now: int) -> None:
        names = [f"small-{self.small + i:06}" for i in range(ARRIVALS_PER_SECOND)]
        self.small += len(names)
        self._waiting |= dict(zip(names, self._draw.integers(0, GANG_SHAPE, len(names)).tolist(), strict=True))
        for decision in self._placer.place(self._world.with_jobs(now, **self._jobs(names, now))):
            if isinstance(decision, Placed):
                assert self._start(decision.placement, now)

    def _start(self, placement: Placement, now: int) -> bool:
        """Commit by fit."""
        shape = self._waiting[placement.job_id]
        nodes, cards = list(placement.nodes), [tasks * CARDS[shape] for tasks in placement.tasks]
        if (self._free[nodes] < cards).any():
            return False
        self._free[nodes] -= cards
        self._running.append((now + RUNS_FOR, nodes, cards))
        self.gang_started |= placement.job_id == "gang"
        del self._waiting[placement.job_id]
        return True

    def _end(self, now: int) -> None:
        for _, nodes, cards in [each for each in self._running if each[0] <= now]:
            self._free[nodes] += cards
        self._running = [each for each in self._running if each[0] > now]

    def _snapshot(self, now: int) -> Snapshot:
        world = arrays(nodes_per_pool=NODES, jobs=0) | {"taken_at_s": now, "node_free_cards": self._free}
        return Snapshot(**world | self._jobs(sorted(self._waiting), now))

    def _jobs(self, names: list[str], now: int) -> dict[str, object]:
        count, shapes = len(names), len(CARDS)
        return {
            "shape_tasks": [1] * GANG_SHAPE + [GANG_TASKS],
            "shape_cards_per_task": CARDS,
            "shape_cpu_milli_per_task": [0] * shapes,
            "shape_memory_mib_per_task": [0] * shapes,
            "shape_round_trip_micros_max": [-1] * shapes,
            "shape_hub_allowed": [[True]] * shapes,
            "build_start": range(shapes + 1),
            "build_stack": ("cann",) * shapes,
            "build_models": [[True]] * shapes,
            "build_speed_ppm": [10**6] * shapes,
            "job_id": names,
            "job_city": [0] * count,
            "job_shape": [self._waiting[name] for name in names],
            "job_priority": [1] * count,
            "job_ceiling_micro_yuan_per_pflops_hour": [10_000_000] * count,
            "job_submitted_at_s": [now] * count,
            "job_walltime_seconds": [RUNS_FOR] * count,
        }


@pytest.mark.parametrize("seed", range(3))
def test_a_large_gang_starts_within_two_rounds_of_its_coming(seed: int) -> None:
    exchange = Exchange(seed, set_aside=4)

    now = 0
    while not exchange.gang_started and now < 100:
        exchange.second(now)
        now += 1

    assert exchange.gang_started
    assert exchange.rounds_begun_since_gang <= 2


@pytest.mark.parametrize("seed", range(3))
def test_without_room_set_aside_small_jobs_keep_it_out(seed: int) -> None:
    exchange = Exchange(seed, set_aside=0)

    for now in range(100):
        exchange.second(now)

    assert not exchange.gang_started
    assert exchange.rounds_begun_since_gang >= 10
