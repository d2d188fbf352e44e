"""AdminService over a real socket and a real database: every call, every role, every wrong field."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.caller import Role
from broker.clock import ManualClock
from broker.errors import BrokerError
from broker.ids import RoundId
from broker.job import Within
from broker.lifecycle import LeaseState
from broker.market.energy import HubEnergy
from broker.market.identity import Identity
from broker.market.moves import Moves
from broker.market.operations import Operations
from broker.market.pauses import Pauses
from broker.market.previews import Previews
from broker.market.quotas import Quotas
from broker.market.rounds import RoundsReader
from broker.market.windows import Windows
from broker.market.worlds import Worlds
from broker.rpc import convert_admin as convert
from broker.rpc import convert_limits
from broker.rpc.admin_service import PIECE_BYTES, AdminService
from broker.rpc.identity import MAY_CALL
from broker.rpc.server import build_server
from broker.store import clusters, leases, promises, rounds
from broker.store.database import Database
from broker.store.promises import PromiseRow
from broker.store.rounds import RoundRecord, RoundReport
from broker.wire.v1 import admin_service_pb2 as pb
from broker.wire.v1.admin_service_pb2_grpc import AdminServiceStub
from broker.worlds.loader import bundled
from scheduler.decide import decide
from scheduler.decided import Decided
from scheduler.horizon import Horizon
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.rounds import Round
from tests.cluster_world import START, ClusterWorld, inventory
from tests.rpc.refusals import refusal
from tests.scheduler.planning_worlds import gangs
from tests.small_world import registered

METHODS = pb.DESCRIPTOR.services_by_name["AdminService"].methods_by_name


@dataclass
class Admin:
    """The service, and a key for everyone."""

    world: ClusterWorld
    stub: Any
    keys: dict[str, str]

    def by(self, who: str) -> dict[str, Any]:
        return {"metadata": (("authorization", f"Bearer {self.keys[who]}"),), "timeout": 30}

    async def __call__(self, request: Any, who: str = "operator") -> Any:
        """Make the unary call that takes this request."""
        name = type(request).__name__.removesuffix("Request")
        return await getattr(self.stub, name)(request, **self.by(who))


POLICY_KEY = "ed25519:" + "A" * 43 + "="


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Admin]:
    """A hub with clusters east (three nodes, an agent) and west (none)."""
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1", "n2", "n3"))
    clock, identity = ManualClock(START), Identity(database)
    nobodys = dict.fromkeys(("operator", "observer", "auditor", "voucher_office"), "")
    roles = nobodys | {"owner": "owner", "city": "ganzhou", "agent": "east", "enterprise": "ganzhou/acme"}
    await registered(database, "acme", "sister")
    await registered(database, "lone", city="nanjing")
    keys = {r: (await identity.create(Role(r), subject, "test", START)).text for r, subject in roles.items()}
    service = AdminService(
        Operations(database, identity, wake=lambda: None),
        Quotas(database, wake=lambda: None),
        HubEnergy(database, wake=lambda: None),
        Worlds(database, wake=lambda: None),
        RoundsReader(database),
        Windows(database, wake=lambda: None),
        Pauses(database, wake=lambda: None),
        Previews(database, Policy(effort=5), jobs_max=1_000),
        Moves(database, Policy(effort=5), jobs_max=1_000, wake=lambda: None),
        records_kept=200,
        policy_keys=(POLICY_KEY,),
        clock=clock,
    )
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=_unlimited, clock=clock
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Admin(world, AdminServiceStub(channel), keys)
    finally:
        await server.stop(0)


async def _unlimited(_: str) -> int:
    return 1_000_000


def _request_of(method: str) -> Any:
    return getattr(pb, f"{method}Request")()


async def _answer(admin: Admin, method: str, who: str) -> str:
    """Return the code of the answer to an empty request."""
    call = getattr(admin.stub, method)(_request_of(method), **admin.by(who))
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def test_only_operators_change_and_only_observers_look(admin: Admin) -> None:
    """The table of roles holds for every method; an empty request that passes it is judged by its content."""
    for method in METHODS:
        allowed = MAY_CALL[f"/broker.wire.v1.AdminService/{method}"]
        for role in Role:
            answer = await _answer(admin, method, role)
            assert (answer != "PERMISSION_DENIED") == (role in allowed), (method, role, answer)
            assert answer not in ("UNIMPLEMENTED", "INTERNAL", "UNKNOWN"), (method, role)
        assert (Role.OBSERVER in allowed) == (Role.AUDITOR in allowed) == method.startswith(("Get", "List"))


async def test_a_world_is_compared_applied_and_read(admin: Admin) -> None:
    compared = await admin(pb.ApplyWorldRequest(document=bundled("qingyang"), dry_run=True))

    applied = await admin(pb.ApplyWorldRequest(document=bundled("qingyang")))

    assert compared == applied
    assert "city nanjing: title Nanjing -> 南京 Nanjing" in " ".join(applied.changes)
    catalogue = await admin(pb.GetCatalogueRequest(), "observer")
    assert [city.city for city in catalogue.cities] == sorted(city.city for city in catalogue.cities)
    assert len(catalogue.cities) == 34
    assert list(catalogue.policy_keys) == [POLICY_KEY]
    qingyang = next(hub for hub in catalogue.hubs if hub.hub == "qingyang")
    planned = [entry for entry in qingyang.capacity if entry.fp16_milli_pflops == 114_000_000]
    assert [(entry.date, entry.cards, entry.planned) for entry in planned] == [("2025-12-31", 350_000, True)]
    assert all(entry.source for hub in catalogue.hubs for entry in hub.capacity)
    ascend = next(model for model in catalogue.models if model.model == "ascend-910b")
    assert (ascend.fp16_nameplate_milli_tflops, ascend.fp16_measured_milli_tflops) == (320_000, 313_000)


async def test_a_wrong_world_is_answered_with_every_path(admin: Admin) -> None:
    document = bundled("laptop").replace("model: h20", "model: h21").replace("guian: {micros", "gui: {micros")

    refused = await refusal(admin(pb.ApplyWorldRequest(document=document)))

    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert refused.fields["clusters[1].pools[1].model"] == "there is no accelerator model 'h21': did you mean 'h20'?"
    assert "cities[5].round_trips.gui" in refused.fields


@pytest.mark.parametrize("document", ["a: &a [x]\nb: [*a, *a]", "[" * 100_000, "\x00", "#" * 2_000_000, ""])
async def test_a_hostile_document_is_one_error(admin: Admin, document: str) -> None:
    refused = await refusal(admin(pb.ApplyWorldRequest(document=document)))

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields


async def test_clusters_show_cards_pflops_and_racks_side_by_side(admin: Admin) -> None:
    await admin(pb.ApplyWorldRequest(document=bundled("laptop")))
    await admin.world.offer(await admin.world.submit(cards_per_task=2), {"n1": [0, 1]})
    await admin(pb.CordonNodesRequest(cluster="east", nodes=["n2"], reason="cable"))

    answer = await admin(pb.ListClustersRequest(hub="qingyang"), "observer")

    east = next(cluster for cluster in answer.clusters if cluster.cluster == "east")
    assert (east.agent, east.engine, east.hub) == (pb.AGENT_STATE_LIVE, "local", "qingyang")
    assert list(east.pools) == [
        pb.Pool(
            pool="main",
            model="ascend-910b",
            nodes=3,
            cards=24,
            cards_leased=2,
            cards_closed=8,
            fp16_milli_pflops=24 * 320,
            racks_milli=24 * 350 * 1000 // 2500,
        )
    ]
    never = next(cluster for cluster in answer.clusters if cluster.cluster == "qingyang-ascend")
    assert (never.agent, never.HasField("heard_at")) == (pb.AGENT_STATE_NEVER, False)


async def test_nodes_are_listed_page_by_page(admin: Admin) -> None:
    await admin.world.offer(await admin.world.submit(cards_per_task=2), {"n2": [3, 5]})

    first = await admin(pb.ListNodesRequest(cluster="east", page_size=2))
    second = await admin(pb.ListNodesRequest(cluster="east", page_size=2, page_token=first.next_page_token))

    assert [node.node for node in [*first.nodes, *second.nodes]] == ["n1", "n2", "n3"]
    assert (list(first.nodes[1].leased_cards), first.nodes[1].mode) == ([3, 5], pb.NODE_MODE_OPEN)
    assert second.next_page_token == ""


async def test_a_node_is_drained_and_opened_again(admin: Admin) -> None:
    ref = await admin.world.offer(await admin.world.submit(), {"n1": [0]})
    tried = await admin(pb.DrainNodesRequest(cluster="east", nodes=["n1"], reason="fan", dry_run=True))

    drained = await admin(pb.DrainNodesRequest(cluster="east", nodes=["n1"], reason="fan"))

    assert tried == drained
    assert list(drained.nodes) == ["n1"]
    assert [lease.placement.lease_id for lease in drained.leases] == [f"lease-{ref.lease}"]
    [node, *_] = (await admin(pb.ListNodesRequest(cluster="east"))).nodes
    assert (node.mode, node.mode_reason) == (pb.NODE_MODE_DRAINING, "fan")
    assert list((await admin(pb.UncordonNodesRequest(cluster="east"))).nodes) == ["n1"]


async def test_leases_are_paged_and_written_off(admin: Admin) -> None:
    world = admin.world
    refs = [await world.offer(await world.submit()) for _ in range(3)]
    async with world.database.hub() as tx:
        await clusters.fall_lost(tx, "east", START)
        await leases.silent(tx, "east", START)

    first = await admin(pb.ListLeasesRequest(states=[pb.LEASE_STATE_LOST], cluster="east", page_size=2))
    second = await admin(pb.ListLeasesRequest(page_size=2, page_token=first.next_page_token))
    off = await admin(pb.WriteOffLeaseRequest(lease_id=first.leases[0].placement.lease_id, reason="rack is off"))

    listed = [lease.placement.lease_id for lease in [*first.leases, *second.leases]]
    assert (listed, second.next_page_token) == ([f"lease-{ref.lease}" for ref in refs], "")
    assert off.lease.state == pb.LEASE_STATE_ENDED
    assert await world.lease_state(refs[0]) is LeaseState.ENDED
    again = await refusal(admin(pb.WriteOffLeaseRequest(lease_id=listed[0], reason="rack is off")))
    assert (again.code, again.reason) == ("FAILED_PRECONDITION", "LEASE_NOT_LOST")


async def test_a_registered_clusters_key_is_its_agents(admin: Admin) -> None:
    request = pb.RegisterClusterRequest(
        cluster="north",
        hub="qingyang",
        owner="kingsoft",
        title="北方",
        ask_micro_yuan_per_card_hour={"a800": 5_000_000},
    )

    admin.keys["north"] = (await admin(request)).agent_key

    assert await _answer(admin, "ListKeys", "north") == "PERMISSION_DENIED"  # known, and an agent
    assert "north" in [cluster.cluster for cluster in (await admin(pb.ListClustersRequest())).clusters]
    request.owner = "ucloud"
    other = await refusal(admin(request))
    assert (other.code, other.reason) == ("ALREADY_EXISTS", "CLUSTER_EXISTS")


async def test_keys_are_made_listed_and_revoked(admin: Admin) -> None:
    made = await admin(pb.CreateKeyRequest(role=pb.ROLE_OBSERVER, note="screen in the hall"))
    admin.keys["hall"] = made.api_key
    assert await _answer(admin, "ListClusters", "hall") == "OK"

    await admin(pb.RevokeKeyRequest(key_id=made.key_id))

    assert await _answer(admin, "ListClusters", "hall") == "UNAUTHENTICATED"
    listed = {key.key_id: key for key in (await admin(pb.ListKeysRequest())).keys}
    assert listed[made.key_id].note == "screen in the hall"
    assert listed[made.key_id].HasField("revoked_at")
    assert made.api_key.rpartition("_")[2] not in str(listed)


async def test_a_city_makes_sees_and_ends_keys_of_its_enterprises(admin: Admin) -> None:
    """And there are no others for it: not the operator's, not its own, not those of another city's enterprises."""
    other = await admin(pb.CreateKeyRequest(role=pb.ROLE_ENTERPRISE, subject="nanjing/lone"))
    made = await admin(pb.CreateKeyRequest(role=pb.ROLE_ENTERPRISE, subject="ganzhou/sister", note="CI"), "city")
    listed = (await admin(pb.ListKeysRequest(), "city")).keys
    unknown = await refusal(admin(pb.RevokeKeyRequest(key_id="nobody"), "city"))
    foreign = [
        await refusal(admin(pb.RevokeKeyRequest(key_id=key), "city"))
        for key in (other.key_id, admin.keys["operator"].split("_")[1], admin.keys["city"].split("_")[1])
    ]

    await admin(pb.RevokeKeyRequest(key_id=made.key_id), "city")

    assert {key.subject for key in listed} == {"ganzhou/sister", "ganzhou/acme"}
    assert {(each.code, each.reason) for each in [unknown, *foreign]} == {("NOT_FOUND", "KEY_NOT_FOUND")}
    ended = {key.key_id for key in (await admin(pb.ListKeysRequest())).keys if key.HasField("revoked_at")}
    assert ended == {made.key_id}
    async with admin.world.database.hub() as tx:
        acts = await tx.fetch("SELECT act, key_id FROM operator_acts WHERE subject = $1 ORDER BY act_id", made.key_id)
    assert [tuple(act) for act in acts] == [
        ("create_key", admin.keys["city"].split("_")[1]),
        ("revoke_key", admin.keys["city"].split("_")[1]),
    ]


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        (pb.ROLE_ENTERPRISE, "nanjing/lone"),
        (pb.ROLE_CITY, "ganzhou"),
        (pb.ROLE_OPERATOR, ""),
        (pb.ROLE_OBSERVER, ""),
        (pb.ROLE_AGENT, "east"),
        (pb.ROLE_VOUCHER_OFFICE, ""),
    ],
)
async def test_a_city_makes_no_other_keys(admin: Admin, role: pb.Role, subject: str) -> None:
    refused = await refusal(admin(pb.CreateKeyRequest(role=role, subject=subject), "city"))

    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "ROLE_REFUSED")


async def test_a_key_is_for_a_registered_enterprise_alone(admin: Admin) -> None:
    """One of another city with the same name is another one."""
    for who, subject in (("operator", "nanjing/acme"), ("operator", "nowhere/acme"), ("city", "ganzhou/nobody")):
        refused = await refusal(admin(pb.CreateKeyRequest(role=pb.ROLE_ENTERPRISE, subject=subject), who))

        assert (refused.code, refused.reason) == ("NOT_FOUND", "ENTERPRISE_NOT_FOUND")


async def store_round(admin: Admin, report: RoundReport, record: RoundRecord | None = None) -> RoundId:
    async with admin.world.database.hub() as tx:
        number = await rounds.insert(tx, 1, report)
        if record is not None:
            await rounds.keep_record(tx, number, record, 10)
    return number


REPORT = RoundReport(
    at=START,
    outcome="committed",
    input_sha256="ab" * 32,
    jobs=5,
    placed=3,
    stale=1,
    objective=90,
    bound=100,
    gap_ppm=100_000,
    effort=7,
    snapshot_millis=1,
    plan_millis=2,
    verify_millis=3,
    commit_millis=4,
    versions=("ortools 9.15.6755",),
    refused_by_reason={"CARDS_SHORT": 2},
)


async def test_rounds_are_reported_and_can_be_replayed(admin: Admin) -> None:
    made = plan(gangs((4, 8), (1, 1)), Policy())
    record = RoundRecord(b"s" * (PIECE_BYTES * 2 + 1), made.to_bytes(), '{"seed": 1}')
    quiet = await store_round(admin, replace(REPORT, jobs=0, placed=0))
    number = await store_round(admin, REPORT, record)

    got = await admin(pb.GetRoundRequest())
    pieces = [piece async for piece in admin.stub.GetRoundRecord(pb.GetRoundRecordRequest(), **admin.by("observer"))]

    assert (got.round.round, got.round.gap_ppm, got.replayable) == (number, 100_000, True)
    assert dict(got.round.refused_by_reason) == {"CARDS_SHORT": 2}
    assert [refusal.job_id for refusal in got.refusals] == [refusal.job_id for refusal in made.refusals]
    assert b"".join(piece.snapshot for piece in pieces) == record.snapshot
    assert b"".join(piece.plan for piece in pieces) == record.plan
    assert [piece.policy_json for piece in pieces if piece.WhichOneof("part") == "policy_json"] == ['{"seed": 1}']
    assert {piece.WhichOneof("part") for piece in pieces} == {"snapshot", "plan", "policy_json"}
    old = await refusal(admin.stub.GetRoundRecord(pb.GetRoundRecordRequest(round=quiet), **admin.by("operator")))
    assert (old.code, old.reason) == ("FAILED_PRECONDITION", "ROUND_NOT_REPLAYABLE")
    assert not (await admin(pb.GetRoundRequest(round=quiet))).replayable


async def test_a_round_that_looked_ahead_has_its_horizon_and_its_decision(admin: Admin) -> None:
    world = gangs((4, 8), (1, 1))
    made = decide(world, Horizon(), Policy())
    parts = {
        "horizon": b"h" * (PIECE_BYTES + 1),
        "decision": Decided.of(world, Horizon(), Round.stopping_nobody(made)).to_bytes(),
    }
    await store_round(admin, REPORT, RoundRecord(b"s", made.plan.to_bytes(), "{}", **parts))

    got = await admin(pb.GetRoundRequest())
    pieces = [piece async for piece in admin.stub.GetRoundRecord(pb.GetRoundRecordRequest(), **admin.by("observer"))]

    assert {name: b"".join(getattr(piece, name) for piece in pieces) for name in parts} == parts
    assert [refusal.job_id for refusal in got.refusals] == [each.job_id for each in made.refusals]


async def test_promised_starts_are_listed(admin: Admin) -> None:
    """Those of jobs that do not wait any more are not."""
    world = admin.world
    jobs = [await world.submit() for _ in range(2)]
    start = int(START.timestamp()) + 60
    number = await store_round(admin, REPORT)
    async with world.database.hub() as tx:
        pool_id = await tx.fetchval("SELECT pool_id FROM pools WHERE cluster = 'east'")
        rows = [
            PromiseRow(
                job, "ganzhou", pool_id, "east/main", (("n1", 1), ("n3", 2)), 0, start, start + 600, start - 30, 0, 1,
                8, 0, 0, Within.POOL, START, number,
            )
            for job in jobs
        ]  # fmt: skip
        await promises.keep(tx, rows)
    await world.cancel(jobs[0])

    (found,) = (await admin(pb.ListPromisesRequest(), "observer")).promises

    assert (found.job_id, found.city, found.round) == (f"job-{jobs[1]}", "ganzhou", number)
    assert (found.promised.cluster, found.promised.pool, found.cards_per_task) == ("east", "main", 8)
    seconds = (found.promised.first_starts_at, found.promised.starts_at, found.ends_at)
    assert [at.ToSeconds() - start for at in seconds] == [-30, 0, 600]
    assert [(node.node, node.tasks) for node in found.nodes] == [("n1", 1), ("n3", 2)]


async def test_rounds_are_listed_newest_first(admin: Admin) -> None:
    numbers = [await store_round(admin, replace(REPORT, jobs=jobs)) for jobs in (3, 0, 4)]

    first = await admin(pb.ListRoundsRequest(page_size=2))
    second = await admin(pb.ListRoundsRequest(page_size=2, page_token=first.next_page_token))
    busy = await admin(pb.ListRoundsRequest(busy_only=True))

    assert [r.round for r in [*first.rounds, *second.rounds]] == numbers[::-1]
    assert second.next_page_token == ""
    assert [r.jobs for r in busy.rounds] == [4, 3]


async def test_the_overview_has_it_all(admin: Admin) -> None:
    await admin.world.placed()
    number = await store_round(admin, REPORT)

    seen = await admin(pb.GetOverviewRequest(), "observer")

    assert [(count.city, count.jobs) for count in seen.jobs] == [("ganzhou", 1)]
    assert [cluster.cluster for cluster in seen.clusters] == ["east", "west"]
    assert (seen.last_round.round, seen.at.ToDatetime(tzinfo=START.tzinfo)) == (number, START)


async def test_before_the_first_round_there_is_none(admin: Admin) -> None:
    refused = await refusal(admin(pb.GetRoundRequest()))

    assert (refused.code, refused.reason) == ("NOT_FOUND", "ROUND_NOT_FOUND")
    assert not (await admin(pb.GetOverviewRequest())).HasField("last_round")


async def _settle(admin: Admin) -> None:
    """Let two cards of a known model draw 600 W each, with the host, at a PUE of 1.2."""
    async with admin.world.database.hub() as tx:
        await tx.execute(
            "UPDATE accelerator_models SET watts = 400, host_watts = 200, fp16_programme_milli_tflops = 320500"
        )
    await admin(pb.SetHubPowerRequest(hub="qingyang", power_kilowatts_max=20, pue_milli=1200))
    await admin.world.offer(await admin.world.submit(cards_per_task=2), {"n1": [0, 1]})


async def test_quotas_are_set_listed_with_their_use_and_removed(admin: Admin) -> None:
    await _settle(admin)
    await admin(pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", guaranteed_milli_pflops=900)))
    city = pb.Quota(
        hub="qingyang", city="ganzhou", guaranteed_milli_pflops=600, borrow_milli_pflops=0, lend_milli_pflops=100
    )

    given = (await admin(pb.SetQuotaRequest(quota=city))).quota

    assert given.quota == city
    assert (given.used_milli_pflops, given.borrowed_milli_pflops, given.lent_milli_pflops) == (641, 41, 0)
    listed = (await admin(pb.ListQuotasRequest(hub="qingyang"), "observer")).quotas
    assert [one.quota.city for one in listed] == ["", "ganzhou"]
    assert not listed[0].quota.HasField("borrow_milli_pflops")  # no limit
    above = await refusal(admin(pb.RemoveQuotaRequest(hub="qingyang")))
    assert (above.code, above.reason) == ("FAILED_PRECONDITION", "QUOTA_HAS_CHILDREN")
    would = await admin(pb.RemoveQuotaRequest(hub="qingyang", city="ganzhou", dry_run=True))
    assert would == await admin(pb.RemoveQuotaRequest(hub="qingyang", city="ganzhou"))
    gone = await refusal(admin(pb.RemoveQuotaRequest(hub="qingyang", city="ganzhou")))
    assert (gone.code, gone.reason) == ("NOT_FOUND", "QUOTA_NOT_FOUND")


async def test_a_quota_beyond_its_parents_names_the_field(admin: Admin) -> None:
    await admin(pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", guaranteed_milli_pflops=1)))
    child = pb.Quota(hub="qingyang", city="ganzhou", guaranteed_milli_pflops=2)

    refused = await refusal(admin(pb.SetQuotaRequest(quota=child)))

    assert refused.code == "INVALID_ARGUMENT"
    assert "qingyang is guaranteed 1" in refused.fields["quota.guaranteed_milli_pflops"]


async def test_power_of_a_hub_is_shown_with_its_pace(admin: Admin) -> None:
    await _settle(admin)

    free = (await admin(pb.GetHubPowerRequest(hub="qingyang"), "observer")).power
    paced = (
        await admin(
            pb.SetHubPowerRequest(
                hub="qingyang",
                energy_kilowatt_hours_per_year=100_000,
                used_kilowatt_hours=99_000,
                micro_yuan_per_kilowatt_hour=400_000,
            )
        )
    ).power

    assert (free.used_watts, free.free_watts, free.HasField("pace_watts")) == (1440, 18_560, False)
    assert (paced.power_kilowatts_max, paced.micro_yuan_per_kilowatt_hour, paced.year) == (20, 400_000, 2026)
    assert (paced.used_kilowatt_hours, paced.left_kilowatt_hours) == (99_000, 1_000)
    assert paced.committed_kilowatt_hours == 1  # 1.44 kW for ten minutes, rounded up
    # 1,000 kWh for the 992 hours up to the year's end are less than what runs: it ends, and leaves 999.76 for the rest.
    assert paced.pace_watts == 1007
    assert paced.free_watts == 0


async def test_the_catalogue_shows_shares_ways_of_data_and_energy(admin: Admin) -> None:
    await admin(pb.ApplyWorldRequest(document=bundled("qingyang")))

    catalogue = await admin(pb.GetCatalogueRequest())

    ascend = next(model for model in catalogue.models if model.model == "ascend-910b")
    assert (list(ascend.slices_milli), ascend.shares_per_card_max, ascend.host_watts) == ([250, 500], 4, 175)
    hub = next(hub for hub in catalogue.hubs if hub.hub == "qingyang")
    assert (hub.energy_kilowatt_hours_per_year, hub.micro_yuan_per_kilowatt_hour) == (2_100_000_000, 400_000)
    ganzhou = next(city for city in catalogue.cities if city.city == "ganzhou")
    assert [(way.hub, way.mib_per_second, way.micro_yuan_per_gib) for way in ganzhou.transfers] == [
        ("guian", 1192, 20_000),
        ("qingyang", 1192, 20_000),
    ]


WRONG = {
    "no cluster": (pb.ListNodesRequest(), "cluster"),
    "a page too large": (pb.ListNodesRequest(cluster="east", page_size=1001), "page_size"),
    "a token of another list": (pb.ListNodesRequest(cluster="east", page_token="a/b"), "page_token"),
    "no reason": (pb.CordonNodesRequest(cluster="east"), "reason"),
    "a reason with an escape": (pb.DrainNodesRequest(cluster="east", reason="\x1b[31m"), "reason"),
    "too many nodes": (pb.DrainNodesRequest(cluster="east", reason="x", nodes=["n"] * 1001), "nodes"),
    "a node with a slash": (pb.UncordonNodesRequest(cluster="east", nodes=["n1", "../n2"]), "nodes[1]"),
    "ended leases": (pb.ListLeasesRequest(states=[pb.LEASE_STATE_ENDED]), "states"),
    "an unknown state": (pb.ListLeasesRequest(states=[77]), "states[0]"),
    "a wrong lease token": (pb.ListLeasesRequest(page_token="job-1"), "page_token"),
    "no lease": (pb.WriteOffLeaseRequest(reason="x"), "lease_id"),
    "a wrong round token": (pb.ListRoundsRequest(page_token="-1"), "page_token"),
    "a round beyond all": (pb.GetRoundRequest(round=2**64 - 1), "round"),
    "a role of its own": (pb.CreateKeyRequest(role=9, subject="ganzhou"), "role"),
    "a city key without a city": (pb.CreateKeyRequest(role=pb.ROLE_CITY), "subject"),
    "an enterprise key without a city": (pb.CreateKeyRequest(role=pb.ROLE_ENTERPRISE, subject="acme"), "subject"),
    "an enterprise key for a path": (pb.CreateKeyRequest(role=pb.ROLE_ENTERPRISE, subject="a/b/c"), "subject"),
    "an enterprise key for nobody": (pb.CreateKeyRequest(role=pb.ROLE_ENTERPRISE, subject="ganzhou/"), "subject"),
    "an operator key for a city": (pb.CreateKeyRequest(role=pb.ROLE_OPERATOR, subject="ganzhou"), "subject"),
    "no key": (pb.RevokeKeyRequest(), "key_id"),
    "a hub that is no slug": (pb.ListClustersRequest(hub="Gui An"), "hub"),
    "a cluster that is no slug": (pb.RegisterClusterRequest(cluster="x_y", hub="qingyang", owner="o"), "cluster"),
    "a quota of nowhere": (pb.SetQuotaRequest(quota=pb.Quota()), "quota.hub"),
    "a quota of an enterprise without a city": (
        pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", enterprise="acme")),
        "quota.city",
    ),
    "a guarantee below zero": (
        pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", guaranteed_milli_pflops=-1)),
        "quota.guaranteed_milli_pflops",
    ),
    "to borrow less than nothing": (
        pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", borrow_milli_pflops=-1)),
        "quota.borrow_milli_pflops",
    ),
    "to lend beyond all": (
        pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", lend_milli_pflops=10**12 + 1)),
        "quota.lend_milli_pflops",
    ),
    "to lend more than there is": (
        pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", guaranteed_milli_pflops=1, lend_milli_pflops=2)),
        "quota.lend_milli_pflops",
    ),
    "a quota without one above it": (pb.SetQuotaRequest(quota=pb.Quota(hub="qingyang", city="ganzhou")), "quota.city"),
    "quotas of a hub that is no slug": (pb.ListQuotasRequest(hub="Gui An"), "hub"),
    "to remove a quota of nowhere": (pb.RemoveQuotaRequest(city="ganzhou"), "hub"),
    "power of nowhere": (pb.GetHubPowerRequest(), "hub"),
    "no power at all": (pb.SetHubPowerRequest(hub="qingyang"), "power_kilowatts_max"),
    "a cap below zero": (pb.SetHubPowerRequest(hub="qingyang", power_kilowatts_max=-1), "power_kilowatts_max"),
    "a PUE below one": (pb.SetHubPowerRequest(hub="qingyang", pue_milli=999), "pue_milli"),
    "a PUE above four": (pb.SetHubPowerRequest(hub="qingyang", pue_milli=4001), "pue_milli"),
    "energy beyond all": (
        pb.SetHubPowerRequest(hub="qingyang", energy_kilowatt_hours_per_year=10**12 + 1),
        "energy_kilowatt_hours_per_year",
    ),
    "a price below zero": (
        pb.SetHubPowerRequest(hub="qingyang", micro_yuan_per_kilowatt_hour=-1),
        "micro_yuan_per_kilowatt_hour",
    ),
    "a reading below zero": (pb.SetHubPowerRequest(hub="qingyang", used_kilowatt_hours=-1), "used_kilowatt_hours"),
    "an ask below zero": (
        pb.RegisterClusterRequest(cluster="x", hub="qingyang", owner="o", ask_micro_yuan_per_card_hour={"a800": -1}),
        "ask_micro_yuan_per_card_hour['a800']",
    ),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_field_is_named(admin: Admin, request_: Any, field: str) -> None:
    refused = await refusal(admin(request_))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", [field])


READERS: list[tuple[type[Any], Callable[[Any], object]]] = [
    (pb.RegisterClusterRequest, convert.cluster_row),
    (pb.ListClustersRequest, convert.hub_or_empty),
    (pb.ListNodesRequest, convert.node_page),
    (pb.CordonNodesRequest, convert.node_change),
    (pb.UncordonNodesRequest, convert.nodes_to_open),
    (pb.ListLeasesRequest, convert.lease_filter),
    (pb.WriteOffLeaseRequest, convert.written_off),
    (pb.ListRoundsRequest, convert.round_page),
    (pb.CreateKeyRequest, convert.new_key),
    (pb.RevokeKeyRequest, convert.key_id),
    (pb.SetQuotaRequest, convert_limits.quota_row),
    (pb.RemoveQuotaRequest, convert_limits.quota_path),
    (pb.ListQuotasRequest, convert_limits.quota_hub),
    (pb.SetHubPowerRequest, convert_limits.power_change),
    (pb.GetHubPowerRequest, convert_limits.power_hub),
]


@given(data=st.binary(max_size=200), reader=st.sampled_from(READERS))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_read_or_refused(data: bytes, reader: tuple[type[Any], Callable[[Any], object]]) -> None:
    """Nothing but a BrokerError ever comes out of the conversion."""
    kind, read = reader
    message = kind()
    try:
        message.ParseFromString(data)
    except Exception:
        return  # gRPC refuses it before we see it
    try:
        read(message)
    except BrokerError:
        return
