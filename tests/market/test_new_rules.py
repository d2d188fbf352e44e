"""What a city can ask for beyond whole cards, from the stored job to the lease: planned, verified, committed by fit."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from broker.ids import JobId, LeaseId
from broker.job import Build, Ending, GangSize, PriorityClass, Within
from broker.lifecycle import EndReason, JobState
from broker.store import rules
from broker.store.clusters import NodeInventory, PoolInventory
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.store.orders import LiveLeases
from scheduler.plan import Placement, Plan
from scheduler.reasons import Reason
from scheduler.refusals import Refusals
from tests.cluster_world import ClusterWorld, ended, inventory
from tests.market.test_rounds import RICH, Table

CARD_SUMS = "SELECT sum(milli) AS milli FROM held_cards GROUP BY node_id, card"
QUARTERS_AND_HALVES = "UPDATE accelerator_models SET slices_milli = '{250,500}', shares_per_card_max = 4"


@pytest.fixture
async def table(database: Database) -> Table:
    table = Table(await ClusterWorld(database).lay())
    await run(table, QUARTERS_AND_HALVES)
    return table


async def run(table: Table, sql: str) -> None:
    async with table.world.database.hub() as tx:
        await tx.execute(sql)


async def cards_of(table: Table, job: JobId) -> dict[str, tuple[int, ...]] | None:
    """Return the cards of the job's lease by node, None when it waits."""
    found = await table.world.job(job)
    if found.state is JobState.PENDING:
        return None
    assert found.placement is not None
    return {part.node: part.cards for part in found.placement.nodes}


def _ref(row: Any) -> LeaseRef:
    return LeaseRef(LeaseId(row["lease_id"]), row["epoch"])


def _builds(*stacks: str) -> tuple[Build, ...]:
    return tuple(Build(stack, ("run",)) for stack in stacks)


def shares(plan: Plan, *cards: tuple[int, ...]) -> Plan:
    """Return the plan with other names for the cards of its placements."""
    named = [p._replace(cards=names) for p, names in zip(plan.placements, cards, strict=True)]
    return replace(plan, placements=tuple(named))


async def test_two_jobs_share_a_card(table: Table) -> None:
    """Half of it each; what was asked for is rounded up to the slice that is granted."""
    await table.world.attach("east", "one", inventory("n1", cards=1))
    half, more_than_a_quarter = await table.submit(share_milli=500), await table.submit(share_milli=300)
    third = await table.submit(share_milli=250, ceiling_micro_yuan_per_pflops_hour=RICH // 10)

    done = await table.round()

    assert done.placed == 2
    assert await cards_of(table, half) == await cards_of(table, more_than_a_quarter) == {"n1": (0,)}
    placement = (await table.world.job(more_than_a_quarter)).placement
    assert placement is not None
    assert placement.nodes[0].share_milli == 500
    assert (await table.world.job(third)).waiting_reason == Reason.OUTBID


async def test_a_later_round_fills_a_card_that_is_split_already(table: Table) -> None:
    """Whole cards stay whole as long as a split one has room."""
    await table.world.attach("east", "one", inventory("n1", cards=2))
    first = await table.submit(share_milli=500)
    await table.round()
    second, whole = await table.submit(share_milli=500), await table.submit()

    done = await table.round()

    assert done.placed == 2
    assert await cards_of(table, first) == await cards_of(table, second)
    assert await cards_of(table, whole) != await cards_of(table, first)
    await table.world.check()


async def test_a_card_takes_as_many_shares_as_its_model_allows(table: Table) -> None:
    await run(table, "UPDATE accelerator_models SET shares_per_card_max = 1")
    await table.world.attach("east", "one", inventory("n1", cards=2))
    jobs = [await table.submit(share_milli=250) for _ in range(3)]

    done = await table.round()

    assert done.placed == 2
    placed = [await cards_of(table, job) for job in jobs]
    assert sorted(cards["n1"] for cards in placed if cards) == [(0,), (1,)]


async def test_a_share_that_no_model_offers_waits_and_is_told_why(table: Table) -> None:
    await table.world.attach()
    job = await table.submit(share_milli=501)

    await table.round()

    assert (await table.world.job(job)).waiting_reason == Reason.CARD_NOT_SHARED


async def test_a_name_of_a_new_split_card_means_one_card_in_the_whole_commit(table: Table) -> None:
    """Also when the job that the plan put there first was cancelled meanwhile."""
    world = table.world
    await world.attach("east", "one", inventory("n1", cards=3))
    gone, left, right, other = [await table.submit(share_milli=500) for _ in range(4)]
    lead = await table.lead()
    prepared, plan = await table.planned()
    await world.cancel(gone)

    done = await table.commit(lead, prepared, shares(plan, (-1,), (-2,), (-2,), (-1,)))

    assert (done.placed, done.stale) == (3, 1)
    assert await cards_of(table, left) == await cards_of(table, right) != await cards_of(table, other)
    await world.check()


async def test_a_share_of_a_card_that_is_free_again_splits_it_anew(table: Table) -> None:
    """The plan named it as a split card; by fit, not by version, it is as good as that."""
    world = table.world
    session = await world.attach("east", "one", inventory("n1", cards=1))
    first = await table.submit(share_milli=500)
    await table.round()
    second = await table.submit(share_milli=500)
    lead = await table.lead()
    prepared, plan = await table.planned()
    assert plan.placements[0].cards == (0,)
    lease = await world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", first)
    await world.report(session, 1, ended(_ref(lease), Ending(EndReason.COMPLETED)))

    done = await table.commit(lead, prepared, plan)

    assert done.placed == 1
    assert await cards_of(table, second) == {"n1": (0,)}
    await world.check()


async def test_a_share_that_is_gone_since_the_plan_is_handed_back(table: Table) -> None:
    """Neither more than the card has left, nor more tasks on it than its model allows; the rest of the plan stands."""
    world = table.world
    await world.attach("east", "one", inventory("n1", cards=2))
    jobs = [await table.submit(share_milli=500) for _ in range(4)]
    lead = await table.lead()
    prepared, plan = await table.planned()

    done = await table.commit(lead, prepared, shares(plan, (-1,), (-1,), (-1,), (-2,)))

    assert (done.placed, done.stale) == (3, 1)
    assert await world.state_of(jobs[2]) is JobState.PENDING
    await world.check()


async def test_a_gang_of_shares_that_does_not_fit_whole_takes_nothing(table: Table) -> None:
    """Its second task finds no card: what its first one took is there for the next job."""
    world = table.world
    await world.attach("east", "one", inventory("n1", cards=1))
    gang = await table.submit(tasks=2, share_milli=500)
    single = await table.submit(share_milli=500, ceiling_micro_yuan_per_pflops_hour=RICH // 10)
    lead = await table.lead()
    prepared, plan = await table.planned()
    [placed] = plan.placements
    late = Placement(prepared.snapshot.job_id[1], placed.build, placed.pool, placed.nodes, (1,), 1, (-1,))

    done = await table.commit(
        lead, prepared, replace(plan, placements=(placed._replace(cards=(-1, -2)), late), refusals=Refusals.of(()))
    )

    assert (done.placed, done.stale) == (1, 1)
    assert await world.state_of(gang) is JobState.PENDING
    assert await cards_of(table, single) == {"n1": (0,)}


async def test_an_elastic_gang_shrinks_before_it_waits(table: Table) -> None:
    """And the job says the size that it runs with."""
    await table.world.attach("east", "one", inventory("n1", "n2", cards=3))
    sizes = (GangSize(6, 700_000), GangSize(2, 200_000))
    job = await table.submit(tasks=8, smaller_sizes=sizes)

    await table.round()

    placement = (await table.world.job(job)).placement
    assert placement is not None
    assert placement.tasks == 6
    assert await table.world.held() == 6


def racks(*domains: str) -> PoolInventory:
    nodes = (NodeInventory(f"n{i}", 2, 64_000, 1024, domain) for i, domain in enumerate(domains))
    return PoolInventory("main", "ascend-910b", tuple(nodes))


async def test_a_gang_stays_within_its_fabric_domain(table: Table) -> None:
    """Six free cards on three nodes, of which two hang on one leaf: four of them are a domain's, never six."""
    await table.world.attach("east", "one", racks("leaf-a", "leaf-b", "leaf-a"))
    large = await table.submit(tasks=6, within=Within.DOMAIN)
    right = await table.submit(tasks=4, within=Within.DOMAIN)

    await table.round()

    assert (await table.world.job(large)).waiting_reason == Reason.FABRIC_SHORT
    assert await cards_of(table, right) == {"n0": (0, 1), "n2": (0, 1)}


async def test_a_gang_stays_on_one_node(table: Table) -> None:
    await table.world.attach("east", "one", racks("leaf-a", "leaf-a"))
    large = await table.submit(tasks=3, within=Within.NODE)
    right = await table.submit(tasks=2, within=Within.NODE)

    await table.round()

    assert (await table.world.job(large)).waiting_reason == Reason.FABRIC_SHORT
    assert len(await cards_of(table, right) or {}) == 1


async def test_owners_and_origin_are_kept(table: Table) -> None:
    world = table.world
    await run(table, "UPDATE clusters SET owner = 'telecom' WHERE cluster = 'west'")
    await world.attach("east", "one", inventory("n1", model="a800"))
    await world.attach("west", "two", inventory("m1"))
    foreign = await table.submit(builds=_builds("cuda"), domestic_only=True)
    owned = await table.submit(allowed_owners=("owner",))
    right = await table.submit(builds=_builds("cuda", "cann"), domestic_only=True, allowed_owners=("telecom",))

    await table.round()

    assert (await world.job(foreign)).waiting_reason == Reason.DOMESTIC_ONLY
    assert (await world.job(owned)).waiting_reason == Reason.OWNER_NOT_ALLOWED
    assert await cards_of(table, right) == {"m1": (0,)}


async def test_data_that_would_come_too_late_keep_a_job_away_unless_they_are_there(table: Table) -> None:
    """1 MiB a second: a GiB takes 1,024 seconds."""
    world = table.world
    await run(table, "INSERT INTO transfers VALUES ('ganzhou', 'qingyang', 1, 0, 'test')")
    await world.attach()
    late = await table.submit(input_gib=1, transfer_seconds_max=1023)
    in_time = await table.submit(input_gib=1, transfer_seconds_max=1024)
    there = await table.submit(input_gib=1, transfer_seconds_max=1, staged_hubs=("qingyang",))

    await table.round()

    assert (await world.job(late)).waiting_reason == Reason.TRANSFER_TOO_LONG
    assert await world.state_of(in_time) is JobState.LEASED
    assert await world.state_of(there) is JobState.LEASED


async def test_a_job_counts_to_the_quota_of_its_enterprise(table: Table) -> None:
    """Where that has one; else to its city's; the work of a city without any is nobody's quota."""
    await run(
        table,
        """INSERT INTO quotas (hub, city, enterprise, guaranteed_milli_pflops) VALUES ('qingyang', NULL, NULL, 9),
                  ('qingyang', 'ganzhou', NULL, 5), ('qingyang', 'ganzhou', 'acme', 1)""",
    )
    await table.world.attach()
    for enterprise in ("acme", "unheard-of", ""):
        await table.submit(enterprise=enterprise)

    snapshot = (await table.rounds.read(table.world.now)).snapshot

    leaves = [snapshot.quota_names[snapshot.tenant_quota[tenant, 0]] for tenant in snapshot.job_tenant]
    assert leaves == ["qingyang/ganzhou/acme", "qingyang/ganzhou", "qingyang/ganzhou"]


async def test_emergencies_are_a_tier_of_their_own(table: Table) -> None:
    """However much somebody else pays."""
    await table.world.attach("east", "one", inventory("n1", cards=1))
    rich = await table.submit()
    urgent = await table.submit(priority=PriorityClass.EMERGENCY, ceiling_micro_yuan_per_pflops_hour=RICH // 1000)

    await table.round()

    assert await table.world.state_of(urgent) is JobState.LEASED
    assert await table.world.state_of(rich) is JobState.PENDING


async def test_a_plan_of_limits_that_have_changed_places_nothing(table: Table) -> None:
    """It may exceed the new ones; the next round is planned by them."""
    await table.world.attach()
    job = await table.submit()
    lead = await table.lead()
    prepared, plan = await table.planned()
    async with table.world.database.hub() as tx:
        await rules.change(tx)

    done = await table.commit(lead, prepared, plan)
    assert (done.placed, done.stale) == (0, 1)
    assert await table.world.state_of(job) is JobState.PENDING
    assert (await table.round()).placed == 1


async def test_requirements_of_the_first_release_are_read_as_they_were(table: Table) -> None:
    """A shape that names none of the later rules is a shape without them."""
    await table.world.attach()
    job = await table.submit()
    stored = await table.world.row("SELECT requirement FROM shapes JOIN jobs USING (shape_id) WHERE job_id = $1", job)

    snapshot = (await table.rounds.read(table.world.now)).snapshot

    assert "share_milli" not in json.dumps(stored["requirement"])
    assert (snapshot.shape_share_milli[0], snapshot.shape_within[0], snapshot.shape_input_gib[0]) == (0, 0, 0)
    assert snapshot.shape_owner_allowed.all()
    assert snapshot.shape_transfer_seconds_max[0] == -1


@pytest.mark.parametrize("seed", range(3))
async def test_rounds_of_shares_and_whole_cards_always_commit_what_they_planned(table: Table, seed: int) -> None:
    """Nothing changes between plan and commit, so nothing is stale, whatever was split, filled and freed before."""
    luck, world = random.Random(seed), table.world
    session = await world.attach("east", "one", inventory("n1", "n2", cards=4))
    live: list[LeaseRef] = []
    for number in range(1, 7):
        for _ in range(luck.randrange(1, 8)):
            asked = {"share_milli": luck.choice((0, 100, 250, 400, 500)), "tasks": luck.randrange(1, 5)}
            await table.submit(**asked, cpu_milli_per_task=luck.choice((0, 500)))
        done = await table.round()
        assert done.stale == 0
        async with world.database.hub() as tx:
            live = list(await LiveLeases().read(tx, "east"))
        over = [ref for ref in live if luck.random() < 0.5]
        world.advance(1)
        await world.report(session, number, *(ended(ref, Ending(EndReason.COMPLETED)) for ref in over))
        await world.check()
        most = await world.row(f"SELECT max(milli) AS milli FROM ({CARD_SUMS}) AS cards")
        assert (most["milli"] or 0) <= 1000
