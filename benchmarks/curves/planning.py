"""Seconds of a round over jobs, nodes and cities: the same number of steps for each size, so that times compare."""

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.curves.curve import Curve
from benchmarks.rounds import Planner
from benchmarks.sweep import STEPS
from benchmarks.worlds.national import national
from benchmarks.worlds.trace import RealJobs
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import violations

POOLS: Final = 24
REPEATS: Final = 2
"""Of each size; the quicker round counts: what a machine does beside it only makes it longer."""


class Rounds:
    """Plans worlds in a process of its own, and counts what the verifier finds in their plans."""

    def __init__(self, planner: Planner, seed: int, real: RealJobs, tell: Callable[[str], None]) -> None:
        self._planner, self._seed, self._real, self._tell = planner, seed, real, tell
        self.violations = 0
        planner.compile()

    def by_jobs(self, sizes: Sequence[int], nodes: int) -> Curve:
        """Return the curve over the jobs that wait, on so many nodes."""
        costs = [self._seconds(f"{jobs:,} jobs", self._world(nodes=nodes, jobs=jobs)) for jobs in sizes]
        return Curve("round_by_jobs", f"a round on {nodes:,} nodes, s", "jobs", "seconds", sizes, costs)

    def by_nodes(self, sizes: Sequence[int], jobs: int) -> Curve:
        """Return the curve over nodes, for so many jobs."""
        costs = [self._seconds(f"{nodes:,} nodes", self._world(nodes=nodes, jobs=jobs)) for nodes in sizes]
        return Curve("round_by_nodes", f"a round of {jobs:,} jobs, s", "nodes", "seconds", sizes, costs)

    def by_cities(self, sizes: Sequence[int], nodes: int, jobs: int) -> Curve:
        """Return the curve over the cities that so many jobs come from."""
        costs = [
            self._seconds(f"{cities:,} cities", self._world(nodes=nodes, jobs=jobs, cities=cities)) for cities in sizes
        ]
        told = f"a round of {jobs:,} jobs on {nodes:,} nodes, s"
        return Curve("round_by_cities", told, "cities", "seconds", sizes, costs)

    def _world(self, *, nodes: int, jobs: int, cities: int | None = None) -> Snapshot:
        more = {} if cities is None else {"cities": cities}
        return national(self._seed, nodes, min(POOLS, nodes), jobs, self._real, **more)

    def _seconds(self, told: str, world: Snapshot) -> float:
        policy = Policy(effort=STEPS, seed=self._seed)
        rounds = [self._planner.round(world, policy, 0) for _ in range(REPEATS)]
        self.violations += len(violations(world, rounds[0].plan))
        seconds = min(each.seconds for each in rounds)
        self._tell(f"round: {told}: {seconds:.2f} s")
        return seconds
