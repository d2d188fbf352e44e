"""Between the wire and the domain: what-if previews, with all checks of admin_service.proto."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.ids import job_text, lease_text
from broker.market.previews import ChangeQuota, CloseNodes, PauseCity, Preview, Running, WhatIf
from broker.rpc.convert import timestamp
from broker.rpc.convert_admin import node_names
from broker.rpc.convert_checks import Checks
from broker.rpc.convert_limits import quota_row
from broker.wire.v1 import admin_service_pb2 as pb
from scheduler.preview import PromisedStart

SHOWN_MAX: Final = 1000


def what_if(request: pb.GetPreviewRequest) -> WhatIf:
    """Return the change to try. Raise InvalidRequest that names every wrong field."""
    kind = request.WhichOneof("change")
    if kind == "quota":
        return ChangeQuota(quota_row(pb.SetQuotaRequest(quota=request.quota)))
    checks = Checks()
    found: WhatIf = PauseCity(request.pause_city)
    if kind == "pause_city":
        checks.slug("pause_city", request.pause_city)
    elif kind == "close_nodes":
        cluster = checks.slug("close_nodes.cluster", request.close_nodes.cluster)
        found = CloseNodes(cluster, tuple(sorted(set(node_names(checks, request.close_nodes.nodes)))))
    else:
        checks.wrong("change", "is missing: give close_nodes, pause_city or quota")
    checks.done()
    return found


def preview_to_wire(found: Preview) -> pb.GetPreviewResponse:
    """Return what a change would do; of long lists the first ones, and how many there are."""
    outlook = found.outlook
    return pb.GetPreviewResponse(
        at=timestamp(found.at),
        waiting_jobs=found.waiting,
        running=_leases(found.running),
        running_leases=len(found.running),
        stopped=_leases(found.stopped),
        stopped_leases=len(found.stopped),
        spared=_leases(found.spared),
        spared_leases=len(found.spared),
        starting_job_ids=outlook.starts[:SHOWN_MAX],
        starting_jobs=len(outlook.starts),
        waiting_longer_job_ids=outlook.waits[:SHOWN_MAX],
        waiting_longer_jobs=len(outlook.waits),
        moved=[pb.MovedJob(job_id=m.job_id, before=m.before, after=m.after) for m in outlook.moves[:SHOWN_MAX]],
        moved_jobs=len(outlook.moves),
        worth_before_micro_yuan_per_hour=outlook.worth_before_micro_yuan_per_hour,
        worth_after_micro_yuan_per_hour=outlook.worth_after_micro_yuan_per_hour,
        gap_before_ppm=outlook.gap_before_ppm,
        gap_after_ppm=outlook.gap_after_ppm,
        prices=[
            pb.PriceMove(pool=p.pool, before_micro_yuan_per_card_hour=p.before, after_micro_yuan_per_card_hour=p.after)
            for p in outlook.prices[:SHOWN_MAX]
        ],
        promised_starts=[_promised(each) for each in outlook.promises],
        greedy=found.greedy,
    )


def _leases(found: Sequence[Running]) -> list[pb.RunningLease]:
    return [
        pb.RunningLease(lease_id=lease_text(r.lease), job_id=job_text(r.job), ends_at=timestamp(r.ends_at))
        for r in found[:SHOWN_MAX]
    ]


def _promised(start: PromisedStart) -> pb.PromisedStart:
    return pb.PromisedStart(
        job_id=start.job_id,
        promised_at=_moment(start.promised_s),
        before=_moment(start.before_s),
        after=_moment(start.after_s),
        fate=start.fate or "",
        cause=start.cause or "",
    )


def _moment(seconds: int | None) -> Timestamp | None:
    return None if seconds is None else Timestamp(seconds=seconds)
