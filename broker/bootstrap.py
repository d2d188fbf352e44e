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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from broker import console_start, first_start, health, metrics, postgres
from broker.caller import Caller, Role
from broker.calls.address import reserve
from broker.calls.bus import Bus
from broker.calls.keeper import CallProcesses
from broker.calls.seat import Seat
from broker.clock import Clock, SystemClock
from broker.config import Settings
from broker.console.server import ConsoleServer
from broker.dsn import read_dsn
from broker.log_lines import LogStyle
from broker.loops.census import Census
from broker.loops.chaining import Chaining
from broker.loops.charging import ChargingLoop
from broker.loops.energy import EnergyCount
from broker.loops.expiry import Expiry
from broker.loops.green import GreenLoop
from broker.loops.hold_expiry import HoldExpiry
from broker.loops.maintenance import Maintenance
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
from broker.market.identity import Identity
from broker.market.policies import Policies
from broker.market.vouchers import Vouchers
from broker.market.worlds import Worlds
from broker.policy.keys import Signer
from broker.rooms import (
    House,
    call_server,
    charging_of,
    house_of,
    numbering_of,
    placing_of,
    quote_ends,
    round_loop,
    terms_of,
)
from broker.rpc.server import RpcServer
from broker.rpc.tls import CannotListen, ListenAddress, server_credentials
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

CONNECTIONS_ALWAYS: Final = 60
"""So many of its 100 the embedded server has for one broker in any case; the rest is for audits, backups, tools."""

CONNECTIONS_BESIDE: Final = 40
PORT_MAX: Final = 65_535
NUMBERING_BESIDE_SECONDS: Final = 2.0
"""Events are numbered by the first process that takes calls; so often the others look whether it does so."""

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

    server: RpcServer | None  # None: its calls have processes of their own
    loops: tuple[Loop, ...]
    clock: Clock
    planner: PlanningProcess | None = None  # None: it takes calls alone
    rounds: RoundLoop | None = None
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
            if self.server is not None:
                await self.server.start()
            try:
                yield
            finally:
                if self.console is not None:
                    await self.console.stop()
                if self.server is not None:
                    await self.server.stop(GRACE_SECONDS)
                stop.set()
                if self.planner is not None:
                    self.planner.close()
        with contextlib.suppress(Exception):  # without a database there is nothing to let go of
            if self.rounds is not None:
                await self.rounds.resign(self.clock.now())


class PostgresKeeper:
    """Starts the embedded PostgreSQL again when it died: for a hub on one machine there is nobody else to do it."""

    name = "postgres"

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """`settings`: of the server, beyond its own."""
        self._folder = folder
        self._settings = settings

    async def run_once(self, now: object) -> int:  # noqa: ARG002  it is looked at, not calculated
        """Start the server if it does not run; return how often."""
        if await asyncio.to_thread(postgres.alive, self._folder):
            return 0
        log.warning("postgres is not running, starting it")
        try:
            await asyncio.to_thread(lambda: postgres.start(self._folder, settings=self._settings))
        except postgres.EmbeddedPostgresError as error:
            log.warning("postgres does not start, trying again", error=str(error))
            return 0
        return 1


def serve(settings: Settings, on_ready: Callable[[str], None], log_style: LogStyle = LogStyle.CONSOLE) -> None:
    """Run one broker until SIGTERM or SIGINT. `on_ready` is called with the endpoint once calls are taken.

    `log_style`: of the log lines of processes that take its calls.

    Raises: MigrationError, EmbeddedPostgresError, CannotListen, CannotStart, RoleUnusable, BrokerError: it cannot
        start.
    """
    _check_listening(settings)
    # As root the database runs as another user, who must be able to enter; what is private in here is private itself.
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    with _dsns(settings) as dsns:
        _tune_python()
        asyncio.run(_serve(settings, dsns, on_ready, log_style))


def serve_calls(settings: Settings, dsns: Dsns, seat: Seat) -> None:
    """Take a broker's calls in this process until SIGTERM, or until the broker's own process is gone."""
    _tune_python()
    asyncio.run(_serve_calls(settings, dsns, seat))


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
    with postgres.using(settings.home / "postgres", settings=_server_settings(settings)) as server:
        yield Dsns(server.dsn_owner, server.dsn_city, server.dsn_hub)


def _server_settings(settings: Settings) -> dict[str, str]:
    """Return what the embedded server needs beyond its own settings: connections for every process of this broker."""
    wanted = (1 + settings.call_processes) * (settings.city_connections + settings.hub_connections)
    return {} if wanted <= CONNECTIONS_ALWAYS else {"max_connections": str(wanted + CONNECTIONS_BESIDE)}


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _serve(settings: Settings, dsns: Dsns, on_ready: Callable[[str], None], log_style: LogStyle) -> None:
    stop, well = _stopped_by_signals(), health.Health()
    _serve_health(settings, well)
    applied = await migrations.ensure(dsns.owner)
    if applied:
        log.info("migrated", applied=[m.name for m in applied])
    async with _connected(settings, dsns) as database, contextlib.AsyncExitStack() as held:
        clock, bus = SystemClock(), Bus()
        signer = await _prepared(settings, database, clock)
        calls, listen = _call_processes(settings, dsns, bus, log_style, held)
        broker = await build(settings, database, clock, bus, signer)
        if calls is not None:
            await held.enter_async_context(calls.running(stop))
            well.serves = calls.any_ready
        await held.enter_async_context(broker.running())
        console = await console_start.started(settings, broker.console)
        address = ListenAddress.parse(listen)
        endpoint = local_endpoint(address, address.port if broker.server is None else broker.server.port)
        first_start.tell_clients(settings, endpoint)
        log.info("serving", endpoint=endpoint, console=console, database="given" if settings.dsn else "embedded")
        well.ready = True
        on_ready(endpoint)
        await stop.wait()
        well.ready = False
        log.info("stopping")


async def _prepared(settings: Settings, database: Database, clock: Clock) -> Signer:
    """Let the first broker of all apply the world and make keys; return the key that signs policies."""
    worlds, identity = Worlds(database, wake=lambda: None), Identity(database)  # no loop runs yet
    await first_start.prepare(settings, worlds, identity, BOOTSTRAP, clock.now())
    return await asyncio.to_thread(first_start.policy_signer, settings)


def _call_processes(
    settings: Settings, dsns: Dsns, bus: Bus, log_style: LogStyle, held: contextlib.AsyncExitStack
) -> tuple[CallProcesses | None, str]:
    """Return what keeps the processes for calls, if there are to be some, and the address that they share."""
    if not settings.call_processes:
        return None, settings.listen
    taken, listen = reserve(settings.listen)
    held.enter_context(taken)
    charge = {
        "settings": settings.model_dump(mode="json"),
        "dsns": asdict(dsns),
        "listen": listen,
        "log_style": log_style.value,
    }
    return CallProcesses(bus, settings.call_processes, charge), listen


async def _serve_calls(settings: Settings, dsns: Dsns, seat: Seat) -> None:
    stop, well = _stopped_by_signals(), health.Health()
    _serve_health(settings, well, after=seat.process)
    async with _connected(settings, dsns) as database:
        clock = SystemClock()
        signer = await asyncio.to_thread(first_start.policy_signer, settings)
        house = house_of(settings, database, clock, seat.bus, seat.process)
        server = call_server(settings, database, clock, house, signer, seat.listen, shared=True)
        loops = _loops_of_calls(house, database, numbers=seat.process == 1)
        async with Broker(server, tuple(loops), clock).running(), seat.taken(stop):
            well.ready = True
            await stop.wait()
            well.ready = False


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@contextlib.asynccontextmanager
async def _connected(settings: Settings, dsns: Dsns) -> AsyncIterator[Database]:
    database = await Database.connect(
        dsns.city,
        dsns.hub,
        city_connections=settings.city_connections,
        hub_connections=settings.hub_connections,
    )
    try:
        yield database
    finally:
        await database.close()


def _tune_python() -> None:
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)


def _check_listening(settings: Settings) -> None:
    """Raise CannotListen before anything is made, if it is the settings that forbid it."""
    for text in filter(None, (settings.listen, settings.metrics_listen)):
        address = ListenAddress.parse(text)
        if text == settings.metrics_listen and address.port + settings.call_processes > PORT_MAX:
            raise CannotListen(
                f"{text} leaves no ports behind it for the metrics of {settings.call_processes} call processes: "
                "choose a lower one with --metrics-listen"
            )
    for text in filter(None, (settings.listen, settings.console_listen)):
        server_credentials(ListenAddress.parse(text), settings.tls_cert, settings.tls_key)


def local_endpoint(listen: ListenAddress, port: int) -> str:
    """Return how clients on this machine call a broker that listens there: every interface has one called localhost."""
    try:
        host = "localhost" if ipaddress.ip_address(listen.host or "::").is_unspecified else listen.host
    except ValueError:  # a host name
        host = listen.host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def build(settings: Settings, database: Database, clock: Clock, bus: Bus, signer: Signer) -> Broker:
    """Put a broker together on a migrated database that has a catalogue; its calls may have processes of their own."""
    house = house_of(settings, database, clock, bus)
    wakes, work, terms = house.wakes, house.wakes.work, terms_of(settings)
    planner, policies = PlanningProcess(niceness=settings.planner_niceness), Policies(signer)
    placing = placing_of(settings, database, house.policy, policies, wakes, house.signals)
    rounds = round_loop(
        settings, database, planner, house.policy, policies, clock, placing, house.explain, house.prices
    )
    loops = [
        Loop(
            rounds, settings.leader_lease_seconds / 4, wakes.rounds, settings.round_interval_seconds, ROUND_REST_SHARE
        ),
        Loop(PlacingLoop(placing), 0.5, wakes.placing),
        Loop(Silence(database, terms, capacity_freed=work), 1.0),
        Loop(Expiry(database, wake=wakes.events), 1.0),
        Loop(Release(database, wake=work), 1.0, rest_share=RELEASE_REST_SHARE),
        Loop(GreenLoop(house.green, wake=work), 60.0),
        Loop(Maintenance(database, wake_cluster=placing.wake_cluster), 1.0),
        Loop(Census(database, leads=lambda: rounds.leads), 5.0, rest_share=CENSUS_REST_SHARE),
        Loop(EnergyCount(database), 60.0),
        Loop(PriceKeeping(house.prices), 30.0, wakes.prices, PRICES_REST_SECONDS),
        Loop(Chaining(database), 1.0),
        Loop(HoldExpiry(database, wake=work), 10.0),
        Loop(ChargingLoop(charging_of(settings, database, wakes)), CHARGING_SECONDS),
        Loop(QuoteKeeping(database, quote_ends(settings, database)), 1.0),
        Loop(VoucherCare(Vouchers(database)), 10.0),
    ]
    if not settings.dsn:
        loops.append(Loop(PostgresKeeper(settings.home / "postgres", _server_settings(settings)), 1.0))
    server = None
    if not settings.call_processes:
        server = call_server(settings, database, clock, house, signer, settings.listen, shared=False)
        loops += _loops_of_calls(house, database, numbers=True)
    console = console_start.console(settings, database, clock, signer, house)
    return Broker(server, tuple(loops), clock, planner, rounds, console)


def _loops_of_calls(house: House, database: Database, *, numbers: bool) -> list[Loop]:
    loops = [Loop(Offers(database, house.signals), 0.25)]
    if numbers:
        return [*loops, Loop(numbering_of(house, database), 0.2, house.wakes.numbering, 0.01)]
    return [*loops, Loop(numbering_of(house, database), NUMBERING_BESIDE_SECONDS)]


def _serve_health(settings: Settings, well: health.Health, after: int = 0) -> None:
    """Answer probes; `after`: so many ports after the broker's own, unless that one may be any."""
    if not settings.metrics_listen:
        return
    address = ListenAddress.parse(settings.metrics_listen)
    port = address.port + after if address.port else 0
    try:
        health.serve(address.host, port, metrics.exposition, well)
    except OSError as error:
        raise CannotListen(
            f"{ListenAddress(address.host, port).text} cannot be bound for metrics ({error.strerror}): choose another "
            "address with --metrics-listen, or turn metrics off with an empty one"
        ) from error
