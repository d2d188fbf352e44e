"""Rivals that come from a package index: each runs in a process of its own, HyperQueue in an environment of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from benchmarks.real_rivals import slurm
from benchmarks.real_rivals.tasks import NotMeasured, Size

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = _HERE.parents[1]
_LOCK: Final = _HERE / "hyperqueue.lock"
_OVERHEAD_SECONDS_MAX: Final = 120.0


def environments() -> Path:
    """Return the folder of the rivals' environments, below the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "xisuan" / "rivals"


def install() -> None:
    """Install HyperQueue for this user, and Slurm's Debian packages when this is root. Raise NotMeasured: it failed."""
    folder = environments() / "hyperqueue"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    _call([str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(_LOCK)], "HyperQueue")
    if shutil.which("slurmctld") is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *slurm.PACKAGES], "Slurm")


def hyperqueue(folder: Path, size: Size) -> dict[str, float]:
    """Return HyperQueue's figures. Raise NotMeasured: it is not installed, or did not do its work."""
    python = environments() / "hyperqueue" / "bin" / "python"
    if not python.exists():
        raise NotMeasured("not installed: --install puts it into an environment of its own")
    return _figures(python, "hyperqueue_tasks", folder, size)


def ray(folder: Path, size: Size) -> dict[str, float]:
    """Return Ray's figures. Raise NotMeasured: it is not installed, or did not do its work."""
    return _figures(Path(sys.executable), "ray_tasks", folder, size)


def _figures(python: Path, module: str, folder: Path, size: Size) -> dict[str, float]:
    environment = os.environ | {
        "PYTHONPATH": str(_CHECKOUT),
        "HOME": str(folder),  # what they leave there goes with the folder
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    words = [str(python), "-m", f"benchmarks.real_rivals.{module}", str(folder), json.dumps(size.as_values())]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        try:
            code = process.wait(_OVERHEAD_SECONDS_MAX + 4 * size.seconds_max)
        except subprocess.TimeoutExpired as error:
            raise NotMeasured("did not end: given up") from error
        finally:
            _end(process)
    if code:
        said = [line for line in (folder / "err").read_text(errors="replace").splitlines() if line.strip()]
        raise NotMeasured(said[-1][:300] if said else f"ended with {code}")
    return dict(json.loads((folder / "out").read_text().splitlines()[-1]))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process, and whatever it started, if it has not ended by itself."""
    if process.poll() is not None:
        return
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in family:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _call(words: Sequence[str], what: str) -> None:
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(
            f"{what} could not be installed (after {time.monotonic() - began:.0f} s): {done.stderr.strip()[-300:]}"
        )
