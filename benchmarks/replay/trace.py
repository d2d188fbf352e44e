"""A trace of jobs as a struct of arrays, and its readers: our own columns, and the headers of three public traces.

The true duration is for the engine alone. What policies see of it is `Trace.walltime_s`, which `demand.py` draws.
"""

import csv
import gzip
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.fields import GANG_CARDS_MAX, PRIORITIES
from scheduler.snapshot import Ints

Floats = NDArray[np.float64]

SECONDS_MAX: Final = 100 * 365 * 24 * 3600
"""A hundred years: five times as much on a quarter of the speed is still a walltime that the planner takes."""
NOT_GIVEN: Final = -1
NEVER_PREEMPTED: Final = -1
REQUIRED: Final = ("submit_s", "duration_s", "cards")
OPTIONAL: Final = (
    "vc", "priority", "ceiling_yuan_per_pflops_hour", "walltime_s", "deadline_s", "deadline_value", "checkpoint_s",
)  # fmt: skip
SPEED: Final = "speed_"
"""Columns `speed_MODEL` say how fast a job is on a model, against the accelerator its duration was measured on."""


class BadTrace(ValueError):
    """A trace, a table of speeds or a world cannot be used; the message names the file, the line and the column."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Jobs in the order of their arrival. J jobs; arrays [J] unless said otherwise.

    Attributes:
        source: what it is, in words, with what was left out.
        submit_s: since the first arrival, ascending.
        duration_s: true run time on the reference accelerator, at least 1.
        cards: of the whole gang.
        vc: index into `vc_names`: virtual cluster, tenant, city.
        priority: index into PRIORITIES; -1 where the trace says nothing.
        ceiling_micro_yuan: per PFLOPS-hour; -1 where the trace says nothing.
        walltime_s: as requested; -1 where the trace says nothing.
        checkpoint_s: -1: must not be preempted; 0: preempted, it loses all; else it loses what is after the last one.
        deadline_start: [J + 1] steps of job j are deadline_start[j] .. deadline_start[j + 1] - 1.
        deadline_s: [D] seconds after submission, ascending within a job.
        deadline_value: [D] points earned by who ends by then.
        speed: model name -> [J] speed against the reference; 0: does not run. Empty: by the models' FP16.
    """

    source: str
    submit_s: Ints
    duration_s: Ints
    cards: Ints
    vc: Ints
    vc_names: tuple[str, ...]
    priority: Ints
    ceiling_micro_yuan: Ints
    walltime_s: Ints
    checkpoint_s: Ints
    deadline_start: Ints
    deadline_s: Ints
    deadline_value: Ints
    speed: Mapping[str, Floats]

    @property
    def span_s(self) -> int:
        """Seconds from the first arrival to the last."""
        return int(self.submit_s[-1])


@dataclass(slots=True)
class Row:
    """One job while a trace is read."""

    submit_s: float
    duration_s: float
    cards: int
    vc: str = ""
    priority: int = NOT_GIVEN
    ceiling_micro_yuan: int = NOT_GIVEN
    walltime_s: int = NOT_GIVEN
    checkpoint_s: int = NEVER_PREEMPTED
    deadlines: Sequence[tuple[int, int]] = ()
    speed: Mapping[str, float] | None = None


class Line:
    """One line of a CSV file, with typed access to its columns. Every method raises BadTrace, naming the place."""

    def __init__(self, columns: Mapping[str, str], place: str) -> None:
        self.columns, self.place = columns, place

    def wrong(self, column: str, wanted: str) -> BadTrace:
        """Return the error for this column."""
        return BadTrace(f"{self.place}: {column} is {self.columns.get(column)!r:.40}: {wanted} is wanted")

    def text(self, column: str) -> str:
        """Return the text; a short line has none."""
        found = self.columns.get(column)
        if found is None:
            raise self.wrong(column, "a value")
        return found

    def whole(self, column: str, low: int, high: int) -> int:
        """Return a whole number in this range."""
        text = self.text(column)
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise self.wrong(column, f"a whole number from {low} to {high}")
        return int(text)

    def number(self, column: str, low: float, high: float) -> float:
        """Return a number in this range."""
        try:
            found = float(self.text(column))
        except ValueError:
            found = math.nan
        if not low <= found <= high:
            raise self.wrong(column, f"a number from {low:g} to {high:g}")
        return found

    def wholes(self, column: str, high: int) -> list[int]:
        """Return whole numbers parted by "-"; none for an empty text."""
        parts = [part for part in self.text(column).split("-") if part]
        if not all(part.isascii() and part.isdigit() and len(part) < 20 and int(part) <= high for part in parts):
            raise self.wrong(column, f"whole numbers up to {high} parted by -")
        return [int(part) for part in parts]

    def deadlines(self, times: str, values: str, seconds_each: int = 1) -> list[tuple[int, int]]:
        """Return the steps of a deadline from a column of times and one of values."""
        when = self.wholes(times, SECONDS_MAX // seconds_each)
        worth = self.wholes(values, 2**31)
        if len(when) != len(worth) or sorted(set(when)) != when:
            raise self.wrong(times, f"as many ascending times as {values} has values")
        return [(seconds_each * at, value) for at, value in zip(when, worth, strict=True)]


def rows_of(path: Path, columns: Sequence[str] = ()) -> tuple[Sequence[str], Iterator[Line]]:
    """Return the header of a CSV file (.gz or plain) and its lines. Raise BadTrace without these columns."""
    with _opened(path) as text:
        header = next(csv.reader(text), [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise BadTrace(f"{path}: line 1 has no column {', '.join(missing)}: it must name {', '.join(columns)}")
    return header, _lines(path)


def read(path: Path, convert: Callable[[Line], Row | None], source: str, limit: int) -> Trace:
    """Read jobs; `convert` returns None for a line that is no job of ours (they are counted in `source`)."""
    rows: list[Row] = []
    left_out = 0
    for line in rows_of(path)[1]:
        row = convert(line)
        if row is None:
            left_out += 1
        else:
            rows.append(row)
    if not rows:
        raise BadTrace(f"{path}: no job asks for a card: nothing would be replayed")
    told = f"{source}, {len(rows):,} jobs" + (f"; {left_out:,} lines are no jobs of this replay" if left_out else "")
    return trace_of(rows, told, limit)


def own_columns(header: Sequence[str]) -> Callable[[Line], Row]:
    """Return the reader of the columns documented in the README."""
    given = [name for name in OPTIONAL if name in header]
    models = [name.removeprefix(SPEED) for name in header if name.startswith(SPEED)]

    def convert(line: Line) -> Row:
        row = Row(
            line.number("submit_s", 0, SECONDS_MAX),
            line.number("duration_s", 0, SECONDS_MAX),
            line.whole("cards", 1, GANG_CARDS_MAX),
        )
        filled = [name for name in given if line.text(name)]
        if "vc" in filled:
            row.vc = line.text("vc")
        if "priority" in filled:
            if line.text("priority") not in PRIORITIES:
                raise line.wrong("priority", f"one of {', '.join(PRIORITIES)}")
            row.priority = PRIORITIES.index(line.text("priority"))
        if "ceiling_yuan_per_pflops_hour" in filled:
            row.ceiling_micro_yuan = round(line.number("ceiling_yuan_per_pflops_hour", 0, 10**6) * 10**6)
        if "walltime_s" in filled:
            row.walltime_s = line.whole("walltime_s", 1, SECONDS_MAX)
        if "checkpoint_s" in filled:
            row.checkpoint_s = line.whole("checkpoint_s", 0, SECONDS_MAX)
        if "deadline_s" in filled:
            row.deadlines = line.deadlines("deadline_s", "deadline_value")
        row.speed = {model: line.number(SPEED + model, 0, 10) for model in models} if models else None
        return row

    return convert


def trace_of(rows: Sequence[Row], source: str, limit: int = 0) -> Trace:
    """Return the first jobs (0: all) by arrival; time begins with the first of them."""
    rows = sorted(rows, key=lambda row: row.submit_s)
    rows = rows[:limit] if limit else rows
    first = rows[0].submit_s
    vc_names = tuple(sorted({row.vc or "all" for row in rows}))
    number = {name: vc for vc, name in enumerate(vc_names)}
    steps = [step for row in rows for step in row.deadlines]
    models = sorted({model for row in rows for model in (row.speed or ())})

    def whole(values: Sequence[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    return Trace(
        source=source + (f", the first {len(rows):,}" if limit else ""),
        submit_s=whole([int(row.submit_s - first) for row in rows]),
        duration_s=whole([max(math.ceil(row.duration_s), 1) for row in rows]),
        cards=whole([row.cards for row in rows]),
        vc=whole([number[row.vc or "all"] for row in rows]),
        vc_names=vc_names,
        priority=whole([row.priority for row in rows]),
        ceiling_micro_yuan=whole([row.ceiling_micro_yuan for row in rows]),
        walltime_s=whole([row.walltime_s for row in rows]),
        checkpoint_s=whole([row.checkpoint_s for row in rows]),
        deadline_start=np.append(0, np.cumsum(whole([len(row.deadlines) for row in rows]))),
        deadline_s=whole([at for at, _ in steps]),
        deadline_value=whole([value for _, value in steps]),
        speed={model: np.array([(row.speed or {}).get(model, 0.0) for row in rows]) for model in models},
    )


def _opened(path: Path):  # type: ignore[no-untyped-def]
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")


def _lines(path: Path) -> Iterator[Line]:
    with _opened(path) as text:
        reader = csv.DictReader(text)
        for columns in reader:
            yield Line(columns, f"{path}:{reader.line_num}")
