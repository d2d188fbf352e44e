"""Public traces by their header: Philly, Chronus (deadlines), and Gavel's Philly arrivals on unlike accelerators."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.replay.trace import REQUIRED, SECONDS_MAX, BadTrace, Line, Row, Trace, own_columns, read, rows_of
from scheduler.fields import GANG_CARDS_MAX

PHILLY: Final = ("submit_s", "duration_s", "num_gpus", "vc")
CHRONUS: Final = ("user", "num_gpu", "submit_time", "duration", "expect_time_list", "expect_value_list", "job_type")
GAVEL: Final = ("seed", "vc", "job_type", "gpus", "total_steps", "arrival_s")
THROUGHPUTS: Final = ("table", "job_type", "gpus", "accelerator", "unconsolidated", "steps_per_s")
THROUGHPUTS_FILE: Final = "throughput_isolated.csv.gz"
REFERENCE: Final = "v100"
USEFUL_SPEED: Final = 0.25
"""A job may run on models at least this fast against its best one: nobody asks for ten times the walltime instead."""
CHRONUS_UNIT_S: Final = 60
"""The source names no unit; minutes make 20,151 of them the fortnight that its paper speaks of."""
SERVER_CARDS: Final = 8

Speeds = Mapping[tuple[str, int, str, bool], float]


def read_trace(path: Path, limit: int = 0, part: int = 0) -> Trace:
    """Read any trace that is known by its header, or one in our own columns.

    Args:
        limit: jobs at most, by arrival; 0: all.
        part: of a file that holds several traces of one kind (Gavel's seeds), which.
    Raises: BadTrace: naming file, line and column.
    """
    header, _ = rows_of(path)
    if all(column in header for column in REQUIRED):
        return read(path, own_columns(header), path.name, limit)
    if all(column in header for column in PHILLY):
        return read(path, _philly, f"Philly ({path.name})", limit)
    if all(column in header for column in CHRONUS):
        return read(path, _chronus, f"Chronus ({path.name}), its unit taken as a minute", limit)
    if all(column in header for column in GAVEL):
        speeds = _speeds(path.with_name(THROUGHPUTS_FILE))
        return read(path, _gavel(speeds, part), f"Gavel ({path.name}, seed {part})", limit)
    raise BadTrace(
        f"{path}: line 1 names the columns {', '.join(header)[:80] or 'none'}: neither our own ({', '.join(REQUIRED)}, "
        "see benchmarks/README.md) nor those of Philly, Chronus or Gavel"
    )


def _philly(line: Line) -> Row | None:
    cards = line.whole("num_gpus", 0, GANG_CARDS_MAX)
    when, lasts = line.number("submit_s", 0, SECONDS_MAX), line.number("duration_s", 0, SECONDS_MAX)
    return Row(when, lasts, cards, line.text("vc")) if cards else None


def _chronus(line: Line) -> Row | None:
    """Jobs of type "best" are best effort: their expected time repeats the submission and is no deadline."""
    cards = line.whole("num_gpu", 0, GANG_CARDS_MAX)
    when, lasts = line.number("submit_time", 0, SECONDS_MAX), line.number("duration", 0, SECONDS_MAX)
    if not cards:
        return None
    row = Row(CHRONUS_UNIT_S * when, CHRONUS_UNIT_S * lasts, cards, line.text("user"))
    if line.text("job_type") != "best":
        row.deadlines = line.deadlines("expect_time_list", "expect_value_list", CHRONUS_UNIT_S)
    return row


def _gavel(speeds: Speeds, part: int) -> Callable[[Line], Row | None]:
    models = sorted({accelerator for _, _, accelerator, _ in speeds})
    known: dict[tuple[str, int], dict[str, float]] = {}

    def steps_per_s(kind: str, cards: int, model: str) -> float:
        """Gangs of sizes that nobody measured are scaled linearly from the largest measured one below them."""
        spread = cards > SERVER_CARDS
        for size in range(min(cards, SERVER_CARDS), 0, -1):
            found = speeds.get((kind, size, model, spread))
            if found is not None:
                return found * cards / size
        return 0.0

    def convert(line: Line) -> Row | None:
        if line.whole("seed", 0, 2**31) != part:
            return None
        kind, cards = line.text("job_type"), line.whole("gpus", 1, GANG_CARDS_MAX)
        if (kind, cards) not in known:
            known[kind, cards] = {model: steps_per_s(kind, cards, model) for model in models}
        steps = known[kind, cards]
        if not steps.get(REFERENCE):
            raise line.wrong("job_type", f"a type with a throughput on {REFERENCE} in {THROUGHPUTS_FILE}")
        best = max(steps.values())
        speed = {m: each / steps[REFERENCE] if each >= USEFUL_SPEED * best else 0.0 for m, each in steps.items()}
        lasts = line.number("total_steps", 0, 1e15) / steps[REFERENCE]
        return Row(line.number("arrival_s", 0, SECONDS_MAX), lasts, cards, line.text("vc"), speed=speed)

    return convert


def _speeds(path: Path) -> Speeds:
    """Read Gavel's measured steps per second, its table "simulation"."""
    if not path.is_file():
        raise BadTrace(f"{path}: is not there: Gavel's jobs need the throughputs of their types beside them")
    found = {}
    for line in rows_of(path, THROUGHPUTS)[1]:
        if line.text("table") == "simulation":
            key = (
                line.text("job_type"), line.whole("gpus", 1, 2**20), line.text("accelerator"),
                line.text("unconsolidated") == "True",
            )  # fmt: skip
            found[key] = line.number("steps_per_s", 0, 1e9)
    return found


def scaled(trace: Trace, load: float) -> Trace:
    """Return the trace with arrivals `load` times as dense. Durations and deadlines stay."""
    return replace(trace, submit_s=np.floor(trace.submit_s / load).astype(np.int64))
