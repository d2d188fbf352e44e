"""The console on a real port over a real database, with work that runs and work that waits, and a key for everyone."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar
from playwright.async_api import Browser, async_playwright

from broker.caller import Role
from broker.clock import ManualClock
from broker.console.desk import UseCases
from broker.console.server import ConsoleServer, application
from broker.ids import JobId, job_text
from broker.loops.numbering import Numbering
from broker.market.capacity import Capacity
from broker.market.catalogue import Catalogues
from broker.market.energy import HubEnergy
from broker.market.explain import Explain
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.logs import AgentLinks, Logs
from broker.market.operations import Operations
from broker.market.pauses import Pauses
from broker.market.previews import Previews
from broker.market.prices import Prices
from broker.market.round_opened import RoundsOpened
from broker.market.rounds import RoundsReader
from broker.market.standing import Standing
from broker.market.voucher_office import VoucherOffice
from broker.market.vouchers import Vouchers
from broker.market.worlds import Worlds
from broker.store.database import Database
from tests.cluster_world import ClusterWorld, inventory
from tests.market.test_rounds import POLICY, Table
from tests.small_world import registered

SECRET = b"a secret of tests"
CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PEOPLE = {
    "operator": (Role.OPERATOR, ""),
    "observer": (Role.OBSERVER, ""),
    "auditor": (Role.AUDITOR, ""),
    "ganzhou": (Role.CITY, "ganzhou"),
    "nanjing": (Role.CITY, "nanjing"),
    "owner": (Role.OWNER, "owner"),
    "stranger": (Role.OWNER, "stranger"),
    "office": (Role.VOUCHER_OFFICE, ""),
    "agent": (Role.AGENT, "east"),
    "enterprise": (Role.ENTERPRISE, "ganzhou/acme"),
}
NO_PAGES = {"agent", "enterprise"}


@dataclass
class Desk:
    """What tests hold of it."""

    table: Table
    clock: ManualClock
    operations: Operations
    keys: Mapping[str, str]
    port: int
    runs: JobId
    waits: JobId
    foreign: JobId

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def places(self) -> Mapping[str, str]:
        """Return a page of each kind, by what the table of roles calls it."""
        return {
            "GET /": "/",
            "GET /shortcuts": "/shortcuts",
            "GET /clusters": "/clusters",
            "GET /cards": "/cards",
            "GET /clusters/{cluster}": "/clusters/east",
            "GET /clusters/{cluster}/cards": "/clusters/east/cards",
            "GET /clusters/{cluster}/nodes/{node}": "/clusters/east/nodes/n1",
            "GET /clusters/{cluster}/close": "/clusters/east/close?nodes=n1",
            "GET /queue": "/queue",
            "GET /jobs": "/jobs",
            "GET /jobs/{job}": f"/jobs/{job_text(self.runs)}",
            "GET /jobs/{job}/log": f"/jobs/{job_text(self.runs)}/log",
            "GET /rounds": "/rounds",
            "GET /rounds/{round}": "/rounds/2",
            "GET /pause": "/pause?city=ganzhou",
            "GET /vouchers": "/vouchers",
            "GET /vouchers/applications/{application}": "/vouchers/applications/1",
            "GET /vouchers/applications/{application}/grant": "/vouchers/applications/1/grant",
            "GET /prices": "/prices",
            "GET /prices/{cluster}/{pool}": "/prices/east/main",
        }

    @asynccontextmanager
    async def visitor(self, who: str = "") -> AsyncIterator["Visitor"]:
        """Open a browser without pages, logged in as somebody."""
        async with ClientSession(self.address, cookie_jar=CookieJar(unsafe=True)) as session:
            visitor = Visitor(session)
            if who:
                answer = await visitor.log_in(self.keys[who])
                assert answer.status == 303
            yield visitor


@dataclass
class Visitor:
    """Asks for pages and sends forms."""

    session: ClientSession

    async def log_in(self, key: str, **more: str) -> ClientResponse:
        return await self.session.post("/login", data={"api_key": key, **more}, allow_redirects=False)

    async def get(self, place: str, **headers: str) -> tuple[int, str]:
        async with self.session.get(place, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def token(self, place: str = "/") -> str:
        """Return the token that forms of this session carry."""
        _, text = await self.get(place)
        return text.partition('name="form_token" value="')[2].partition('"')[0]

    async def send(self, place: str, headers: Mapping[str, str] | None = None, **data: str) -> ClientResponse:
        return await self.session.post(place, data=data, headers=dict(headers or {}), allow_redirects=False)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A console for a world in which a round has placed a job of ganzhou and of nanjing, and one of ganzhou waits."""
    world = await ClusterWorld(database).lay()
    async with database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET fp16_programme_milli_tflops = 320000, watts = 400")
        await tx.execute("UPDATE clusters SET owner = 'stranger' WHERE cluster = 'west'")
    table = Table(world)
    await world.attach("east", "one", inventory())
    await world.attach("west", "two", inventory("m1", model="a800"))
    runs = await table.submit(cards_per_task=6, name="<script>alert(1)</script>")
    foreign = await table.submit("nanjing", cards_per_task=7)
    prices = Prices(database, changes_days=31, hours_days=31)
    await table.round()
    waits = await table.submit(cards_per_task=8)
    await table.round()
    prices.heard(table.priced[-1])
    await prices.record(world.now)
    await Numbering(database, announce=lambda _: None).run_once(world.now)
    async with open_desk(database, table, prices, (runs, waits, foreign)) as made:
        yield made


@asynccontextmanager
async def open_desk(
    database: Database,
    table: Table,
    prices: Prices,
    jobs: tuple[JobId, JobId, JobId],
    *,
    without: Collection[str] = (),
) -> AsyncIterator[Desk]:
    """Serve the console of a table, with keys for everybody that its world knows."""
    clock, identity = ManualClock(table.world.now), Identity(database)
    operations = Operations(database, identity, wake=lambda: None)
    ask = UseCases(
        identity=identity,
        jobs=Jobs(database, Catalogues(database), wake=lambda: None, stop_wanted=lambda _: None),
        explain=Explain(database, POLICY, clock),
        logs=Logs(database, AgentLinks()),
        operations=operations,
        energy=HubEnergy(database, wake=lambda: None),
        worlds=Worlds(database, wake=lambda: None),
        rounds=RoundsReader(database),
        opened=RoundsOpened(database),
        pauses=Pauses(database, wake=lambda: None),
        previews=Previews(database, POLICY, jobs_max=1000),
        prices=prices,
        capacity=Capacity(database),
        standing=Standing(database),
        vouchers=Vouchers(database),
        office=VoucherOffice(database),
    )
    await registered(database, "acme")
    keys = {
        who: (await identity.create(role, subject, "test", clock.now())).text
        for who, (role, subject) in PEOPLE.items()
        if who not in without
    }
    server = ConsoleServer(application(ask, clock, secret=SECRET), host="127.0.0.1", port=0)
    port = await server.start()
    try:
        yield Desk(table, clock, operations, keys, port, *jobs)
    finally:
        await server.stop()


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A real browser without a window, that talks to nobody but us."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        await browser.close()


def path_of(address: str) -> str:
    return urlsplit(address).path
