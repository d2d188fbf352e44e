"""Agents over a real socket: a scripted peer on one end, the real server, use cases and PostgreSQL on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings, strategies

from broker.agent import convert as agent_convert
from broker.caller import Caller, Role
from broker.clock import ManualClock
from broker.errors import AgentUnreachable, InvalidRequest, JobNotFound, LogsNotFound
from broker.ids import JobId, LeaseId, lease_text
from broker.job import Build
from broker.lifecycle import JobState, LeaseState
from broker.market.identity import Identity
from broker.market.logs import AgentLinks, Logs, LogStream
from broker.market.policies import Policies
from broker.market.reports import Desired, LeaseStop, StopReason
from broker.policy.keys import SignedPolicy, Signer, TrustedKeys
from broker.rpc import convert_cluster as convert
from broker.rpc.cluster_service import ClusterService
from broker.rpc.server import build_server
from broker.store import orders
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.wire.v1 import cluster_service_pb2 as pb
from broker.wire.v1 import job_pb2
from broker.wire.v1.cluster_service_pb2_grpc import ClusterServiceStub
from tests.cluster_world import START, ClusterWorld
from tests.deadlines import eventually
from tests.rpc.refusals import Refusal, decoded
from tests.rpc.wire_strategies import messages
from tests.store.test_shares import hold

SIGNER = Signer.generate()
ANSWER_SECONDS = 10
GANZHOU, NANJING = Caller("k", Role.CITY, "ganzhou"), Caller("k", Role.CITY, "nanjing")
OPERATOR = Caller("k", Role.OPERATOR)


class Peer:
    """One stream of an agent that says exactly what the test tells it to."""

    def __init__(self, channel: grpc.aio.Channel, api_key: str) -> None:
        stub: Any = ClusterServiceStub(channel)
        self._call = stub.Sync(metadata=(("authorization", f"Bearer {api_key}"),), timeout=60)
        self._sequence = 0

    async def say(self, **message: Any) -> None:
        await self._call.write(pb.SyncRequest(**message))

    async def hear(self) -> pb.SyncResponse:
        async with asyncio.timeout(ANSWER_SECONDS):
            response = await self._call.read()
        assert response is not grpc.aio.EOF, f"the stream ended: {await self._call.details()}"
        return response

    async def attach(self, cluster: str = "east", instance: str = "one", **changes: Any) -> pb.Welcome:
        await self.say(hello=hello(cluster, instance, **changes))
        return (await self.hear()).welcome

    async def report(self, *leases: pb.LeaseReport, **more: Any) -> pb.Desired:
        self._sequence += 1
        await self.say(report=pb.Report(sequence=self._sequence, leases=leases, at=wire_time(START), **more))
        desired = (await self.hear()).desired
        assert desired.report_sequence == self._sequence
        return desired

    async def refusal(self) -> Refusal:
        """Return how the broker ended the stream: code, reason, fields."""
        async with asyncio.timeout(ANSWER_SECONDS):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await self._read_to_the_end()
        return decoded(refused.value)

    async def hang_up(self) -> None:
        await self._call.done_writing()
        await self._read_to_the_end()

    async def _read_to_the_end(self) -> None:
        while await self._call.read() is not grpc.aio.EOF:
            pass

    def die(self) -> None:
        self._call.cancel()


@dataclass
class Site:
    """A broker that agents can reach, and the world behind it."""

    world: ClusterWorld
    links: AgentLinks
    logs: Logs
    keys: dict[str, str]
    channel: grpc.aio.Channel
    clock: ManualClock
    peers: list[Peer] = field(default_factory=list)

    def dial(self, who: str = "east") -> Peer:
        self.peers.append(Peer(self.channel, self.keys[who]))
        return self.peers[-1]

    async def read(self, caller: Caller, job: JobId, **more: Any) -> bytes:
        wanted: dict[str, Any] = {
            "attempt": 0,
            "task": 0,
            "stream": LogStream.STDOUT,
            "offset": 0,
            "follow": False,
        } | more
        return b"".join([data async for _, data in self.logs.read(caller, job, **wanted)])


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    world = await ClusterWorld(database).lay()
    identity, clock, links = Identity(database), ManualClock(START), AgentLinks()
    subjects = [("east", Role.AGENT), ("west", Role.AGENT), ("ganzhou", Role.CITY)]
    keys = {s: (await identity.create(role, s, "test", START)).text for s, role in subjects}

    async def unlimited(_: str) -> int:
        return 10_000

    service = ClusterService(world.clusters, links, world.terms, clock, policy_key_id=SIGNER.key_id)
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=unlimited, clock=clock
    )
    await server.start()
    logs = Logs(database, links, answer_seconds_max=ANSWER_SECONDS, poll_seconds=0.01)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        site = Site(world, links, logs, keys, channel, clock)
        yield site
        for peer in site.peers:
            peer.die()
    await server.stop(1)


def hello(cluster: str = "east", instance: str = "one", **changes: Any) -> pb.Hello:
    nodes = [pb.NodeInventory(node=n, cards=8, cpu_milli=64_000, memory_mib=1024) for n in ("n1", "n2")]
    right: dict[str, Any] = {
        "agent_version": "1",
        "engine": "local",
        "pools": [pb.PoolInventory(pool="main", model="ascend-910b", nodes=nodes)],
    }
    return pb.Hello(cluster=cluster, instance=instance, **right | changes)


def seen(ref: LeaseRef, phase: str, reason: str = "", **more: Any) -> pb.LeaseReport:
    end = job_pb2.End(reason=job_pb2.EndReason.Value(f"END_REASON_{reason}")) if reason else None
    return pb.LeaseReport(
        lease_id=lease_text(ref.lease),
        epoch=ref.epoch,
        phase=pb.LeasePhase.Value(f"LEASE_PHASE_{phase}"),
        end=end,
        **more,
    )


def wire_time(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


async def test_an_order_carries_the_signed_policy_and_its_rejection_gives_the_job_back(site: Site) -> None:
    """The agent knows from the first word which key signs, and what it says of a policy is understood."""
    agent = site.dial()
    welcome = await agent.attach()
    job, ref = await site.world.placed(domestic_only=True)
    async with site.world.database.hub() as tx:
        await Policies(SIGNER).sign(tx, [ref.lease])
    [order] = (await agent.report()).start

    told = SignedPolicy(order.policy.statement, order.policy.signature)
    policy = TrustedKeys.parse([SIGNER.public_key]).verified(told)
    answer = await agent.report(seen(ref, "ENDED", "POLICY_REJECTED"))

    assert welcome.policy_key_id == policy.key_id == SIGNER.key_id
    assert (policy.lease, policy.domestic_only) == (order.lease_id, True)
    assert [one.lease_id for one in answer.settled] == [order.lease_id]
    assert await site.world.state_of(job) is JobState.PENDING


async def test_a_job_lives_its_whole_life_over_the_wire(site: Site) -> None:
    """Welcome with the terms, an order in full, a start, an end, settled."""
    agent = site.dial()
    welcome = await agent.attach()
    job, ref = await site.world.placed()
    [order] = (await agent.report()).start
    await agent.report(seen(ref, "STARTING"))
    await agent.report(seen(ref, "RUNNING", started_at=wire_time(START)))
    state = await site.world.state_of(job)
    settled = (await agent.report(seen(ref, "ENDED", "COMPLETED"))).settled

    assert (welcome.report_interval_millis, welcome.lost_after_millis) == (2000, 60_000)
    assert (order.lease_id, order.epoch, order.pool, order.city) == (lease_text(ref.lease), 1, "main", "ganzhou")
    assert (list(order.build.command), dict(order.build.environment)) == (["python", "train.py"], {"A": "1"})
    assert [(n.node, list(n.cards), n.tasks) for n in order.nodes] == [("n1", [0], 1)]
    assert (order.if_lost, order.grace_seconds) == (job_pb2.IF_LOST_HOLD, 7)
    assert state is JobState.RUNNING
    assert list(settled) == [pb.LeaseRef(lease_id=lease_text(ref.lease), epoch=1)]
    assert await site.world.state_of(job) is JobState.SUCCEEDED
    await site.world.check()


async def test_an_order_of_shares_names_a_card_for_each_task(site: Site) -> None:
    """And how much of it the task may use; the agent's side of the conversion understands it."""
    agent = site.dial()
    await agent.attach()
    job = await site.world.submit(tasks=3, share_milli=250)
    async with site.world.database.hub() as tx:
        await hold(tx, site.world, job, 250, {"n1": [0, 0, 4]})

    [order] = (await agent.report()).start

    assert [(n.node, list(n.cards), n.tasks, n.share_milli) for n in order.nodes] == [("n1", [0, 0, 4], 3, 250)]
    [understood] = agent_convert.desired(pb.Desired(start=[order])).start
    assert understood.share_milli == 250
    assert [task.cards for task in understood.tasks] == [(0,), (0,), (4,)]


async def test_what_changes_is_told_without_waiting_for_a_report(site: Site) -> None:
    """An order, then the stop of a cancelled job: both pushed."""
    agent = site.dial()
    await agent.attach()
    await agent.report()

    job, ref = await site.world.placed()
    site.world.signals.wake("east")
    ordered = (await agent.hear()).desired
    await agent.report(seen(ref, "RUNNING"))
    await site.world.cancel(job)
    site.world.signals.wake("east")
    stopped = (await agent.hear()).desired

    assert (ordered.report_sequence, [o.lease_id for o in ordered.start]) == (0, [lease_text(ref.lease)])
    assert [(s.reason, s.grace_seconds) for s in stopped.stop] == [("CANCELLED", 7)]
    await agent.report(seen(ref, "ENDED", "CANCELLED"))
    assert await site.world.state_of(job) is JobState.CANCELLED


async def test_a_lost_answer_is_made_good_by_the_next(site: Site) -> None:
    """The stream broke before the order was read: the next stream orders again."""
    first = site.dial()
    await first.attach()
    _, ref = await site.world.placed()
    await first.say(report=pb.Report(sequence=1))
    first.die()

    second = site.dial()
    await second.attach()
    desired = await second.report()

    assert [o.lease_id for o in desired.start] == [lease_text(ref.lease)]


async def test_a_second_agent_is_refused_and_welcome_when_the_first_is_gone(site: Site) -> None:
    """A killed agent's successor attaches as soon as the broker has seen the stream end."""
    first = site.dial()
    await first.attach(instance="one")
    refused = site.dial()
    await refused.say(hello=hello(instance="two"))
    refusal = await refused.refusal()
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "ALREADY_ATTACHED")

    first.die()

    async def nobody_speaks() -> bool:
        row = await site.world.row("SELECT agent_state FROM clusters WHERE cluster = 'east'")
        return bool(row["agent_state"] == "suspect")

    await eventually(nobody_speaks)
    assert (await site.dial().attach(instance="two")).session_epoch > 0


async def test_an_agent_that_dials_again_ends_its_older_stream(site: Site) -> None:
    """At most one stream speaks for a cluster."""
    older, newer = site.dial(), site.dial()
    first = await older.attach()

    second = await newer.attach()

    refusal = await older.refusal()
    assert (refusal.code, refusal.reason) == ("ABORTED", "STALE_SESSION")
    assert second.session_epoch > first.session_epoch
    await newer.report()


async def test_an_agent_restart_adopts_what_runs(site: Site) -> None:
    """Stopping an agent is not stopping its jobs."""
    agent = site.dial()
    await agent.attach(instance="one")
    job, ref = await site.world.placed()
    await agent.report(seen(ref, "RUNNING"))
    await agent.hang_up()

    again = site.dial()
    await again.attach(instance="one")
    desired = await again.report(seen(ref, "RUNNING"))

    assert desired == pb.Desired(report_sequence=1)
    assert await site.world.lease_state(ref) is LeaseState.ACTIVE
    assert await site.world.story(job) == ["submitted", "leased", "started"]


async def test_a_further_hello_is_welcomed_on_the_same_stream(site: Site) -> None:
    """The inventory may change; the fence does not."""
    agent = site.dial()
    first = await agent.attach()

    again = await agent.attach(pools=[])

    assert again.session_epoch == first.session_epoch
    assert (await site.world.row("SELECT count(*) FROM nodes WHERE present"))[0] == 0


@pytest.mark.parametrize(
    ("who", "message", "code", "reason"),
    [
        ("west", {"hello": hello("east")}, "PERMISSION_DENIED", "CLUSTER_MISMATCH"),
        ("ganzhou", {"hello": hello("east")}, "PERMISSION_DENIED", "ROLE_REFUSED"),
        ("east", {"report": pb.Report(sequence=1)}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("east", {}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("east", {"hello": hello(pools=[pb.PoolInventory(pool="main", model="abacus")])}, "INVALID_ARGUMENT",
         "INVALID_REQUEST"),
    ],
)  # fmt: skip
async def test_who_may_not_speak_or_says_no_hello_is_refused(
    site: Site, who: str, message: dict[str, Any], code: str, reason: str
) -> None:
    """Nothing is written for them."""
    peer = site.dial(who)
    await peer.say(**message)

    refusal = await peer.refusal()

    assert (refusal.code, refusal.reason) == (code, reason)
    assert (await site.world.row("SELECT count(*) FROM clusters WHERE agent_state <> 'never'"))[0] == 0


async def test_an_agent_cannot_speak_of_another_clusters_nodes_and_leases(site: Site) -> None:
    """Its report of them is refused, or answered with a stop; they stay as they are."""
    west, east = site.dial("west"), site.dial("east")
    await west.attach("west")
    job = await site.world.submit()
    ref = await site.world.offer(job, {"n1": [0]}, "west")
    await east.attach("east", pools=[])

    stop = (await east.report(seen(ref, "RUNNING"))).stop
    await east.report(seen(ref, "ENDED", "COMPLETED"))
    await east.say(report=pb.Report(sequence=9, nodes=[pb.NodeReport(node="n1", down=True)]))
    refusal = await east.refusal()

    assert [s.reason for s in stop] == ["UNKNOWN_LEASE"]
    assert await site.world.lease_state(ref) is LeaseState.OFFERED
    assert (refusal.reason, list(refusal.fields)) == ("INVALID_REQUEST", ["report.nodes[0].node"])
    assert not (await site.world.row("SELECT down FROM nodes WHERE cluster = 'west' AND node = 'n1'"))["down"]


@pytest.mark.parametrize(
    ("report", "fields"),
    [
        (pb.Report(), ["report.sequence"]),
        (pb.Report(sequence=1, leases=[pb.LeaseReport(lease_id="job-1")]),
         ["report.leases[0].phase", "report.leases[0].lease_id", "report.leases[0].epoch"]),
        (pb.Report(sequence=1, leases=[seen(LeaseRef(1, 1), "ENDED")]), ["report.leases[0].end"]),  # type: ignore[arg-type]
        (pb.Report(sequence=1, leases=[seen(LeaseRef(1, 1), "ENDED", "WRITTEN_OFF")]),  # type: ignore[arg-type]
         ["report.leases[0].end.reason"]),
        (pb.Report(sequence=1, leases=[seen(LeaseRef(1, 1), "STARTING")] * 2),  # type: ignore[arg-type]
         ["report.leases[1].lease_id"]),
        (pb.Report(sequence=1, leases=[seen(LeaseRef(1, 1), "STARTING"), seen(LeaseRef(1, 2), "STARTING")]),  # type: ignore[arg-type]
         ["report.leases[1].lease_id"]),
        (pb.Report(sequence=1, nodes=[pb.NodeReport(node="a b")]), ["report.nodes[0].node"]),
        (pb.Report(sequence=1, nodes=[pb.NodeReport(node="n1", foreign_cards=[3, 1])]),
         ["report.nodes[0].foreign_cards"]),
        (pb.Report(sequence=1, nodes=[pb.NodeReport(node="n1", detail="x" * 257)]), ["report.nodes[0].detail"]),
        (pb.Report(sequence=1, at=Timestamp(seconds=-1)), ["report.at"]),
        (pb.Report(sequence=1, at=Timestamp(seconds=2**62)), ["report.at"]),
    ],
)  # fmt: skip
def test_a_wrong_report_is_refused_by_the_names_of_its_fields(report: pb.Report, fields: list[str]) -> None:
    """All of them at once."""
    with pytest.raises(InvalidRequest) as refused:
        convert.Reports().read(report)

    assert [f.field for f in refused.value.fields] == fields


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"cluster": "East!"}, ["hello.cluster"]),
        ({"instance": ""}, ["hello.instance"]),
        ({"engine": "a\nb"}, ["hello.engine"]),
        ({"pools": [pb.PoolInventory(pool="p", model="m")] * 2}, ["hello.pools[1].pool"]),
        ({"pools": [pb.PoolInventory(pool="p", model="m", nodes=[pb.NodeInventory(node="n", cards=65)])]},
         ["hello.pools[0].nodes[0].cards"]),
        ({"pools": [pb.PoolInventory(pool=p, model="m", nodes=[pb.NodeInventory(node="n")]) for p in "pq"]},
         ["hello.pools[1].nodes[0].node"]),
        ({"pools": [pb.PoolInventory(pool=p, model="m", nodes=[pb.NodeInventory(node=f"{p}{i}") for i in range(17_000)])
                    for p in "pqr"]},
         ["hello.pools"]),
        ({"pools": [pb.PoolInventory(pool=f"p{i}", model="m") for i in range(65)]}, ["hello.pools"]),
        ({"pools": [pb.PoolInventory(pool="p", model="m", nodes=[pb.NodeInventory(node="n", domain="leaf 1")])]},
         ["hello.pools[0].nodes[0].domain"]),
        ({"pools": [pb.PoolInventory(pool="p", model="m", nodes=[pb.NodeInventory(node="n", domain="d" * 64)])]},
         ["hello.pools[0].nodes[0].domain"]),
    ],
)  # fmt: skip
def test_a_wrong_hello_is_refused_by_the_names_of_its_fields(changes: dict[str, Any], fields: list[str]) -> None:
    """All of them at once."""
    message = hello()
    for name, value in changes.items():
        message.ClearField(name)
        message.MergeFrom(pb.Hello(**{name: value}))

    with pytest.raises(InvalidRequest) as refused:
        convert.hello(message)

    assert [f.field for f in refused.value.fields] == fields


@pytest.mark.parametrize(
    ("kind", "read"), [(pb.Hello, convert.hello), (pb.Report, convert.Reports().read), (pb.LogChunk, convert.log_piece)]
)
def test_no_message_however_hostile_brings_the_conversion_down(kind: Any, read: Callable[[Any], object]) -> None:
    """A value or InvalidRequest, nothing else."""

    @settings(max_examples=150, deadline=None)
    @given(messages(kind))
    def any_message(message: Any) -> None:
        with suppress(InvalidRequest):
            read(message)

    any_message()


LEASES_SAID = strategies.lists(
    strategies.builds(
        seen,
        strategies.builds(LeaseRef, strategies.integers(1, 4), strategies.integers(0, 2)),
        strategies.sampled_from(["STARTING", "RUNNING", "ENDED"]),
        strategies.sampled_from(["", "EXIT_CODE", "WRITTEN_OFF"]),
    ),
    max_size=4,
)
NODES_SAID = strategies.lists(
    strategies.builds(pb.NodeReport, node=strategies.sampled_from(["n1", "n2", "a b"]), down=strategies.booleans()),
    max_size=3,
)


@given(
    strategies.lists(
        strategies.builds(pb.Report, sequence=strategies.just(1), leases=LEASES_SAID, nodes=NODES_SAID), max_size=5
    )
)
def test_what_a_stream_said_before_is_read_as_if_it_were_new(reports: list[pb.Report]) -> None:
    """Reports and refusals: what is not judged again was judged the same."""

    def answer(reader: convert.Reports, report: pb.Report) -> object:
        try:
            return reader.read(report)
        except InvalidRequest as refused:
            return refused.fields

    stream = convert.Reports()
    for report in reports:
        assert answer(stream, report) == answer(convert.Reports(), report)


def test_what_a_stream_repeats_is_not_judged_again() -> None:
    stream, report = convert.Reports(), pb.Report(sequence=1, leases=[seen(LeaseRef(LeaseId(1), 1), "RUNNING")])

    [one], [again] = stream.read(report).leases.values(), stream.read(report).leases.values()

    assert one is again


def test_what_cannot_be_shown_is_replaced_in_words_for_people() -> None:
    """An agent relays what its operating system said, and the database takes no NUL."""
    report = pb.Report(sequence=1, nodes=[pb.NodeReport(node="n1", detail="disk\0 full\u202e 磁盘")])

    assert (
        convert.Reports().read(report).nodes[0].detail
        == "disk\N{REPLACEMENT CHARACTER} full\N{REPLACEMENT CHARACTER} 磁盘"
    )


async def test_large_orders_come_in_messages_that_peers_accept(site: Site) -> None:
    """Peers refuse messages over 4 MiB unless told otherwise; the rest follows after the next report."""
    build = Build("cann", ("run", "x" * 60_000), environment={f"V{i}": "y" * 1000 for i in range(120)})
    agent = site.dial()
    await agent.attach()
    _, ref = await site.world.placed(builds=(build,))
    async with site.world.database.hub() as tx:
        large = tuple(await orders.orders(tx, [ref.lease]))

    whole = convert.desired_to_wire(Desired(start=large * 3))
    cut = convert.desired_to_wire(Desired(start=large * 100))

    assert len(whole.desired.start) == 3
    assert 3 < len(cut.desired.start) < 100
    assert cut.ByteSize() < 4 * 1024 * 1024
    assert (await agent.report()).start[0] == cut.desired.start[0]


def test_a_stop_says_why() -> None:
    """Stable codes."""
    ref = LeaseRef(7, 2)  # type: ignore[arg-type]
    wire = convert.desired_to_wire(Desired(3, stop=(LeaseStop(ref, 30, StopReason.STALE_EPOCH),))).desired

    assert (wire.report_sequence, wire.stop[0].lease.lease_id, wire.stop[0].reason) == (3, "lease-7", "STALE_EPOCH")


async def answering(
    agent: Peer, output: bytes, *, complete_at: int, error: str = "", requests: int = 1_000_000
) -> None:
    """Answer requests for output as an agent would, of which `complete_at` requests see a task that still runs."""
    for asked in range(requests):
        request = (await agent.hear()).log_request
        shown = output if asked >= complete_at else output[: len(output) // 2]
        data = shown[request.offset : request.offset + min(request.length_max, 5)]
        chunk = pb.LogChunk(
            request_id=request.request_id, data=data, complete=asked >= complete_at, error=error if asked < 1 else ""
        )
        await agent.say(log_chunk=chunk)


async def test_output_is_read_through_the_agent(site: Site) -> None:
    """What there is; with `follow` all of it, until the task has ended."""
    agent = site.dial()
    await agent.attach()
    job, ref = await site.world.placed()
    await agent.report(seen(ref, "RUNNING"))
    output = bytes(range(48, 90))

    answers = asyncio.create_task(answering(agent, output, complete_at=20))
    now = await site.read(GANZHOU, job)
    all_of_it = await site.read(OPERATOR, job, follow=True, offset=3, attempt=1)
    answers.cancel()

    assert now == output[:21]
    assert all_of_it == output[3:]


async def test_follow_waits_for_a_job_that_is_about_to_start(site: Site) -> None:
    """The agent does not know the lease yet: the order is on its way."""
    agent = site.dial()
    await agent.attach()
    job, _ = await site.world.placed()

    answers = asyncio.create_task(answering(agent, b"hello", complete_at=1, error="LOG_UNKNOWN_LEASE"))
    read = await site.read(GANZHOU, job, follow=True)
    answers.cancel()

    assert read == b"hello"


async def test_output_that_cannot_be_read_says_why(site: Site) -> None:
    """Not yours, not placed, no such task or attempt, not known to the agent, no agent, an agent that goes away."""
    waiting = await site.world.submit()
    agent = site.dial()
    await agent.attach()
    job, _ = await site.world.placed()

    with pytest.raises(JobNotFound):
        await site.read(NANJING, job)
    with pytest.raises(JobNotFound):
        await site.read(OPERATOR, JobId(999_999))
    with pytest.raises(LogsNotFound, match="not been placed"):
        await site.read(GANZHOU, waiting)
    with pytest.raises(LogsNotFound, match="attempt 2"):
        await site.read(GANZHOU, job, attempt=2)
    with pytest.raises(LogsNotFound, match="no task 1"):
        await site.read(GANZHOU, job, task=1)
    answers = asyncio.create_task(answering(agent, b"", complete_at=0, error="LOG_UNKNOWN_LEASE", requests=1))
    with pytest.raises(LogsNotFound, match="no longer kept"):
        await site.read(GANZHOU, job)
    await answers
    asked = asyncio.create_task(site.read(GANZHOU, job))
    assert (await agent.hear()).HasField("log_request")
    agent.die()
    with pytest.raises(AgentUnreachable):
        await asked
    with pytest.raises(AgentUnreachable):
        await site.read(GANZHOU, job)
