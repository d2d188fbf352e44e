"""The map of cards at national size: 360,000 cards of 40 clusters, painted by a real Chromium.

The console runs in this process over a PostgreSQL of its own, without agents and rounds. Nine nodes of ten are held.
The page is opened anew each time; the clock is the browser's, from the start of the navigation until the last card is
painted.
"""

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Annotated, Final

import asyncpg
import typer
from playwright.async_api import Page, async_playwright
from rich.console import Console

from benchmarks.result import Result
from broker import postgres
from broker.caller import Role
from broker.calls.bus import Bus
from broker.clock import SystemClock
from broker.config import Settings
from broker.console_start import console, started
from broker.policy.keys import Signer
from broker.rooms import house_of
from broker.store.database import Database
from broker.store.migrate import migrate

CLUSTERS: Final = 40
NODES: Final = 1125  # of each cluster
CARDS: Final = 8  # of each node
CHROMIUM: Final = "/usr/bin/chromium"
PAINT_MILLIS_MAX: Final = 60_000

WORLD: Final = """
    INSERT INTO hubs (hub, title) SELECT 'hub-' || n, 'Hub ' || n FROM generate_series(1, 8) AS n;
    INSERT INTO accelerator_models
        VALUES ('ascend-910b', 'Huawei', 'cann', 'domestic', 0, 320000, 0, 65536, 400, 'benchmark');
    INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1000000, 1000000, 1000, 20000000);
    INSERT INTO clusters (cluster, hub, owner, title, agent_state, heard_at)
        SELECT 'cluster-' || lpad(n::text, 2, '0'), 'hub-' || 1 + n % 8, 'owner', 'Cluster ' || n, 'live', now()
          FROM generate_series(1, {clusters}) AS n;
    INSERT INTO pools (cluster, pool, model) SELECT cluster, 'main', 'ascend-910b' FROM clusters;
    INSERT INTO nodes (cluster, pool_id, node, cards, cpu_milli, memory_mib)
        SELECT p.cluster, p.pool_id, 'node-' || lpad(n::text, 4, '0'), {cards}, 192000, 1048576
          FROM pools p, generate_series(1, {nodes}) AS n;
    INSERT INTO shapes (sha256, requirement) VALUES ('benchmark', '{{"tasks": 1, "cards_per_task": {cards}}}');
    INSERT INTO rounds (leader_epoch, at, outcome, input_sha256, jobs, placed, stale, objective_micro_yuan_per_hour,
                        bound_micro_yuan_per_hour, gap_ppm, effort, snapshot_millis, plan_millis, verify_millis,
                        commit_millis, versions, error, refused_by_reason)
        VALUES (1, now(), 'committed', '', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{{}}', '', '{{}}');
    INSERT INTO jobs (job_id, city, request_key, body_sha256, spec, shape_id, priority,
                      ceiling_micro_yuan_per_pflops_hour, walltime_seconds, if_lost, attempts_max, state, attempt,
                      submitted_at, started_at)
        SELECT n.node_id, 'ganzhou', 'node-' || n.node_id, 'x', '{{"workload_class": "training"}}', s.shape_id,
               'standard', 1, 60, 'hold', 1, 'running', 1, now(), now()
          FROM nodes n, shapes s WHERE n.node_id % 10 <> 0;
    INSERT INTO leases (job_id, city, cluster, pool_id, build, epoch, if_lost, state, round_id, offered_at, started_at)
        SELECT j.job_id, 'ganzhou', n.cluster, n.pool_id, 0, 1, 'hold', 'active', r.round_id, now(), now()
          FROM jobs j JOIN nodes n ON n.node_id = j.job_id, rounds r;
    INSERT INTO held_cards (node_id, card, milli, tasks, lease_id)
        SELECT l.job_id, c, 1000, 1, l.lease_id FROM leases l, generate_series(0, {cards} - 1) AS c;
"""


def main(
    pages: Annotated[int, typer.Option(min=1, help="How often the page is opened.")] = 7,
    picture: Annotated[Path | None, typer.Option(help="Keep the last page as a PNG.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures there.")] = None,
) -> None:
    """Paint 360,000 cards in a browser, and time it."""
    with _folder() as folder, postgres.using(folder / "postgres") as server:
        figures = asyncio.run(_measured(folder, server.dsn_owner, server.dsn_city, server.dsn_hub, pages, picture))
    result = Result("console", 0, figures, 0)
    result.show(Console())
    if json is not None:
        result.write(json)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="xisuan-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(
    folder: Path, owner: str, city: str, hub: str, pages: int, picture: Path | None
) -> dict[str, float]:
    await migrate(owner)
    database = await Database.connect(city, hub, city_connections=2, hub_connections=4)
    try:
        async with database.hub() as tx:
            await tx.execute(WORLD.format(clusters=CLUSTERS, nodes=NODES, cards=CARDS))
        await _analyse(owner)
        async with _served(folder, database) as (address, key), _browser(address, key) as page:
            sheets = [await _painted(page, f"{address}clusters") for _ in range(pages)]
            if picture is not None:
                await page.screenshot(path=picture)
    finally:
        await database.close()
    return {
        "cards": CLUSTERS * NODES * CARDS,
        "paint_millis_first": sheets[0].millis,
        "paint_millis_p50": statistics.median(each.millis for each in sheets),
        "paint_millis_max": max(each.millis for each in sheets),
        "browser_cpu_millis_p50": statistics.median(each.browser_cpu_millis for each in sheets),
        "broker_cpu_millis_first": sheets[0].broker_cpu_millis,
        "map_bytes": sheets[0].map_bytes,
    }


async def _analyse(dsn: str) -> None:
    """Let PostgreSQL count its rows, as it does by itself some minutes after they were written."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("ANALYZE")
    await connection.close()


@asynccontextmanager
async def _served(folder: Path, database: Database) -> AsyncIterator[tuple[str, str]]:
    """Serve the console; yield its address and an operator's key."""
    clock, settings = SystemClock(), Settings(home=folder, console_listen="127.0.0.1:0")
    house = house_of(settings, database, clock, Bus())
    server = console(settings, database, clock, Signer.generate(), house)
    address = await started(settings, server)
    key = await house.identity.create(Role.OPERATOR, "", "benchmark", clock.now())
    try:
        yield address, key.text
    finally:
        if server is not None:
            await server.stop()


@asynccontextmanager
async def _browser(address: str, key: str) -> AsyncIterator[Page]:
    """Open a browser that is logged in."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu", "--no-first-run"])
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"{address}login")
        await page.fill("#api_key", key)
        await page.press("#api_key", "Enter")
        await page.wait_for_selector("header nav")
        yield page
        await browser.close()


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A page with all cards painted: after how long, and what it took. CPU of the broker is that of this process."""

    millis: float
    browser_cpu_millis: float
    broker_cpu_millis: float
    map_bytes: int


async def _painted(page: Page, place: str) -> _Sheet:
    """Open the page, and return what it was like when all cards were painted."""
    asked = await page.context.new_cdp_session(page)
    await asked.send("Performance.enable")
    began = process_time()
    await page.goto(place)
    cards = CLUSTERS * NODES * CARDS
    await page.wait_for_selector(f'canvas[data-painted="{cards}"]', timeout=PAINT_MILLIS_MAX)
    took = (process_time() - began) * 1000
    spent = {each["name"]: each["value"] for each in (await asked.send("Performance.getMetrics"))["metrics"]}
    sent = await page.evaluate(
        "performance.getEntriesByType('resource').find(e => e.name.endsWith('/cards')).encodedBodySize"
    )
    millis = float(await page.locator("canvas").get_attribute("data-painted-millis") or 0)
    await asked.detach()
    return _Sheet(millis, spent["TaskDuration"] * 1000, took, int(sent))


def _nobody() -> None:
    """Wake nobody: nothing runs beside the console."""
