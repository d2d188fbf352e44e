"""Between the wire and the domain: planned defragmentation."""

from collections.abc import Iterable

from broker.ids import JobId, job_text, lease_text
from broker.market.moves import Moved, Proposed
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import Checks
from broker.wire.v1 import admin_service_pb2 as pb


def job_of(request: pb.MakeRoomRequest) -> JobId:
    """Return the job to make room for. Raise InvalidRequest."""
    checks = Checks()
    job = checks.job_id("job_id", request.job_id)
    checks.done()
    return job


def job_if_any(request: pb.ListMovesRequest) -> JobId | None:
    """Return the job that is asked about, None for all. Raise InvalidRequest."""
    return job_of(pb.MakeRoomRequest(job_id=request.job_id)) if request.job_id else None


def moves_to_wire(found: Iterable[Proposed]) -> pb.ListMovesResponse:
    """Return proposals."""
    return pb.ListMovesResponse(proposals=map(_proposal, found))


def _proposal(found: Proposed) -> pb.MoveProposal:
    wire = pb.MoveProposal(
        job_id=job_text(found.job),
        city=found.city,
        cluster=found.cluster,
        pool=found.pool,
        nodes=found.nodes,
        starts_at=timestamp(found.starts_at),
        gain_micro_yuan=found.gain_micro_yuan,
        loss_micro_yuan=found.loss_micro_yuan,
        moves=map(_move, found.moves),
    )
    if found.instead_of is not None:
        wire.instead_of.CopyFrom(timestamp(found.instead_of))
    return wire


def _move(found: Moved) -> pb.Move:
    return pb.Move(
        lease_id=lease_text(found.lease),
        job_id=job_text(found.job),
        nodes=found.nodes,
        to_nodes=found.to,
        lost_card_seconds=found.lost_card_seconds,
        loss_micro_yuan=found.loss_micro_yuan,
    )
