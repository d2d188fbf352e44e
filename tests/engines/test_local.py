"""The local engine keeps the promises of every engine, and a few of its own."""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from broker.agent.engines.accounts import AccountRefused, choose_accounts
from broker.agent.engines.keeper import supervisor_command
from broker.agent.engines.lease_folder import LeaseFolder
from broker.agent.engines.local import LocalEngine
from broker.agent.engines.processes import Identity, boot_id, identity_of, is_alive, signal_exactly
from broker.agent.engines.protocol import EngineError
from broker.agent.engines.spec import folder_name
from broker.agent.engines.supervisor import ALREADY_SUPERVISED
from broker.agent.orders import EndReason, LeaseKey, Phase
from broker.clock import SystemClock
from broker.ids import JobId, LeaseId
from tests.deadlines import eventually
from tests.engines.conformance import DEAF, FOREVER, Bench, EngineConformance, reach, run, says, seen, sh, text
from tests.engines.local_bench import LocalBench, local_bench

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest_asyncio.fixture
async def bench(open_folder: Path) -> AsyncIterator[LocalBench]:
    async with local_bench(open_folder) as made:
        yield made


class TestLocalEngine(EngineConformance):
    """Everything that holds for every engine."""


def record(bench: LocalBench) -> list[dict[str, object]]:
    """The engine's own record."""
    return [json.loads(line) for line in (bench.state / "engine.jsonl").read_text().splitlines()]


async def test_the_record_tells_what_really_ran(bench: LocalBench) -> None:
    """A start and an end for each task, and a line when nothing of the lease lives any more (RECORD.md)."""
    await run(bench, sh('exit "$XISUAN_TASK"', bench, tasks=2))

    lines = record(bench)

    assert [(line["kind"], line.get("task")) for line in lines[:2]] == [("start", 0), ("start", 1)]
    assert sorted((line["kind"], line.get("task")) for line in lines[2:-1]) == [("end", 0), ("end", 1)]
    assert lines[-1]["kind"] == "closed"
    assert {line.get("exit_code") for line in lines if line["kind"] == "end" and line["task"] == 1} <= {1, 0}
    assert all((line["lease"], line["epoch"], line["job"]) == (1, 1, "job-1") for line in lines)
    times = [int(str(line["boot_ns"])) for line in lines]
    assert times == sorted(times)


async def test_the_record_tells_how_much_of_its_cards_a_task_may_use(bench: LocalBench) -> None:
    """Also when the agent completes it; a lease of the first release's agent has whole cards."""
    await run(bench, sh("true", bench, lease=1, job=1))
    share = replace(sh(DEAF, bench, lease=2, job=2), share_milli=250)
    await bench.engine.start(share)
    await reach(bench, share.key, Phase.RUNNING)
    bench.kill_guard(share.key)
    await reach(bench, share.key, Phase.ENDED)

    tasks = [line for line in record(bench) if line["kind"] != "closed"]

    assert [(line["lease"], line["kind"], line["milli"]) for line in tasks] == [
        (1, "start", 1000),
        (1, "end", 1000),
        (2, "start", 250),
        (2, "end", 250),
    ]
    old = bench.folder(share.key)
    del old.spec["milli"]
    assert old.places == {(bench.nodes[0], 0): 1000}


async def test_the_record_is_completed_for_a_killed_supervisor(bench: LocalBench) -> None:
    """Every start has an end, although nobody knows the exit code."""
    order = sh(DEAF, bench, tasks=2)
    await bench.engine.start(order)
    await reach(bench, order.key, Phase.RUNNING)

    bench.kill_guard(order.key)
    await reach(bench, order.key, Phase.ENDED)

    ends = [line for line in record(bench) if line["kind"] == "end"]
    assert [(line["task"], line["exit_code"], line["by"]) for line in ends] == [(0, None, "agent"), (1, None, "agent")]
    assert record(bench)[-1]["kind"] == "closed"


async def test_an_agent_killed_before_the_supervisor_was_there_starts_it_later(bench: LocalBench) -> None:
    """What was decided is in the folder; the next agent carries it out, once."""
    order = sh("echo once", bench)
    LeaseFolder.create(bench.state / "leases", order.key, bench.engine.spec_of(order))

    await bench.restart()
    await bench.engine.start(order)

    ended = await reach(bench, order.key, Phase.ENDED)
    assert ended.end is not None
    assert ended.end.reason is EndReason.COMPLETED
    assert await text(bench, order.key) == "once\n"


async def test_a_lease_has_one_supervisor_in_all_its_life(bench: LocalBench) -> None:
    """A second one leaves at once, while the first one lives and after its end."""
    order = sh(FOREVER, bench)
    await bench.engine.start(order)
    await reach(bench, order.key, Phase.RUNNING)
    second = supervisor_command(bench.folder(order.key).path)

    during = await (await asyncio.create_subprocess_exec(*second)).wait()
    await bench.engine.stop(order.key, grace_seconds=0, reason="CANCELLED")
    await reach(bench, order.key, Phase.ENDED)
    after = await (await asyncio.create_subprocess_exec(*second)).wait()

    assert (during, after) == (ALREADY_SUPERVISED, ALREADY_SUPERVISED)
    assert sum(line["kind"] == "start" for line in record(bench)) == 1


async def test_a_supervisor_that_leaves_at_once_is_replaced_a_few_times(bench: LocalBench) -> None:
    """Then the lease is given up, instead of being started for ever."""
    order = sh(FOREVER, bench)
    folder = LeaseFolder.create(bench.state / "leases", order.key, bench.engine.spec_of(order))
    lock = os.open(folder.path / "supervisor.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)

    await bench.restart()
    waiting = await seen(bench, order.key)
    log = folder.path / "supervisor.log"

    async def tried_enough() -> bool:
        return log.exists() and log.read_text().count("another supervisor") == 3

    await eventually(tried_enough)
    os.close(lock)

    assert waiting is not None
    assert waiting.phase is Phase.STARTING
    ended = await reach(bench, order.key, Phase.ENDED)
    assert ended.end is not None
    assert ended.end.reason is EndReason.START_FAILED


async def test_a_lease_whose_files_a_power_failure_took_has_vanished(bench: LocalBench) -> None:
    """The folder's name alone is a trace: it must come to an end, and so must its order."""
    order = sh(FOREVER, bench)
    (bench.state / "leases" / folder_name(order.key)).mkdir()

    await bench.restart()

    ended = await reach(bench, order.key, Phase.ENDED)
    assert ended.end is not None
    assert ended.end.reason is EndReason.VANISHED


async def test_a_disk_too_full_to_remember_an_epoch_does_not_leave_a_lease_unstarted(bench: LocalBench) -> None:
    """Its folder is a trace, so that its order is not repeated: nobody would start it any more."""
    epochs = bench.state / "epochs.jsonl"
    epochs.unlink()
    epochs.mkdir()

    ended = await run(bench, sh("exit 3", bench))

    assert ended.end is not None
    assert ended.end.exit_code == 3
    assert bench.engine.latest_epoch(JobId(1)) == 1
    epochs.rmdir()


async def test_a_supervisor_that_fails_says_why(bench: LocalBench) -> None:
    """An error of its own ends the lease, never hangs it."""
    order = sh(FOREVER, bench)
    spec = bench.engine.spec_of(order) | {"work_folder": "/proc/no/such"}
    LeaseFolder.create(bench.state / "leases", order.key, spec)

    await bench.restart()

    ended = await reach(bench, order.key, Phase.ENDED)
    assert ended.end is not None
    assert ended.end.reason is EndReason.START_FAILED
    assert "/proc/no" in ended.end.detail


async def test_a_supervisor_that_cannot_even_be_started_ends_the_lease(bench: LocalBench) -> None:
    """Out of processes, or here: no file for its last words."""
    order = sh(FOREVER, bench)
    folder = LeaseFolder.create(bench.state / "leases", order.key, bench.engine.spec_of(order))
    (folder.path / "supervisor.log").mkdir()

    await bench.restart()

    ended = await reach(bench, order.key, Phase.ENDED)
    assert ended.end is not None
    assert ended.end.reason is EndReason.START_FAILED


@pytest.mark.parametrize("damaged", ["spec.json", "supervisor.json", "tasks.json", "running.json", "end.json"])
async def test_files_damaged_by_a_power_failure_stop_no_agent(bench: LocalBench, damaged: str) -> None:
    """A file may be empty then; the lease ends one way or another, and the agent works on."""
    order = sh("true", bench)
    await run(bench, order)
    folder = bench.folder(order.key).path
    (folder / damaged).write_bytes(b"")
    if damaged != "end.json":
        (folder / "end.json").unlink()

    await bench.restart()

    assert (await reach(bench, order.key, Phase.ENDED)).end is not None


async def test_a_reboot_is_told_from_a_crash(bench: LocalBench) -> None:
    """After it nothing can live, and process numbers mean other processes."""
    order = sh("true", bench)
    folder = LeaseFolder.create(bench.state / "leases", order.key, bench.engine.spec_of(order))
    (folder.path / "supervisor.json").write_text(json.dumps([os.getpid(), 1, "another-boot"]))

    await bench.restart()

    ended = await reach(bench, order.key, Phase.ENDED)
    assert ended.end is not None
    assert (ended.end.reason, ended.end.detail) == (EndReason.VANISHED, "the machine was restarted")


async def test_two_agents_never_share_a_state(bench: LocalBench) -> None:
    """The second one is refused, and told what to do."""
    other = LocalEngine(bench.settings, SystemClock())

    with pytest.raises(EngineError, match="another agent"):
        await other.open()


async def test_output_beyond_the_limit_is_not_kept(bench: LocalBench) -> None:
    """The job goes on, and the file says that something is missing."""
    order = sh("head -c 1000000 /dev/zero | tr '\\0' x; echo done >&2", bench)

    ended = await run(bench, order)

    assert ended.end is not None
    assert ended.end.reason is EndReason.COMPLETED
    kept = await text(bench, order.key)
    assert kept.startswith("x" * 4096 + "\n[xisuan: output beyond 4096 bytes is not kept]")
    assert len(kept) < 4200


async def test_a_job_that_uses_its_own_card_is_not_foreign(bench: LocalBench) -> None:
    """Nor are its descendants, wherever they hide."""
    card = bench.state / "cards" / bench.nodes[0] / "card0"
    order = sh(f"exec 9<>{card}; setsid sleep 1000 & echo up; sleep 1000", bench)
    await bench.engine.start(order)
    await says(bench, order.key, "up")

    with bench.occupy(bench.nodes[1], 3):

        async def scanned() -> bool:
            return bool((await bench.engine.observe()).nodes)

        await eventually(scanned)
        nodes = (await bench.engine.observe()).nodes

    assert [(node.node, node.foreign_cards) for node in nodes] == [(bench.nodes[1], (3,))]


async def test_a_node_can_be_down(bench: LocalBench) -> None:
    """Then it is reported, and nothing starts there."""
    (bench.state / "cards" / bench.nodes[0] / "down").write_text("fan broken\n")

    async def reported() -> bool:
        return [(node.down, node.detail) for node in (await bench.engine.observe()).nodes] == [(True, "fan broken")]

    await eventually(reported)
    ended = await run(bench, sh("true", bench))

    assert ended.end is not None
    assert ended.end.reason is EndReason.START_FAILED
    assert "fan broken" in ended.end.detail


@needs_root
async def test_no_job_reads_the_agents_files_or_another_jobs(bench: LocalBench) -> None:
    """Every lease has a user number of its own; the state folder can be passed through, not listed."""
    victim = sh("echo secret > mine; echo up; exec sleep 1000", bench, lease=1, job=1)
    await bench.engine.start(victim)
    await says(bench, victim.key, "up")
    mine = Path(bench.folder(victim.key).spec["work_folder"]) / "task-0" / "mine"
    paths = [
        mine,
        bench.state / "engine.jsonl",
        bench.state / "epochs.jsonl",
        bench.folder(victim.key).path / "spec.json",
    ]
    supervisor = bench.folder(victim.key).supervisor()
    assert supervisor is not None
    spy = sh(
        "".join(f"cat {path}; " for path in paths)
        + f"ls {bench.state}; kill -9 {supervisor.pid}; kill -9 {bench.folder(victim.key).tasks()[0].pid}; echo done",
        Moved(bench),
        lease=2,
        job=2,
    )

    await run(bench, spy)

    assert mine.exists()
    assert await text(bench, spy.key) == "done\n"
    still = await seen(bench, victim.key)
    assert still is not None
    assert still.phase is Phase.RUNNING


class Moved:
    """The bench with its nodes the other way round, for a second gang beside a first one."""

    def __init__(self, bench: Bench) -> None:
        self.nodes = bench.nodes[::-1]


@needs_root
@pytest.mark.parametrize("wanted", ["root", "no-such-account-here"])
def test_jobs_never_run_as_root_nor_as_nobody_knows(wanted: str) -> None:
    """It is refused before anything starts."""
    with pytest.raises(AccountRefused, match="run_as"):
        choose_accounts(wanted)


@needs_root
async def test_a_named_account_is_used(open_folder: Path) -> None:
    """As an operator does who gives jobs access to device files."""
    accounts = choose_accounts("nobody")

    assert accounts.of_lease(1) == accounts.of_lease(2)
    assert not accounts.isolated
    assert accounts.of_lease(1).user not in (0, None)


def test_an_identity_is_more_than_a_number() -> None:
    """A process that has got an old number is not the old process, and is never signalled in its place."""
    boot = boot_id()
    me = identity_of(os.getpid(), boot)
    assert me is not None

    assert is_alive(me, boot)
    assert not is_alive(me._replace(started_ticks=me.started_ticks - 1), boot)
    assert not is_alive(me, "another boot")
    assert not signal_exactly(Identity(me.pid, me.started_ticks - 1, boot), boot, 9)


async def test_the_lock_of_a_running_lease_is_held(bench: LocalBench) -> None:
    """By its supervisor alone: no task inherits it, so it is free as soon as the supervisor is gone."""
    order = sh(FOREVER, bench)
    await bench.engine.start(order)
    await reach(bench, order.key, Phase.RUNNING)
    lock = os.open(bench.folder(order.key).path / "supervisor.lock", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)


async def test_a_lease_number_names_its_folder_and_nothing_else(bench: LocalBench) -> None:
    """Strange folders beside the leases are left alone."""
    for name in ("lease-1", "lease-x.1", "notes", "lease-7.1.new"):  # the last one was never finished
        (bench.state / "leases" / name).mkdir()

    await bench.restart()

    assert (await bench.engine.observe()).leases == ()
    assert await seen(bench, LeaseKey(LeaseId(7), 1)) is None


@needs_root
async def test_a_job_cannot_take_all_process_numbers(bench: LocalBench) -> None:
    """Or a fork bomb of one city would keep the agent, and every other job, from starting anything."""
    order = sh("ulimit -S -p; ulimit -H -p; cat /proc/sys/kernel/pid_max", bench)

    await run(bench, order)

    soft, hard, every = map(int, (await text(bench, order.key)).split())
    assert soft == hard <= every // 2
