"""All services on one socket, over a city with two enterprises: jobs that ran and were paid for, vouchers, quotes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc

from broker.caller import Role
from broker.clock import ManualClock
from broker.ids import application_text, parse_job
from broker.ledger.holds import Source
from broker.ledger.transactions import Move
from broker.loops.numbering import Numbering
from broker.market.capacity import Capacity
from broker.market.catalogue import Catalogues
from broker.market.evidence import Evidence
from broker.market.explain import Explain
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.ledger import Ledger
from broker.market.logs import AgentLinks, Logs
from broker.market.month_reports import MonthReports
from broker.market.papers import Papers
from broker.market.prices import Prices
from broker.market.quotes import QuoteRules, Quotes
from broker.market.rates import Rates
from broker.market.uses import Uses
from broker.market.watch import Pulses, Watch
from broker.rooms import measures_of
from broker.rpc.account_service import AccountService
from broker.rpc.job_service import JobService
from broker.rpc.market_service import MarketService
from broker.rpc.server import build_server
from broker.rpc.voucher_service import VoucherService
from broker.store.database import Database
from broker.vouchers.applying import Enterprise
from broker.vouchers.programme import ApplicantType
from broker.wire.v1 import job_service_pb2, market_service_pb2
from broker.wire.v1.account_service_pb2_grpc import AccountServiceStub
from broker.wire.v1.job_service_pb2_grpc import JobServiceStub
from broker.wire.v1.market_service_pb2_grpc import MarketServiceStub
from broker.wire.v1.measure_service_pb2_grpc import MeasureServiceStub
from broker.wire.v1.voucher_service_pb2_grpc import VoucherServiceStub
from scheduler.policy import Policy
from tests.books import Books, a_capture
from tests.conftest import Dsns
from tests.rpc.conftest import bearer
from tests.rpc.requests import spec
from tests.small_world import OPERATOR, T0, asked, placed
from tests.voucher_world import LI, OFFICE, VoucherWorld, open_office

RIVAL = Enterprise("ganzhou", "rival", "Rival", "91620000-C", "plant 3", ApplicantType.COMPANY)
WHO = {
    "acme": (Role.ENTERPRISE, "ganzhou/acme"),
    "rival": (Role.ENTERPRISE, "ganzhou/rival"),
    "ganzhou": (Role.CITY, "ganzhou"),
    "office": (Role.VOUCHER_OFFICE, ""),
    "operator": (Role.OPERATOR, ""),
}
OWNERS = {"acme": "acme", "rival": "rival", "": "ganzhou"}
"""Whose key submits for whom: enterprises for themselves, the city for itself."""


@dataclass
class Exchange:
    """What tests hold of it; ids by enterprise, "" for the city itself."""

    world: VoucherWorld
    clock: ManualClock
    numbering: Numbering
    stubs: Mapping[str, Any]
    keys: Mapping[str, str]
    port: int
    jobs: dict[str, str] = field(default_factory=dict)
    quotes: dict[str, str] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    vouchers: dict[str, str] = field(default_factory=dict)
    applications: dict[str, str] = field(default_factory=dict)

    def call(self, who: str, request: Any, *, over: str = "") -> Any:
        """Make the call that takes this request, or the one named."""
        method = over or type(request).__name__.removesuffix("Request")
        stub = next(getattr(stub, method) for stub in self.stubs.values() if hasattr(stub, method))
        return stub(request, metadata=bearer(self.keys[who]), timeout=60)

    async def pages(self, who: str, request: Any) -> list[Any]:
        """Return what a stream sends until it ends."""
        return [message async for message in self.call(who, request)]

    async def number(self) -> None:
        await self.numbering.run_once(self.clock.now())

    async def submit(self, who: str, key: str, **changes: Any) -> str:
        """Submit a job of one card, and return its id."""
        wanted = spec(**{"tasks": 1, "cards_per_task": 1} | changes)
        answer = await self.call(who, job_service_pb2.SubmitJobRequest(request_key=key, spec=wanted), over="SubmitJob")
        return str(answer.job_id)

    async def quoted(self, who: str, **changes: Any) -> str:
        """Ask for a quote for a job of one card, and return its id."""
        wanted = market_service_pb2.GetQuoteRequest(spec=spec(**{"tasks": 1, "cards_per_task": 1} | changes))
        return str((await self.call(who, wanted)).options[0].quote_id)


@asynccontextmanager
async def open_exchange(database: Database, dsns: Dsns) -> AsyncIterator[Exchange]:
    """Serve it. Each of acme, rival and the city itself has a job that ran and was paid for, and a quote."""
    world = await open_office(database, dsns)
    await world.office.set_enterprise(OFFICE, RIVAL, LI, now=T0)
    async with database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", T0)
        await asked(tx, "longdong", "ascend-910b", 3_200_000)
    clock, identity, pulses = ManualClock(T0), Identity(database), Pulses(database)
    keys = {who: (await identity.create(role, subject, "test", T0)).text for who, (role, subject) in WHO.items()}
    server = build_server(
        _services(database, world, clock, pulses),
        listen="127.0.0.1:0",
        identity=identity,
        calls_per_second_max=_unlimited,
        clock=clock,
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stubs = {
                stub.__name__: stub(channel)
                for stub in (
                    JobServiceStub,
                    MarketServiceStub,
                    AccountServiceStub,
                    MeasureServiceStub,
                    VoucherServiceStub,
                )
            }
            exchange = Exchange(world, clock, Numbering(database, announce=pulses.announce), stubs, keys, server.port)
            await _vouchers(exchange)
            for card, (enterprise, who) in enumerate(OWNERS.items()):
                await _ran(exchange, enterprise, who, card)
                exchange.quotes[enterprise] = await exchange.quoted(who)
            await exchange.number()
            yield exchange
    finally:
        await server.stop(0)


async def _unlimited(_: str) -> int:
    return 1_000_000


async def _no_round() -> None:
    return None


def _services(database: Database, world: VoucherWorld, clock: ManualClock, pulses: Pulses) -> list[Any]:
    jobs = Jobs(database, Catalogues(database, fresh_seconds=0.0), wake=lambda: None, stop_wanted=lambda _: None)
    policy = Policy(effort=5)
    quotes = Quotes(database, jobs, policy, QuoteRules(), last_round=_no_round, wake=lambda: None)
    prices = Prices(database, changes_days=7, hours_days=70)
    explain = Explain(database, policy, clock)
    return [
        JobService(jobs, Watch(database, pulses), explain, Logs(database, AgentLinks()), clock),
        MarketService(Rates(database, wake=lambda: None), prices, Capacity(database), quotes, clock),
        AccountService(
            Ledger(database), clock, uses=Uses(database), papers=Papers(database), reports=MonthReports(database)
        ),
        measures_of(database, clock),
        VoucherService(world.office, world.vouchers, Evidence(database), clock),
    ]


async def _vouchers(exchange: Exchange) -> None:
    """Grant each enterprise a voucher, and let each apply for another one."""
    for name in ("acme", "rival"):
        granted = await exchange.world.granted(request_key=f"{name}-1", enterprise=name, contract=f"{name}-1")
        exchange.vouchers[name] = granted.voucher
        exchange.applications[name] = application_text(
            await exchange.world.applied(request_key=f"{name}-2", enterprise=name, contract=f"{name}-2")
        )


async def _ran(exchange: Exchange, enterprise: str, who: str, card: int) -> None:
    """Let a job run and be paid for: by voucher, enterprise and city, as far as they are there."""
    books = Books(exchange.world.database, exchange.world.dsns)
    own = f"enterprise/ganzhou/{enterprise}" if enterprise else "city/ganzhou"
    voucher = exchange.vouchers.get(enterprise, "")
    for account in dict.fromkeys((own, "city/ganzhou")):
        move = Move(f"{enterprise}-{account}", account, 1_000, f"slip of {enterprise}")
        await books.ledger.deposit(OPERATOR, move, now=T0)
    exchange.jobs[enterprise] = await exchange.submit(who, "k")
    job = parse_job(exchange.jobs[enterprise])
    assert job is not None
    lease = await placed(books.database, job, cards=(card,))
    exchange.leases[enterprise] = f"lease-{lease}"
    sources = [Source(f"voucher/ganzhou/{voucher}", 300_000)] if voucher else []
    sources += [Source(account) for account in dict.fromkeys((own, "city/ganzhou"))]
    held = await books.hold(
        1_500, request_key=f"lease-{lease}", reference=f"lease-{lease}", sources=tuple(sources),
        settles_until=T0 + timedelta(days=60),
    )  # fmt: skip
    posted = await books.ledger.capture(a_capture(held.hold, 1_400, f"c-{lease}"), now=T0)
    async with books.database.hub() as tx:
        await tx.execute(
            "UPDATE leases SET hold_id = $2, started_at = offered_at WHERE lease_id = $1", lease, held.hold
        )
        await tx.execute("INSERT INTO lease_captures VALUES ($1, $2, 1, false)", posted.transaction, lease)
    await Papers(books.database).post_credit_note(
        OPERATOR, Move(f"cn-{lease}", own, 7, f"sorry {enterprise}", payer="owner/longdong"), f"lease-{lease}", now=T0
    )
