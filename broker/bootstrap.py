"""Put a broker together and run it: the only place that knows every room.

`serve` runs one broker process until it is told to stop; `migrate` brings the tables up to date.
"""

import asyncio
import contextlib
import gc
import ipaddress
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from broker import console_start, first_start, health, metrics, postgres
from broker.caller import Caller, Role
from broker.clock import Clock, SystemClock
from broker.config import Settings
from broker.console.server import ConsoleServer
from broker.dsn import read_dsn
from broker.loops.census import Census
from broker.loops.chaining import Chaining
from broker.loops.charging import ChargingLoop
from broker.loops.energy import EnergyCount
from broker.loops.expiry import Expiry
from broker.loops.green import GreenLoop
from broker.loops.hold_expiry import HoldExpiry
from broker.loops.maintenance import Maintenance
from broker.loops.numbering import Numbering
from broker.loops.offers import Offers
from broker.loops.placing import PlacingLoop
from broker.loops.planning import PlanningProcess
from broker.loops.prices import PriceKeeping
from broker.loops.quotes import QuoteKeeping
from broker.loops.release import Release
from broker.loops.rounds import RoundLoop
from broker.loops.service import Service, run_forever
from broker.loops.silence import Silence
from broker.loops.vouchers import VoucherCare
from broker.market.capacity import Capacity
from broker.market.catalogue import Catalogues
from broker.market.clusters import Clusters, ClusterSignals
from broker.market.evidence import Evidence
from broker.market.explain import Explain
from broker.market.green import GreenWaits
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.logs import AgentLinks, Logs
from broker.market.operations import Operations
from broker.market.policies import Policies
from broker.market.rates import Rates
from broker.market.voucher_office import VoucherOffice
from broker.market.vouchers import Vouchers
from broker.market.watch import Pulses, Watch
from broker.market.worlds import Worlds
from broker.rooms import (
    Wakes,
    accounts_of,
    admin_service,
    calls_per_second_max,
    charging_of,
    measures_of,
    placing_of,
    policy_of,
    prices_of,
    quote_ends,
    quotes_of,
    round_loop,
    terms_of,
)
from broker.rpc.cluster_service import ClusterService
from broker.rpc.job_service import JobService
from broker.rpc.market_service import MarketService
from broker.rpc.server import RpcServer, build_server
from broker.rpc.tls import CannotListen, ListenAddress, server_credentials
from broker.rpc.voucher_service import VoucherService
from broker.store import migrate as migrations
from broker.store.database import Database

BOOTSTRAP: Final = Caller("bootstrap", Role.OPERATOR)
GRACE_SECONDS: Final = 2.0
ROUND_REST_SHARE: Final = 0.5
"""After a long round the database and the processors belong to everybody else for half as long again."""

GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Rarer than Python's own: submissions make objects by the hundred and circles hardly ever, and the search for circles
took a third of the time."""

SWITCH_SECONDS: Final = 0.0005
"""For so long a thread that prepares a round keeps the interpreter from the calls. Python's own 5 ms add up: a call
gives it away itself, and has to wait for it again, with each of its dozens of system calls."""

PRICES_REST_SECONDS: Final = 1.0
"""Prices are written once a second at most, however many rounds there are."""

CHARGING_SECONDS: Final = 5.0
"""What has ended is charged after so long, and its money is free again."""

RELEASE_REST_SHARE: Final = 4.0
"""Looking for what has ended takes a fifth of the time at most, however much one city lets wait for how much."""

CENSUS_REST_SHARE: Final = 9.0
"""Reading the hub's state for /metrics takes a tenth of the time at most."""

log = structlog.get_logger("broker")


@dataclass(frozen=True, slots=True)
class Dsns:
    """How to log in to the database."""

    owner: str
    city: str
    hub: str


@dataclass(frozen=True, slots=True)
class Loop:
    """A background service with its rhythm."""

    service: Service
    interval_seconds: float
    wake: asyncio.Event | None = None
    rest_seconds: float = 0.0
    rest_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker process, put together."""

    server: RpcServer
    loops: tuple[Loop, ...]
    planner: PlanningProcess
    rounds: RoundLoop
    clock: Clock
    console: ConsoleServer | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve and run the loops for as long as the block runs; then let calls end, and let another broker lead."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for loop in self.loops:
                group.create_task(
                    run_forever(
                        loop.service,
                        clock=self.clock,
                        stop=stop,
                        interval_seconds=loop.interval_seconds,
                        wake=loop.wake,
                        rest_seconds=loop.rest_seconds,
                        rest_share=loop.rest_share,
                    ),
                    name=loop.service.name,
                )
            await self.server.start()
            try:
                yield
            finally:
                if self.console is not None:
                    await self.console.stop()
                await self.server.stop(GRACE_SECONDS)
                stop.set()
                self.planner.close()
        with contextlib.suppress(Exception):  # without a database there is nothing to let go of
            await self.rounds.resign(self.clock.now())


class PostgresKeeper:
    """Starts the embedded PostgreSQL again when it died: for a hub on one machine there is nobody else to do it."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def run_once(self, now: object) -> int:  # noqa: ARG002  it is looked at, not calculated
        """Start the server if it does not run; return how often."""
        if await asyncio.to_thread(postgres.alive, self._folder):
            return 0
        log.warning("postgres is not running, starting it")
        try:
            await asyncio.to_thread(postgres.start, self._folder)
        except postgres.EmbeddedPostgresError as error:
            log.warning("postgres does not start, trying again", error=str(error))
            return 0
        return 1


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Run one broker until SIGTERM or SIGINT. `on_ready` is called with the endpoint once calls are taken.

    Raises: MigrationError, EmbeddedPostgresError, CannotListen, RoleUnusable, BrokerError: it cannot start.
    """
    _check_listening(settings)
    # As root the database runs as another user, who must be able to enter; what is private in here is private itself.
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    with _dsns(settings) as dsns:
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_SECONDS)
        asyncio.run(_serve(settings, dsns, on_ready))


def migrate(settings: Settings, *, dry_run: bool) -> list[str]:
    """Bring the tables up to date, or with `dry_run` only look. Return the names of the migrations concerned."""
    with _dsns(settings) as dsns:
        act: Callable[[str], Awaitable[Any]] = migrations.pending if dry_run else migrations.migrate
        return [m.name for m in asyncio.run(_awaited(act(dsns.owner)))]


@contextlib.contextmanager
def _dsns(settings: Settings) -> Iterator[Dsns]:
    if settings.dsn:
        dsn = read_dsn(settings.dsn)
        yield Dsns(read_dsn(settings.dsn_owner, field="dsn_owner") or dsn, dsn, dsn)
        return
    with postgres.using(settings.home / "postgres") as server:
        yield Dsns(server.dsn_owner, server.dsn_city, server.dsn_hub)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _serve(settings: Settings, dsns: Dsns, on_ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    well = health.Health()
    _serve_health(settings, well)
    applied = await migrations.ensure(dsns.owner)
    if applied:
        log.info("migrated", applied=[m.name for m in applied])
    database = await Database.connect(
        dsns.city,
        dsns.hub,
        city_connections=settings.city_connections,
        hub_connections=settings.hub_connections,
    )
    try:
        broker = await build(settings, database, SystemClock())
        async with broker.running():
            console = await console_start.started(settings, broker.console)
            endpoint = local_endpoint(ListenAddress.parse(settings.listen), broker.server.port)
            first_start.tell_clients(settings, endpoint)
            log.info("serving", endpoint=endpoint, console=console, database="given" if settings.dsn else "embedded")
            well.ready = True
            on_ready(endpoint)
            await stop.wait()
            well.ready = False
            log.info("stopping")
    finally:
        await database.close()


def _check_listening(settings: Settings) -> None:
    """Raise CannotListen before anything is made, if it is the settings that forbid it."""
    for text in filter(None, (settings.listen, settings.metrics_listen)):
        ListenAddress.parse(text)
    for text in filter(None, (settings.listen, settings.console_listen)):
        server_credentials(ListenAddress.parse(text), settings.tls_cert, settings.tls_key)


def local_endpoint(listen: ListenAddress, port: int) -> str:
    """Return how clients on this machine call a broker that listens there: every interface has one called localhost."""
    try:
        host = "localhost" if ipaddress.ip_address(listen.host or "::").is_unspecified else listen.host
    except ValueError:  # a host name
        host = listen.host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def build(settings: Settings, database: Database, clock: Clock) -> Broker:
    """Put a broker together on a migrated database; the first one of all applies the world and makes keys."""
    wakes = Wakes(*(asyncio.Event() for _ in range(4)))
    signals, links = ClusterSignals(), AgentLinks()
    terms = terms_of(settings)
    policy = policy_of(settings)
    identity, catalogues, wake = Identity(database), Catalogues(database), wakes.work
    worlds = Worlds(database, wake=wake)
    operations = Operations(database, identity, wake=wake)
    await first_start.prepare(settings, worlds, identity, BOOTSTRAP, clock.now())
    signer = await asyncio.to_thread(first_start.policy_signer, settings)
    pulses, explain = Pulses(database), Explain(database, policy, clock)
    green = GreenWaits(database, catalogues, settings.green_patience_hours, settings.green_saving_percent)
    jobs = Jobs(database, catalogues, wake=wakes.work, stop_wanted=signals.wake, green=green)
    clusters = Clusters(database, terms, signals, capacity_freed=wakes.work)
    prices = prices_of(settings, database, wakes)
    server = build_server(
        [
            JobService(jobs, Watch(database, pulses), explain, Logs(database, links), clock),
            ClusterService(clusters, links, terms, clock, policy_key_id=signer.key_id),
            admin_service(settings, database, operations, worlds, policy, signer, wakes, clock),
            MarketService(
                Rates(database, wake=wakes.work),
                prices,
                Capacity(database),
                quotes_of(settings, database, policy, jobs, explain, wakes),
                clock,
            ),
            accounts_of(database, clock, wakes),
            measures_of(database, clock),
            VoucherService(VoucherOffice(database), Vouchers(database), Evidence(database), clock),
        ],
        listen=settings.listen,
        identity=identity,
        calls_per_second_max=lambda city: calls_per_second_max(catalogues, city),
        clock=clock,
        tls_certificate=settings.tls_cert,
        tls_private_key=settings.tls_key,
    )
    planner, policies = PlanningProcess(niceness=settings.planner_niceness), Policies(signer)
    placing = placing_of(settings, database, policy, policies, wakes, signals)
    rounds = round_loop(settings, database, planner, policy, policies, clock, placing, explain, prices)
    loops = [
        Loop(
            rounds, settings.leader_lease_seconds / 4, wakes.rounds, settings.round_interval_seconds, ROUND_REST_SHARE
        ),
        Loop(PlacingLoop(placing), 0.5, wakes.placing),
        Loop(Numbering(database, announce=pulses.announce), 0.2, wakes.numbering, 0.01),
        Loop(Offers(database, signals), 0.25),
        Loop(Silence(database, terms, capacity_freed=wakes.work), 1.0),
        Loop(Expiry(database, wake=wakes.numbering.set), 1.0),
        Loop(Release(database, wake=wakes.work), 1.0, rest_share=RELEASE_REST_SHARE),
        Loop(GreenLoop(green, wake=wakes.work), 60.0),
        Loop(Maintenance(database, wake_cluster=placing.wake_cluster), 1.0),
        Loop(Census(database, leads=lambda: rounds.leads), 5.0, rest_share=CENSUS_REST_SHARE),
        Loop(EnergyCount(database), 60.0),
        Loop(PriceKeeping(prices), 30.0, wakes.prices, PRICES_REST_SECONDS),
        Loop(Chaining(database), 1.0),
        Loop(HoldExpiry(database, wake=wakes.work), 10.0),
        Loop(ChargingLoop(charging_of(settings, database, wakes)), CHARGING_SECONDS),
        Loop(QuoteKeeping(database, quote_ends(settings, database)), 1.0),
        Loop(VoucherCare(Vouchers(database)), 10.0),
    ]
    if not settings.dsn:
        loops.append(Loop(PostgresKeeper(settings.home / "postgres"), 1.0))
    console = console_start.console(
        settings, database, clock, policy, signer, links, identity, jobs, explain, operations, worlds, prices, wake
    )
    return Broker(server, tuple(loops), planner, rounds, clock, console)


def _serve_health(settings: Settings, well: health.Health) -> None:
    if not settings.metrics_listen:
        return
    address = ListenAddress.parse(settings.metrics_listen)
    try:
        health.serve(address.host, address.port, metrics.exposition, well)
    except OSError as error:
        raise CannotListen(
            f"{settings.metrics_listen} cannot be bound for metrics ({error.strerror}): choose another address with "
            "--metrics-listen, or turn metrics off with an empty one"
        ) from error
