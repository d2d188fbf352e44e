"""Between the wire and the domain: promised starts, as operators see them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from broker.ids import job_text
from broker.job import Promised
from broker.rpc.convert import promised_to_wire, timestamp
from broker.store.promises import PromiseRow
from broker.wire.v1 import admin_service_pb2 as pb


def promises_to_wire(rows: Iterable[PromiseRow]) -> pb.ListPromisesResponse:
    """Return promises."""
    return pb.ListPromisesResponse(promises=map(_promise, rows))


def _promise(row: PromiseRow) -> pb.Promise:
    cluster, _, pool = row.pool.partition("/")
    return pb.Promise(
        job_id=job_text(row.job),
        city=row.city,
        promised=promised_to_wire(Promised(_moment(row.start_s), _moment(row.first_start_s), cluster, pool)),
        ends_at=timestamp(_moment(row.end_s)),
        nodes=[pb.PromisedNode(node=node, tasks=tasks) for node, tasks in row.nodes],
        cards_per_task=row.cards_per_task,
        made_at=timestamp(row.made_at),
        round=row.round,
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
