"""Pauses over a socket: checks, roles, what goes out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.rpc import convert_pauses as convert
from broker.wire.v1 import admin_service_pb2 as pb
from tests.cluster_world import START
from tests.rpc.refusals import refusal
from tests.rpc.test_admin_service import Admin, admin
from tests.rpc.wire_strategies import messages

__all__ = ["admin"]

WRONG: dict[str, tuple[Any, list[str]]] = {
    "nothing": (pb.PauseRequest(), ["place", "reason"]),
    "no reason": (pb.PauseRequest(city="ganzhou"), ["reason"]),
    "a reason that is too long": (pb.PauseRequest(city="ganzhou", reason="x" * 257), ["reason"]),
    "a reason that hides": (pb.PauseRequest(city="ganzhou", reason="a\x1b[2J"), ["reason"]),
    "a city that is no slug": (pb.PauseRequest(city="A b", reason="x"), ["city"]),
    "a cluster that is no slug": (pb.PauseRequest(cluster="", reason="x"), ["cluster"]),
    "nothing to resume": (pb.ResumeRequest(), ["place"]),
    "no city to resume": (pb.ResumeRequest(city="A b"), ["city"]),
}


@pytest.mark.parametrize(("request_", "fields"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_field_is_named(admin: Admin, request_: Any, fields: list[str]) -> None:
    refused = await refusal(admin(request_))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", fields)


@given(st.data())
def test_any_message_is_read_or_refused(data: st.DataObject) -> None:
    for kind in (pb.PauseRequest, pb.ResumeRequest):
        try:
            convert.place_of(data.draw(messages(kind)))
        except InvalidRequest:
            continue


async def test_a_queue_and_a_cluster_are_paused_listed_and_resumed(admin: Admin) -> None:
    await admin.world.submit()

    queue = await admin(pb.PauseRequest(city="ganzhou", reason="review"))
    cluster = await admin(pb.PauseRequest(cluster="east", reason="network"))
    again = await admin(pb.PauseRequest(city="ganzhou", reason="another"))
    listed = (await admin(pb.ListPausesRequest(), "observer")).pauses
    resumed = await admin(pb.ResumeRequest(city="ganzhou"))
    left = (await admin(pb.ListPausesRequest(), "auditor")).pauses

    assert (queue.changed, queue.waiting_jobs, queue.pause.city) == (True, 1, "ganzhou")
    assert (cluster.changed, cluster.waiting_jobs, cluster.pause.WhichOneof("place")) == (True, 0, "cluster")
    assert (again.changed, again.pause.reason) == (False, "review")
    told = [(one.cluster, one.city, one.reason) for one in listed]
    assert told == [("east", "", "network"), ("", "ganzhou", "review")]
    assert listed[0].paused_by
    assert listed[0].paused_at.ToDatetime(START.tzinfo) >= START
    assert (resumed.changed, resumed.pause.city) == (True, "ganzhou")
    assert [one.cluster for one in left] == ["east"]


async def test_what_is_not_there_is_not_found(admin: Admin) -> None:
    city = await refusal(admin(pb.PauseRequest(city="nowhere", reason="x")))
    cluster = await refusal(admin(pb.ResumeRequest(cluster="nowhere")))

    assert (city.reason, cluster.reason) == ("CITY_NOT_FOUND", "CLUSTER_NOT_FOUND")


async def test_only_operators_pause(admin: Admin) -> None:
    for who in ("observer", "auditor", "owner", "city"):
        refused = await refusal(admin(pb.PauseRequest(city="ganzhou", reason="x"), who))
        assert refused.code == "PERMISSION_DENIED"
