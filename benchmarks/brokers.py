"""A real broker with its embedded PostgreSQL for the time of a benchmark."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from broker.calls.keeper import CALL_PROGRAM
from broker.client.settings import read_key, read_profile
from broker.demo.programs import Program


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """A broker process of our own."""

    home: Path
    program: Program

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return read_profile(self.home)["endpoint"]

    @property
    def pid(self) -> int:
        """Its process. Raise RuntimeError when it was never started."""
        if self.program.process is None:
            raise RuntimeError("the broker was not started")
        return self.program.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.program.process is not None and self.program.process.poll() is None

    def key(self, name: str) -> str:
        """Return a key that it wrote, such as "city-ganzhou" or "operator"."""
        return read_key(self.home / "keys" / f"{name}.key")


def takes_calls(process: psutil.Process) -> bool:
    """Tell whether this child of a broker is one of the processes that take its calls."""
    try:
        return CALL_PROGRAM in process.cmdline()
    except psutil.Error:
        return False


def database_pids(home: Path) -> set[int]:
    """Return the processes of the embedded PostgreSQL in this home, as far as they can be seen."""
    found: set[int] = set()
    for pid_file in home.rglob("postmaster.pid"):
        postmaster = int(pid_file.read_text().split("\n", 1)[0])
        found.add(postmaster)
        with suppress(psutil.Error):
            found |= {each.pid for each in psutil.Process(postmaster).children(recursive=True)}
    return found


@contextmanager
def broker(*settings: str, world: str | None = None) -> Iterator[RunningBroker]:
    """Start a broker on an empty database; stop it and remove everything at the end.

    Args:
        settings: NAME=VALUE, as `xisuan serve --set` takes them.
        world: the document of its world; None: the one that it takes by itself.
    """
    folder = Path(tempfile.mkdtemp(prefix="xisuan-bench-"))
    folder.chmod(0o711)
    if world is not None:
        (folder / "world.yaml").write_text(world)
        settings = (*settings, f"world={folder / 'world.yaml'}")
    more = [argument for setting in settings for argument in ("--set", setting)]
    arguments = ["serve", "--home", str(folder / "home"), "--listen", "127.0.0.1:0", "--metrics-listen", "", *more]
    running = RunningBroker(folder / "home", Program("broker", arguments, folder / "broker.log"))
    running.program.start()
    try:
        running.program.wait_until((running.home / "client.json").exists, "no client profile yet")
        yield running
    finally:
        running.program.stop()
        shutil.rmtree(folder, ignore_errors=True)
