"""What leases have used and what is held, over the API: cities see theirs, owners what ran on their clusters."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from broker.caller import Role
from broker.clock import ManualClock
from broker.errors import InvalidRequest
from broker.market.identity import Identity
from broker.market.ledger import Ledger
from broker.market.month_reports import MonthReports
from broker.market.papers import Papers
from broker.market.uses import Uses
from broker.rpc import convert_uses as convert
from broker.rpc.account_service import AccountService
from broker.rpc.server import build_server
from broker.store.database import Database
from broker.wire.v1 import account_service_pb2 as pb
from broker.wire.v1.account_service_pb2_grpc import AccountServiceStub
from tests.cluster_world import START, ClusterWorld
from tests.conftest import Dsns
from tests.market.test_charging import HOUR, PER_SECOND, Charged
from tests.rpc.conftest import bearer
from tests.rpc.refusals import decoded

SUBJECTS = (
    ("ganzhou", Role.CITY),
    ("nanjing", Role.CITY),
    ("owner", Role.OWNER),
    ("other", Role.OWNER),
    ("", Role.OPERATOR),
)


@dataclass
class Office:
    """A world in which Ganzhou has used cards for money, and Nanjing for nothing."""

    world: Charged
    stub: Any
    keys: dict[str, str]
    clock: ManualClock

    async def usage(self, who: str, **wanted: Any) -> list[pb.LeaseUsage]:
        request = pb.ListUsageRequest(**wanted)
        return list((await self.stub.ListUsage(request, metadata=bearer(self.keys[who]))).usage)

    async def holds(self, who: str, **wanted: Any) -> list[pb.Hold]:
        request = pb.ListHoldsRequest(**wanted)
        return list((await self.stub.ListHolds(request, metadata=bearer(self.keys[who]))).holds)


@pytest.fixture
async def office(database: Database, dsns: Dsns) -> AsyncIterator[Office]:
    world = await Charged(await ClusterWorld(database).lay()).open(dsns)
    identity, clock = Identity(database), ManualClock(START)
    keys = {}
    async with database.hub() as tx:
        await tx.execute("INSERT INTO clusters (cluster, hub, owner, title) VALUES ('far', 'qingyang', 'other', 'Far')")
        await tx.execute("INSERT INTO model_figures VALUES ('ascend-910b', 'epoch', 0, 320000, 0)")
    for subject, role in SUBJECTS:
        keys[subject or "operator"] = (await identity.create(role, subject, "test", START)).text

    async def unlimited(_: str) -> int:
        return 10_000

    service = AccountService(
        Ledger(database), clock, uses=Uses(database), papers=Papers(database), reports=MonthReports(database)
    )
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=unlimited, clock=clock
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Office(world, AccountServiceStub(channel), keys, clock)  # type: ignore[no-untyped-call]
    await server.stop(0)


async def test_a_figure_that_is_corrected_later_does_not_rewrite_what_was_used(office: Office) -> None:
    ref = await office.world.started(cards_per_task=2)
    office.world.world.advance(HOUR)
    await office.world.end(ref)
    before = await office.usage("ganzhou")

    async with office.world.world.database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET fp16_programme_milli_tflops = 999000")

    assert await office.usage("ganzhou") == before
    assert before[0].fp16_programme_micro_pflops_hours == 640_000


async def test_use_is_told_with_every_figure(office: Office) -> None:
    """An hour of two cards of 0.32 P by the programme; the other figures of this model nobody knows."""
    ref = await office.world.started(cards_per_task=2)
    office.world.world.advance(HOUR)
    await office.world.end(ref)
    await office.world.charge()

    [use] = await office.usage("ganzhou")

    assert (use.lease_id, use.cluster, use.owner, use.model) == ("lease-1", "east", "owner", "ascend-910b")
    assert (use.milli_cards, use.minutes, use.seconds, use.complete) == (2000, 60, HOUR, True)
    assert use.fp16_programme_micro_pflops_hours == 640_000
    assert (use.fp16_nameplate_micro_pflops_hours, use.fp16_measured_micro_pflops_hours) == (0, 0)
    assert use.charged_micro_yuan == use.micro_yuan_per_card_hour * 2
    assert (use.hold_id != "", use.open_micro_yuan) == (True, 0)


async def test_who_sees_what(office: Office) -> None:
    """Cities their own leases, owners those on their clusters, operators all."""
    await office.world.submit("nanjing")
    await office.world.submit("ganzhou")
    assert (await office.world.round()).placed == 2
    async with office.world.world.database.hub() as tx:
        await tx.execute("UPDATE leases SET state = 'active', started_at = $1", START)
    office.clock.advance(seconds=125)

    cities = {
        who: sorted(use.city for use in await office.usage(who)) for who in ("ganzhou", "nanjing", "owner", "other")
    }

    both = ["ganzhou", "nanjing"]
    assert cities == {"ganzhou": ["ganzhou"], "nanjing": ["nanjing"], "owner": both, "other": []}
    assert [use.city for use in await office.usage("operator", city="nanjing")] == ["nanjing"]
    [metered] = await office.usage("nanjing")
    assert (metered.minutes, metered.complete, metered.charged_micro_yuan, metered.hold_id) == (2, False, 0, "")
    assert [(hold.city, hold.reference[:6]) for hold in await office.holds("ganzhou")] == [("ganzhou", "lease-")]
    assert await office.holds("nanjing") == []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.holds("owner")
    assert decoded(refused.value).reason == "ROLE_REFUSED"


async def test_pages_months_and_jobs(office: Office) -> None:
    """A month is one of the programme's time; pages go on where the one before ended."""
    for _ in range(3):
        ref = await office.world.started()
        office.world.world.advance(60)
        await office.world.end(ref)
    await office.world.charge()

    first = await office.stub.ListUsage(pb.ListUsageRequest(page_size=2), metadata=bearer(office.keys["ganzhou"]))
    rest = await office.usage("ganzhou", page_size=2, page_token=first.next_page_token)
    job = first.usage[0].job_id

    assert [use.lease_id for use in [*first.usage, *rest]] == ["lease-3", "lease-2", "lease-1"]
    assert [use.job_id for use in await office.usage("ganzhou", job_id=job)] == [job]
    assert len(await office.usage("ganzhou", month="2026-11")) == 3
    assert await office.usage("ganzhou", month="2026-12") == []
    held = await office.holds("ganzhou")
    assert [(hold.state, sum(part.captured_micro_yuan for part in hold.parts)) for hold in held] == [
        (pb.HOLD_STATE_RELEASED, 60 * PER_SECOND)
    ] * 3
    assert await office.holds("ganzhou", open_only=True) == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"month": "2026-13"}, "month"),
        ({"month": "March"}, "month"),
        ({"job_id": "lease-1"}, "job_id"),
        ({"city": "Gan zhou"}, "city"),
        ({"page_size": 1001}, "page_size"),
        ({"page_token": "x"}, "page_token"),
    ],
)
def test_wrong_questions_are_refused_by_the_name_of_their_field(wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        convert.usage_page(pb.ListUsageRequest(**wanted))

    assert [problem.field for problem in refused.value.fields] == [field]
