"""Sizes and walltimes of real jobs: the Philly trace, whole when it is there, else the day that comes with the demo."""

import csv
import gzip
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from scheduler.snapshot import Ints

WHOLE = ("philly/philly_jobs.csv.gz", "philly_jobs.csv.gz")


@dataclass(frozen=True, slots=True, eq=False)
class RealJobs:
    """What one job of a trace asked for and how long it ran; row by row, so that both stay together."""

    source: str
    cards: Ints
    duration_seconds: Ints


def real_jobs(data: Path | None) -> RealJobs:
    """Read the trace from a folder with the real workload data; without one, the bundled day of it.

    Raises: FileNotFoundError: the folder holds no Philly trace.
    """
    if data is None:
        with resources.as_file(resources.files("broker.demo") / "philly_day.csv.gz") as bundled:
            return _read(bundled, "Philly, one day (give --data for the whole trace)")
    for name in WHOLE:
        if (data / name).is_file():
            return _read(data / name, "Philly")
    raise FileNotFoundError(f"{data} holds none of {', '.join(WHOLE)}")


def _read(path: Path, source: str) -> RealJobs:
    with gzip.open(path, "rt", newline="") as text:
        rows = [(int(row["num_gpus"]), int(float(row["duration_s"]))) for row in csv.DictReader(text)]
    cards, duration = np.array(rows, dtype=np.int64).T
    return RealJobs(f"{source}, {len(rows):,} jobs", cards, np.maximum(duration, 1))
