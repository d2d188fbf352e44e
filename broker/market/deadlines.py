"""Whether a job can end by its `finish_by`, as far as that is certain when it is submitted."""

from datetime import datetime, timedelta

from broker.errors import InvalidRequest, invalid
from broker.job import JobSpec


def earliest_start(spec: JobSpec, now: datetime) -> datetime:
    """Return the moment before which the job certainly does not start, even if every card were free."""
    return max(now, spec.earliest_start or now)


def too_late(spec: JobSpec, now: datetime) -> InvalidRequest | None:
    """Return why the job certainly misses its `finish_by`, with the earliest one that it could keep; None if it may."""
    if spec.finish_by is None:
        return None
    end = earliest_start(spec, now) + timedelta(seconds=spec.walltime_seconds)
    if end <= spec.finish_by:
        return None
    return invalid(
        "spec.finish_by",
        f"cannot be kept: with its walltime the job ends at {end.isoformat(timespec='seconds')} at the earliest; "
        "give a later finish_by, or a shorter walltime",
    )
