"""Who scans the shards: this thread, some threads of this process, or (see `ray_workers.py`) actors elsewhere.

The answer never depends on the choice; only the time does.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from scheduler.scan import Ask, Part, Shard


class Team(Protocol):
    """Workers that hold the shards of one instance."""

    def scan(self, ask: Ask) -> list[Part]:
        """Return the answers of all shards, in their order."""


class Workers(Protocol):
    """A kind of workers. `team` hands them the shards; leaving the context lets go of them."""

    def team(self, shards: Sequence[Shard]) -> AbstractContextManager[Team]:
        """Return workers that hold these shards."""


class Inline:
    """The calling thread does it all."""

    def team(self, shards: Sequence[Shard]) -> AbstractContextManager[Team]:
        """Return a team of one."""
        return _Inline(shards)


class _Inline:
    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def scan(self, ask: Ask) -> list[Part]:
        return [shard.scan(ask) for shard in self._shards]


class Threads:
    """So many threads of this process: compiled loops run without Python's lock."""

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads: is {threads}, must be at least 1")
        self._threads = threads

    def team(self, shards: Sequence[Shard]) -> AbstractContextManager[Team]:
        """Return a team of threads; small instances do without."""
        return _Threads(shards, self._threads) if len(shards) > 1 and self._threads > 1 else _Inline(shards)


class _Threads:
    def __init__(self, shards: Sequence[Shard], threads: int) -> None:
        self._shards = shards
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scan")

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def scan(self, ask: Ask) -> list[Part]:
        return list(self._pool.map(lambda shard: shard.scan(ask), self._shards))
