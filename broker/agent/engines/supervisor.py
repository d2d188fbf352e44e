"""One process for each lease of the local engine: it starts the gang, watches it, ends it, and says how it ended.

It outlives the agent. It obeys three things only: the lease's walltime, the file `stop.json` (with a SIGTERM as the
bell) and, for a lease that may be restarted elsewhere, the renewal file. Every deadline is in boot time: nobody can
move it by setting a clock, and a suspended machine does not stretch it.

Files in the lease's folder, each whole or absent, in this order:
    spec.json        what to run; written by the agent before it starts us
    supervisor.lock  held by the one supervisor that the lease ever has
    supervisor.json  our identity
    tasks.json       identity of every task, before any of them can do anything
    running.json     all tasks have become their programs
    stop.json        written by the agent: end it, with this grace, for this reason
    end.json         how it ended; nothing of the lease lives any more
"""

import fcntl
import os
import select
import signal
import sys
from typing import Any

from broker.agent.engines import files
from broker.agent.engines.output import Output
from broker.agent.engines.processes import (
    Identity,
    all_processes,
    boot_id,
    boottime_ns,
    descendants,
    identity_of,
    raise_open_files,
    signal_exactly,
)
from broker.agent.engines.tasks import (
    Launch,
    StartFailed,
    become_subreaper,
    fork_waiting,
    open_gate,
    release,
    wait_ready,
)

ALREADY_SUPERVISED = 75
"""Exit status of a supervisor that found another one at work, or the lease ended."""

_SECOND_NS = 1_000_000_000
_REKILL_MILLIS = 50
_WAIT_MILLIS_MAX = 60_000


class Ending:
    """Why it ends: the first cause wins."""

    def __init__(self) -> None:
        self.reason = ""
        self.detail = ""
        self.exit_code = 0
        self.signal = 0

    def because(self, reason: str, detail: str) -> None:
        """Give a cause, unless there is one already."""
        if not self.reason:
            self.reason, self.detail = reason, detail


class Supervisor:
    """The life of one lease."""

    def __init__(self, folder: str, spec: dict[str, Any]) -> None:
        self._folder = folder
        self._spec = spec
        self._boot = boot_id()
        self._ending = Ending()
        self._living: dict[int, int] = {}  # pid of a task that has not ended -> its index
        self._identities: list[Identity] = []
        self._outputs: dict[int, Output] = {}  # read end -> output
        self._poll = select.poll()
        self._kill_at_ns: int | None = None
        self._walltime_at_ns = 0
        self._renewed_until_ns = 0
        self._recorded = False  # whether the engine's record knows our tasks
        self._doomed = False  # whether no task is waited for any more
        self._started: dict[str, Any] = {}
        self._bell_read, bell_write = os.pipe()
        for end in (self._bell_read, bell_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(bell_write, warn_on_full_buffer=False)
        self._told = False  # a SIGTERM came that has not been looked at
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._poll.register(self._bell_read, select.POLLIN)

    def run(self) -> None:
        """Live the lease's life; when this returns, nothing of it runs and `end.json` says how it ended."""
        try:
            if os.path.exists(self._path("stop.json")):
                self._ending.because("cancelled", "it was cancelled before it started")
            else:
                self._start()
                self._watch()
        except StartFailed as error:
            self._ending.because("start_failed", str(error))
        except Exception:
            import traceback  # a third of the time that all other imports take, and hardly ever needed

            self._ending.because("start_failed" if not self._started else "vanished", traceback.format_exc(limit=-3))
        self._kill_everything()
        self._write_end()

    # --- start ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        tasks = self._spec["tasks"]
        gate = open_gate()
        try:
            for index in range(len(tasks)):
                self._fork(index, gate)
            wait_ready(gate, len(tasks))
            self._record_tasks()
            started_ns = boottime_ns()
            release(gate, len(tasks))
        finally:
            os.close(gate.go_write)  # whoever still waits there gives up
        self._started = {"at": files.now_text(), "boot_ns": started_ns}
        self._lapsed(started_ns)  # learn until when the broker's word stands now
        self._walltime_at_ns = started_ns + self._spec["walltime_seconds"] * _SECOND_NS
        files.write_json(self._path("running.json"), self._started)
        self._ring()

    def _fork(self, index: int, gate: Any) -> None:
        user, group = self._spec["user"], self._spec["group"]
        folder = self._make_folder(index)
        streams = [
            Output(self._path(f"logs/{index}.{name}"), self._spec["log_bytes_max"], user)
            for name in ("stdout", "stderr")
        ]
        for stream in streams:
            self._outputs[stream.read_end] = stream
            self._poll.register(stream.read_end, select.POLLIN)
        environment = task_environment(self._spec, index, folder)
        launch = Launch(
            self._spec["command"],
            environment,
            folder,
            user,
            group,
            streams[0].write_end,
            streams[1].write_end,
            self._spec["open_files"],
        )
        try:
            identity = fork_waiting(launch, index, gate, self._boot)
        finally:
            for stream in streams:
                stream.close_write_end()
        self._living[identity.pid] = index
        self._identities.append(identity)

    def _make_folder(self, index: int) -> str:
        above = self._spec["work_folder"]
        os.makedirs(above, exist_ok=True)
        os.chmod(above, 0o711)  # noqa: S103 - a task passes through to its own folder, and lists nothing
        folder = os.path.join(above, f"task-{index}")
        inner = os.path.join(folder, "tmp")
        for path in (folder, inner):
            os.mkdir(path, 0o700)
        if self._spec["user"] is not None:
            # From within outwards: in a folder that is theirs already, another job of the same user could put a link
            # in the place of `tmp`, and we would give them what it leads to.
            for path in (inner, folder):
                os.chown(path, self._spec["user"], self._spec["group"])
        return folder

    def _record_tasks(self) -> None:
        """Say which processes belong to us before they can do anything: to the agent first, then to the record."""
        known = [
            {"task": index, "pid": one.pid, "started_ticks": one.started_ticks}
            for index, one in enumerate(self._identities)
        ]
        files.write_json(self._path("tasks.json"), {"boot": self._boot, "tasks": known})
        files.append_lines(self._spec["record"], [self._line("start", index) for index in range(len(known))])
        self._recorded = True

    # --- watch ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while self._living and not self._doomed:
            self._wait(self._millis_to_next_deadline())
            self._reap()
            if self._told:
                self._told = False
                self._obey_stop()
            self._obey_clock()

    def _wait(self, millis: int) -> None:
        for handle, _events in self._poll.poll(millis):
            if handle == self._bell_read:
                os.read(handle, 4096)
            elif not self._outputs[handle].take():
                self._poll.unregister(handle)

    def _millis_to_next_deadline(self) -> int:
        deadlines = [self._walltime_at_ns]
        if self._kill_at_ns is not None:
            deadlines.append(self._kill_at_ns)
        if self._spec["renewed"]:
            deadlines.append(self._renewed_until_ns)
        left_ns = min(deadlines) - boottime_ns()
        return max(0, min(left_ns // 1_000_000 + 1, _WAIT_MILLIS_MAX))

    def _obey_stop(self) -> None:
        stop = files.read_json(self._path("stop.json"))
        if stop is None:
            self._ending.because("signal", "the supervisor was told to end (SIGTERM), and not by the agent")
            self._ending.signal = signal.SIGTERM
            self._end_with_grace(self._spec["grace_seconds"])
        else:
            self._ending.because("cancelled", stop["reason"])
            self._end_with_grace(stop["grace_seconds"])

    def _obey_clock(self) -> None:
        now = boottime_ns()
        if not self._living:
            return
        if self._spec["renewed"] and self._lapsed(now):
            self._ending.because("lost", "the lease was not renewed in time, and its job may be restarted elsewhere")
            self._doomed = True
        elif self._kill_at_ns is not None:
            self._doomed = self._doomed or now >= self._kill_at_ns
        elif now >= self._walltime_at_ns:
            self._ending.because("walltime", f"it ran for its whole walltime of {self._spec['walltime_seconds']} s")
            self._end_with_grace(self._spec["grace_seconds"])

    def _lapsed(self, now_ns: int) -> bool:
        """Return whether the broker's word no longer stands. No renewal file for this boot counts as no word."""
        if now_ns < self._renewed_until_ns:
            return False
        try:
            renewal = files.read_json(self._spec["renewal"])
        except ValueError:
            return True
        if renewal is not None and renewal["boot"] == self._boot:
            self._renewed_until_ns = int(renewal["until_ns"])
        return now_ns >= self._renewed_until_ns

    def _end_with_grace(self, grace_seconds: int) -> None:
        """Ask every task and its group to end, and remember when to stop asking. A second call can only shorten it."""
        kill_at_ns = boottime_ns() + grace_seconds * _SECOND_NS
        self._kill_at_ns = kill_at_ns if self._kill_at_ns is None else min(self._kill_at_ns, kill_at_ns)
        for pid in self._living:
            try:
                os.killpg(pid, signal.SIGTERM)
            except ProcessLookupError:  # it has just ended and is not reaped yet
                continue

    def _reap(self) -> bool:
        """Take leave of every child that has ended. Return whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid in self._living:
                self._on_task_end(self._living.pop(pid), os.waitstatus_to_exitcode(status))

    def _on_task_end(self, index: int, code: int) -> None:
        exit_code, number = (code, 0) if code >= 0 else (0, -code)
        if self._recorded:
            line = self._line("end", index) | {"exit_code": exit_code, "signal": number}
            files.append_lines(self._spec["record"], [line])
        if code == 0 or not self._started:
            return
        if not self._ending.reason:  # it failed by itself, and first: a gang runs whole or not at all
            if number:
                self._ending.because("signal", f"task {index} was killed by signal {number} ({_signal_name(number)})")
            else:
                self._ending.because("exit_code", f"task {index} exited with code {exit_code}")
            self._ending.exit_code, self._ending.signal = exit_code, number
            self._doomed = True

    # --- end -----------------------------------------------------------------------------------------------------

    def _kill_tree(self) -> None:
        for one in descendants(os.getpid(), all_processes()):
            signal_exactly(Identity(one.pid, one.started_ticks, self._boot), self._boot, signal.SIGKILL)

    def _kill_everything(self) -> None:
        """Return when no process of our tree is left; as its subreaper we are the parent of every orphan."""
        while self._reap():
            self._kill_tree()
            self._wait(_REKILL_MILLIS)
        for output in self._outputs.values():
            output.finish()

    def _write_end(self) -> None:
        self._ending.because("completed", "")
        ended = {"at": files.now_text(), "boot_ns": boottime_ns()}
        end = {
            "reason": self._ending.reason,
            "detail": self._ending.detail[:1024],
            "exit_code": self._ending.exit_code,
            "signal": self._ending.signal,
            "started": self._started or None,
            "ended": ended,
        }
        if self._recorded:
            closed = {name: self._spec[name] for name in ("lease", "epoch", "job")}
            files.append_lines(
                self._spec["record"], [{"kind": "closed", **closed, **ended, "boot": self._boot, "by": "supervisor"}]
            )
        files.write_json(self._path("end.json"), end)
        self._ring()

    # --- small things --------------------------------------------------------------------------------------------

    def _on_terminate(self, _number: int, _frame: object) -> None:
        self._told = True

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _ring(self) -> None:
        files.ring(self._spec["bell"], os.path.basename(self._folder))

    def _line(self, kind: str, index: int) -> dict[str, Any]:
        """Return a line of the engine's record; its format is in RECORD.md."""
        one = self._identities[index]
        return record_line(self._spec, kind, index, one) | {"by": "supervisor"}


def record_line(spec: dict[str, Any], kind: str, index: int, process: Identity) -> dict[str, Any]:
    """Return the common part of a task's line in the engine's record (RECORD.md)."""
    return {
        "kind": kind,
        "lease": spec["lease"],
        "epoch": spec["epoch"],
        "job": spec["job"],
        "node": spec["tasks"][index]["node"],
        "cards": spec["tasks"][index]["cards"],
        "milli": spec.get("milli", 1000),  # a lease of the first release's agent has whole cards
        "task": index,
        "pid": process.pid,
        "pid_started": process.started_ticks,
        "at": files.now_text(),
        "boot_ns": boottime_ns(),
        "boot": process.boot,
    }


def task_environment(spec: dict[str, Any], index: int, folder: str) -> dict[str, str]:
    """Return everything that the task's environment holds: ours last, so that a job cannot claim other cards."""
    task = spec["tasks"][index]
    cards = ",".join(map(str, task["cards"]))
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": folder,
        "TMPDIR": os.path.join(folder, "tmp"),
        "USER": spec["user_name"],
        "LOGNAME": spec["user_name"],
        **spec["environment"],
        **spec["common_environment"],
        "XISUAN_TASK": str(index),
        "XISUAN_NODE": task["node"],
        "XISUAN_CARDS": cards,
        **({"XISUAN_DATA_READY": os.path.join(folder, files.DATA_READY)} if index == 0 else {}),
        **dict.fromkeys(spec["visible_devices"], cards),
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "real-time"


def main(folder: str) -> int:
    """Supervise the lease whose folder this is. Return the exit status."""
    os.umask(0o077)
    os.closerange(3, 65536)  # nothing of the agent's may live on in us or in a job
    lock = os.open(os.path.join(folder, "supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("another supervisor is at work\n")
        return ALREADY_SUPERVISED
    if any(os.path.exists(os.path.join(folder, name)) for name in ("supervisor.json", "end.json")):
        return ALREADY_SUPERVISED  # the lease has had its one supervisor; the agent sorts out what became of it
    spec = files.read_json(os.path.join(folder, "spec.json"))
    raise_open_files()  # two pipes for each task of the gang
    supervisor = Supervisor(folder, spec)
    become_subreaper()
    files.write_json(os.path.join(folder, "supervisor.json"), identity_of(os.getpid(), boot_id()))
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
