"""Who may call what: keys over a real socket, and the whole table of roles and methods."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from broker.api_key import ApiKey
from broker.caller import Role
from broker.clock import ManualClock
from broker.errors import (
    CityNotFound,
    ClusterNotFound,
    DatabaseUnavailable,
    InvalidRequest,
    KeyNotFound,
    KeyRefused,
)
from broker.market import identity as market_identity
from broker.market.identity import STRANGERS_AT_ONCE, STRANGERS_WAITING_MAX, Identity
from broker.rpc.identity import MAY_CALL, caller_of, current_caller, is_on_this_machine
from broker.rpc.server import RpcServer, build_server
from broker.store.database import Database
from broker.wire.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    admin_service_pb2,
    admin_service_pb2_grpc,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    market_service_pb2,
    market_service_pb2_grpc,
    measure_service_pb2,
    measure_service_pb2_grpc,
    voucher_service_pb2,
    voucher_service_pb2_grpc,
)
from tests.conftest import Dsns
from tests.deadlines import eventually
from tests.rpc.conftest import Edge, bearer, open_edge
from tests.rpc.refusals import decoded, refusal
from tests.rpc.requests import NOW
from tests.small_world import lay_out, registered

SERVICES = [
    (job_service_pb2.DESCRIPTOR.services_by_name["JobService"], job_service_pb2_grpc.JobServiceServicer),
    (
        cluster_service_pb2.DESCRIPTOR.services_by_name["ClusterService"],
        cluster_service_pb2_grpc.ClusterServiceServicer,
    ),
    (admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"], admin_service_pb2_grpc.AdminServiceServicer),
    (market_service_pb2.DESCRIPTOR.services_by_name["MarketService"], market_service_pb2_grpc.MarketServiceServicer),
    (
        account_service_pb2.DESCRIPTOR.services_by_name["AccountService"],
        account_service_pb2_grpc.AccountServiceServicer,
    ),
    (
        measure_service_pb2.DESCRIPTOR.services_by_name["MeasureService"],
        measure_service_pb2_grpc.MeasureServiceServicer,
    ),
    (
        voucher_service_pb2.DESCRIPTOR.services_by_name["VoucherService"],
        voucher_service_pb2_grpc.VoucherServiceServicer,
    ),
]
METHODS = [method for service, _ in SERVICES for method in service.methods]


def name_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


KEYS = {"CreateKey", "ListKeys", "RevokeKey"}
OF_WHOLE_CITIES = {"GetEnergy", "GetUseReport", *KEYS}


def should_be_allowed(method: MethodDescriptor, role: Role) -> bool:
    """The rule in a sentence: agents sync; operators do all else; observers and auditors read, money for the latter;
    cities do what is about jobs, quotes among it, and see prices and capacity; owners do what is about the market, but
    for quotes; both read their own accounts, cities their invoices and owners their statements, and what was measured;
    jobs are not for owners. The voucher office does what is about vouchers and nothing else, but cities apply. An
    enterprise does what its city does, but for what tells of a whole city; cities make keys, for their enterprises.
    """
    if role is Role.ENTERPRISE:
        return should_be_allowed(method, Role.CITY) and method.name not in OF_WHOLE_CITIES
    if role is Role.CITY and method.name in KEYS:
        return True
    return by_service(method, role)


def by_service(method: MethodDescriptor, role: Role) -> bool:
    """The rule without enterprises and their keys."""
    service = method.containing_service.name
    if service == "ClusterService" or role is Role.AGENT:
        return service == "ClusterService" and role is Role.AGENT
    if role is Role.VOUCHER_OFFICE and service != "VoucherService":
        return False
    if method.name in {"GetQuote", "AcceptQuote"}:  # a quote is asked for by who may accept it
        return role in (Role.CITY, Role.OPERATOR)
    if method.name == "ListQuotes":
        return role is not Role.OWNER
    reads = method.name.startswith(("Get", "List", "Watch", "Explain", "Read", "Export"))
    if service == "VoucherService":  # who runs the exchange grants nothing
        applies = method.name in {"ApplyForVoucher", "WithdrawApplication"}
        if role is Role.CITY:
            return applies or (reads and method.name != "GetForecast")
        return (role is Role.VOUCHER_OFFICE and not applies) or (reads and role in (Role.OPERATOR, Role.AUDITOR))
    if role is Role.OPERATOR or (role is Role.AUDITOR and reads):
        return True
    if service == "AccountService":
        others = {Role.CITY: {"GetStatement"}, Role.OWNER: {"GetInvoice", "GetUseReport"}}
        return role in others and reads and method.name not in {"ExportLedger", *others[role]}
    if service == "MeasureService":
        some = {"GetJobEnergy": {Role.CITY, Role.OBSERVER}, "ListParkFigures": {Role.OBSERVER}, "GetHubMonth": set()}
        return reads and role in some.get(method.name, set(Role))
    if role is Role.OWNER:
        return service == "MarketService"
    if role is Role.CITY and service == "MarketService":
        return method.name in {"ListPrices", "ListPriceHistory", "GetCapacity"}
    return reads if role is Role.OBSERVER else service == "JobService" and role is Role.CITY


def answering(descriptor: Any, kind: type[Any]) -> Any:
    """Return a servicer whose every method answers with an empty message, and that only to a known caller."""

    def method(response: type[Any], streams: bool) -> Callable[..., Any]:
        async def answers(self: Any, request: Any, context: Any) -> AsyncIterator[Any]:
            assert caller_of(context).key_id
            yield response()

        async def answer(self: Any, request: Any, context: Any) -> Any:
            assert caller_of(context).key_id
            return response()

        return answers if streams else answer

    methods = {m.name: method(GetMessageClass(m.output_type), m.server_streaming) for m in descriptor.methods}
    return type("Answering", (kind,), methods)()


async def never_limited(city: str) -> int:
    return 100_000


@pytest.fixture
async def everything(database: Database) -> AsyncIterator[tuple[RpcServer, Identity]]:
    """A server of all three services; only its guards are under test."""
    await lay_out(database)
    await registered(database, "acme")
    identity = Identity(database)
    server = build_server(
        [answering(*service) for service in SERVICES],
        listen="127.0.0.1:0",
        identity=identity,
        calls_per_second_max=never_limited,
        clock=ManualClock(NOW),
    )
    await server.start()
    yield server, identity
    await server.stop(0)


async def outcome(channel: grpc.aio.Channel, method: MethodDescriptor, metadata: Any) -> str:
    """Call the method with empty bytes and return how it went."""
    shape = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
    multicallable = getattr(channel, "_".join(shape))(name_of(method))
    call = multicallable(iter([b""]) if method.client_streaming else b"", metadata=metadata, timeout=30)
    try:
        await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return decoded(error).reason or error.code().name
    return "answered"


def test_every_method_of_every_service_is_in_the_table() -> None:
    """A method that is forgotten there is refused, which a test should say before a user does."""
    assert set(MAY_CALL) == {name_of(method) for method in METHODS}


async def test_a_role_can_call_what_it_should_and_nothing_else(everything: tuple[RpcServer, Identity]) -> None:
    """All roles and all methods, over a socket."""
    server, identity = everything
    keys = {
        role: (await identity.create(role, subject, "", NOW)).text
        for role, subject in zip(Role, ["ganzhou", "longdong", "", "", "", "longdong", "", "ganzhou/acme"], strict=True)
    }

    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        found = {
            (name_of(method), role): await outcome(channel, method, bearer(key))
            for method in METHODS
            for role, key in keys.items()
        }
        without_key = {name_of(method): await outcome(channel, method, ()) for method in METHODS}

    assert found == {
        (name_of(method), role): "answered" if should_be_allowed(method, role) else "ROLE_REFUSED"
        for method in METHODS
        for role in Role
    }
    assert set(without_key.values()) == {"KEY_REFUSED"}


NO_KEYS = [
    "",
    "Bearer",
    "Bearer ",
    "Basic abc",
    "Bearer xs_short_key",
    "xs_aaaaaaaaaaaa_" + "a" * 52,
    "Bearer xs_aaaaaaaaaaaa_" + "a" * 52,
    "Bearer xs_AAAAAAAAAAAA_" + "A" * 52,
    "Bearer " + "x" * 5000,
]


async def test_what_is_no_known_key_is_refused(edge: Edge) -> None:
    """And which of its faults it is refused for is not told."""
    request = job_service_pb2.ListJobsRequest()

    found = [
        await refusal(edge.stub.ListJobs(request, metadata=(("authorization", text),), timeout=30)) for text in NO_KEYS
    ]

    assert [(r.code, r.reason) for r in found] == [("UNAUTHENTICATED", "KEY_REFUSED")] * len(NO_KEYS)
    assert len({r.message for r in found}) == 1


async def test_two_keys_in_one_call_are_none(edge: Edge) -> None:
    """Whoever checks one and uses the other would be fooled."""
    both = (*bearer(edge.keys["ganzhou"]), *bearer(edge.keys["nanjing"]))

    refused = await refusal(edge.stub.ListJobs(job_service_pb2.ListJobsRequest(), metadata=both, timeout=30))

    assert refused.reason == "KEY_REFUSED"


async def test_the_right_id_with_another_secret_is_refused(edge: Edge) -> None:
    key = ApiKey.parse(edge.keys["ganzhou"])
    assert key is not None
    forged = ApiKey(key.key_id, key.secret[:-1] + ("a" if key.secret[-1] != "a" else "b"))

    with pytest.raises(KeyRefused):
        await edge.identity.caller(forged.text, NOW)
    assert (await edge.identity.caller(key.text, NOW)).subject == "ganzhou"


async def test_a_revoked_key_ends_here_at_once_and_elsewhere_within_seconds(edge: Edge) -> None:
    """Each broker process remembers keys for itself."""
    elsewhere, text = Identity(edge.database), edge.keys["ganzhou"]
    key = ApiKey.parse(text)
    assert key is not None
    await elsewhere.caller(text, edge.clock.now())

    await edge.identity.revoke(key.key_id, edge.clock.now())

    with pytest.raises(KeyRefused):
        await edge.identity.caller(text, edge.clock.now())
    assert (await elsewhere.caller(text, edge.clock.now())).key_id == key.key_id
    edge.clock.advance(seconds=5)
    with pytest.raises(KeyRefused):
        await elsewhere.caller(text, edge.clock.now())


async def test_a_key_made_a_moment_after_it_was_tried_works_within_seconds(database: Database) -> None:
    """That a key is not known is remembered no longer than that it is."""
    await lay_out(database)
    asked, maker, clock = Identity(database), Identity(database), ManualClock(NOW)
    key = await maker.create(Role.CITY, "ganzhou", "", NOW)
    async with database.hub() as tx:
        await tx.execute("UPDATE api_keys SET key_id = 'aaaaaaaaaaaa' WHERE key_id = $1", key.key_id)
    with pytest.raises(KeyRefused):
        await asked.caller(key.text, clock.now())
    async with database.hub() as tx:
        await tx.execute("UPDATE api_keys SET key_id = $1", key.key_id)

    with pytest.raises(KeyRefused):
        await asked.caller(key.text, clock.now())
    clock.advance(seconds=5)

    assert (await asked.caller(key.text, clock.now())).subject == "ganzhou"


async def test_made_up_keys_are_remembered_up_to_a_number_and_push_no_real_one_out(database: Database) -> None:
    await lay_out(database)
    identity = Identity(database)
    identity._unknown = market_identity._Memory(5)
    real = await identity.create(Role.OPERATOR, "", "", NOW)
    await identity.caller(real.text, NOW)

    for _ in range(20):
        with pytest.raises(KeyRefused):
            await identity.caller(ApiKey.generate().text, NOW)

    assert len(identity._unknown._entries) == 5
    assert set(identity._known._entries) == {real.key_id}


async def test_a_flood_of_made_up_keys_leaves_the_database_to_others(dsns: Dsns) -> None:
    """Nobody needs a key to send one: agents and rounds must not wait for their look-ups, nor memory grow with them."""
    database = await Database.connect(dsns.city, dsns.hub, hub_connections=STRANGERS_AT_ONCE + 1)
    identity = Identity(database)
    flood = [asyncio.create_task(identity.caller(ApiKey.generate().text, NOW)) for _ in range(2000)]
    await asyncio.sleep(0)

    async with database.hub() as tx:
        assert await tx.fetchval("SELECT true")
    still_waiting = sum(not task.done() for task in flood)
    answers = await asyncio.gather(*flood, return_exceptions=True)
    await database.close()

    assert still_waiting > STRANGERS_WAITING_MAX / 2
    assert {type(answer) for answer in answers} == {KeyRefused, DatabaseUnavailable}
    assert sum(isinstance(answer, KeyRefused) for answer in answers) == STRANGERS_WAITING_MAX


async def test_the_database_knows_no_secret(database: Database) -> None:
    """Whoever reads the table cannot call; whoever lists keys sees none; a log of a key shows none."""
    await lay_out(database)
    identity = Identity(database)

    key = await identity.create(Role.CITY, "ganzhou", "for the demo", NOW)

    [stored] = await identity.list()
    assert (stored.key_id, stored.role, stored.subject, stored.note) == (key.key_id, "city", "ganzhou", "for the demo")
    assert (stored.created_at, stored.revoked_at) == (NOW, None)
    assert key.secret not in repr(stored) + repr(key)
    assert stored.secret_sha256 == key.secret_sha256
    async with database.hub() as tx:
        assert key.secret not in str(dict(await tx.fetchrow("SELECT * FROM api_keys")))


async def test_a_key_is_for_something_that_exists(database: Database) -> None:
    await lay_out(database)
    identity = Identity(database)

    with pytest.raises(CityNotFound):
        await identity.create(Role.CITY, "atlantis", "", NOW)
    with pytest.raises(ClusterNotFound):
        await identity.create(Role.AGENT, "atlantis", "", NOW)
    with pytest.raises(InvalidRequest):
        await identity.create(Role.OPERATOR, "ganzhou", "", NOW)
    with pytest.raises(KeyNotFound):
        await identity.revoke("aaaaaaaaaaaa", NOW)
    assert await identity.list() == []


def test_keys_are_long_unlike_and_spelt_one_way() -> None:
    keys = {ApiKey.generate().text for _ in range(200)}

    assert len(keys) == 200
    assert all(ApiKey.parse(text) is not None and len(text) == len("xs_") + 12 + 1 + 52 for text in keys)
    text = keys.pop()
    assert [ApiKey.parse(t) for t in (text + "\n", " " + text, text.upper(), text[:-1], text + "a")] == [None] * 5


def test_outside_a_call_there_is_no_caller() -> None:
    assert current_caller() is None


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("ipv4:127.0.0.1:4711", True),
        ("ipv4:127.8.8.8:4711", True),
        ("ipv6:%5B::1%5D:4711", True),
        ("ipv6:[::1]:4711", True),
        ("ipv6:%5B::ffff:127.0.0.1%5D:4711", True),
        ("unix:/run/xisuan.sock", True),
        ("unix:", True),
        ("ipv4:10.0.0.1:4711", False),
        ("ipv4:127.0.0.1.evil.example:1", False),
        ("ipv6:%5B::ffff:10.0.0.1%5D:4711", False),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", False),
        ("", False),
        ("ipv4:", False),
    ],
)
def test_only_peers_on_this_machine_may_look_without_a_key(peer: str, here: bool) -> None:
    """At health and reflection; whatever is not understood is not here."""
    assert is_on_this_machine(peer) is here


async def test_a_stream_ends_when_its_key_is_revoked(database: Database) -> None:
    """Whoever holds a stolen key and a stream that is open would else see a city's jobs for ever."""
    async with open_edge(database, key_recheck_seconds=0.02) as edge:
        watching = edge.stub.WatchJobs(job_service_pb2.WatchJobsRequest(), **edge.sent_by("ganzhou"))
        others = edge.stub.WatchJobs(job_service_pb2.WatchJobsRequest(), **edge.sent_by("nanjing"))
        submitting = edge.stub.SubmitJobs(**edge.sent_by("ganzhou"))
        await submitting.write(job_service_pb2.SubmitJobsRequest())
        assert await submitting.read() == job_service_pb2.SubmitJobsResponse()
        await eventually(lambda: watched(edge, {"ganzhou": 1, "nanjing": 1}))

        await edge.identity.revoke(edge.keys["ganzhou"].split("_")[1], NOW)

        for stream in (watching, submitting):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.read()
            assert decoded(refused.value).reason == "KEY_REFUSED"
        await eventually(lambda: watched(edge, {"nanjing": 1}))
        others.cancel()


async def watched(edge: Edge, cities: dict[str, int]) -> bool:
    return edge.pulses.watched() == cities
