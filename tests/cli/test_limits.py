"""Quotas and power from the command line, against a broker's real edge and database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.caller import Role
from broker.cli.output import milli
from broker.client.settings import write_key, write_profile
from broker.clock import ManualClock
from broker.ids import job_text
from broker.job import Within
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
from broker.rpc.admin_service import AdminService
from broker.rpc.server import build_server
from broker.store import promises
from broker.store.database import Database
from scheduler.policy import Policy
from tests.cli.commands import Ended, xisuan
from tests.small_world import T0, a_spec, lay_out, placed, submitted
from tests.store.test_promises import row_of


@pytest.fixture
async def home(database: Database, tmp_path: Path) -> AsyncIterator[Path]:
    """An operator's home folder; ganzhou has two cards of 320 TFLOPS and 400 W in Qingyang."""
    await lay_out(database)
    [job] = await submitted(database, "key-1")
    await placed(database, job, cards=(0, 1))
    clock, identity = ManualClock(T0), Identity(database)
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
        records_kept=1,
        clock=clock,
    )
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=_unlimited, clock=clock
    )
    await server.start()
    write_profile(tmp_path, endpoint=f"127.0.0.1:{server.port}", city="")
    write_key(tmp_path, "operator", (await identity.create(Role.OPERATOR, "", "test", T0)).text)
    try:
        yield tmp_path
    finally:
        await server.stop(0)


async def _unlimited(_: str) -> int:
    return 1_000_000


async def admin(home: Path, *words: str) -> Ended:
    return await xisuan("admin", *words, home=home)


def cells(ended: Ended) -> list[list[str]]:
    """Return the words of each line below the head of a table."""
    assert ended.code == 0, ended.err
    return [line.split() for line in ended.out.splitlines()[1:]]


async def test_quotas_are_set_listed_and_removed(home: Path) -> None:
    await admin(home, "quota", "set", "qingyang", "--guaranteed", "2.5", "--borrow", "0")

    city = await admin(home, "quota", "set", "qingyang/ganzhou", "--guaranteed", "0.5", "--lend", "0.25")
    listed = await admin(home, "quota", "list", "--hub", "qingyang")
    kept = await admin(home, "quota", "remove", "qingyang/ganzhou", "--dry-run")
    gone = await admin(home, "quota", "remove", "qingyang/ganzhou")
    left = await admin(home, "quota", "list", "--json")

    assert cells(city) == [["qingyang/ganzhou", "0.5", "unlimited", "0.25", "0.64", "0.14", "0"]]
    assert cells(listed) == [["qingyang", "2.5", "0", "all", "0.64", "0", "0"], *cells(city)]
    assert kept.out.startswith("qingyang/ganzhou would be removed")
    assert gone.out.startswith("qingyang/ganzhou is removed")
    assert [one["quota"]["city"] for one in left.data["quotas"]] == [""]


async def test_without_quotas_nobody_is_held_back(home: Path) -> None:
    assert (await admin(home, "quota", "list")).out == "no quotas are set: everybody may use everything\n"


async def test_a_quota_without_one_above_it_is_told_with_the_way_out(home: Path) -> None:
    refused = await admin(home, "quota", "set", "qingyang/ganzhou", "--guaranteed", "1")

    assert refused.code == 1
    assert "quota.city: qingyang has no quota: set that first" in refused.err


async def test_changes_are_previewed(home: Path) -> None:
    """The running job's lease is named; nobody waits, so nothing else would change."""
    closed = await admin(home, "preview", "close", "longdong")
    paused = await admin(home, "preview", "pause", "ganzhou", "--json")
    raised = await admin(home, "preview", "quota", "qingyang", "--guaranteed", "2")

    assert closed.code == raised.code == 0
    assert closed.out.startswith("of 0 jobs that wait, the next round would start 0 more and leave 0 waiting")
    assert "1 leases run there and would be waited for:" in closed.out
    assert (paused.data["running"], paused.data["waiting_jobs"]) == ([], "0")
    assert "leases run there" not in raised.out
    assert (await admin(home, "quota", "list")).out.startswith("no quotas are set")


async def test_what_becomes_of_promised_starts_is_previewed(home: Path, database: Database) -> None:
    """A gang of four cards is promised the node; it fits now, so the next round would start it."""
    [gang] = await submitted(database, "gang", spec=a_spec(tasks=1, cards_per_task=4))
    row = await row_of(database, gang, nodes=(("n1", 1),), cards_per_task=4, build=0, within=Within.POOL)
    async with database.hub() as tx:
        await tx.execute("UPDATE clusters SET agent_state = 'live', heard_at = $1", T0)
        await promises.keep(tx, [row])

    paused = await admin(home, "preview", "pause", "nanjing")
    closed = await admin(home, "preview", "close", "longdong")

    assert [line.split()[0] for line in paused.out.splitlines() if "STARTED" in line] == [job_text(gang)]
    assert "next round as things are" in closed.out
    assert "BROKEN (NODES_GONE)" in closed.out


async def test_power_is_set_and_shown(home: Path) -> None:
    await admin(home, "power", "set", "qingyang", "--cap-kw", "20", "--pue", "1.25", "--price", "0.4")
    await admin(home, "power", "set", "qingyang", "--energy-kwh", "100000", "--meter-kwh", "4000")

    shown = {" ".join(line[:-2]): " ".join(line[-2:]) for line in cells(await admin(home, "power", "show", "qingyang"))}
    data = (await admin(home, "power", "show", "qingyang", "--json")).data

    assert shown["cap"] == "20 kW"
    assert shown["used now"] == "1 kW"
    assert shown["left"] == "96,000 kWh"
    assert shown["pace"] == f"{milli(int(data['pace_watts']))} kW"
    assert (data["pue_milli"], data["micro_yuan_per_kilowatt_hour"]) == (1250, "400000")
    assert int(data["free_watts"]) == int(data["pace_watts"]) - 1000


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("quota", "set", "a/b/c/d", "--guaranteed", "1"), "names no quota"),
        (("quota", "set", "a//c", "--guaranteed", "1"), "names no quota"),
        (("quota", "set", "a", "--guaranteed", "-1"), "is no amount"),
        (("quota", "set", "a", "--guaranteed", "1", "--borrow", "all"), "is no amount"),
        (("quota", "set", "a", "--guaranteed", "0.0001"), "is no amount"),
        (("power", "set", "a"), "give at least one of"),
        (("power", "set", "a", "--pue", "1,2"), "write for example 1.2"),
        (("power", "set", "a", "--price", "cheap"), "write for example 0.4"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_any_call(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    refused = await admin(tmp_path, *words)

    assert refused.code == 2
    assert told in refused.err


async def test_a_window_is_tried_created_and_cancelled(home: Path) -> None:
    """A broker's clock stands at T0; a dry run names the lease that would still run."""

    async def window(*words: str) -> Ended:
        return await xisuan("window", *words, home=home)

    times = ("--from", "2026-03-01T16:30+08:00", "--until", "2026-03-01T10:00Z", "--reason", "new fans")

    tried = await window("create", "longdong", "n1", *times, "--dry-run")
    made = await window("create", "longdong", "n1", *times)
    listed = await window("list", "--json")
    cancelled = await window("cancel", "window-1")
    wrong = await window("create", "longdong", "--until", "tomorrow", "--reason", "x")

    assert (tried.code, made.code, listed.code, cancelled.code, wrong.code) == (0, 0, 0, 0, 2), tried.err + made.err
    assert "would close 1 nodes: n1" in tried.out
    assert "lease-1" in tried.out
    assert "window-1 closes 1 nodes: n1" in made.out
    assert listed.data["windows"][0]["starts_at"] == "2026-03-01T08:30:00Z"
    assert "such as 2026-12-01T22:00+08:00" in wrong.err


async def test_moves_are_listed_and_allowed_for_a_job_that_waits(home: Path, database: Database) -> None:
    """Nothing would pay here; who is named is noted all the same, and may be withdrawn."""
    [job] = await submitted(database, "key-2")
    name = job_text(job)

    async def allowed() -> bool:
        async with database.hub() as tx:
            return bool(await tx.fetchval("SELECT make_room FROM jobs WHERE job_id = $1", job))

    listed = await admin(home, "defragment")
    tried = await admin(home, "defragment", name, "--dry-run")
    assert listed.out == tried.out == "no move would pay now\n"
    assert not await allowed()
    done = await admin(home, "defragment", name)
    assert done.out == f"no move would pay now\nmoves are allowed for {name}, until it is placed\n"
    assert await allowed()
    assert (await admin(home, "defragment", name, "--json")).data == {"proposals": [], "dry_run": False}
    assert (await admin(home, "defragment", name, "--withdraw")).out == f"nothing is moved for {name} any more\n"
    assert not await allowed()
    assert "name the job" in (await admin(home, "defragment", "--withdraw")).err
    assert (await admin(home, "defragment", "job-999")).code == 1


async def test_a_queue_is_paused_and_resumed_with_its_reason(home: Path) -> None:
    neither = await admin(home, "pause", "--reason", "review")
    tried = await admin(home, "pause", "--city", "ganzhou", "--reason", "review", "--dry-run")
    none = await admin(home, "pauses")
    done = await admin(home, "pause", "--city", "ganzhou", "--reason", "review")
    again = await admin(home, "pause", "--city", "ganzhou", "--reason", "another")
    cluster = await admin(home, "pause", "--cluster", "longdong", "--reason", "network", "--json")
    listed = await admin(home, "pauses")
    resumed = await admin(home, "resume", "--city", "ganzhou")
    over = await admin(home, "resume", "--city", "ganzhou")

    assert neither.code == 2
    assert "--city or --cluster" in neither.err
    assert tried.out.startswith("would be paused: the queue of ganzhou; 0 jobs wait in it")
    assert none.out == "nothing is paused\n"
    assert done.out.startswith("paused: the queue of ganzhou")
    assert again.out == "nothing to change: it is paused already (review)\n"
    assert (cluster.data["pause"]["cluster"], cluster.data["changed"]) == ("longdong", True)
    assert [row[:2] for row in cells(listed)] == [["cluster", "longdong"], ["the", "queue"]]
    assert resumed.out == "goes on: the queue of ganzhou, paused for: review\n"
    assert over.out == "nothing to change: it is not paused\n"
