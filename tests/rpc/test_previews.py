"""Previews over the socket: every wrong field by its name, and what goes out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.ids import JobId
from broker.job import Within
from broker.rpc import convert_previews as convert
from broker.store import promises
from broker.store.promises import PromiseRow
from broker.wire.v1 import admin_service_pb2 as pb
from tests.cluster_world import START
from tests.rpc.refusals import refusal
from tests.rpc.test_admin_service import REPORT, Admin, admin, store_round
from tests.rpc.wire_strategies import messages

__all__ = ["admin"]

RICH = 10**12


def closing(**fields: Any) -> pb.GetPreviewRequest:
    return pb.GetPreviewRequest(close_nodes=pb.NodesToClose(**fields))


WRONG: dict[str, tuple[pb.GetPreviewRequest, str]] = {
    "nothing": (pb.GetPreviewRequest(), "change"),
    "no cluster": (closing(), "close_nodes.cluster"),
    "a node that is no name": (closing(cluster="east", nodes=["n1", "a b"]), "nodes[1]"),
    "a city that is no slug": (pb.GetPreviewRequest(pause_city="A b"), "pause_city"),
    "a quota of no hub": (pb.GetPreviewRequest(quota=pb.Quota()), "quota.hub"),
    "a quota without one above": (pb.GetPreviewRequest(quota=pb.Quota(hub="qingyang", city="ganzhou")), "quota.city"),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_field_is_named(admin: Admin, request_: Any, field: str) -> None:
    refused = await refusal(admin(request_))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", [field])


async def test_observers_see_what_a_drain_would_do(admin: Admin) -> None:
    running = await admin.world.submit(cards_per_task=8)
    lease = await admin.world.offer(running, {"n1": tuple(range(8))})
    waiting = await admin.world.submit(tasks=2, cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH)

    found = await admin(closing(cluster="east"), "observer")

    assert [(one.lease_id, one.job_id) for one in found.running] == [(f"lease-{lease.lease}", f"job-{running}")]
    assert found.at.ToDatetime(START.tzinfo) == START
    assert found.running[0].ends_at.ToDatetime(START.tzinfo) > START
    assert (found.running_leases, found.waiting_jobs, found.greedy) == (1, 1, False)
    assert (list(found.waiting_longer_job_ids), found.waiting_longer_jobs) == ([f"job-{waiting}"], 1)
    assert found.worth_before_micro_yuan_per_hour > found.worth_after_micro_yuan_per_hour == 0
    gone = await refusal(admin(closing(cluster="east", nodes=["n9"])))
    assert (gone.code, gone.reason) == ("NOT_FOUND", "NODE_NOT_FOUND")


@given(st.data())
def test_any_message_is_read_or_refused(data: st.DataObject) -> None:
    try:
        convert.what_if(data.draw(messages(pb.GetPreviewRequest)))
    except InvalidRequest:
        return


async def test_what_becomes_of_a_promised_start_goes_out(admin: Admin) -> None:
    """Two other nodes are free now, so that it starts in the next round; without the cluster it is broken."""
    gang = await admin.world.submit(tasks=2, cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH)
    running = await admin.world.submit(cards_per_task=8, walltime_seconds=36_000)
    await admin.world.offer(running, {"n1": tuple(range(8))})
    start_s = int(START.timestamp()) + 40_000
    await promised(admin, gang, start_s)

    closed, paused = await admin(closing(cluster="east")), await admin(pb.GetPreviewRequest(pause_city="nanjing"))

    (broken,), (starts,) = closed.promised_starts, paused.promised_starts
    assert (broken.job_id, broken.fate, broken.cause) == (f"job-{gang}", "BROKEN", "NODES_GONE")
    assert (broken.promised_at.seconds, broken.HasField("before"), broken.HasField("after")) == (start_s, True, False)
    assert (starts.fate, starts.cause, starts.before, starts.after) == ("STARTED", "", paused.at, paused.at)
    assert (closed.stopped_leases, closed.spared_leases) == (0, 0)


async def promised(admin: Admin, job: JobId, start_s: int) -> None:
    """Store a promise of a task on each of two nodes, as a round would."""
    number = await store_round(admin, REPORT)
    async with admin.world.database.hub() as tx:
        pool_id = await tx.fetchval("SELECT pool_id FROM pools WHERE cluster = 'east'")
        row = PromiseRow(
            job, "ganzhou", pool_id, "east/main", (("n1", 1), ("n2", 1)), 0, start_s, start_s + 600, start_s, 0, 1,
            8, 0, 0, Within.POOL, START, number,
        )  # fmt: skip
        await promises.keep(tx, [row])
