"""A fake engine: gangs that run in virtual processes, nodes that fail, and a record as a real engine writes it.

Nothing of a job is run; everything that the broker can see of it is. No clock of its own: time comes in as `now`, in
seconds of CLOCK_BOOTTIME, and what is due is done by `advance`.
"""

import heapq
import io
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.load.worlds import PoolStock
from broker.agent.engines.processes import boot_id
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import job_pb2

RUN_SECONDS: Final = "RUN_SECONDS"
"""Variable of a job's environment: how long it runs."""

STARTING, RUNNING, ENDED = wire.LEASE_PHASE_STARTING, wire.LEASE_PHASE_RUNNING, wire.LEASE_PHASE_ENDED

Key = tuple[str, int]
"""Id of a lease, and its epoch."""


@dataclass(slots=True)
class Faults:
    """What goes wrong, on the average of a cluster."""

    node_failures_per_hour: float = 0.0  # of all its nodes together
    repair_seconds: float = 60.0


@dataclass(slots=True)
class _Lease:
    job: str
    order: wire.LeaseOrder
    report: wire.LeaseReport
    told: bytes = b""  # the report as a part of a message; empty when it has changed since
    ends_at: float = 0.0


class FakeEngine:
    """What runs on one cluster."""

    def __init__(
        self, pools: Iterable[PoolStock], record: Path, luck: random.Random, faults: Faults, start_seconds: float = 0.05
    ) -> None:
        """`record`: folder of the engine's own record; `start_seconds`: from the order to the running gang."""
        self._nodes = [(pool, index) for pool in pools for index in range(pool.nodes)]
        self._leases: dict[Key, _Lease] = {}
        self._epochs: dict[str, int] = {}
        self._due: list[tuple[float, str, Key]] = []
        self._down: dict[str, float] = {}  # node -> repaired at
        self._luck, self._faults, self._start_seconds = luck, faults, start_seconds
        self._fails_at = float("inf")
        record.mkdir(parents=True, exist_ok=True)
        self._record: io.TextIOBase = (record / "engine.jsonl").open("a", buffering=1 << 16)
        self._boot = boot_id()
        self.started = self.ended = self.failures = 0

    @property
    def living(self) -> int:
        """Leases that have not ended."""
        return sum(lease.report.phase != ENDED for lease in self._leases.values())

    def next_due(self) -> float:
        """Return when something happens next; infinity when nothing will."""
        repair = min(self._down.values(), default=float("inf"))
        return min(self._due[0][0] if self._due else float("inf"), repair, self._fails_at)

    def told(self) -> wire.Report:
        """Return a report of every lease with a trace; what has not changed is not written anew."""
        for lease in self._leases.values():
            if not lease.told:
                lease.told = wire.Report(leases=[lease.report]).SerializeToString()
        return wire.Report.FromString(b"".join(lease.told for lease in self._leases.values()))

    def down(self) -> list[wire.NodeReport]:
        """Return the nodes that have failed."""
        return [wire.NodeReport(node=node, down=True, detail="failed, as told") for node in sorted(self._down)]

    def obey(self, desired: wire.Desired, now: float, at: datetime) -> bool:
        """Start, stop and forget; return whether anything has changed."""
        changed = False
        for ref in desired.settled:
            lease = self._leases.get((ref.lease_id, ref.epoch))
            if lease is not None and lease.report.phase == ENDED:
                del self._leases[ref.lease_id, ref.epoch]
        for stop in desired.stop:
            changed |= self._stop((stop.lease.lease_id, stop.lease.epoch), now, at)
        for order in desired.start:
            changed |= self._start(order, now)
        return changed

    def advance(self, now: float, at: datetime) -> bool:
        """Do what is due; return whether anything has changed. `at` is the wall clock at `now`."""
        if self._fails_at == float("inf"):
            self._plan_failure(now)
        changed = False
        while self._due and self._due[0][0] <= now:
            _, what, key = heapq.heappop(self._due)
            lease = self._leases.get(key)
            if lease is not None:
                changed |= self._runs(key, lease, now, at) if what == "start" else self._over(key, lease, now, at)
        for node in [node for node, until in self._down.items() if until <= now]:
            del self._down[node]
            changed = True
        if self._fails_at <= now:
            self._fail(now, at)
            changed = True
        if changed:
            self._record.flush()
        return changed

    def close(self) -> None:
        """Write what is left of the record."""
        self._record.close()

    def _start(self, order: wire.LeaseOrder, now: float) -> bool:
        key = (order.lease_id, order.epoch)
        if key in self._leases or order.epoch <= self._epochs.get(order.job_id, 0):
            return False
        self._epochs[order.job_id] = order.epoch
        report = wire.LeaseReport(lease_id=order.lease_id, epoch=order.epoch, phase=STARTING)
        self._leases[key] = _Lease(order.job_id, order, report)
        heapq.heappush(self._due, (now + self._start_seconds * self._luck.uniform(0.5, 1.5), "start", key))
        return True

    def _runs(self, key: Key, lease: _Lease, now: float, at: datetime) -> bool:
        if lease.report.phase != STARTING:
            return False
        if any(node.node in self._down for node in lease.order.nodes):
            self._end(key, lease, job_pb2.END_REASON_START_FAILED, now, at, "a node is down")
            return True
        lease.report.phase, lease.told = RUNNING, b""
        lease.report.started_at.FromDatetime(at)
        seconds = min(float(lease.order.build.environment.get(RUN_SECONDS, "1")), lease.order.walltime_seconds)
        lease.ends_at = now + seconds
        self._write(self._lines(key, lease, "start", now, at))
        heapq.heappush(self._due, (lease.ends_at, "end", key))
        self.started += 1
        return True

    def _over(self, key: Key, lease: _Lease, now: float, at: datetime) -> bool:
        if lease.report.phase != RUNNING:
            return False
        walltime = lease.ends_at - lease.order.walltime_seconds
        by_walltime = float(lease.order.build.environment.get(RUN_SECONDS, "1")) >= lease.order.walltime_seconds
        reason = job_pb2.END_REASON_WALLTIME if by_walltime and walltime <= now else job_pb2.END_REASON_COMPLETED
        self._end(key, lease, reason, now, at)
        return True

    def _stop(self, key: Key, now: float, at: datetime) -> bool:
        lease = self._leases.get(key)
        if lease is None:
            report = wire.LeaseReport(lease_id=key[0], epoch=key[1], phase=STARTING)
            lease = self._leases[key] = _Lease("", wire.LeaseOrder(), report)
        elif lease.report.phase == ENDED:
            return False
        self._end(key, lease, job_pb2.END_REASON_CANCELLED, now, at, "stopped as ordered")
        return True

    def _end(self, key: Key, lease: _Lease, reason: int, now: float, at: datetime, detail: str = "") -> None:
        ran = lease.report.phase == RUNNING
        lease.report.phase, lease.told = ENDED, b""
        lease.report.ended_at.FromDatetime(at)
        lease.report.end.CopyFrom(job_pb2.End(reason=reason, detail=detail))  # type: ignore[arg-type]
        if reason == job_pb2.END_REASON_SIGNAL:
            lease.report.end.signal = 9
        if ran:
            self._write([*self._lines(key, lease, "end", now, at), self._line(key, lease, "closed", now, at)])
        self.ended += 1

    def _plan_failure(self, now: float) -> None:
        rate = self._faults.node_failures_per_hour / 3600
        if rate > 0:
            self._fails_at = now + self._luck.expovariate(rate)

    def _fail(self, now: float, at: datetime) -> None:
        pool, index = self._luck.choice(self._nodes)
        node = pool.node(index)
        self._down[node] = now + self._faults.repair_seconds
        for key, lease in self._leases.items():
            if lease.report.phase != ENDED and any(each.node == node for each in lease.order.nodes):
                self._end(key, lease, job_pb2.END_REASON_SIGNAL, now, at, f"node {node} failed")
        self.failures += 1
        self._fails_at = float("inf")
        self._plan_failure(now)

    # --- the record ----------------------------------------------------------------------------------------------

    def _lines(self, key: Key, lease: _Lease, kind: str, now: float, at: datetime) -> Iterator[dict[str, object]]:
        task = 0
        for node in lease.order.nodes:
            step = lease.order.cards_per_task
            for place in range(node.tasks):
                line = self._line(key, lease, kind, now, at)
                line |= {"node": node.node, "cards": list(node.cards[place * step : (place + 1) * step]), "task": task}
                line |= {"milli": node.share_milli or 1000, "pid": task + 1, "pid_started": int(now * 100)}
                if kind == "end":
                    end = lease.report.end
                    line |= {"exit_code": 0 if not end.signal else None, "signal": end.signal or None}
                yield line
                task += 1

    def _line(self, key: Key, lease: _Lease, kind: str, now: float, at: datetime) -> dict[str, object]:
        number = int(key[0].removeprefix("lease-"))
        when = {"at": at.isoformat(), "boot_ns": int(now * 1e9), "boot": self._boot}
        return {"kind": kind, "lease": number, "epoch": key[1], "job": lease.job, "by": "supervisor"} | when

    def _write(self, lines: Iterable[dict[str, object]]) -> None:
        self._record.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def wall(now_wall: float) -> datetime:
    """Return the moment of a wall clock's seconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now_wall)
