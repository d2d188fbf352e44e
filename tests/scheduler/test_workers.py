"""Whoever scans the shards, the answer is the same to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from planning_worlds import random_world

from scheduler.choices import Choices, choose
from scheduler.policy import Policy
from scheduler.ray_workers import RayWorkers
from scheduler.rows import Rows, capacity_rows, costs_at
from scheduler.scan import Ask, Part, shards_of
from scheduler.search import Aim, Relaxation
from scheduler.workers import Inline, Threads, Workers


@pytest.fixture(scope="module")
def instance() -> tuple[Choices, Rows]:
    world = random_world(5, jobs=9_000, pools=24, nodes_per_pool=12, shapes=300)
    choices = choose(world, Policy())
    return choices, capacity_rows(choices)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield
    ray.shutdown()


def _answers(workers: Workers, instance: tuple[Choices, Rows]) -> list[Part]:
    choices, rows = instance
    aim = Aim(0, (), (), np.zeros(0, dtype=np.int64))
    draw = np.random.Generator(np.random.PCG64(7))
    shards = shards_of(choices, rows)
    assert len(shards) > 2  # or there would be nothing to share out
    with workers.team(shards) as team:
        zero = Relaxation(choices, rows, team).zero(aim)
        prices = zero.like(draw.integers(0, 3_000_000, zero.flat().size))
        return team.scan(Ask(costs_at(choices, rows, prices), np.array([10**6, 0, 0, 0])))


def _same(one: list[Part], other: list[Part]) -> bool:
    def content(part: Part) -> list[bytes]:
        return [np.asarray(value).tobytes() for value in vars(part).values()]

    return [content(part) for part in one] == [content(part) for part in other]


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_answer_as_one_thread_does(instance: tuple[Choices, Rows], threads: int) -> None:
    assert _same(_answers(Inline(), instance), _answers(Threads(threads), instance))


@pytest.mark.parametrize("actors", [1, 2])
def test_ray_actors_answer_as_one_thread_does(instance: tuple[Choices, Rows], ray_cluster: None, actors: int) -> None:
    assert _same(_answers(Inline(), instance), _answers(RayWorkers(actors), instance))


def test_more_workers_than_shards_do_no_harm(instance: tuple[Choices, Rows], ray_cluster: None) -> None:
    assert _same(_answers(Inline(), instance), _answers(RayWorkers(100), instance))


@pytest.mark.parametrize("kind", [Threads, RayWorkers])
def test_no_workers_at_all_are_refused(kind: type[Threads] | type[RayWorkers]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        kind(0)
