"""Holds on one voucher: many clients fight for it, the database dies in the middle, and the books must still be right.

Durable: PostgreSQL on this machine with fsync on, each hold answered after its commit. The same clients, one run each:

killed       gathered (holds that wait share a transaction); at half time PostgreSQL is killed with SIGKILL and started
             again, and a client whose answer was lost sends the same key again
undisturbed  the same without the kill
single       without gathering: a transaction for each hold, as many connections as clients
no fsync     gathered, with fsync off, for what the disk costs
rush         gathered, on a small voucher that is soon used up: for its last money
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import psutil
import typer
from rich.console import Console

from benchmarks.result import Result
from broker import postgres
from broker.audit.facts import books_alone
from broker.audit.ledger import no_account_is_below_zero
from broker.audit.main import run as audited
from broker.caller import Caller, Role
from broker.demo.summary import percentile
from broker.errors import DatabaseUnavailable, InsufficientCredit
from broker.ledger.holds import HoldDraft, Source
from broker.ledger.transactions import Move
from broker.loops.chaining import Chaining
from broker.market.hold_intake import HoldIntake
from broker.market.ledger import Ledger
from broker.postgres import EmbeddedServer
from broker.store import holds
from broker.store.database import Database
from broker.store.holds import Held
from broker.store.migrate import migrate

OPERATOR: Final = Caller("benchmark", Role.OPERATOR)
CITY: Final = "ganzhou"
VOUCHER: Final = "voucher/ganzhou/large"
RUSH: Final = "voucher/ganzhou/last"
GRANTED_MICRO_YUAN: Final = {VOUCHER: 10**16, RUSH: 3 * 10**9}
"""The large one lasts, so that accepted holds are what is measured; the last one is enough for some 300 holds."""

HOLD_MICRO_YUAN_MAX: Final = 20_000_000
GATHERING_CONNECTIONS: Final = 8
RUSH_SECONDS: Final = 2.0
AGAIN_AFTER_SECONDS: Final = 0.05
WAIT_SECONDS_MAX: Final = 30.0
SETTLES_AFTER: Final = timedelta(days=30)
WORLD: Final = """
    INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang');
    INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1000000, 100000, 1000, 20000000);
"""

Place = Callable[[HoldDraft], Awaitable[Held]]


@dataclass
class Run:
    """What one run of all clients came to."""

    placed: int = 0
    micro_yuan: int = 0
    refused: int = 0
    sent_again: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Holds that were placed, by second of the whole run, an outage included."""
        return self.placed / self.seconds


@dataclass(frozen=True)
class Fight:
    """What the clients of one run do."""

    name: str
    voucher: str
    clients: int
    seconds: float
    seed: int


def main(
    clients: Annotated[int, typer.Option(min=1, max=90, help="Clients that fight for the voucher.")] = 64,
    seconds: Annotated[float, typer.Option(min=1, help="How long each of the runs takes.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the amounts.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure durable holds per second on one voucher, with and without gathering, through a kill of the database."""
    console = Console()
    with _server_folder() as folder:
        result = asyncio.run(_measure(folder, clients, seconds, seed, console))
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


@contextmanager
def _server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="xisuan-bench-"))
    folder.chmod(0o711)
    try:
        yield folder / "postgres"
    finally:
        postgres.destroy(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(folder: Path, clients: int, seconds: float, seed: int, console: Console) -> Result:
    server = await asyncio.to_thread(postgres.start, folder)
    await migrate(server.dsn_owner)
    runs = {}
    async with _connected(server, GATHERING_CONNECTIONS) as database:
        await _lay_out(database)
    for name in ("killed", "undisturbed", "single", "no fsync", "rush"):
        fight = Fight(name, VOUCHER, clients, seconds, seed)
        if name == "rush":
            fight = Fight(name, RUSH, clients, min(seconds, RUSH_SECONDS), seed)
        console.print(f"{name}: {clients} clients, {fight.seconds:.0f} s ...")
        await _set_fsync(server, on=name != "no fsync")
        async with _connected(server, clients if name == "single" else GATHERING_CONNECTIONS) as database:
            place = _one_by_one(database) if name == "single" else _gathered(database)
            async with asyncio.TaskGroup() as group:
                if name == "killed":
                    group.create_task(_kill(folder, seconds / 2))
                running = group.create_task(_fought(place, fight))
            runs[name] = running.result()
            await Chaining(database).run_once(datetime.now(UTC))
    figures, violations = await _judged(server, runs)
    return Result("ledger", seed, figures, violations)


def _gathered(database: Database) -> Place:
    intake = HoldIntake(database)
    return lambda draft: intake.place(draft, now=datetime.now(UTC))


def _one_by_one(database: Database) -> Place:
    async def place(draft: HoldDraft) -> Held:
        async with database.hub() as tx:
            [outcome] = await holds.place(tx, [draft], datetime.now(UTC))
        if isinstance(outcome, Held):
            return outcome
        raise outcome

    return place


async def _fought(place: Place, fight: Fight) -> Run:
    """Let every client place holds one after the other until the time is over."""
    run, began = Run(), time.perf_counter()

    async def client(number: int) -> None:
        luck, count = random.Random(f"{fight.seed}/{fight.name}/{number}"), 0
        while time.perf_counter() - began < fight.seconds:
            count += 1
            draft = HoldDraft(
                request_key=f"{fight.name}-{number}-{count}",
                city=CITY,
                reference=f"lease-{number}",
                micro_yuan=luck.randint(1, HOLD_MICRO_YUAN_MAX),
                sources=(Source(fight.voucher),),
                settles_until=datetime.now(UTC) + SETTLES_AFTER,
            )
            sent = time.perf_counter()
            if await _placed(place, draft, run):
                run.placed, run.micro_yuan = run.placed + 1, run.micro_yuan + draft.micro_yuan
            run.latencies.append(time.perf_counter() - sent)

    async with asyncio.TaskGroup() as group:
        for number in range(fight.clients):
            group.create_task(client(number))
    run.seconds = time.perf_counter() - began
    return run


async def _placed(place: Place, draft: HoldDraft, run: Run) -> bool:
    """Place a hold, with the same key until there is an answer; tell whether it was placed."""
    while True:
        try:
            await place(draft)
        except InsufficientCredit:
            run.refused += 1
            return False
        except DatabaseUnavailable:
            run.sent_again += 1
            await asyncio.sleep(AGAIN_AFTER_SECONDS)
        else:
            return True


async def _kill(folder: Path, after_seconds: float) -> None:
    """Kill the server as the kernel would for want of memory, then start it again."""
    await asyncio.sleep(after_seconds)
    postmaster = psutil.Process(int((folder / "cluster" / "data" / "postmaster.pid").read_text().split("\n", 1)[0]))
    postmaster.kill()
    await asyncio.to_thread(psutil.wait_procs, [postmaster])  # one that is about to die still looks alive
    await asyncio.to_thread(postgres.start, folder)


async def _set_fsync(server: EmbeddedServer, *, on: bool) -> None:
    superuser = await asyncpg.connect(server.dsn("postgres", "postgres"))
    try:
        await superuser.execute(f"ALTER SYSTEM SET fsync = {'on' if on else 'off'}")
        await superuser.execute("SELECT pg_reload_conf()")
    finally:
        await superuser.close()


@asynccontextmanager
async def _connected(server: EmbeddedServer, connections: int) -> AsyncIterator[Database]:
    database = await Database.connect(
        server.dsn_city, server.dsn_hub, hub_connections=connections, wait_seconds_max=WAIT_SECONDS_MAX
    )
    try:
        yield database
    finally:
        await database.close()


async def _lay_out(database: Database) -> None:
    async with database.hub() as tx:
        await tx.execute(WORLD)
    ledger, now = Ledger(database), datetime.now(UTC)
    for voucher, micro_yuan in GRANTED_MICRO_YUAN.items():
        budget = voucher.replace("voucher/ganzhou", "budget/qingyang")
        await ledger.deposit(OPERATOR, Move(voucher, budget, micro_yuan, "the year's programme"), now=now)
        await ledger.grant(Move(voucher, voucher, micro_yuan, "grant", payer=budget), now=now)


async def _judged(server: EmbeddedServer, runs: Mapping[str, Run]) -> tuple[dict[str, float], int]:
    """Return the figures, and how much happened that never must."""
    facts, found = await audited(server.dsn_hub, server.dsn_city, {})
    held = {b.account: b.held or 0 for b in facts.ledger.balances}
    told = sum(run.micro_yuan for run in runs.values())
    # What clients were told is held must be held, to the micro-yuan: no hold was lost by the kill, none was doubled.
    wrong = int(told != held[VOUCHER] + held[RUSH])
    killed, undisturbed, single, no_fsync, rush = runs.values()
    figures = {
        "holds_per_second": killed.per_second,
        "p50_ms": percentile(killed.latencies, 50) * 1000,
        "p99_ms": percentile(killed.latencies, 99) * 1000,
        "outage_ms": max(killed.latencies) * 1000,
        "sent_again": float(killed.sent_again),
        "undisturbed_holds_per_second": undisturbed.per_second,
        "undisturbed_p99_ms": percentile(undisturbed.latencies, 99) * 1000,
        "single_holds_per_second": single.per_second,
        "single_p99_ms": percentile(single.latencies, 99) * 1000,
        "no_fsync_holds_per_second": no_fsync.per_second,
        "no_fsync_p99_ms": percentile(no_fsync.latencies, 99) * 1000,
        "fsync_cost_percent": 100 * (1 - undisturbed.per_second / no_fsync.per_second),
        "rush_placed": float(rush.placed),
        "rush_refused": float(rush.refused),
        "holds": float(sum(run.placed for run in runs.values())),
        "overdrawn": float(len(list(no_account_is_below_zero(books_alone(facts.ledger))))),
        "unbalanced": float(len(facts.ledger.unbalanced)),
    }
    return figures, len(found) + wrong
