"""What the machine and the database do during a run, looked at each second from outside."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil

from benchmarks.brokers import database_pids, takes_calls

PARTS: Final = ("broker", "calls", "planning", "database", "agents", "clients")

LOOKING_SHARE_MAX: Final = 0.02
"""Of the time the database may count what waits and what is held, or the looking is a load of its own."""
REST_SECONDS_MAX: Final = 10.0

STATE: Final = """
    SELECT (SELECT count(*) FROM jobs WHERE state = 'pending') AS pending,
           (SELECT count(*) FROM leases WHERE state <> 'ended') AS leases,
           (SELECT coalesce(sum(milli), 0) / 1000 FROM held_cards) AS cards,
           (SELECT active_time FROM pg_stat_database WHERE datname = current_database()) AS active_millis,
           (SELECT gap_ppm FROM rounds WHERE outcome = 'committed' ORDER BY round_id DESC LIMIT 1) AS gap_ppm
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. CPU in seconds of each part's processes so far, memory in MiB."""

    at: float  # seconds after the start of the run
    cpu_seconds: Mapping[str, float]
    memory_mib: Mapping[str, float]
    pending: int
    leases: int
    cards: int
    database_active_seconds: float
    gap_ppm: int | None


@dataclass(slots=True)
class Sampler:
    """Looks each second until it is cancelled; `samples` are what it saw."""

    broker_pid: int
    home: Path
    dsn: str
    beside: Mapping[str, Sequence[int]]  # pids of agents and clients
    begins_at: float  # by time.monotonic
    samples: list[Sample] = field(default_factory=list)
    _known: dict[int, psutil.Process] = field(default_factory=dict)
    _gone: dict[str, float] = field(default_factory=dict)
    _last: dict[int, tuple[str, float]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look each second; less often where a million that wait would have to be counted each second."""
        hub = await asyncpg.connect(self.dsn)
        try:
            await hub.execute("SET ROLE xisuan_hub")
            first = None
            while True:
                at = time.monotonic() - self.begins_at
                cpu, memory = await asyncio.to_thread(self._processes)
                asked = time.monotonic()
                [row] = await hub.fetch(STATE)
                rest = min((time.monotonic() - asked) / LOOKING_SHARE_MAX, REST_SECONDS_MAX)
                first = row["active_millis"] if first is None else first
                self.samples.append(_sample(at, cpu, memory, row, first))
                await asyncio.sleep(max(0.0, rest, 1.0 - (time.monotonic() - self.begins_at - at)))
        finally:
            await hub.close()

    def _processes(self) -> tuple[dict[str, float], dict[str, float]]:
        cpu, memory = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0.0)
        for part, pid in self._pids():
            try:
                process = self._known.setdefault(pid, psutil.Process(pid))
                times = process.cpu_times()
                used = times.user + times.system
                resident = process.memory_info().rss - (process.memory_info().shared if part == "database" else 0)
            except psutil.Error:
                continue
            self._last[pid] = (part, used)
            memory[part] += resident / 2**20
        for part, used in self._last.values():  # those that have ended count with what they had used
            cpu[part] += used
        return cpu, memory

    def _pids(self) -> list[tuple[str, int]]:
        found = [("broker", self.broker_pid)]
        found += [(part, pid) for part, pids in self.beside.items() for pid in pids]
        with suppress(psutil.Error):
            children = psutil.Process(self.broker_pid).children(recursive=True)
            found += [("calls" if takes_calls(child) else "planning", child.pid) for child in children]
        database = database_pids(self.home)  # one that the broker has started is its child
        found = [(part, pid) for part, pid in found if part != "planning" or pid not in database]
        return found + [("database", pid) for pid in sorted(database)]


def _sample(at: float, cpu: dict[str, float], memory: dict[str, float], row: Any, first: float) -> Sample:
    return Sample(
        at=at,
        cpu_seconds=cpu,
        memory_mib=memory,
        pending=row["pending"],
        leases=row["leases"],
        cards=int(row["cards"]),
        database_active_seconds=(row["active_millis"] - first) / 1000,
        gap_ppm=row["gap_ppm"],
    )
