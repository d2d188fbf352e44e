"""Between the wire and the domain: maintenance windows, with all checks of admin_service.proto."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from broker.ids import WindowId, job_text, parse_window, window_text
from broker.market.windows import Created
from broker.rpc.convert import chunks, timestamp
from broker.rpc.convert_admin import REASON_CHARACTERS_MAX, lease_to_wire, node_names
from broker.rpc.convert_checks import EPOCH, Checks, shown
from broker.store.windows import Window, WindowDraft
from broker.wire.v1 import admin_service_pb2 as pb

AHEAD_MAX: Final = timedelta(days=366)
LONGEST: Final = timedelta(days=366)
LEASES_BYTES_MAX: Final = 2 * 1024 * 1024


def window_draft(request: pb.CreateWindowRequest, *, now: datetime) -> WindowDraft:
    """Return the window to create. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    starts_at: datetime | None = now
    if request.HasField("starts_at"):
        first = now - timedelta(microseconds=1)
        starts_at = checks.moment("starts_at", request.starts_at, after=first, until=now + AHEAD_MAX)
    ends_at = None
    if request.HasField("ends_at"):
        ends_at = checks.moment("ends_at", request.ends_at, after=EPOCH, until=now + AHEAD_MAX + LONGEST)
        if starts_at and ends_at and not starts_at < ends_at <= starts_at + LONGEST:
            begin = starts_at.isoformat(timespec="seconds")
            checks.wrong("ends_at", f"must lie after {begin}, where the window begins, and within {LONGEST.days} days")
    else:
        checks.wrong("ends_at", "is missing: say when the nodes are open again")
    found = WindowDraft(
        cluster=checks.slug("cluster", request.cluster),
        pool=checks.slug_or_empty("pool", request.pool),
        nodes=tuple(sorted(set(node_names(checks, request.nodes)))),
        starts_at=starts_at or now,
        ends_at=ends_at or now,
        reason=checks.printable("reason", request.reason, REASON_CHARACTERS_MAX),
    )
    checks.done()
    return found


def window_id(request: pb.CancelWindowRequest) -> WindowId:
    """Return the window to cancel. Raise InvalidRequest when it names none."""
    checks = Checks()
    window = parse_window(request.window_id)
    if window is None:
        checks.wrong("window_id", f'must be an id such as "window-7", not {shown(request.window_id)}')
    checks.done()
    return window or WindowId(0)


def window_cluster(request: pb.ListWindowsRequest) -> str:
    """Return the cluster whose windows are asked for, empty for all. Raise InvalidRequest."""
    checks = Checks()
    checks.slug_or_empty("cluster", request.cluster)
    checks.done()
    return request.cluster


def created_to_wire(created: Created) -> pb.CreateWindowResponse:
    """Return a new window, or what it would be, with whom it meets."""
    leases = next(chunks(map(lease_to_wire, created.leases), LEASES_BYTES_MAX), [])
    return pb.CreateWindowResponse(
        window=None if created.window is None else window_to_wire(created.window),
        nodes=created.nodes,
        leases=leases,
        barred_job_ids=map(job_text, created.barred),
        barred_jobs=created.barred_count,
    )


def windows_to_wire(windows: Sequence[Window]) -> pb.ListWindowsResponse:
    """Return windows by their begin."""
    return pb.ListWindowsResponse(windows=map(window_to_wire, windows))


def window_to_wire(window: Window) -> pb.Window:
    """Return one window."""
    return pb.Window(
        window_id=window_text(window.window),
        cluster=window.cluster,
        pool=window.pool,
        nodes=window.nodes,
        starts_at=timestamp(window.starts_at),
        ends_at=timestamp(window.ends_at),
        reason=window.reason,
        created_at=timestamp(window.created_at),
        created_by=window.created_by,
        cancelled_at=None if window.cancelled_at is None else timestamp(window.cancelled_at),
    )
