"""What silence leads to, in time that the test moves."""

import pytest

from broker.job import IfLost
from broker.lifecycle import JobEvent, JobState, LeaseState
from broker.loops.silence import Silence
from broker.store.database import Database
from tests.cluster_world import ClusterWorld, inventory, running


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


async def watch(world: ClusterWorld, silence: Silence, seconds: int) -> int:
    """Let time pass as the loop sees it, a pass every five seconds. Return how much changed."""
    changed = await silence.run_once(world.now)
    for _ in range(0, seconds, 5):
        changed += await silence.run_once(world.advance(5))
    return changed


def silence_of(world: ClusterWorld) -> Silence:
    return Silence(world.database, world.terms, capacity_freed=world._count_freed)


async def agent_state(world: ClusterWorld) -> str:
    return str((await world.row("SELECT agent_state FROM clusters WHERE cluster = 'east'"))[0])


async def test_an_agent_falls_suspect_then_lost_and_its_leases_with_it(world: ClusterWorld) -> None:
    """Suspect after 10 seconds, LOST after 60; cards stay held."""
    session = await world.attach()
    job, ref = await world.running(session, 1)
    silence = silence_of(world)

    await watch(world, silence, 5)
    assert await agent_state(world) == "live"
    await watch(world, silence, 10)
    assert await agent_state(world) == "suspect"
    assert await world.lease_state(ref) is LeaseState.ACTIVE
    await watch(world, silence, 50)

    assert await agent_state(world) == "lost"
    assert await world.lease_state(ref) is LeaseState.LOST
    assert await world.state_of(job) is JobState.RUNNING
    assert await world.held() == 1
    assert await watch(world, silence, 300) == 0


async def test_silence_then_a_word_finds_the_lease_again(world: ClusterWorld) -> None:
    """The agent hung, or the link was cut; the job ran on."""
    session = await world.attach()
    job, ref = await world.running(session, 1)
    await watch(world, silence_of(world), 65)

    await world.report(session, 2, running(ref))

    assert await agent_state(world) == "live"
    assert await world.lease_state(ref) is LeaseState.ACTIVE
    assert (await world.story(job))[-2:] == [JobEvent.LOST, JobEvent.FOUND]
    await world.check()


async def test_an_agent_that_reports_is_never_silent(world: ClusterWorld) -> None:
    """Also when every report says the same."""
    session = await world.attach()
    _, ref = await world.running(session, 1)
    silence = silence_of(world)

    for sequence in range(2, 60):
        world.advance(2)
        await world.report(session, sequence, running(ref))
        assert await silence.run_once(world.now) == 0


async def test_restart_leases_end_by_terms_after_the_margin_and_not_before(world: ClusterWorld) -> None:
    """Only then may the job start elsewhere; `if_lost: hold` waits on."""
    session = await world.attach()
    restart, restart_ref = await world.placed(if_lost=IfLost.RESTART)
    hold, hold_ref = await world.placed()
    await world.report(session, 1, running(restart_ref), running(hold_ref))
    silence = silence_of(world)

    await watch(world, silence, 70)
    before = await world.lease_state(restart_ref)
    freed = world.freed
    await watch(world, silence, 10)

    assert before is LeaseState.LOST
    assert await world.state_of(restart) is JobState.PENDING
    assert await world.state_of(hold) is JobState.RUNNING
    assert world.freed > freed
    assert await world.story(restart) == ["submitted", "leased", "started", "lost", "requeued"]
    await world.check()


async def test_the_terms_count_from_the_last_word_not_from_the_first_loss(world: ClusterWorld) -> None:
    """An agent that came back while its job was still starting has a full term again."""
    session = await world.attach()
    job, ref = await world.placed(if_lost=IfLost.RESTART)
    silence = silence_of(world)
    await watch(world, silence, 65)
    await world.report(session, 1)  # it is back, the order was sent again, the job does not run yet

    await watch(world, silence, 70)

    assert await world.lease_state(ref) is LeaseState.LOST
    await watch(world, silence, 10)
    assert await world.state_of(job) is JobState.PENDING


async def test_a_lease_committed_while_its_agent_was_called_lost_is_lost_too(world: ClusterWorld) -> None:
    """A round and the silence may cross."""
    await world.attach()
    silence = silence_of(world)
    await watch(world, silence, 65)
    job, ref = await world.placed()

    await watch(world, silence, 5)

    assert await world.lease_state(ref) is LeaseState.LOST
    assert (await world.story(job))[-1] is JobEvent.LOST


async def test_a_broker_that_was_away_itself_calls_nobody_silent(world: ClusterWorld) -> None:
    """After its start, or a break of its own, agents have the full time to be heard again."""
    await world.attach()
    silence = silence_of(world)
    await silence.run_once(world.now)

    world.advance(3600)
    assert await silence.run_once(world.now) == 0
    await watch(world, silence, 5)
    assert await agent_state(world) == "live"
    await watch(world, silence, 60)

    assert await agent_state(world) == "lost"


async def test_a_clock_that_was_set_back_neither_hides_silence_nor_makes_it(world: ClusterWorld) -> None:
    """Whoever reports is heard; whoever does not falls silent in the usual time, not hours later."""
    session = await world.attach()
    other = await world.attach("west", "two", inventory("w1"))
    _, ref = await world.running(session, 1)
    silence = silence_of(world)
    await watch(world, silence, 5)
    await world.report(other, 1)

    world.advance(-3600)
    sequence = 2
    for _ in range(50):
        await world.report(session, sequence, running(ref))
        sequence += 1
        world.advance(2)
        await silence.run_once(world.now)

    assert await agent_state(world) == "live"
    assert await world.lease_state(ref) is LeaseState.ACTIVE
    assert (await world.row("SELECT agent_state FROM clusters WHERE cluster = 'west'"))[0] == "lost"


async def test_after_a_leap_of_the_clock_restarts_wait_for_their_whole_term(world: ClusterWorld) -> None:
    """The agent may have had our last word the moment before, and kills by a clock that does not leap."""
    session = await world.attach()
    job, ref = await world.running(session, 1, if_lost=IfLost.RESTART)
    silence = silence_of(world)
    await watch(world, silence, 5)

    world.advance(3600)
    await watch(world, silence, 70)
    before = await world.lease_state(ref)
    await watch(world, silence, 10)

    assert before is LeaseState.LOST
    assert await world.state_of(job) is JobState.PENDING


async def test_two_brokers_judge_as_one(world: ClusterWorld) -> None:
    """Guards in the statements make the second pass a no-op."""
    session = await world.attach()
    job, _ = await world.running(session, 1)
    one, two = silence_of(world), silence_of(world)

    await one.run_once(world.now)
    await two.run_once(world.now)
    for _ in range(20):
        world.advance(5)
        await one.run_once(world.now)
        await two.run_once(world.now)

    assert (await world.story(job)).count(JobEvent.LOST) == 1


async def test_an_empty_draining_node_is_drained(world: ClusterWorld) -> None:
    """The operator's drain comes to its end by itself."""
    await world.attach()
    await world.row("UPDATE nodes SET mode = 'draining' WHERE node = 'n2' RETURNING 1")

    assert await silence_of(world).run_once(world.now) == 1

    assert (await world.row("SELECT mode FROM nodes WHERE node = 'n2'"))[0] == "drained"
