"""Submitting, with progress, and following what was submitted to its end."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from broker.cli.errors import complain
from broker.cli.job_facts import show_job
from broker.cli.logs import write
from broker.cli.output import message_data, note, notices, print_json, print_line, show, table

if TYPE_CHECKING:
    from rich.progress import Progress

    from broker.client import Client, JobSpec, Submission
    from broker.client.bulk import Item

PROBLEMS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Many:
    """Jobs to submit in one call: the items, how many there are, and how many go into one message."""

    items: "Iterable[Item]"
    total: int
    batch: int


async def submit_one(xisuan: "Client", spec: "JobSpec", *, key: str, follow: bool, as_json: bool) -> bool:
    """Submit one job, and with `follow` print its output until it ends. Return whether all is well."""
    receipt = await xisuan.submit(spec, request_key=key or None)
    if not follow:
        if as_json:
            print_json({"job_id": receipt.job_id, "duplicate": receipt.duplicate})
        else:
            show(receipt.job_id + (" (submitted before with this key)" if receipt.duplicate else ""))
        return True
    note(f"{receipt.job_id} is submitted")
    if not as_json:
        await _follow_output(xisuan, receipt.job_id)
    job = await xisuan.wait(receipt.job_id)
    if as_json:
        print_json(message_data(job.wire))
    elif job.state != "succeeded":
        show_job(job)
    else:
        note(str(job))
    return job.state == "succeeded"


async def submit_many(xisuan: "Client", many: Many, *, follow: bool, as_json: bool) -> bool:
    """Submit many jobs in one call, and with `follow` wait for their ends. Return whether all is well."""
    since = await xisuan.latest_cursor() if follow else 0
    accepted: list[str] = []
    duplicates, refused, told = 0, Counter[str](), 0
    with _progress() as progress:
        bar = progress.add_task("submitting", total=many.total)
        async for submission in xisuan.submit_many(many.items, batch=many.batch):
            progress.advance(bar)
            if as_json:
                print_line(_submission_data(submission))
            if submission.error is None:
                accepted.append(submission.job_id)
                duplicates += submission.duplicate
                continue
            refused[submission.error.reason] += 1
            if told < PROBLEMS_SHOWN and not as_json:
                _tell(submission)
                told += 1
    if not as_json:
        first = f", {accepted[0]} to {accepted[-1]}" if accepted else ""
        again = f" ({duplicates:,} of them before with the same keys)" if duplicates else ""
        show(f"{len(accepted):,} of {many.total:,} jobs are submitted{again}{first}")
        if refused:
            show(table(["refused>", "reason"], [(f"{n:,}", reason) for reason, n in refused.most_common()]))
    ended_well = await _follow(xisuan, set(accepted), since, as_json=as_json) if follow and accepted else True
    return ended_well and not refused


async def _follow_output(xisuan: "Client", job_id: str) -> None:
    from broker.client import NotFound, Unavailable

    await xisuan.wait_started(job_id)
    try:
        async for piece in xisuan.logs(job_id, follow=True):
            write(piece)
    except (NotFound, Unavailable) as error:
        note(f"its output cannot be read: {error}")


async def _follow(xisuan: "Client", waiting: set[str], since: int, *, as_json: bool) -> bool:
    """Watch until every job is final, then print how many ended how. Return whether all succeeded."""
    from broker.client.results import FINAL

    final = {state.value for state in FINAL}
    ended: Counter[str] = Counter()
    with _progress() as progress:
        bar = progress.add_task("waiting for the end", total=len(waiting))
        async for event in xisuan.watch(after=since):
            if event.kind in final and event.job_id in waiting:
                waiting.remove(event.job_id)
                ended[event.kind] += 1
                progress.advance(bar)
                if as_json:
                    print_line(message_data(event.wire))
            if not waiting:
                break
    if not as_json:
        show(table(["jobs>", "state"], [(f"{n:,}", state) for state, n in ended.most_common()]))
    return set(ended) == {"succeeded"}


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Show bars on stderr, when somebody looks at it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notices(), disable=not sys.stderr.isatty()) as progress:
        yield progress


def _tell(submission: "Submission") -> None:
    error = submission.error
    assert error is not None  # noqa: S101  # only refused items are told
    complain(
        f"item {submission.index + 1}: {error.message}",
        reason=error.reason,
        code=error.code,
        fields=[(problem.field, problem.description) for problem in error.fields],
    )


def _submission_data(submission: "Submission") -> dict[str, object]:
    error = submission.error
    return {
        "index": submission.index,
        "request_key": submission.request_key,
        "job_id": submission.job_id,
        "duplicate": submission.duplicate,
        "error": None
        if error is None
        else {
            "code": error.code,
            "reason": error.reason,
            "message": error.message,
            "fields": [{"field": p.field, "description": p.description} for p in error.fields],
        },
    }
