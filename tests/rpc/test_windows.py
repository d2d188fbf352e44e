"""Maintenance windows over the socket: every wrong field by its name, and nothing but an InvalidRequest."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.rpc import convert_windows as convert
from broker.store.windows import WindowDraft
from broker.wire.v1 import admin_service_pb2 as pb
from tests.cluster_world import START
from tests.rpc.refusals import refusal
from tests.rpc.test_admin_service import Admin, admin
from tests.rpc.wire_strategies import messages

__all__ = ["admin"]

DAY = 86_400


def at(seconds: float) -> Timestamp:
    wire = Timestamp()
    wire.FromDatetime(START + timedelta(seconds=seconds))
    return wire


def window(**changes: Any) -> pb.CreateWindowRequest:
    right = {"cluster": "east", "starts_at": at(3600), "ends_at": at(7200), "reason": "firmware"}
    return pb.CreateWindowRequest(**right | changes)


WRONG: dict[str, tuple[Any, str]] = {
    "no cluster": (window(cluster=""), "cluster"),
    "a pool that is no slug": (window(pool="A b"), "pool"),
    "a pool that is not there": (window(pool="nowhere"), "pool"),
    "a node that is no name": (window(nodes=["n1", "a b"]), "nodes[1]"),
    "too many nodes": (window(nodes=["n1"] * 1001), "nodes"),
    "a node that is not there": (window(nodes=["n1", "x9"]), "nodes"),
    "a begin in the past": (window(starts_at=at(-1)), "starts_at"),
    "a begin too far ahead": (window(starts_at=at(366 * DAY + 1), ends_at=at(366 * DAY + 9)), "starts_at"),
    "no end": (pb.CreateWindowRequest(cluster="east", reason="x"), "ends_at"),
    "an end in the past": (pb.CreateWindowRequest(cluster="east", reason="x", ends_at=at(-1)), "ends_at"),
    "no length": (window(ends_at=at(3600)), "ends_at"),
    "longer than a year": (window(ends_at=at(3600 + 366 * DAY + 1)), "ends_at"),
    "an end that no calendar has": (window(ends_at=Timestamp(seconds=2**62)), "ends_at"),
    "no reason": (window(reason=""), "reason"),
    "a list of no cluster": (pb.ListWindowsRequest(cluster="A b"), "cluster"),
    "a cancellation of nothing": (pb.CancelWindowRequest(window_id="lease-1"), "window_id"),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_field_is_named(admin: Admin, request_: Any, field: str) -> None:
    refused = await refusal(admin(request_))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", [field])


async def test_a_window_is_tried_created_listed_and_cancelled(admin: Admin) -> None:
    lease = await admin.world.offer(await admin.world.submit(walltime_seconds=9999), {"n1": (0,)})
    wanted = window(nodes=["n2", "n1", "n2"])

    tried = await admin(window(nodes=["n2", "n1"], dry_run=True))
    made = await admin(wanted)
    again = await admin(wanted)
    listed = await admin(pb.ListWindowsRequest(cluster="east"), "observer")
    cancelled = await admin(pb.CancelWindowRequest(window_id=made.window.window_id))

    assert not tried.HasField("window")
    assert [one.placement.lease_id for one in tried.leases] == [f"lease-{lease.lease}"]
    assert (made.nodes, made.leases) == (tried.nodes, tried.leases)
    assert again == made
    assert list(listed.windows) == [made.window]
    assert (made.window.window_id, made.window.nodes) == ("window-1", ["n1", "n2"])
    assert cancelled.window.cancelled_at == at(0)
    assert not (await admin(pb.ListWindowsRequest(), "observer")).windows
    gone = await refusal(admin(pb.CancelWindowRequest(window_id="window-2")))
    assert (gone.code, gone.reason) == ("NOT_FOUND", "WINDOW_NOT_FOUND")
    unknown = await refusal(admin(window(cluster="nowhere")))
    assert (unknown.code, unknown.reason) == ("NOT_FOUND", "CLUSTER_NOT_FOUND")


async def test_a_window_without_a_begin_begins_now(admin: Admin) -> None:
    made = await admin(pb.CreateWindowRequest(cluster="east", ends_at=at(60), reason="smoke"))

    assert (made.window.starts_at, list(made.nodes)) == (at(0), ["n1", "n2", "n3"])


READERS: list[tuple[type[Any], Callable[[Any], object]]] = [
    (pb.CreateWindowRequest, lambda request: convert.window_draft(request, now=START)),
    (pb.ListWindowsRequest, convert.window_cluster),
    (pb.CancelWindowRequest, convert.window_id),
]


@given(st.data(), st.sampled_from(READERS))
def test_any_message_is_read_or_refused(data: st.DataObject, reader: tuple[type[Any], Callable[[Any], object]]) -> None:
    kind, read = reader
    try:
        found = read(data.draw(messages(kind)))
    except InvalidRequest:
        return
    if isinstance(found, WindowDraft):
        assert START <= found.starts_at < found.ends_at <= found.starts_at + convert.LONGEST
