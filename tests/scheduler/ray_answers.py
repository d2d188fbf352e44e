"""What workers of each kind answer on one instance; as a program: compare Ray actors with the calling thread.

`python tests/scheduler/ray_answers.py 1 2` starts a Ray on this machine and says for one and two actors "equal" or not.
"""

from __future__ import annotations

import sys

import numpy as np
from planning_worlds import random_world

from scheduler.choices import Choices, choose
from scheduler.policy import Policy
from scheduler.ray_workers import RayWorkers
from scheduler.rows import Rows, capacity_rows, costs_at
from scheduler.scan import Ask, Part, shards_of
from scheduler.search import Aim, Relaxation
from scheduler.workers import Inline, Workers

Instance = tuple[Choices, Rows]


def an_instance() -> Instance:
    """Return an instance of several shards."""
    choices = choose(random_world(5, jobs=9_000, pools=24, nodes_per_pool=12, shapes=300), Policy())
    return choices, capacity_rows(choices)


def answers(workers: Workers, instance: Instance) -> list[Part]:
    """Return the parts at some prices."""
    choices, rows = instance
    aim = Aim(0, (), (), np.zeros(0, dtype=np.int64))
    draw = np.random.Generator(np.random.PCG64(7))
    shards = shards_of(choices, rows)
    assert len(shards) > 2  # or there would be nothing to share out
    with workers.team(shards) as team:
        zero = Relaxation(choices, rows, team).zero(aim)
        prices = zero.like(draw.integers(0, 3_000_000, zero.flat().size))
        return team.scan(Ask(costs_at(choices, rows, prices), np.array([10**6, 0, 0, 0])))


def same(one: list[Part], other: list[Part]) -> bool:
    """Return whether two answers are equal to the last bit."""

    def content(part: Part) -> list[bytes]:
        return [np.asarray(value).tobytes() for value in vars(part).values()]

    return [content(part) for part in one] == [content(part) for part in other]


def main() -> None:
    """Compare for each number of actors given."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    instance = an_instance()
    expected = answers(Inline(), instance)
    for actors in map(int, sys.argv[1:]):
        print(actors, "equal" if same(expected, answers(RayWorkers(actors), instance)) else "different")
    ray.shutdown()


if __name__ == "__main__":
    main()
