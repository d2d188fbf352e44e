"""Which of a call's jobs name jobs to run after that are not there. Pure: what is there has been looked up."""

from collections.abc import Collection, Sequence

from broker.errors import BrokerError, FieldProblem, InvalidRequest
from broker.ids import JobId, job_text
from broker.job import JobSpec

Items = Sequence[tuple[str, JobSpec]]
"""Submissions by request key, in the order given."""


def named(items: Items) -> tuple[set[JobId], set[str]]:
    """Return all jobs and request keys that the items want to run after."""
    ids = {job for _, spec in items for job in spec.after}
    return ids, {key for _, spec in items for key in spec.after_request_keys}


def objections(
    items: Items, refused: Sequence[BrokerError | None], jobs: Collection[JobId], keys: Collection[str]
) -> list[BrokerError | None]:
    """Return why each item cannot be accepted: as `refused` says, or because a job that it names is not there.

    Args:
        items: a key that an item before it has will do, unless that one is refused itself.
        refused: what else is wrong with each item.
        jobs: those of the named jobs that the city has.
        keys: those of the named request keys that a job of the city has.
    """
    known = set(keys)
    found: list[BrokerError | None] = []
    for (key, spec), objection in zip(items, refused, strict=True):
        found.append(objection or _objection(spec, jobs, known))
        if found[-1] is None:
            known.add(key)
    return found


def _objection(spec: JobSpec, jobs: Collection[JobId], keys: Collection[str]) -> InvalidRequest | None:
    problems = [
        FieldProblem(f"spec.after[{i}]", f"there is no job {job_text(job)} of this city: see `xisuan jobs`")
        for i, job in enumerate(spec.after)
        if job not in jobs
    ]
    problems += [
        FieldProblem(
            f"spec.after_request_keys[{i}]",
            f"no job of this city has the request key {key!r}: submit that one first, or before this one in the call",
        )
        for i, key in enumerate(spec.after_request_keys)
        if key not in keys
    ]
    return InvalidRequest(*problems) if problems else None
