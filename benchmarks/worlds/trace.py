"""Sizes, walltimes and shares of real jobs: the Philly and openb traces, whole when they are there.

Without them: the day of Philly that comes with the demo, and the slices that vendors offer.
"""

import csv
import gzip
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from benchmarks.worlds.makes import SLICES_MILLI
from scheduler.snapshot import Ints

WHOLE = ("philly/philly_jobs.csv.gz", "philly_jobs.csv.gz")
SHARES = ("openb/openb_pod_list_default.csv.gz", "openb_pod_list_default.csv.gz")


@dataclass(frozen=True, slots=True, eq=False)
class RealJobs:
    """What one job of a trace asked for and how long it ran; row by row, so that both stay together."""

    source: str
    cards: Ints
    duration_seconds: Ints
    share_milli: Ints  # shares of one card that tasks ask for, of another trace: not the same rows


def real_jobs(data: Path | None) -> RealJobs:
    """Read the traces from a folder with the real workload data; without one, what comes with the package.

    Raises: FileNotFoundError: the folder holds no Philly trace.
    """
    if data is None:
        with resources.as_file(resources.files("broker.demo") / "philly_day.csv.gz") as bundled:
            return _read(bundled, None, "Philly, one day (give --data for the whole trace)")
    shares = next((data / name for name in SHARES if (data / name).is_file()), None)
    for name in WHOLE:
        if (data / name).is_file():
            return _read(data / name, shares, "Philly")
    raise FileNotFoundError(f"{data} holds none of {', '.join(WHOLE)}")


def _read(jobs: Path, shares: Path | None, source: str) -> RealJobs:
    with gzip.open(jobs, "rt", newline="") as text:
        rows = [(int(row["num_gpus"]), int(float(row["duration_s"]))) for row in csv.DictReader(text)]
    cards, duration = np.array(rows, dtype=np.int64).T
    milli = np.array(SLICES_MILLI, dtype=np.int64) if shares is None else _share_milli(shares)
    told = f"{source}, {len(rows):,} jobs; shares from {'vendors’ slices' if shares is None else 'openb'}"
    return RealJobs(told, cards, np.maximum(duration, 1), milli)


def _share_milli(path: Path) -> Ints:
    """Return what each task that shares a card asks for, thousandths of it."""
    with gzip.open(path, "rt", newline="") as text:
        asked = [int(row["gpu_milli"]) for row in csv.DictReader(text) if row["num_gpu"] == "1"]
    milli = np.array(asked, dtype=np.int64)
    return milli[milli < 1000]
