"""The standard set: short runs of what matters, their figures as files, and the tables that papers show of them.

Each benchmark runs in a process of its own, one after the other. A run that is void, or fails, leaves the figures that
stood there before. The tables are made from the files and from nothing else: a test proves them fresh.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

RESULTS: Final = Path(__file__).parent / "results"
README: Final = Path(__file__).parents[1] / "README.md"
BEGIN: Final = "<!-- figures: made by `make bench` from benchmarks/results -->"
END: Final = "<!-- end of the figures -->"
_NOTHING: Final = "Nothing has been measured yet: `make bench` writes this page and the files beside it.\n"


class BadResults(ValueError):
    """A file of results cannot be read; the message names it and says the way out."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a table.

    Attributes:
        name: in the file. told: what it is, with the unit. factor: by which it is multiplied for the table.
        readme: whether the project's README shows it as well.
    """

    name: str
    told: str
    factor: float = 1.0
    readme: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of the set: the name of its file, its command, and what the tables show of it."""

    name: str
    arguments: tuple[str, ...]
    told: str
    figures: tuple[Figure, ...]

    @property
    def command(self) -> str:
        """How to run it by hand."""
        return " ".join(("python -m benchmarks", *self.arguments))


SET: Final = (
    Entry(
        "submit",
        ("submit", "--jobs", "50000", "--unary", "3000", "--set", "call_processes=2"),
        "durable submissions, two processes for calls: 50,000 jobs in batches, 12,500 streamed one by one, then single "
        "calls, 64 at a time, while rounds plan 112,000 that wait",
        (
            Figure("batched_per_second", "in batches of 1,000 on 4 streams, jobs a second", readme=True),
            Figure("streamed_per_second", "streamed, a message for each, jobs a second", readme=True),
            Figure("bulk_per_second", "in one call of the typed client, jobs a second"),
            Figure("unary_per_second", "single calls, jobs a second", readme=True),
            Figure("unary_p50_ms", "single call, median, ms"),
            Figure("unary_p99_ms", "single call, 99th percentile, ms", readme=True),
            Figure("bare_copy_per_second", "bare COPY of the same rows, rows a second", readme=True),
        ),
    ),
    Entry(
        "load-qingyang",
        ("load", "--world", "qingyang", "--rate", "50", "--minutes", "0.5", "--drain", "30"),
        "the Qingyang world under 50 submissions a second, open loop",
        (
            Figure("submitted_per_second", "submitted a second"),
            Figure("ack_p99_ms", "acknowledged, 99th percentile, ms", readme=True),
            Figure("submit_to_lease_p50_ms", "submitted to leased, median, ms", readme=True),
            Figure("lease_to_start_p50_ms", "leased to started, median, ms"),
            Figure("event_lag_p99_ms", "event to watcher, 99th percentile, ms"),
        ),
    ),
    Entry(
        "load-national",
        (
            *("load", "--world", "national", "--rate", "500", "--minutes", "0.5", "--way", "batch", "--drain", "30"),
            *("--set", "call_processes=1"),
        ),
        "45,000 nodes in 40 clusters under 500 submissions a second, in batches, open loop, with a process for calls",
        (
            Figure("submitted_per_second", "submitted a second", readme=True),
            Figure("placed_per_second", "placed a second", readme=True),
            Figure("ack_p99_ms", "acknowledged, 99th percentile, ms", readme=True),
            Figure("submit_to_lease_p50_ms", "submitted to leased, median, ms", readme=True),
            Figure("submit_to_lease_p99_ms", "submitted to leased, 99th percentile, ms", readme=True),
            Figure("lease_to_start_p50_ms", "leased to started, median, ms"),
            Figure("gap_percent_mean", "gap of the rounds to their bounds, mean, %"),
        ),
    ),
    Entry(
        "allocate",
        ("allocate", "--no-rule-sets", "--one-model-seconds", "0"),
        "one round of 100,000 jobs, 45,000 nodes and 120 pools, every rule on",
        (
            Figure("gap_cold", "proven gap, cold, %", 100, readme=True),
            Figure("cold_seconds", "seconds, cold", readme=True),
            Figure("gap_warm", "proven gap, warm (1 % of the jobs changed), %", 100, readme=True),
            Figure("warm_seconds", "seconds, warm", readme=True),
            Figure("peak_mib", "memory, MiB"),
        ),
    ),
    Entry(
        "ledger",
        ("ledger", "--clients", "64", "--seconds", "5"),
        "holds on one voucher from 64 clients, fsync on, PostgreSQL killed on the way",
        (
            Figure("undisturbed_holds_per_second", "holds a second while it lives", readme=True),
            Figure("undisturbed_p99_ms", "99th percentile, ms"),
            Figure("holds_per_second", "holds a second through the kill, the outage included", readme=True),
            Figure("overdrawn", "vouchers overdrawn"),
        ),
    ),
    Entry(
        "metering",
        ("metering", "--leases", "10000"),
        "10,000 running leases, told every five minutes and charged",
        (
            Figure("cpu_percent_of_one_core", "of one core, metering and charging, %", readme=True),
            Figure("postings_per_lease_hour", "postings of a lease in an hour"),
        ),
    ),
    Entry(
        "rivals",
        ("rivals", "--jobs", "2000", "--tasks", "300"),
        "32 emulated cards; see the page of benchmarks for what each of them keeps through a crash",
        (
            Figure("xisuan.start_p50_ms", "Xisuan: call to start on idle cards, median, ms", readme=True),
            Figure("slurm.start_p50_ms", "Slurm: the same, ms", readme=True),
            Figure("xisuan.tasks_per_second", "Xisuan: tasks run a second on the local engine", readme=True),
            Figure("slurm.tasks_per_second", "Slurm: the same, jobs of their own", readme=True),
            Figure("hyperqueue.tasks_per_second", "HyperQueue: the same, tasks of one job", readme=True),
            Figure("ray.tasks_per_second", "Ray: the same", readme=True),
            Figure("xisuan.submit_many_per_second", "Xisuan: submitted a second, 64 at a time"),
            Figure("slurm.submit_many_per_second", "Slurm: submitted a second, 8 sbatch at a time"),
            Figure(
                "postgres.insert_many_per_second", "PostgreSQL: bare inserts of the same rows a second, 8 at a time"
            ),
            Figure("grpc.unary_many_per_second", "gRPC: bare echoes of the same messages a second, 64 at a time"),
        ),
    ),
)
MAY_MISS: Final = {"rivals": ("slurm.", "hyperqueue.", "ray.")}
"""Figures that a run on a machine without those programs does not have."""


def main(
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these; may be repeated.")] = None,
    minutes: Annotated[
        float, typer.Option(min=0.0, help="What has not begun after so many minutes is left out, and named.")
    ] = 10.0,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where the figures and their table go.")] = RESULTS,
    tables: Annotated[bool, typer.Option("--tables", help="Only write the tables anew from the files.")] = False,
) -> None:
    """Run the standard set one by one; write the figures of each, and the tables that show them.

    Run it on a machine that does nothing else. Ends with 1 when a run was void, failed, or was left out.
    """
    console = Console()
    names = [entry.name for entry in SET]
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(names)}", param_hint="--only")
    results.mkdir(parents=True, exist_ok=True)
    chosen = [] if tables else [entry for entry in SET if entry.name in (only or names)]
    missed = _run_all(chosen, results, minutes, console)
    try:
        found = read(results)
        (results / "README.md").write_text(page(found))
        if results.resolve() == RESULTS:
            README.write_text(with_figures(README.read_text(), found))
    except BadResults as error:
        raise typer.BadParameter(str(error), param_hint="--results") from error
    console.print(f"table: {results / 'README.md'}", highlight=False)
    if missed:
        raise typer.Exit(1)


def _run_all(chosen: Sequence[Entry], results: Path, minutes: float, console: Console) -> list[str]:
    """Run these; return the names of those without new figures."""
    missed, began = [], time.monotonic()
    for entry in chosen:
        if time.monotonic() - began > 60 * minutes:
            console.print(f"{entry.name}: left out, {minutes:g} minutes are over", highlight=False)
            missed.append(entry.name)
            continue
        console.print(f"{entry.name}: {entry.command} ...", highlight=False)
        at = time.monotonic()
        said = _run(entry, results / f"{entry.name}.json")
        console.print(f"  {time.monotonic() - at:.0f} s{', no figures:' if said else ''}", highlight=False)
        if said:
            console.print(said, markup=False, highlight=False)
            missed.append(entry.name)
    return missed


def _run(entry: Entry, file: Path) -> str:
    """Run one and put its figures in their place when they are valid; return what it said if they are not."""
    new = file.with_suffix(".new")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *entry.arguments, "--json", str(new)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    try:
        if done.returncode or not new.exists():
            return done.stdout[-2000:] or f"ended with {done.returncode}"
        new.replace(file)
        return ""
    finally:
        new.unlink(missing_ok=True)


def read(results: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured, by the entry's name. Raise BadResults: a file is no clean result of its entry."""
    found = {}
    for entry in SET:
        file = results / f"{entry.name}.json"
        if not file.exists():
            continue
        again = f"run: python -m benchmarks standard --only {entry.name}"
        try:
            told = json.loads(file.read_text())
            told["machine"], told["commit"], told["seed"]
            missing = [f.name for f in entry.figures if f.name not in told["figures"] and not _may_miss(entry, f)]
            violations = told["audit"]["violations"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadResults(f"{file}: no figures of a benchmark ({error!r}): {again}") from error
        if missing or violations:
            raise BadResults(f"{file}: {f'no {missing[0]}' if missing else 'void'}: {again}")
        found[entry.name] = told
    return found


def _may_miss(entry: Entry, figure: Figure) -> bool:
    return figure.name.startswith(MAY_MISS.get(entry.name, ()))


def page(found: Mapping[str, dict[str, Any]]) -> str:
    """Return the page of the results."""
    parts = ["# Results of the standard set\n", "Made from the files beside it by `make bench`; not to be edited.\n"]
    if not found:
        parts.append(_NOTHING)
    for entry in SET:
        told = found.get(entry.name)
        if told is None:
            continue
        parts.append(f"## {entry.name}\n")
        parts.append(f"{entry.told[0].upper()}{entry.told[1:]}. `{entry.command}`, {_where(told)}.\n")
        rows = [f"| {figure.told} | {_shown(told, figure)} |" for figure in entry.figures]
        parts.append("\n".join(["| figure | |", "|---|---:|", *rows]) + "\n")
    return "\n".join(parts)


def with_figures(text: str, found: Mapping[str, dict[str, Any]]) -> str:
    """Return the README with its block of figures made anew; as it is while nothing was measured.

    Raises: BadResults: the marks of the block are gone.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise BadResults(f"{README.name}: put the lines {BEGIN!r} and {END!r} round the figures")
    if not found:
        return text
    lines = ["", "", "| | |", "|---|---|"]
    for entry in SET:
        told = found.get(entry.name)
        if told is None:
            continue
        shown = [f"{f.told}: {_shown(told, f)}" for f in entry.figures if f.readme and f.name in told["figures"]]
        lines.append(f"| {entry.told} | {'; '.join(shown)} |")
    wheres = sorted({_where(found[entry.name]) for entry in SET if entry.name in found})
    return f"{head}{begin}{chr(10).join(lines)}\n\nMeasured on: {'; '.join(wheres)}.\n\n{end}{tail}"


def _where(told: Mapping[str, Any]) -> str:
    return f"{told['machine']}, commit {told['commit']}"


def _shown(told: Mapping[str, Any], figure: Figure) -> str:
    value = told["figures"].get(figure.name)
    if value is None:
        return "not measured"
    value *= figure.factor
    if value == int(value) and abs(value) < 10**15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
