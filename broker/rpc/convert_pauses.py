"""Between the wire and the domain: pauses of queues and clusters, with all checks of admin_service.proto."""

from broker.market.pauses import Pause, Paused, PauseDone
from broker.rpc.convert import timestamp
from broker.rpc.convert_admin import REASON_CHARACTERS_MAX
from broker.rpc.convert_checks import Checks
from broker.wire.v1 import admin_service_pb2 as pb


def place_of(request: pb.PauseRequest | pb.ResumeRequest) -> tuple[Paused, str]:
    """Return what is to be paused or resumed. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    what = Paused.CLUSTER if request.WhichOneof("place") == "cluster" else Paused.QUEUE
    if request.WhichOneof("place") is None:
        checks.wrong("place", "is missing: give city or cluster")
    elif what is Paused.CLUSTER:
        checks.slug("cluster", request.cluster)
    else:
        checks.slug("city", request.city)
    if isinstance(request, pb.PauseRequest):
        checks.printable("reason", request.reason, REASON_CHARACTERS_MAX)
    checks.done()
    return what, request.cluster if what is Paused.CLUSTER else request.city


def pause_to_wire(pause: Pause) -> pb.PausedPlace:
    """Return a pause."""
    return pb.PausedPlace(
        city=pause.name if pause.what is Paused.QUEUE else None,
        cluster=pause.name if pause.what is Paused.CLUSTER else None,
        reason=pause.reason,
        paused_at=timestamp(pause.paused_at),
        paused_by=pause.paused_by,
    )


def paused_to_wire(done: PauseDone) -> pb.PauseResponse:
    """Return what a pause did."""
    pause = None if done.pause is None else pause_to_wire(done.pause)
    return pb.PauseResponse(pause=pause, changed=done.changed, waiting_jobs=done.waiting)


def resumed_to_wire(done: PauseDone) -> pb.ResumeResponse:
    """Return what resuming did."""
    pause = None if done.pause is None else pause_to_wire(done.pause)
    return pb.ResumeResponse(pause=pause, changed=done.changed, waiting_jobs=done.waiting)
