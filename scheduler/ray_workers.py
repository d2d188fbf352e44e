"""Shards on Ray actors: one more way to look at every group, on as many machines as there are.

Needs `pip install xisuan[ray]`. Each actor holds some shards for the length of a round; only prices go out and sums
come back, so hubs far apart could do the same without showing each other their jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import chain, pairwise
from typing import Any

from scheduler.scan import Ask, Part, Shard
from scheduler.workers import Team


class RayWorkers:
    """So many actors of the Ray cluster that this process is connected to (`ray.init` is the caller's)."""

    def __init__(self, actors: int) -> None:
        if actors < 1:
            raise ValueError(f"actors: is {actors}, must be at least 1")
        self._actors = actors

    def team(self, shards: Sequence[Shard]) -> AbstractContextManager[Team]:
        """Return a team of actors that hold the shards."""
        return _RayTeam(shards, min(self._actors, len(shards)))


class _Holder:
    """What one actor does: it holds shards and answers for them in order."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards

    def scan(self, ask: Ask) -> list[Part]:
        return [shard.scan(ask) for shard in self._shards]


class _RayTeam:
    def __init__(self, shards: Sequence[Shard], actors: int) -> None:
        import ray as library

        ray: Any = library  # it has no types
        self._ray = ray
        # an actor beyond the CPUs of the cluster would wait for ever
        actors = min(actors, max(int(ray.cluster_resources().get("CPU", 1)), 1))
        holder: Any = ray.remote(num_cpus=1)(_Holder)
        borders = [len(shards) * at // actors for at in range(actors + 1)]
        # neighbours stay together: the answers come back in the order of the shards
        self._holders = [holder.remote(shards[low:high]) for low, high in pairwise(borders)]

    def __enter__(self) -> _RayTeam:
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._holders:
            self._ray.kill(holder)

    def scan(self, ask: Ask) -> list[Part]:
        shared = self._ray.put(ask)
        return list(chain.from_iterable(self._ray.get([holder.scan.remote(shared) for holder in self._holders])))
