"""Start and kill the real programs of the demo: `xisuan serve` and `xisuan agent`, each with its own log file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

START_SECONDS_MAX: Final = 90.0
STOP_SECONDS_MAX: Final = 20.0


class DemoFailed(Exception):
    """A program of the demo did not do what it should; the message says where its log is."""


@dataclass(slots=True)
class Program:
    """One program that can be started, stopped and killed."""

    name: str
    arguments: Sequence[str]  # of `xisuan`
    log: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self) -> None:
        """Start it; it is over when the demo dies, unless it is told to stay."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "broker.cli.main", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raise DemoFailed when the program ends first or takes too long."""
        end = time.monotonic() + START_SECONDS_MAX
        while not ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                raise DemoFailed(f"{self.name} did not come up ({what}):\n{self.tail()}\nsee {self.log}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it at once (SIGKILL), as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int | None:
        """Ask it to end, kill it if it does not. Return its exit code, None when it was not running."""
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def tail(self, lines: int = 12) -> str:
        """Return the end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"


def make_machine_code() -> None:
    """Have the planner's loops compiled: at once where that was done before, else some minutes. Raise DemoFailed."""
    done = subprocess.run([sys.executable, "-m", "scheduler.rehearsal"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"the planner cannot be compiled:\n{done.stderr}")


def kill_postmaster(home: Path) -> int:
    """Kill the embedded PostgreSQL's main process (SIGKILL) and return its pid."""
    for pid_file in home.rglob("postmaster.pid"):
        pid = int(pid_file.read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGKILL)
        return pid
    raise DemoFailed(f"no PostgreSQL runs below {home}")
