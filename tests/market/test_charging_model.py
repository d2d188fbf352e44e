"""A model of use and charges beside the real agents' edge, loop and tables, driven by hypothesis: both always agree.

The model keeps a set of minutes. Reports are repeated, come late and out of order, and claim what cannot be; the loop
dies in the middle of its transaction; the settlement window ends. At the end of each example the audit finds nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from broker.job import Ending
from broker.ledger.usage import Usage, UsageProblem, minutes
from broker.lifecycle import EndReason
from broker.loops.hold_expiry import HoldExpiry
from broker.market.charging import Charging, ChargingTerms
from broker.market.reports import LeasePhase, LeaseSeen, Report, UsageTold, by_ref
from broker.store import charging
from broker.store.database import Database
from tests.cluster_world import ClusterWorld
from tests.conftest import Dsns
from tests.market.test_charging import PER_SECOND, WINDOW, Charged

WALLTIME = 40 * 60
MINUTES = st.sets(st.integers(0, 45), max_size=8)
EXAMPLES, STEPS = 10, 20


class Killed(Exception):
    """The process that charges dies before its commit."""


@dataclass
class World:
    """What outlives one example: the loop and the tables."""

    runner: asyncio.Runner
    table: Charged

    def run(self, work: Any) -> Any:
        return self.runner.run(work)


class OneLease(RuleBasedStateMachine):
    """The life of one lease, from its start to long after its end."""

    world: World  # given by the test

    def __init__(self) -> None:
        super().__init__()
        self.table = self.world.table
        self.ref = self.world.run(self.table.started(walltime_seconds=WALLTIME))
        self.started_at = self.table.world.now
        self.before = self.world.run(self.table.balance("city/ganzhou"))[0] + WALLTIME * PER_SECOND
        self.known: set[int] = set()
        self.cut = 0
        self.complete = False
        self.ran_seconds: int | None = None  # once it has ended
        self.expired = False
        self.paid_before_expiry = 0

    @property
    def _elapsed(self) -> int:
        return int((self.table.world.now - self.started_at).total_seconds())

    @property
    def _seconds(self) -> int:
        return min(60 * len(self.known) - self.cut, WALLTIME)

    async def _tell(self, usage: Usage, *, end: bool = False) -> Any:
        self.table.sequence += 1
        phase = LeasePhase.ENDED if end or self.ran_seconds is not None else LeasePhase.RUNNING
        ending = Ending(EndReason.COMPLETED) if phase is LeasePhase.ENDED else None
        seen = LeaseSeen(self.ref, phase, ending=ending)
        told = UsageTold(self.ref, 1000, usage)
        now = self.table.world.now
        report = Report(self.table.sequence, None, (), by_ref([seen]), (told,))
        [answer] = (await self.table.world.clusters.report(self.table.session, report, now)).usage
        return answer

    def _may_be(self, end: int, cut: int = 0) -> bool:
        limit = self._elapsed if self.ran_seconds is None else min(self._elapsed, self.ran_seconds)
        return end * 60 - cut <= min(WALLTIME, limit) + 120

    @rule(told=MINUTES.filter(bool), again=st.booleans())
    def told(self, told: set[int], again: bool) -> None:
        usage = Usage(minutes((m, m + 1) for m in told))
        answer = self.world.run(self._tell(usage))
        if not self._may_be(max(told) + 1):
            assert answer.refused in (UsageProblem.AHEAD_OF_CLOCK, UsageProblem.BEYOND_WALLTIME)
            return
        behind = max(self.known, default=-1) + 1
        self.known |= {m for m in told if not self.complete or m < behind}
        assert answer.refused is None
        assert answer.minutes_end == max(self.known, default=-1) + 1
        if again:
            assert self.world.run(self._tell(usage)) == answer

    @precondition(lambda self: self.ran_seconds is None)
    @rule(all_of_it=st.booleans())
    def ends(self, all_of_it: bool) -> None:
        """With its whole use, or with none: then the rest comes late, or never."""
        seconds = min(self._elapsed, WALLTIME)
        count = -(-seconds // 60)
        usage = Usage(minutes(((0, count),)), -seconds % 60, complete=True)
        if not all_of_it and count > 1:
            usage = Usage(minutes(((0, 1),)))
        self.world.run(self._tell(usage, end=True))
        if usage.complete:
            self.cut = usage.cut_seconds if count - 1 > max(self.known, default=-1) else 0
            self.complete = True
        self.known |= set(range(usage.end))
        self.ran_seconds = self._elapsed

    @rule(seconds=st.integers(1, 1500))
    def time_passes(self, seconds: int) -> None:
        self.table.world.advance(seconds)

    @rule()
    def charged(self) -> None:
        self.world.run(self.table.charge())
        if self.ran_seconds is not None:
            assert self._paid_or_borne() == self._seconds * PER_SECOND

    @rule()
    def charged_by_one_that_is_killed(self) -> None:
        """Its transaction is rolled back, so the next one does the same."""

        async def killed() -> None:
            terms = ChargingTerms(fee_ppm=100_000)
            async with self.table.world.database.hub() as tx:
                due = await charging.due(tx, self.table.world.now, 10)
                await Charging(self.table.world.database, terms)._charge(tx, due, self.table.world.now)
                raise Killed

        try:
            self.world.run(killed())
        except Killed:
            return
        raise AssertionError("it was not killed")

    @precondition(lambda self: self.ran_seconds is not None and not self.expired)
    @rule()
    def window_ends(self) -> None:
        self.world.run(self.table.charge())
        self.paid_before_expiry = self._seconds
        self.table.world.advance(WINDOW + WALLTIME + 1)
        self.world.run(HoldExpiry(self.table.world.database).run_once(self.table.world.now))
        self.expired = True

    def _row(self) -> Any:
        return self.world.run(self.table.world.row("SELECT * FROM lease_usage WHERE lease_id = $1", self.ref.lease))

    def _paid_or_borne(self) -> int:
        return int(self._row()["charged_micro_yuan"])

    @invariant()
    def tables_and_model_agree(self) -> None:
        row = self._row()
        found = tuple((r.lower, r.upper) for r in row["minutes"])
        assert found == minutes((m, m + 1) for m in self.known)
        assert (row["cut_seconds"], row["complete"]) == (self.cut, self.complete)
        assert row["charged_micro_yuan"] <= self._seconds * PER_SECOND

    @invariant()
    def the_city_pays_for_known_minutes_and_for_nothing_else(self) -> None:
        available, held = self.world.run(self.table.balance("city/ganzhou"))
        spent = self.before - available - held
        seconds = self.paid_before_expiry if self.expired else self._seconds
        assert 0 <= spent <= seconds * PER_SECOND

    def teardown(self) -> None:
        if self.ran_seconds is None:
            self.ends(True)
        self.world.run(self.table.charge())
        assert self._paid_or_borne() == self._seconds * PER_SECOND
        self.table.world.advance(2 * WINDOW)
        self.world.run(HoldExpiry(self.table.world.database).run_once(self.table.world.now))
        self.world.run(self.table.charge())
        assert self.world.run(self.table.balance("city/ganzhou"))[1] == 0
        assert self.world.run(self.table.findings()) == []


def test_charges_agree_with_a_model(dsns: Dsns) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(Database.connect(dsns.city, dsns.hub))
        try:
            table = runner.run(_opened(database, dsns))
            lease = type("LeaseOfThisTest", (OneLease,), {"world": World(runner, table)})
            run_state_machine_as_test(
                lease,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    phases=[Phase.generate],  # what was found depends on what is in the tables: it cannot be replayed
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())


async def _opened(database: Database, dsns: Dsns) -> Charged:
    return await Charged(await ClusterWorld(database).lay()).open(dsns, metering=True)
