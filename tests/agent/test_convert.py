"""What the broker says is checked before it is believed."""

import contextlib
from datetime import UTC, datetime

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from broker.agent import convert
from broker.agent.convert import BadMessage
from broker.agent.orders import Desired, End, EndReason, LeaseKey, LeaseSeen, NodeSeen, Observation, Phase, TaskPlace
from broker.ids import JobId, LeaseId
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import job_pb2

AT = datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC)


def order(**changes: object) -> wire.LeaseOrder:
    values: dict[str, object] = {
        "lease_id": "lease-42",
        "epoch": 3,
        "job_id": "job-5",
        "city": "ganzhou",
        "name": "train",
        "build": job_pb2.Build(stack="cann", command=["python3", "train.py"], environment={"A": "b"}),
        "pool": "ascend",
        "nodes": [
            job_pb2.NodeCards(node="lab-1", cards=[0, 1, 4, 5], tasks=2),
            job_pb2.NodeCards(node="lab-2", cards=[6, 7], tasks=1),
        ],
        "cards_per_task": 2,
        "walltime_seconds": 60,
        "grace_seconds": 5,
        "if_lost": job_pb2.IF_LOST_RESTART,
    }
    return wire.LeaseOrder(**(values | changes))  # type: ignore[arg-type]


def test_an_order_is_understood() -> None:
    """Each task gets its own slice of its node's cards, in the order of the message."""
    message = wire.Desired(report_sequence=7, start=[order()])

    desired = convert.desired(message)

    [start] = desired.start
    assert desired.report_sequence == 7
    assert start.key == LeaseKey(LeaseId(42), 3)
    assert start.job == JobId(5)
    assert start.tasks == (TaskPlace("lab-1", (0, 1)), TaskPlace("lab-1", (4, 5)), TaskPlace("lab-2", (6, 7)))
    assert start.renewed


def test_shares_of_a_card_are_understood() -> None:
    """One card for each task; as many tasks stand on a card as share it."""
    shared = job_pb2.NodeCards(node="lab-1", cards=[0, 3, 3, 3], tasks=4, share_milli=333)

    [start] = convert.desired(wire.Desired(start=[order(nodes=[shared], cards_per_task=1)])).start

    assert start.share_milli == 333
    assert start.tasks == tuple(TaskPlace("lab-1", (card,)) for card in (0, 3, 3, 3))


def nodes(**changes: object) -> list[job_pb2.NodeCards]:
    values: dict[str, object] = {"node": "lab-1", "cards": [0, 1], "tasks": 1}
    return [job_pb2.NodeCards(**(values | changes))]  # type: ignore[arg-type]


def build(**changes: object) -> job_pb2.Build:
    values: dict[str, object] = {"stack": "cann", "command": ["true"]}
    return job_pb2.Build(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"walltime_seconds": 0}, "walltime_seconds"),
        ({"walltime_seconds": 31_536_001}, "walltime_seconds"),
        ({"grace_seconds": 3601}, "grace_seconds"),
        ({"cards_per_task": 0}, "cards_per_task"),
        ({"cards_per_task": 65}, "cards_per_task"),
        ({"nodes": []}, "tasks"),
        ({"nodes": nodes(node="../etc")}, "nodes[0].node"),
        ({"nodes": nodes() + nodes()}, "nodes[1].node"),
        ({"nodes": nodes(cards=[1, 0])}, "nodes[0].cards"),
        ({"nodes": nodes(cards=[1, 1])}, "nodes[0].cards"),
        ({"nodes": nodes(cards=[0, 64])}, "nodes[0].cards"),
        ({"nodes": nodes(tasks=2)}, "nodes[0]"),
        ({"nodes": nodes(tasks=0, cards=[])}, "nodes[0]"),
        ({"nodes": nodes(share_milli=1000, cards=[0]), "cards_per_task": 1}, "share_milli"),
        ({"nodes": nodes(share_milli=500, cards=[0, 1])}, "cards_per_task"),
        ({"nodes": nodes(share_milli=501, cards=[3, 3], tasks=2), "cards_per_task": 1}, "nodes[0].cards"),
        (
            {"nodes": [*nodes(cards=[0]), *nodes(node="lab-2", cards=[0], share_milli=500)], "cards_per_task": 1},
            "share_milli",
        ),
        ({"build": build(command=[])}, "build.command"),
        ({"build": build(command=[""])}, "build.command"),
        ({"build": build(command=["a\0b"])}, "build.command"),
        ({"build": build(command=["x"] * 257)}, "build.command"),
        ({"build": build(command=["x" * 65_537])}, "build.command"),
        ({"build": build(environment={"": "x"})}, "build.environment"),
        ({"build": build(environment={"A=B": "x"})}, "build.environment"),
        ({"build": build(environment={"A": "x\0"})}, "build.environment"),
        ({"build": build(environment={"A": "x" * 131_072})}, "build.environment"),
    ],
)
def test_an_order_without_sense_becomes_a_refusal(changes: dict[str, object], field: str) -> None:
    """The lease is named, so the answer can be too."""
    desired = convert.desired(wire.Desired(start=[order(**changes)]))

    assert desired.start == ()
    [refusal] = desired.refused
    assert refusal.key == LeaseKey(LeaseId(42), 3)
    assert field in refusal.why


@pytest.mark.parametrize("changes", [{"lease_id": "lease-0"}, {"lease_id": "../x"}, {"job_id": "5"}, {"epoch": 0}])
def test_an_order_that_names_nothing_is_an_error_of_the_stream(changes: dict[str, object]) -> None:
    with pytest.raises(BadMessage, match=r"desired\.start\[0\]"):
        convert.desired(wire.Desired(start=[order(**changes)]))


def test_a_job_cannot_claim_cards_by_its_environment() -> None:
    """Those names belong to the agent, whatever the broker let through."""
    mine = {"A": "b", "XISUAN_TASK": "9", "CUDA_VISIBLE_DEVICES": "0,1,2,3", "ROCR_VISIBLE_DEVICES": "0"}

    [start] = convert.desired(wire.Desired(start=[order(build=build(environment=mine))])).start

    assert start.environment == {"A": "b"}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_word_or_an_error(data: bytes) -> None:
    """Never anything else."""
    message = wire.SyncResponse()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    for convert_it in (
        lambda: convert.desired(message.desired),
        lambda: convert.terms(message.welcome),
        lambda: convert.log_wish(message.log_request),
    ):
        with contextlib.suppress(BadMessage):
            convert_it()


texts = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20)
orders = st.builds(
    wire.LeaseOrder,
    lease_id=st.just("lease-1"),
    epoch=st.just(1),
    job_id=st.just("job-1"),
    city=texts,
    name=texts,
    build=st.builds(
        job_pb2.Build,
        stack=texts,
        command=st.lists(texts, max_size=3),
        environment=st.dictionaries(texts, texts, max_size=3),
    ),
    nodes=st.lists(
        st.builds(
            job_pb2.NodeCards,
            node=texts | st.just("n"),
            cards=st.lists(st.integers(0, 70), max_size=5),
            tasks=st.integers(0, 9),
            share_milli=st.integers(0, 1001),
        ),
        max_size=3,
    ),
    cards_per_task=st.integers(0, 66),
    walltime_seconds=st.integers(0, 2**32 - 1),
    grace_seconds=st.integers(0, 2**32 - 1),
    if_lost=st.integers(0, 5),
)


@given(st.lists(orders, max_size=3))
def test_every_order_is_a_start_or_a_refusal(wanted: list[wire.LeaseOrder]) -> None:
    """None is dropped in silence."""
    desired = convert.desired(wire.Desired(start=wanted))

    assert isinstance(desired, Desired)
    assert len(desired.start) + len(desired.refused) == len(wanted)


@pytest.mark.parametrize("reason", EndReason)
def test_every_end_has_a_word_on_the_wire(reason: EndReason) -> None:
    """The same word, in the wire's spelling."""
    seen = LeaseSeen(
        LeaseKey(LeaseId(1), 2),
        JobId(3),
        Phase.ENDED,
        False,
        AT,
        AT,
        End(reason, 7, 0, "line\nbreak \x1b[31m" + "x" * 2000),
    )

    report = convert.report(Observation((seen,), ()), sequence=9, at=AT).report

    [lease] = report.leases
    assert report.sequence == 9
    assert job_pb2.EndReason.Name(lease.end.reason) == f"END_REASON_{reason.name}"
    assert lease.phase == wire.LEASE_PHASE_ENDED
    assert lease.ended_at.ToDatetime(UTC) == AT
    assert len(lease.end.detail) == 1024
    assert lease.end.detail.isprintable()


def test_a_running_lease_has_no_end() -> None:
    """Unset, not zero."""
    seen = LeaseSeen(LeaseKey(LeaseId(1), 2), JobId(3), Phase.STARTING)
    node = NodeSeen("lab-1", True, (3, 1), "fan broken")

    report = convert.report(Observation((seen,), (node,)), sequence=1, at=AT).report

    assert not report.leases[0].HasField("end")
    assert not report.leases[0].HasField("started_at")
    assert list(report.nodes[0].foreign_cards) == [1, 3]
    assert report.nodes[0].down
