"""What holds for every engine: a test module makes a `bench` for its engine and inherits `EngineConformance`."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from broker.agent.engines.processes import boottime_ns
from broker.agent.engines.protocol import Engine, UnknownLog
from broker.agent.orders import (
    EndReason,
    LeaseKey,
    LeaseSeen,
    LogStream,
    Order,
    Phase,
    Refusal,
    TaskPlace,
)
from broker.ids import JobId, LeaseId
from tests.deadlines import eventually

UNTIL_TOLD = "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.02; done"
DEAF = "trap '' TERM; echo up; while :; do sleep 0.02; done"
FOREVER = "echo up; exec sleep 1000"


class Bench(Protocol):
    """An engine with at least two nodes of four cards, and the means to do it harm."""

    engine: Engine
    nodes: tuple[str, str]

    async def restart(self, while_away: Callable[[], None] = lambda: None) -> None:
        """Close the engine as a killed agent would leave it, and open another one over the same state."""
        ...

    def kill_guard(self, key: LeaseKey) -> None:
        """Kill -9 whatever watches the lease."""
        ...

    def occupy(self, node: str, card: int) -> AbstractContextManager[None]:
        """Use a card by a process that did not come through the broker."""
        ...

    def survivors(self) -> list[str]:
        """Return every living process of ours, as people would name it."""
        ...


def sh(script: str, bench: Bench, *, lease: int = 1, epoch: int = 1, job: int = 1, tasks: int = 1) -> Order:
    """A gang that runs a shell script on one card each of the first node."""
    return Order(
        key=LeaseKey(LeaseId(lease), epoch),
        job=JobId(job),
        city="ganzhou",
        name="test",
        stack="cann",
        command=("/bin/sh", "-c", script),
        environment={"OWN": "value"},
        tasks=tuple(TaskPlace(bench.nodes[0], (card,)) for card in range(tasks)),
        walltime_seconds=60,
        grace_seconds=5,
        renewed=False,
    )


async def seen(bench: Bench, key: LeaseKey) -> LeaseSeen | None:
    """What the engine says of the lease."""
    return {lease.key: lease for lease in (await bench.engine.observe()).leases}.get(key)


async def reach(bench: Bench, key: LeaseKey, phase: Phase) -> LeaseSeen:
    """Wait until the lease is there; return it."""

    async def there() -> bool:
        found = await seen(bench, key)
        assert found is None or phase is Phase.ENDED or found.phase is not Phase.ENDED, found
        return found is not None and found.phase is phase

    await eventually(there)
    found = await seen(bench, key)
    assert found is not None
    return found


async def run(bench: Bench, order: Order) -> LeaseSeen:
    """Start it, wait for its end, return that."""
    await bench.engine.start(order)
    return await reach(bench, order.key, Phase.ENDED)


async def text(bench: Bench, key: LeaseKey, task: int = 0, stream: LogStream = LogStream.STDOUT) -> str:
    """All of an output so far."""
    return (await bench.engine.read_log(key, task, stream, 0, 262_144)).data.decode()


async def says(bench: Bench, key: LeaseKey, word: str, task: int = 0) -> None:
    """Wait until the task has written the word."""

    async def written() -> bool:
        return word in await text(bench, key, task)

    await eventually(written)


class EngineConformance:
    """The promises of `broker/agent/engines/protocol.py`, one by one."""

    # --- what it uses --------------------------------------------------------------------------------------------

    async def test_what_ran_is_metered_to_the_second(self, bench: Bench) -> None:
        """With its end it is complete, and stays so after a restart of the agent; what never ran has used nothing."""
        order, never = sh("true", bench, tasks=2), sh("true", bench, lease=2, job=2, tasks=2)
        await run(bench, order)
        await bench.engine.refuse(Refusal(never.key, never.job, "no"))

        [used] = await bench.engine.used()

        assert (used.key, used.milli_cards, used.complete) == (order.key, 2000, True)
        assert used.minutes * 60 - used.cut_seconds < 60
        await bench.restart()
        assert await bench.engine.used() == (used,)

    async def test_of_what_runs_whole_minutes_are_told(self, bench: Bench) -> None:
        order = sh(FOREVER, bench)
        await bench.engine.start(order)
        await reach(bench, order.key, Phase.RUNNING)

        [used] = await bench.engine.used()

        assert (used.minutes, used.cut_seconds, used.complete) == (0, 0, False)

    async def test_of_one_whose_end_nobody_saw_only_what_was_told_counts(self, bench: Bench) -> None:
        order = sh(FOREVER, bench)
        await bench.engine.start(order)
        await reach(bench, order.key, Phase.RUNNING)
        before = await bench.engine.used()

        bench.kill_guard(order.key)
        await reach(bench, order.key, Phase.ENDED)

        assert await bench.engine.used() == (replace(before[0], complete=True),)

    # --- how it ends ---------------------------------------------------------------------------------------------

    async def test_a_gang_that_succeeds_is_completed(self, bench: Bench) -> None:
        """Every task ran, in order of time, and said what it said."""
        order = sh('echo "task $XISUAN_TASK of $XISUAN_TASKS"', bench, tasks=3)

        ended = await run(bench, order)

        assert ended.end is not None
        assert ended.end.reason is EndReason.COMPLETED
        assert ended.started_at is not None
        assert ended.ended_at is not None
        assert ended.started_at <= ended.ended_at
        assert [await text(bench, order.key, task) for task in range(3)] == [f"task {task} of 3\n" for task in range(3)]

    async def test_a_running_gang_is_seen_running(self, bench: Bench) -> None:
        """Running means that every task runs, and the time of it is known."""
        order = sh(FOREVER, bench, tasks=2)

        await bench.engine.start(order)

        running = await reach(bench, order.key, Phase.RUNNING)
        assert running.started_at is not None
        assert running.end is None
        await says(bench, order.key, "up", task=1)

    async def test_a_gang_tells_that_its_data_are_ready(self, bench: Bench) -> None:
        """While it runs, in its first task only, and an agent that comes later knows it too."""
        script = 'echo "in ${XISUAN_DATA_READY:-none}"; [ -z "$XISUAN_DATA_READY" ] || : > "$XISUAN_DATA_READY"; '
        quiet, order = sh(FOREVER, bench, lease=1, job=1), sh(script + FOREVER, bench, lease=2, job=2)
        order = replace(order, tasks=tuple(TaskPlace(bench.nodes[1], (card,)) for card in range(2)))

        async def told() -> bool:
            found = await seen(bench, order.key)
            return found is not None and found.data_ready

        await bench.engine.start(quiet)
        await bench.engine.start(order)
        await reach(bench, quiet.key, Phase.RUNNING)
        await eventually(told)
        await says(bench, order.key, "in none", task=1)
        await bench.restart()

        found, other = await seen(bench, order.key), await seen(bench, quiet.key)
        assert found is not None
        assert (found.phase, found.data_ready) == (Phase.RUNNING, True)
        assert other is not None
        assert not other.data_ready
        await bench.engine.stop(order.key, grace_seconds=0, reason="CANCELLED")
        assert (await reach(bench, order.key, Phase.ENDED)).data_ready

    async def test_an_exit_code_is_told(self, bench: Bench) -> None:
        """The code of the first task that failed."""
        ended = await run(bench, sh("exit 7", bench))

        assert ended.end is not None
        assert (ended.end.reason, ended.end.exit_code, ended.end.signal) == (EndReason.EXIT_CODE, 7, 0)
        assert "task 0" in ended.end.detail

    async def test_a_signal_is_told(self, bench: Bench) -> None:
        """A task that somebody else kills did not exit."""
        ended = await run(bench, sh("kill -SEGV $$", bench))

        assert ended.end is not None
        assert (ended.end.reason, ended.end.exit_code) == (EndReason.SIGNAL, 0)
        assert ended.end.signal == signal.SIGSEGV

    async def test_a_task_that_fails_ends_its_gang(self, bench: Bench) -> None:
        """A gang runs whole or not at all: the others do not get their grace."""
        order = sh('[ "$XISUAN_TASK" = 1 ] && exit 3; ' + DEAF, bench, tasks=3)

        ended = await run(bench, order)

        assert ended.end is not None
        assert (ended.end.reason, ended.end.exit_code) == (EndReason.EXIT_CODE, 3)
        assert "task 1" in ended.end.detail
        assert not bench.survivors()

    async def test_walltime_ends_it(self, bench: Bench) -> None:
        """Asked first, killed after its grace."""
        order = replace(sh(DEAF, bench), walltime_seconds=1, grace_seconds=0)

        ended = await run(bench, order)

        assert ended.end is not None
        assert ended.end.reason is EndReason.WALLTIME
        assert ended.started_at is not None
        assert ended.ended_at is not None
        assert timedelta(seconds=0.9) < ended.ended_at - ended.started_at < timedelta(seconds=10)

    async def test_what_a_task_leaves_behind_dies_with_it(self, bench: Bench) -> None:
        """Also what has taken a session of its own: a lease that has ended holds nothing."""
        order = sh("setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; sleep 1000' & echo up", bench)

        ended = await run(bench, order)

        assert ended.end is not None
        assert ended.end.reason is EndReason.COMPLETED
        assert not bench.survivors()

    # --- what never starts ---------------------------------------------------------------------------------------

    async def test_a_program_that_is_not_there_cannot_start(self, bench: Bench) -> None:
        """The reason names the program."""
        order = replace(sh("", bench, tasks=2), command=("no-such-program", "x"))

        ended = await run(bench, order)

        assert ended.end is not None
        assert ended.end.reason is EndReason.START_FAILED
        assert "no-such-program" in ended.end.detail
        assert ended.started_at is None

    async def test_cards_that_are_not_there_cannot_be_used(self, bench: Bench) -> None:
        """The broker may be wrong about the inventory."""
        order = replace(sh(FOREVER, bench), tasks=(TaskPlace(bench.nodes[0], (63,)),))

        ended = await run(bench, order)

        assert ended.end is not None
        assert ended.end.reason is EndReason.START_FAILED
        assert "card 63" in ended.end.detail

    async def test_a_card_is_never_given_twice(self, bench: Bench) -> None:
        """Even when the broker says so."""
        first = sh(FOREVER, bench, lease=1, job=1)
        await bench.engine.start(first)

        second = await run(bench, sh("true", bench, lease=2, job=2))

        assert second.end is not None
        assert second.end.reason is EndReason.START_FAILED
        assert "lease-1" in second.end.detail
        await reach(bench, first.key, Phase.RUNNING)

    async def test_an_order_that_makes_no_sense_is_answered(self, bench: Bench) -> None:
        """As a start that failed, so that the broker need not guess."""
        key = LeaseKey(LeaseId(4), 2)

        await bench.engine.refuse(Refusal(key, JobId(4), "walltime_seconds: 0 is not within 1 and 31536000"))

        ended = await reach(bench, key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.START_FAILED
        assert "walltime_seconds" in ended.end.detail

    async def test_an_order_whose_policy_does_not_hold_is_answered_as_that(self, bench: Bench) -> None:
        """It is not the job's fault, and the broker must be able to tell."""
        key = LeaseKey(LeaseId(4), 2)

        await bench.engine.refuse(Refusal(key, JobId(4), "POLICY_MISSING: none", EndReason.POLICY_REJECTED))

        ended = await reach(bench, key, Phase.ENDED)
        assert ended.end is not None
        assert (ended.end.reason, ended.end.detail) == (EndReason.POLICY_REJECTED, "POLICY_MISSING: none")

    # --- ending it -----------------------------------------------------------------------------------------------

    async def test_a_task_that_is_told_may_leave_in_order(self, bench: Bench) -> None:
        """TERM first: it can write its checkpoint."""
        order = sh(UNTIL_TOLD, bench)
        await bench.engine.start(order)
        await says(bench, order.key, "up")

        await bench.engine.stop(order.key, grace_seconds=30, reason="CANCELLED")

        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.CANCELLED
        assert "told" in await text(bench, order.key)

    async def test_a_deaf_task_is_killed_after_its_grace(self, bench: Bench) -> None:
        """Not before, and not much later."""
        order = sh(DEAF, bench, tasks=2)
        await bench.engine.start(order)
        await says(bench, order.key, "up", task=1)
        asked_ns = boottime_ns()

        await bench.engine.stop(order.key, grace_seconds=1, reason="CANCELLED")

        stopping = await seen(bench, order.key)
        assert stopping is not None
        assert stopping.stopping
        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.CANCELLED
        assert boottime_ns() - asked_ns > 0.9e9
        assert not bench.survivors()

    async def test_a_stop_in_the_middle_of_the_start_is_heard(self, bench: Bench) -> None:
        """However early it comes."""
        order = sh(FOREVER, bench)
        await bench.engine.start(order)

        await bench.engine.stop(order.key, grace_seconds=0, reason="CANCELLED")

        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.CANCELLED

    async def test_a_lease_without_a_trace_is_recorded_as_cancelled(self, bench: Bench) -> None:
        """That is the answer the broker waits for, and a late order starts nothing any more."""
        order = sh(FOREVER, bench)

        await bench.engine.stop(order.key, grace_seconds=0, reason="CANCELLED")
        await bench.engine.start(order)

        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.CANCELLED
        assert not bench.survivors()

    async def test_a_lease_that_is_not_renewed_dies(self, bench: Bench) -> None:
        """By its terms, so that the job can be restarted elsewhere; others run on."""
        terms = replace(sh(DEAF, bench, lease=1, job=1), renewed=True)
        plain = replace(sh(FOREVER, bench, lease=2, job=2), tasks=(TaskPlace(bench.nodes[1], (0,)),))
        await bench.engine.renew(boottime_ns() + 2_000_000_000)
        await bench.engine.start(terms)
        await bench.engine.start(plain)
        await reach(bench, terms.key, Phase.RUNNING)
        await bench.engine.renew(boottime_ns() + 3_000_000_000)
        renewed_ns = boottime_ns()

        ended = await reach(bench, terms.key, Phase.ENDED)

        assert ended.end is not None
        assert ended.end.reason is EndReason.LOST
        assert boottime_ns() - renewed_ns > 2.9e9  # the second word counted
        await reach(bench, plain.key, Phase.RUNNING)

    # --- once, and only once -------------------------------------------------------------------------------------

    async def test_starting_twice_starts_once(self, bench: Bench) -> None:
        """While it runs, when it has ended, when it is settled, and after a restart of the agent."""
        order = sh("echo once; while [ ! -e go ]; do sleep 0.02; done", bench)
        await bench.engine.start(order)
        await says(bench, order.key, "once")
        await bench.engine.start(order)
        await bench.restart()
        await bench.engine.start(order)
        await bench.engine.stop(order.key, grace_seconds=0, reason="CANCELLED")
        await reach(bench, order.key, Phase.ENDED)
        await bench.engine.start(order)
        await bench.engine.settle(order.key)
        await bench.engine.start(order)
        await bench.restart()
        await bench.engine.start(order)

        assert await seen(bench, order.key) is None
        assert await text(bench, order.key) == "once\n"

    async def test_an_earlier_attempt_never_starts_after_a_later_one(self, bench: Bench) -> None:
        """The fence of a job holds over a restart."""
        late = sh(FOREVER, bench, lease=5, epoch=2, job=9)
        await run(bench, sh("true", bench, lease=7, epoch=3, job=9))

        await bench.engine.start(late)
        await bench.restart()
        await bench.engine.start(late)

        assert await seen(bench, late.key) is None
        assert bench.engine.latest_epoch(JobId(9)) == 3

    async def test_a_lease_that_was_taken_and_left_no_trace_is_recorded_as_vanished(self, bench: Bench) -> None:
        """One that has a trace shows its own end again, although it was settled; one that lives is left alone."""
        order, living = sh("exit 3", bench, lease=1, job=1), sh(FOREVER, bench, lease=2, job=2)
        await run(bench, order)
        await bench.engine.settle(order.key)
        await bench.engine.start(living)

        gone = LeaseKey(LeaseId(9), 1)
        for key, job in ((order.key, order.job), (living.key, living.job), (gone, JobId(9))):
            await bench.engine.lose(key, job)
        await bench.restart()

        reasons = {}
        for key in (order.key, gone):
            ended = await reach(bench, key, Phase.ENDED)
            assert ended.end is not None
            reasons[key] = ended.end.reason
        assert reasons == {order.key: EndReason.EXIT_CODE, gone: EndReason.VANISHED}
        await reach(bench, living.key, Phase.RUNNING)

    async def test_its_memory_has_one_name_as_long_as_it_lasts(self, bench: Bench) -> None:
        """The broker takes the word of whoever remembers what was started, and of nobody else."""
        before = bench.engine.memory_id()

        await bench.restart()

        assert bench.engine.memory_id() == before
        assert 16 <= len(before) <= 64

    async def test_only_an_ended_lease_can_be_settled(self, bench: Bench) -> None:
        """A settled one is forgotten, but its output can still be read."""
        order = sh(UNTIL_TOLD, bench)
        await bench.engine.start(order)
        await says(bench, order.key, "up")

        await bench.engine.settle(order.key)
        still = await seen(bench, order.key)
        await bench.engine.stop(order.key, grace_seconds=5, reason="CANCELLED")
        await reach(bench, order.key, Phase.ENDED)
        await bench.engine.settle(order.key)

        assert still is not None
        assert await seen(bench, order.key) is None
        assert "up" in await text(bench, order.key)

    # --- the agent dies ------------------------------------------------------------------------------------------

    async def test_jobs_outlive_the_agent_and_are_adopted(self, bench: Bench) -> None:
        """Another agent finds them running, can end them, and nothing was started again."""
        order = sh(UNTIL_TOLD, bench, tasks=2)
        await bench.engine.start(order)
        before = await reach(bench, order.key, Phase.RUNNING)
        await says(bench, order.key, "up")

        await bench.restart()

        after = await seen(bench, order.key)
        assert after == before
        await bench.engine.stop(order.key, grace_seconds=30, reason="CANCELLED")
        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.CANCELLED
        assert await text(bench, order.key) == "up\ntold\n"

    async def test_what_ends_while_no_agent_is_there_is_told_later(self, bench: Bench) -> None:
        """With its own exit code: nobody has to guess."""
        order = replace(sh("exit 5", bench), walltime_seconds=30)
        await bench.engine.start(order)

        await bench.restart()

        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert (ended.end.reason, ended.end.exit_code) == (EndReason.EXIT_CODE, 5)

    async def test_a_lease_whose_guard_is_killed_ends_with_all_its_processes(self, bench: Bench) -> None:
        """Nothing of it may live when it is called ended, also what has hidden in sessions of its own."""
        order = sh(f"setsid setsid sh -c 'sleep 1000' & {DEAF}", bench, tasks=2)
        await bench.engine.start(order)
        await reach(bench, order.key, Phase.RUNNING)
        await says(bench, order.key, "up", task=1)

        bench.kill_guard(order.key)

        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.VANISHED
        assert not bench.survivors()

    async def test_a_guard_that_is_killed_while_no_agent_is_there_is_noticed(self, bench: Bench) -> None:
        """By the next agent."""
        order = sh(f"setsid sh -c 'sleep 1000' & {DEAF}", bench)
        await bench.engine.start(order)
        await reach(bench, order.key, Phase.RUNNING)
        await says(bench, order.key, "up")

        await bench.restart(while_away=lambda: bench.kill_guard(order.key))

        ended = await reach(bench, order.key, Phase.ENDED)
        assert ended.end is not None
        assert ended.end.reason is EndReason.VANISHED
        assert not bench.survivors()

    # --- output --------------------------------------------------------------------------------------------------

    async def test_output_is_read_in_pieces(self, bench: Bench) -> None:
        """By offset; complete only when it has ended and everything was read."""
        order = sh("echo wrong >&2; echo 0123456789; while [ ! -e go ]; do sleep 0.02; done", bench)
        await bench.engine.start(order)
        await says(bench, order.key, "9")

        running = await bench.engine.read_log(order.key, 0, LogStream.STDOUT, 4, 100)
        await bench.engine.stop(order.key, grace_seconds=0, reason="CANCELLED")
        await reach(bench, order.key, Phase.ENDED)
        part = await bench.engine.read_log(order.key, 0, LogStream.STDOUT, 0, 3)
        rest = await bench.engine.read_log(order.key, 0, LogStream.STDOUT, 3, 100)
        beyond = await bench.engine.read_log(order.key, 0, LogStream.STDOUT, 2**63 + 5, 100)

        assert (running.data, running.complete) == (b"456789\n", False)
        assert (part.data, part.complete) == (b"012", False)
        assert (rest.data, rest.complete) == (b"3456789\n", True)
        assert (beyond.data, beyond.complete) == (b"", True)
        assert await text(bench, order.key, stream=LogStream.STDERR) == "wrong\n"

    async def test_output_that_is_not_there_has_a_name(self, bench: Bench) -> None:
        """Stable codes, as the wire has them."""
        order = sh("true", bench)
        await run(bench, order)

        with pytest.raises(UnknownLog, match="LOG_UNKNOWN_TASK"):
            await bench.engine.read_log(order.key, 1, LogStream.STDOUT, 0, 10)
        with pytest.raises(UnknownLog, match="LOG_UNKNOWN_LEASE"):
            await bench.engine.read_log(LeaseKey(LeaseId(99), 1), 0, LogStream.STDOUT, 0, 10)

    # --- what a job gets -----------------------------------------------------------------------------------------

    async def test_a_job_gets_its_cards_and_nothing_of_the_agents(self, bench: Bench) -> None:
        """The environment is made for it: the agent's own never leaks, and its own variables cannot claim cards."""
        os.environ["XISUAN_TEST_SECRET"] = "for the agent only"
        order = replace(
            sh("env", bench),
            tasks=(TaskPlace(bench.nodes[0], (0, 1)), TaskPlace(bench.nodes[1], (2, 3))),
            environment={"OWN": "value", "LANG": "zh_CN.UTF-8"},
        )

        await run(bench, order)

        del os.environ["XISUAN_TEST_SECRET"]
        variables = dict(line.split("=", 1) for line in (await text(bench, order.key, task=1)).splitlines())
        own = {"OWN", "PATH", "HOME", "LANG", "TMPDIR", "USER", "LOGNAME", "PWD", "SHLVL", "_", "OLDPWD"}
        cann = {"ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES"}
        assert {name for name in variables if not name.startswith("XISUAN_")} <= own | cann
        assert "XISUAN_TEST_SECRET" not in variables
        assert variables["OWN"] == "value"
        assert variables["LANG"] == "zh_CN.UTF-8"
        assert variables["HOME"] == variables["PWD"]
        assert variables["XISUAN_CARDS"] == variables["ASCEND_RT_VISIBLE_DEVICES"] == "2,3"
        assert variables["XISUAN_NODE"] == bench.nodes[1]
        assert variables["XISUAN_NODES"] == ",".join(bench.nodes)
        assert (variables["XISUAN_TASK"], variables["XISUAN_TASKS"]) == ("1", "2")
        assert variables["XISUAN_SHARE_MILLI"] == "1000"
        assert (variables["XISUAN_LEASE"], variables["XISUAN_EPOCH"]) == ("lease-1", "1")
        assert (variables["XISUAN_JOB_ID"], variables["XISUAN_CITY"]) == ("job-1", "ganzhou")

    async def test_a_job_is_never_root(self, bench: Bench) -> None:
        """No user, no group, no way back: whatever the agent is."""
        order = sh("id -u; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status; umask; ulimit -c", bench)

        await run(bench, order)

        user, groups, *rest = (await text(bench, order.key)).splitlines()
        assert int(user) != 0
        assert "0" not in groups.split()
        assert [line.split()[-1] for line in rest] == ["0000000000000000", "1", "0077", "0"]

    # --- cards ---------------------------------------------------------------------------------------------------

    async def test_shares_of_one_card_run_at_the_same_time(self, bench: Bench) -> None:
        """Two leases with half of it each, one of them with two tasks: all three run, and know what they may use."""
        say = 'echo "$XISUAN_SHARE_MILLI of $XISUAN_CARDS, $XISUAN_TASK of $XISUAN_TASKS"; ' + FOREVER
        half = replace(sh(say, bench, lease=1, job=1), share_milli=500)
        quarters = replace(
            sh(say, bench, lease=2, job=2), tasks=(TaskPlace(bench.nodes[0], (0,)),) * 2, share_milli=250
        )

        await bench.engine.start(half)
        await bench.engine.start(quarters)

        for order in (half, quarters):
            await reach(bench, order.key, Phase.RUNNING)
        await says(bench, half.key, "500 of 0, 0 of 1")
        await says(bench, quarters.key, "250 of 0, 1 of 2", task=1)
        observation = await bench.engine.observe()
        assert observation.nodes == ()  # nobody takes a neighbour for a stranger

    async def test_a_card_is_never_given_for_more_than_there_is_of_it(self, bench: Bench) -> None:
        """Neither for shares beyond a whole card, nor whole while shares of it run; what is left can still be given."""
        first = replace(sh(FOREVER, bench, lease=1, job=1), share_milli=600)
        await bench.engine.start(first)
        too_much = replace(sh("true", bench, lease=2, job=2), share_milli=401)
        whole = sh("true", bench, lease=3, job=3)
        right = replace(sh("true", bench, lease=4, job=4), share_milli=400)

        for order in (too_much, whole):
            ended = await run(bench, order)
            assert ended.end is not None
            assert ended.end.reason is EndReason.START_FAILED
            assert "400 of 1000 milli left, in use by lease-1" in ended.end.detail
        done = await run(bench, right)

        assert done.end is not None
        assert done.end.reason is EndReason.COMPLETED
        await reach(bench, first.key, Phase.RUNNING)

    async def test_foreign_use_is_measured(self, bench: Bench) -> None:
        """A card that a stranger uses is foreign for as long as he does."""
        node = bench.nodes[1]

        async def foreign() -> dict[str, tuple[int, ...]]:
            return {seen.node: seen.foreign_cards for seen in (await bench.engine.observe()).nodes}

        async def is_foreign() -> bool:
            return await foreign() == {node: (2,)}

        async def is_free() -> bool:
            return await foreign() == {}

        with bench.occupy(node, 2):
            await eventually(is_foreign)
        await eventually(is_free)

    async def test_cards_are_free_again_when_a_lease_has_ended(self, bench: Bench) -> None:
        """Many leases one after the other on the same cards, several at once: in the end nothing of them is left."""
        rounds, cards = 3, 4

        for attempt in range(rounds):
            orders = [
                replace(
                    sh("echo $$", bench, lease=attempt * cards + card + 1, job=attempt * cards + card + 1),
                    tasks=(TaskPlace(bench.nodes[0], (card,)),),
                )
                for card in range(cards)
            ]
            ended = await asyncio.gather(*(run(bench, order) for order in orders))
            for lease in ended:
                assert lease.end is not None
                assert lease.end.reason is EndReason.COMPLETED
                await bench.engine.settle(lease.key)

        observation = await bench.engine.observe()
        assert observation.leases == ()
        assert observation.nodes == ()
        assert not bench.survivors()
