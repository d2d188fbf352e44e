"""Planned defragmentation: what moving work would gain, and that a round does it for whom an operator names."""

from dataclasses import replace
from datetime import UTC

import pytest

from broker.errors import JobNotFound, JobNotWaiting
from broker.ids import JobId
from broker.job import Ending
from broker.lifecycle import EndReason, JobState, StopClaim
from broker.market.moves import Moves, Proposed
from broker.rpc.convert_moves import moves_to_wire
from broker.store.database import Database
from tests.cluster_world import ClusterWorld, ended, inventory
from tests.market.test_preemption import GRACE, STOPPED, Stopping
from tests.market.test_promises import MARGIN, PROMISING
from tests.market.test_rounds import RICH
from tests.small_world import OPERATOR


class Yard(Stopping):
    """Two nodes of eight cards, each half taken by work that may be moved; a gang waits that wants a whole one."""

    async def open(self) -> "Yard":
        self.session = await self.world.attach("east", "one", inventory("n1", "n2"))
        self.reports = 0
        self.up = []
        self.woken_by_moves = 0
        self.moves = Moves(self.world.database, PROMISING, jobs_max=100, wake=self._woken)
        fillers = [await self.start(cards_per_task=4, walltime_seconds=600) for _ in range(4)]
        self.soft = {}
        for filler in fillers:
            node = (await self.world.job(filler)).placement.nodes[0].node  # type: ignore[union-attr]
            if node in self.soft:
                continue
            await self.ends(filler)
            self.soft[node] = await self.start(**SOFT)
        for filler in fillers:
            if await self.world.state_of(filler) is JobState.RUNNING:
                await self.ends(filler)
        self.gang = await self.submit(cards_per_task=8, walltime_seconds=7_200)
        return self

    def _woken(self) -> None:
        self.woken_by_moves += 1

    async def proposed(self, job: JobId | None = None) -> list[Proposed]:
        return await self.moves.proposed(job, now=self.world.now)


SOFT = {
    "cards_per_task": 4,
    "preemptible": True,
    "walltime_seconds": 36_000,
    "grace_seconds": GRACE,
    "checkpoint_interval_seconds": 60,
    "ceiling_micro_yuan_per_pflops_hour": RICH // 1_000,
}


@pytest.fixture
async def yard(database: Database) -> Yard:
    return await Yard(await ClusterWorld(database).lay()).open()


async def test_moving_half_a_node_is_proposed_with_what_it_gains_and_costs(yard: Yard) -> None:
    """The gang starts after a grace instead of ten hours later; what is moved has room on the other node."""
    assert (await yard.round()).stops == ()  # nobody is moved unasked

    (found,) = await yard.proposed()

    assert (found.job, found.cluster, found.pool) == (yard.gang, "east", "main")
    assert int((found.starts_at - yard.world.now).total_seconds()) == GRACE + MARGIN
    assert found.instead_of is not None
    assert found.instead_of > found.starts_at
    assert found.gain_micro_yuan > found.loss_micro_yuan >= 0
    (move,) = found.moves
    assert found.nodes == move.nodes != move.to
    assert move.job == yard.soft[move.nodes[0]]
    assert await yard.proposed(yard.gang) == [found]
    (wire,) = moves_to_wire([found]).proposals
    assert (wire.job_id, wire.city, list(wire.nodes)) == (f"job-{yard.gang}", "ganzhou", list(found.nodes))
    assert wire.instead_of.ToDatetime(UTC) == found.instead_of
    assert [(one.lease_id, list(one.to_nodes)) for one in wire.moves] == [(f"lease-{move.lease}", list(move.to))]
    assert await yard.proposed(move.job) == []


async def test_a_round_moves_what_is_in_the_way_of_a_job_that_an_operator_names(yard: Yard) -> None:
    (found,) = await yard.proposed()
    (move,) = found.moves
    await yard.moves.make_room(OPERATOR, yard.gang, now=yard.world.now)
    assert yard.woken_by_moves == 1

    (stop,) = (await yard.round()).stops
    assert (stop.lease, stop.claim, stop.for_job) == (move.lease, StopClaim.DEFRAGMENTATION, yard.gang)
    assert (await yard.round()).stops == ()

    ref = next(ref for ref in yard.up if ref.lease == move.lease)
    yard.up.remove(ref)
    await yard.told(ended(ref, STOPPED))
    await yard.round()
    placed, moved = await yard.world.job(yard.gang), await yard.world.job(move.job)
    assert placed.state is JobState.LEASED
    assert moved.state is JobState.LEASED
    assert moved.placement is not None
    assert [node.node for node in moved.placement.nodes] == list(move.to)
    acts = [tuple(r) for r in await _acts(yard)]
    assert acts == [("make_room", f"job-{yard.gang}")]
    await yard.world.check()


async def test_a_job_is_no_longer_made_room_for_once_it_is_withdrawn_or_placed(yard: Yard) -> None:
    await yard.moves.make_room(OPERATOR, yard.gang, now=yard.world.now)
    await yard.moves.make_room(OPERATOR, yard.gang, now=yard.world.now)  # again: harmless
    await yard.moves.make_room(OPERATOR, yard.gang, now=yard.world.now, withdraw=True)

    assert (await yard.round()).stops == ()
    assert [act for act, _ in await _acts(yard)] == ["make_room", "withdraw_room"]
    with pytest.raises(JobNotWaiting):
        await yard.moves.make_room(OPERATOR, yard.soft["n1"], now=yard.world.now)
    with pytest.raises(JobNotFound):
        await yard.moves.make_room(OPERATOR, JobId(999), now=yard.world.now)


async def test_what_does_not_pay_is_not_moved(yard: Yard) -> None:
    """What runs would end in a minute anyway."""
    table = yard
    for ref in list(table.up):
        table.up.remove(ref)
        await table.told(ended(ref, Ending(EndReason.COMPLETED)))
    poor = replace(PROMISING, churn_card_seconds_max=0)
    table.planned_by = poor
    await yard.moves.make_room(OPERATOR, yard.gang, now=yard.world.now)

    assert (await yard.round()).stops == ()
    assert await yard.proposed() == []


async def _acts(yard: Yard) -> list[tuple[str, str]]:
    async with yard.world.database.hub() as tx:
        return [tuple(r) for r in await tx.fetch("SELECT act, subject FROM operator_acts ORDER BY act_id")]
