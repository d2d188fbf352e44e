"""When a job may run, from the wire: its times, what it runs after, and whether it may be stopped for others."""

from datetime import datetime, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.job import GreenPreference
from broker.rpc.convert_checks import EPOCH, REQUEST_KEY_CHARACTERS_MAX, Checks
from broker.rpc.convert_enums import GREEN
from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb

START_AHEAD_MAX: Final = timedelta(days=366)
FINISH_BY_AHEAD_MAX: Final = timedelta(days=732)
AFTER_MAX: Final = 64
CHECKPOINT_INTERVAL_SECONDS_MAX: Final = 31_536_000


def has_when(wire: pb.JobSpec) -> bool:
    """Tell whether `when` would read anything. A job without runs when it can: the defaults of JobSpec."""
    return bool(
        wire.after
        or wire.after_request_keys
        or wire.after_any_end
        or wire.after_data_ready
        or wire.preemptible
        or wire.checkpoint_interval_seconds
        or wire.green
        or wire.HasField("earliest_start")
        or wire.HasField("start_by")
        or wire.HasField("finish_by")
    )


def when(checks: Checks, wire: pb.JobSpec, now: datetime) -> dict[str, Any]:
    """Return the fields of JobSpec that are about time; what is wrong goes to `checks`.

    That `start_by` and `finish_by` have not passed is judged where repeated submissions are known.
    """
    earliest = _moment(checks, wire, "earliest_start", now + START_AHEAD_MAX)
    start_by = _moment(checks, wire, "start_by", now + START_AHEAD_MAX)
    finish_by = _moment(checks, wire, "finish_by", now + FINISH_BY_AHEAD_MAX)
    if earliest and start_by and start_by <= earliest:
        checks.wrong("spec.start_by", f"must lie after earliest_start ({_text(earliest)})")
    if earliest and finish_by and (finish_by - earliest).total_seconds() < wire.walltime_seconds:
        ends = f"the walltime after earliest_start ({_text(earliest)})"
        checks.wrong("spec.finish_by", f"must lie at least {ends}: give it later, or a shorter walltime")
    return {"earliest_start": earliest, "start_by": start_by, "finish_by": finish_by} | {
        **_after(checks, wire),
        **_stopped(checks, wire),
        "green": _green(checks, wire),
    }


def start_asked(request: spb.ExplainJobRequest, now: datetime) -> datetime | None:
    """Return the time that an explanation is asked for; None: now. Raise InvalidRequest for one that is not ahead."""
    if not request.HasField("start_by"):
        return None
    checks = Checks()
    at = checks.moment("start_by", request.start_by, after=now, until=now + START_AHEAD_MAX)
    checks.done()
    return at


def _after(checks: Checks, wire: pb.JobSpec) -> dict[str, Any]:
    """Return which jobs come first; named twice means named once."""
    ids = checks.count("spec.after", wire.after, 0, AFTER_MAX)
    keys = checks.count("spec.after_request_keys", wire.after_request_keys, 0, AFTER_MAX)
    found = {checks.job_id(f"spec.after[{i}]", wire.after[i]) for i in range(ids)}
    for i in range(keys):
        path = f"spec.after_request_keys[{i}]"
        checks.printable_ascii(path, wire.after_request_keys[i], REQUEST_KEY_CHARACTERS_MAX)
    if ids + keys > AFTER_MAX >= max(ids, keys):
        checks.wrong("spec.after_request_keys", f"and after name {ids + keys} jobs, must name at most {AFTER_MAX}")
    if wire.after_any_end and not (ids or keys):
        checks.wrong("spec.after_any_end", "is about the jobs of after, and there are none: name some, or leave it out")
    if wire.after_data_ready and not (ids or keys):
        checks.wrong("spec.after_data_ready", "is about the jobs of after, and there are none: name some")
    if wire.after_data_ready and wire.after_any_end:
        checks.wrong("spec.after_data_ready", "cannot stand beside after_any_end: leave one of them out")
    return {
        "after": tuple(sorted(found)),
        "after_request_keys": tuple(sorted(set(wire.after_request_keys[:keys]))),
        "after_any_end": wire.after_any_end,
        "after_data_ready": wire.after_data_ready,
    }


def _stopped(checks: Checks, wire: pb.JobSpec) -> dict[str, Any]:
    """Return whether it may be stopped for other work, and what that costs."""
    path, given = "spec.checkpoint_interval_seconds", wire.checkpoint_interval_seconds
    interval = checks.within(path, given, 0, CHECKPOINT_INTERVAL_SECONDS_MAX)
    if given and not wire.preemptible:
        checks.wrong(path, "is for preemptible jobs only: say preemptible, or leave it out")
    return {"preemptible": wire.preemptible, "checkpoint_interval_seconds": interval}


def _green(checks: Checks, wire: pb.JobSpec) -> GreenPreference:
    found = GREEN.read(checks, "spec.green", wire.green, GreenPreference.NONE)
    hurried = (pb.PRIORITY_CLASS_URGENT, pb.PRIORITY_CLASS_EMERGENCY)
    if found is not GreenPreference.NONE and wire.priority in hurried:
        checks.wrong("spec.green", "is for work that can wait: leave it out, or give priority standard or deferrable")
    return found


def _moment(checks: Checks, wire: pb.JobSpec, name: str, until: datetime) -> datetime | None:
    if not wire.HasField(name):
        return None
    at: Timestamp = getattr(wire, name)
    return checks.moment(f"spec.{name}", at, after=EPOCH, until=until)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
