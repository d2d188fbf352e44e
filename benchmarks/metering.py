"""What it costs to meter and charge many running leases: CPU of broker and PostgreSQL in virtual time, and postings.

Leases of one card run on a few clusters, of a city that pays in advance. Every five minutes of virtual time each agent
tells what its leases have used, as messages of the wire, in reports of 10,000 leases, one in a hundred twice; the loop
that charges is run as often. At the end all leases end and settle, and the audit is run.

metering   decoding and taking usage, the answer included; charging: the loop; chain: hashes of the ledger, beside both.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console

from benchmarks.result import Result
from broker import postgres
from broker.audit.main import run as audited
from broker.caller import Caller, Role
from broker.ids import lease_text
from broker.job import Build, Ending, JobSpec, LeasePrice
from broker.ledger.transactions import Move
from broker.lifecycle import EndReason
from broker.loops.chaining import Chaining
from broker.market.charging import Charging, ChargingTerms
from broker.market.clusters import Clusters, ClusterSignals, Session, Terms
from broker.market.holding import STANDARD
from broker.market.ledger import Ledger
from broker.market.reports import Hello, LeasePhase, LeaseSeen, Report, UsageTold, by_ref
from broker.rpc.convert_checks import Checks
from broker.rpc.convert_usage import REPORTS_MAX, usage
from broker.store import rounds, submissions
from broker.store.clusters import NodeInventory, PoolInventory
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.store.migrate import migrate
from broker.store.rounds import LeaseDraft, RoundReport
from broker.wire.v1 import cluster_service_pb2 as pb

START: Final = datetime(2026, 3, 1, tzinfo=UTC)
TICK: Final = timedelta(minutes=5)
CLUSTERS: Final = 4
CARDS: Final = 64
BATCH: Final = 1000
PRICE: Final = LeasePrice(3_000_000, 500_000, 0)
CEILING: Final = 20_000_000
"""Micro-yuan per PFLOPS-hour: more than the price of a card of 0.32 PFLOPS."""

OPERATOR: Final = Caller("benchmark", Role.OPERATOR)
WORLD: Final = """
    INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang');
    INSERT INTO accelerator_models VALUES ('ascend-910b', 'Huawei', 'cann', 'domestic', 0, 320000, 0, 0, 0, 'test');
    INSERT INTO cities (city, title, weight_ppm, pending_jobs_max, calls_per_second_max,
                        ceiling_micro_yuan_per_pflops_hour, billing)
        VALUES ('ganzhou', 'Ganzhou', 1, 1000000, 1000, 1000000000, 'prepaid');
"""


@dataclass
class Clock:
    """CPU seconds of this process and of PostgreSQL, by what they were spent on."""

    postmaster: psutil.Process
    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add what the block costs."""
        before = self._now()
        yield
        self.spent[what] = self.spent.get(what, 0.0) + self._now() - before

    def _now(self) -> float:
        gone = self.postmaster.cpu_times()
        total = time.process_time() + gone.user + gone.system + gone.children_user + gone.children_system
        for each in self.postmaster.children():
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


@dataclass
class Agent:
    """One cluster's agent: its session, and the leases that run there."""

    session: Session
    leases: list[LeaseRef]
    sequence: int = 0


def main(
    leases: Annotated[int, typer.Option(min=1, help="Leases that run at the same time.")] = 100_000,
    hours: Annotated[int, typer.Option(min=1, max=48, help="Virtual hours that they run.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
) -> None:
    """Measure the CPU that metering and charging of running leases take, and the postings of a day."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="xisuan-bench-"))
    folder.chmod(0o711)
    try:
        result = asyncio.run(_measure(folder / "postgres", leases, hours, console))
    finally:
        postgres.destroy(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)
    result.show(console)
    if json_file is not None:
        result.write(json_file)
    if result.violations:
        raise typer.Exit(1)


async def _measure(folder: Path, leases: int, hours: int, console: Console) -> Result:
    server = await asyncio.to_thread(postgres.start, folder)
    await migrate(server.dsn_owner)
    pid = (folder / "cluster" / "data" / "postmaster.pid").read_text().split("\n", 1)[0]
    clock = Clock(psutil.Process(int(pid)))
    async with _connected(server.dsn_city, server.dsn_hub) as database:
        clusters = Clusters(database, Terms(), ClusterSignals(), capacity_freed=lambda: None)
        console.print(f"{leases:,} leases are made ...")
        agents = await _running(database, clusters, leases, hours)
        charging = Charging(database, ChargingTerms(fee_ppm=20_000))
        await charging.charge_due(START)  # what was just offered: looked at again in an hour
        posted = await _postings(database)
        console.print(f"{hours} h of virtual time ...")
        now = START
        while now < START + timedelta(hours=hours):
            now += TICK
            await _told(clusters, agents, now, clock)
            with clock.on("charging"):
                await charging.charge_due(now)
        hourly = await _postings(database) - posted
        await _ended(clusters, agents, now)
        await charging.charge_due(now + TICK)
        with clock.on("chain"):
            await Chaining(database).run_once(now)
        async with database.hub() as tx:
            open_holds = await tx.fetchval("SELECT count(*) FROM ledger_holds WHERE state = 'open'")
    _, found = await audited(server.dsn_hub, server.dsn_city, {})
    seconds = hours * 3600
    share = {what: 100 * spent / seconds for what, spent in clock.spent.items()}
    figures = {
        "leases": float(leases),
        "virtual_hours": float(hours),
        "cpu_percent_of_one_core": share["metering"] + share["charging"],
        "metering_cpu_percent": share["metering"],
        "charging_cpu_percent": share["charging"],
        "chain_cpu_percent": share["chain"],
        "postings_per_day": hourly / hours * 24,
        "postings_per_lease_hour": hourly / hours / leases,
        "open_holds_at_the_end": float(open_holds),
    }
    return Result("metering", 0, figures, len(found) + open_holds)


@asynccontextmanager
async def _connected(dsn_city: str, dsn_hub: str) -> AsyncIterator[Database]:
    database = await Database.connect(dsn_city, dsn_hub, hub_connections=4)
    try:
        yield database
    finally:
        await database.close()


async def _running(database: Database, clusters: Clusters, leases: int, hours: int) -> list[Agent]:
    """Lay out the world, lease a card to each job, with its hold, and let the agents say that all of them run."""
    async with database.hub() as tx:
        await tx.execute(WORLD)
    await Ledger(database).deposit(OPERATOR, Move("slip", "city/ganzhou", 10**17, "slip"), now=START)
    each = -(-leases // CLUSTERS)
    agents = []
    for number in range(CLUSTERS):
        count = min(each, leases - number * each)
        if count > 0:
            agents.append(await _cluster(database, clusters, f"c{number}", count, hours))
    return agents


async def _cluster(database: Database, clusters: Clusters, name: str, count: int, hours: int) -> Agent:
    async with database.hub() as tx:
        await tx.execute(
            "INSERT INTO clusters (cluster, hub, owner, title) VALUES ($1::text, 'qingyang', $1::text, $1::text)", name
        )
    nodes = tuple(NodeInventory(f"n{i}", CARDS, 1, 1) for i in range(-(-count // CARDS)))
    hello = Hello(name, name, "1", "local", (PoolInventory("main", "ascend-910b", nodes),), meters_usage=True)
    session = await clusters.attach(Caller("key", Role.AGENT, name), hello, START)
    async with database.hub() as tx:
        pool = await tx.fetchval("SELECT pool_id FROM pools WHERE cluster = $1", name)
        ids = [r["node_id"] for r in await tx.fetch("SELECT node_id FROM nodes WHERE cluster = $1", name)]
    cards = [(node, card) for node in ids for card in range(CARDS)][:count]
    leases: list[LeaseRef] = []
    for begin in range(0, count, BATCH):
        leases += await _leased(database, name, pool, cards[begin : begin + BATCH], begin, hours)
    agent = Agent(session, leases)
    await _reported(clusters, agent, START)
    return agent


async def _leased(
    database: Database, cluster: str, pool: int, cards: Sequence[tuple[int, int]], begin: int, hours: int
) -> list[LeaseRef]:
    spec = JobSpec("a", 1, 1, (hours + 1) * 3600, (Build("cann", ("true",)),), CEILING)
    report = RoundReport(START, "committed", "", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), {})
    async with database.city("ganzhou") as tx:
        items = [(f"{cluster}-{begin + i}", spec) for i in range(len(cards))]
        jobs = [stored.job for stored in await submissions.insert_many(tx, "ganzhou", items, START)]
    async with database.hub() as tx:
        drafts = [
            LeaseDraft(job, "ganzhou", cluster, pool, 0, 1, "hold", ((node, (card,), 1),), price=PRICE)
            for job, (node, card) in zip(jobs, cards, strict=True)
        ]
        covered = await STANDARD.cover(tx, [(None, draft) for draft in drafts], START)
        made = await rounds.offer(tx, await rounds.insert(tx, 1, report), [draft for _, draft in covered], START)
    return [LeaseRef(lease, 1) for lease in made.values()]


async def _reported(
    clusters: Clusters,
    agent: Agent,
    now: datetime,
    *,
    ending: Ending | None = None,
    told: tuple[UsageTold, ...] = (),
) -> None:
    agent.sequence += 1
    phase = LeasePhase.RUNNING if ending is None else LeasePhase.ENDED
    seen = by_ref(LeaseSeen(ref, phase, START, None if ending is None else now, ending) for ref in agent.leases)
    await clusters.report(agent.session, Report(agent.sequence, now, (), seen, told), now)


async def _told(clusters: Clusters, agents: Sequence[Agent], now: datetime, clock: Clock) -> None:
    """Let every agent tell the minutes until now; of one lease in a hundred in two reports."""
    for agent in agents:
        refs = [*agent.leases, *agent.leases[::100]]
        for begin in range(0, len(refs), REPORTS_MAX):
            wire = _message(dict.fromkeys(refs[begin : begin + REPORTS_MAX]), now)
            with clock.on("metering"):
                checks = Checks()
                told = usage(checks, pb.Report.FromString(wire))
                checks.done()
                await _reported(clusters, agent, now, told=told)


def _message(refs: dict[LeaseRef, None], now: datetime, *, complete: bool = False) -> bytes:
    last = int((now - START).total_seconds()) // 60 - 1
    minutes = [pb.MinuteRange(first=0, last=last)]
    reports = [
        pb.UsageReport(
            lease_id=lease_text(ref.lease), epoch=ref.epoch, minutes=minutes, milli_cards=1000, complete=complete
        )
        for ref in refs
    ]
    return pb.Report(sequence=1, usage=reports).SerializeToString()


async def _ended(clusters: Clusters, agents: Sequence[Agent], now: datetime) -> None:
    for agent in agents:
        for begin in range(0, len(agent.leases), REPORTS_MAX):
            refs = dict.fromkeys(agent.leases[begin : begin + REPORTS_MAX])
            told = usage(Checks(), pb.Report.FromString(_message(refs, now, complete=True)))
            await _reported(clusters, agent, now, ending=Ending(EndReason.COMPLETED), told=told)


async def _postings(database: Database) -> int:
    async with database.hub() as tx:
        return int(await tx.fetchval("SELECT count(*) FROM ledger_postings"))
