"""The folder of one lease of the local engine: what the supervisor and the agent tell each other, read and written."""

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from broker.agent.engines import files
from broker.agent.engines.processes import Identity, boottime_ns
from broker.agent.engines.spec import WHOLE_MILLI, data_ready_file, empty_spec, folder_name
from broker.agent.orders import End, EndReason, LeaseKey, LeaseSeen, LogStream, Phase, Used
from broker.ids import JobId, parse_job, parse_lease

_NEW: Final = ".new"
_MINUTE_SECONDS: Final = 60
_SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = _MINUTE_SECONDS * _SECOND_NS


@dataclass(frozen=True, slots=True)
class LeaseFolder:
    """One lease's folder. Which file means what is written in `supervisor.py`; `settled` is an empty mark of ours.

    Attributes:
        path: the folder; its name is "lease-<id>.<epoch>".
        key: which lease.
        spec: what the supervisor was told, as in `spec.json`.
    """

    path: Path
    key: LeaseKey
    spec: dict[str, Any]

    @classmethod
    def create(cls, leases: Path, key: LeaseKey, spec: dict[str, Any], end: dict[str, Any] | None = None) -> Self:
        """Make the folder, whole or not at all; with `end`, for a lease that never runs here. Raise OSError."""
        beside = leases / f"{folder_name(key)}{_NEW}"
        shutil.rmtree(beside, ignore_errors=True)  # left by an agent that was killed right here
        (beside / "logs").mkdir(parents=True, mode=0o700)
        files.write_json(str(beside / "spec.json"), spec)
        if end is not None:
            files.write_json(str(beside / "end.json"), end)
        path = leases / folder_name(key)
        beside.rename(path)
        return cls(path, key, spec)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return the folder, None when it is none of ours, was never finished, or is not there."""
        lease_text, dot, epoch_text = path.name.partition(".")
        lease = parse_lease(lease_text)
        if lease is None or not dot or not epoch_text.isdecimal():
            return None
        key = LeaseKey(lease, int(epoch_text))
        try:
            spec = files.read_json(str(path / "spec.json"))
        except ValueError:
            spec = None
        if spec is None:
            if not path.is_dir():
                return None
            spec = empty_spec(key, None) | {"damaged": True}  # folders get their name when they are whole
        return cls(path, key, spec)

    def _read(self, name: str) -> Any:
        """Return what a file says; one that a power failure has damaged says nothing."""
        try:
            return files.read_json(str(self.path / name))
        except ValueError:
            return None

    @property
    def damaged(self) -> bool:
        """Whether not even what was to run is known any more, which only a power failure can do."""
        return self.spec.get("damaged", False) is True

    @property
    def job(self) -> JobId | None:
        """The job that it is an attempt of; None for a lease of which only the name is known."""
        return parse_job(self.spec["job"])

    @property
    def cookie(self) -> bytes | None:
        """The entry of the environment by which a process that has left its session is still known as ours."""
        given = self.spec.get("common_environment")
        return None if given is None else f"XISUAN_COOKIE={given['XISUAN_COOKIE']}".encode()

    @property
    def places(self) -> Counter[tuple[str, int]]:
        """How much of each card it uses, in thousandths, by node and card."""
        milli = self.spec.get("milli", WHOLE_MILLI)  # an agent of the first release knew whole cards only
        places = Counter[tuple[str, int]]()
        for task in self.spec["tasks"]:
            places.update({(task["node"], card): milli for card in task["cards"]})
        return places

    def supervisor(self) -> Identity | None:
        """Return the supervisor's identity, None when it has not written it yet."""
        found = self._read("supervisor.json")
        return None if found is None else Identity(*found)

    def tasks(self) -> list[Identity]:
        """Return the identities of the tasks; none before they were recorded, and then none of them ran."""
        found = self._read("tasks.json")
        if found is None:
            return []
        return [Identity(task["pid"], task["started_ticks"], found["boot"]) for task in found["tasks"]]

    def seen(self) -> LeaseSeen:
        """Return where the lease is, as its files say."""
        end = self._read("end.json")
        stopping = (self.path / "stop.json").exists()
        if end is not None:
            return LeaseSeen(
                key=self.key,
                job=self.job,
                phase=Phase.ENDED,
                stopping=stopping,
                started_at=None if end["started"] is None else datetime.fromisoformat(end["started"]["at"]),
                ended_at=datetime.fromisoformat(end["ended"]["at"]),
                end=End(EndReason(end["reason"]), end["exit_code"], end["signal"], end["detail"]),
                data_ready=self.data_ready(),
            )
        running = self.started()
        return LeaseSeen(
            key=self.key,
            job=self.job,
            phase=Phase.STARTING if running is None else Phase.RUNNING,
            stopping=stopping,
            started_at=None if running is None else datetime.fromisoformat(running["at"]),
            data_ready=running is not None and self.data_ready(),
        )

    def used(self, now_ns: int) -> Used | None:
        """Return what it has used until `now_ns` of boot time, None when it never ran. Raise OSError.

        While it runs, what is returned is kept: if nobody sees its end, it is all that is proved.
        """
        end = self._read("end.json")
        started = self.started() if end is None else end["started"]
        if started is None:
            return None
        milli = sum(self.places.values())
        if end is None:
            minutes = max(self._proved_minutes(), (now_ns - started["boot_ns"]) // _MINUTE_NS)
            if minutes > self._proved_minutes():
                files.write_json(str(self.path / "used.json"), {"minutes": minutes})
            return Used(self.key, milli, minutes)
        if end["reason"] == EndReason.VANISHED:
            return Used(self.key, milli, self._proved_minutes(), complete=True)
        seconds = -(-max(0, end["ended"]["boot_ns"] - started["boot_ns"]) // _SECOND_NS)  # a started one counts whole
        minutes = -(-seconds // _MINUTE_SECONDS)
        if minutes < self._proved_minutes():  # a clock that went wrong: what was told stays told
            return Used(self.key, milli, self._proved_minutes(), complete=True)
        return Used(self.key, milli, minutes, cut_seconds=-seconds % _MINUTE_SECONDS, complete=True)

    def _proved_minutes(self) -> int:
        kept = self._read("used.json")
        return 0 if kept is None else int(kept["minutes"])

    def started(self) -> dict[str, Any] | None:
        """Return when its tasks started, None when they have not (yet)."""
        found: dict[str, Any] | None = self._read("running.json")
        return found

    def data_ready(self) -> bool:
        """Return whether its job has told that its data are ready; where the file leads to does not matter."""
        return "work_folder" in self.spec and os.path.lexists(data_ready_file(self.spec["work_folder"]))

    def has_ended(self) -> bool:
        """Return whether nothing of it lives, cheaply."""
        try:
            return (self.path / "end.json").stat().st_size > 0
        except FileNotFoundError:
            return False

    def write_stop(self, grace_seconds: int, reason: str) -> None:
        """Leave word that it is to end."""
        files.write_json(str(self.path / "stop.json"), {"grace_seconds": grace_seconds, "reason": reason})

    def write_end(self, end: dict[str, Any]) -> None:
        """Say how it ended, when no supervisor can."""
        files.write_json(str(self.path / "end.json"), end)

    def settled(self) -> bool:
        """Return whether the broker has recorded the end."""
        return (self.path / "settled").exists()

    def settle(self, settled: bool) -> None:
        """Set or take away the mark that the broker has recorded the end."""
        if settled:
            (self.path / "settled").touch(mode=0o600)
        else:
            (self.path / "settled").unlink(missing_ok=True)

    def read_log(self, task: int, stream: LogStream, offset: int, length_max: int) -> tuple[bytes, bool]:
        """Return bytes of an output and whether nothing will be added after them."""
        ended = self.has_ended()  # looked at first: what is added between the two looks is read the next time
        try:
            handle = os.open(self.path / "logs" / f"{task}.{stream}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # it ended, or has not come so far, before the task was forked
            return b"", ended
        try:
            size = os.fstat(handle).st_size
            data = b"" if offset >= size else os.pread(handle, length_max, offset)
        finally:
            os.close(handle)
        return data, ended and offset + len(data) >= size


def ending(reason: EndReason, detail: str, started: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of an `end.json` that the agent writes."""
    return {
        "reason": reason,
        "detail": detail[:1024],
        "exit_code": 0,
        "signal": 0,
        "started": started,
        "ended": {"at": files.now_text(), "boot_ns": boottime_ns()},
    }
