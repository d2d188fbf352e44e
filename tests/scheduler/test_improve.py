"""Solving a part of a plan again: the best there is on small worlds, never worse, under every rule, and repeatable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from exhaustive import optimum, reachable, sealed
from planning_worlds import gangs, random_ruled_world, random_world, snapshot

from scheduler import linear
from scheduler.choices import Choices, choose
from scheduler.greedy import construct
from scheduler.ground import Ground, deal
from scheduler.improve import Improver
from scheduler.plan import Placement
from scheduler.policy import Policy
from scheduler.refill import Found, Part, refill
from scheduler.rows import Costs, Rows, capacity_rows
from scheduler.scan import shards_of
from scheduler.search import Relaxation, Search
from scheduler.snapshot import Snapshot
from scheduler.spots import Lines
from scheduler.terrain import Terrain
from scheduler.tiers import aim_of, standing, tiers_of
from scheduler.verify import violations
from scheduler.workers import Inline

QUICK = Policy(solver_work_ms_per_step=100)
SIZES = ((1, 2, 4, 8), (3, 5, 7), (1, 2, 3), (1, 4, 6))


@dataclass(eq=False)
class Round:
    """A greedy plan of a world, and what improves it."""

    choices: Choices
    rows: Rows
    ground: Ground
    improver: Improver
    searches: dict[int, Search]

    @property
    def last(self) -> Search:
        return list(self.searches.values())[-1]

    def key(self, ground: Ground) -> tuple[int, ...]:
        return standing(self.choices, list(self.searches), ground).key


def begin(world: Snapshot, policy: Policy = QUICK) -> Round:
    choices = choose(world, policy)
    rows = capacity_rows(choices)
    terrain = Terrain(choices)
    ground = construct(choices, terrain, rows, Costs.none(choices))
    tiers = tiers_of(choices)
    reached = standing(choices, tiers, ground)
    with Inline().team(shards_of(choices, rows)) as team:
        relaxation = Relaxation(choices, rows, team)
        votes = np.zeros(choices.pairs.pool.size, dtype=np.int16)
        searches = {}
        for tier in tiers:
            aim = aim_of(tiers, tier, reached)
            searches[tier] = Search(relaxation, aim, relaxation.zero(aim), votes)
    return Round(choices, rows, ground, Improver(choices, rows, terrain, policy), searches)


def tiny_world(seed: int) -> Snapshot:
    draw = np.random.Generator(np.random.PCG64(seed))
    return random_world(
        seed,
        jobs=int(draw.integers(1, 7)),
        pools=int(draw.integers(1, 4)),
        nodes_per_pool=int(draw.integers(1, 4)),
        sizes=SIZES[seed % len(SIZES)],
        busy=float(draw.choice([0.0, 0.3, 0.6])),
    )


def placements(choices: Choices, ground: Ground) -> list[Placement]:
    world, pairs = choices.snapshot, choices.pairs
    found = []
    for job, pair, nodes, tasks, cards in sorted(deal(choices, ground)):
        pool = int(pairs.pool[pair])
        build = int(choices.build[world.job_shape[job], world.pool_model[pool]])
        found.append(Placement(world.job_id[job], build, pool, nodes, tasks, int(pairs.worth[pair]), cards))
    return found


def everything(round_: Round, *, exact: bool = True, pools: Sequence[int] | None = None) -> Part:
    """Return the part in which every pair is in question and nothing runs yet."""
    choices = round_.choices
    inside = range(len(choices.snapshot.pool_names)) if pools is None else pools
    free = np.flatnonzero(np.isin(choices.pairs.pool, list(inside)))
    return Part(
        pools=tuple(inside),
        free=free,
        now=np.zeros_like(free),
        held=np.zeros((0, 2), dtype=np.int64),
        left=choices.groups.count,
        watts=choices.limits.hub_free_watts,
        account=choices.limits.account,
        exact=exact,
    )


def nothing() -> Lines:
    return Lines(np.zeros((0, 4), dtype=np.int64), np.zeros((0, 3), dtype=np.int64))


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("make", [tiny_world, random_ruled_world])
def test_a_small_world_is_solved_in_one_step(make: type[Snapshot], block: int) -> None:
    """Hundreds of worlds, plain and with every rule: the step reaches what trying everything reaches, tier by tier."""
    for seed in range(block * 50, block * 50 + 50):
        world = make(seed)
        round_ = begin(world)
        if not round_.choices.pairs.pool.size:
            continue

        better = round_.improver.step(round_.ground, round_.last)

        assert better is not None
        assert round_.key(round_.ground) <= round_.key(better) == optimum(world, QUICK), seed
        assert violations(world, sealed(world, QUICK, placements(round_.choices, better))) == [], seed
        assert round_.improver.step(better, round_.last) is None  # it is proven, so no further step can help


@pytest.mark.parametrize("variables", [10, 60, 400])
def test_parts_of_a_plan_are_never_left_worse(variables: int) -> None:
    """With named spots what is there is a start: no tier falls for one below it, and the rules hold."""
    policy = replace(QUICK, solver_variables_max=variables)
    for seed in range(8):
        world = random_ruled_world(seed, jobs=50, pools=4, nodes_per_pool=4, shapes=10)
        round_ = begin(world, policy)
        best = round_.ground
        for _ in range(6):
            found = round_.improver.step(best, round_.last)
            if found is None:
                break
            if round_.key(found) > round_.key(best):
                best = found

        assert round_.key(best) >= round_.key(round_.ground)
        assert violations(world, sealed(world, policy, placements(round_.choices, best))) == [], seed


def test_a_step_leaves_the_plan_it_started_from_alone() -> None:
    """The best plan so far is kept while others are tried."""
    round_ = begin(random_ruled_world(3, jobs=40, pools=4, nodes_per_pool=4, shapes=10))
    lines, entries, left = (each.copy() for each in (round_.ground.lines, round_.ground.entries, round_.ground.left))

    round_.improver.step(round_.ground, round_.last)

    assert np.array_equal(lines, round_.ground.lines)
    assert np.array_equal(entries, round_.ground.entries)
    assert np.array_equal(left, round_.ground.left)


def test_equal_steps_give_equal_plans() -> None:
    """What a step does depends on the steps before it alone."""
    policy = replace(QUICK, solver_variables_max=60)
    runs = []
    for _ in range(2):
        round_ = begin(random_world(4, jobs=120, pools=6, nodes_per_pool=5), policy)
        best = round_.ground
        for _ in range(5):
            found = round_.improver.step(best, round_.last)
            assert found is not None
            best = found if round_.key(found) > round_.key(best) else best
        runs.append((best.lines.tolist(), best.entries.tolist()))

    assert runs[0] == runs[1]


def test_steps_move_on_from_pool_to_pool() -> None:
    """A pool that does not get better any more is left for others: many small parts improve most of the plan."""
    policy = replace(QUICK, solver_variables_max=40)
    round_ = begin(random_world(4, jobs=300, pools=6, nodes_per_pool=8), policy)
    for _ in range(200):
        round_.last.descend(1)
    best = round_.ground
    for _ in range(30):
        found = round_.improver.step(best, round_.last)
        assert found is not None
        best = found if round_.key(found) > round_.key(best) else best

    pool_of = round_.choices.pairs.pool
    before, after = ({tuple(line) for line in each.lines[:, 1:3].tolist()} for each in (round_.ground, best))
    assert len({int(pool_of[pair]) for pair, _ in before ^ after}) >= 4
    assert best.objective > round_.ground.objective


def test_without_pairs_there_is_nothing_to_improve() -> None:
    """No job, or none that may run anywhere."""
    for world in (snapshot(jobs=0), snapshot(job_ceiling_micro_yuan_per_pflops_hour=[0] * 3)):
        round_ = begin(world)

        assert round_.improver.step(round_.ground, round_.last) is None


def test_the_duals_bound_every_tier_as_well_as_descent_does() -> None:
    """Guarantees, tiers above and all rows have their duals: at those prices no plan as good above is better."""
    for seed in range(40):
        world = random_ruled_world(seed)
        round_ = begin(world)
        plan = sealed(world, QUICK, placements(round_.choices, round_.ground))
        most = reachable(world, QUICK, plan)
        for at, search in enumerate(round_.searches.values()):
            for _ in range(4):
                search.descend(50)
            descended = search.best_scan.bound

            prices = linear.duals(round_.choices, round_.rows, search.aim)

            assert prices is not None
            search.offer(prices)
            assert most[at] <= search.best_scan.bound <= descended, (seed, at)


def test_only_small_programs_are_solved_for_prices() -> None:
    """A large instance keeps the prices of the descent."""
    round_ = begin(random_world(1, jobs=12_000, pools=8, nodes_per_pool=2, shapes=50))
    before = round_.last.best

    assert not round_.improver.tighten(round_.last)
    assert round_.last.best is before


def test_named_spots_tell_what_counting_cannot() -> None:
    """Tasks of 5 and 4 cards never meet on a node of 8: three run on three nodes, though 19 of 24 cards are enough."""
    world = gangs((1, 5), (1, 5), (1, 5), (1, 4), nodes_per_pool=3)
    round_ = begin(world)

    counted = refill(round_.choices, round_.rows, QUICK, everything(round_, exact=False), nothing())
    named = refill(round_.choices, round_.rows, QUICK, everything(round_), nothing())

    assert counted.found is named.found is Found.BEST
    assert counted.lines is None
    assert (counted.gangs[:, 1].sum(), named.gangs[:, 1].sum()) == (4, 3)


def test_a_child_lends_what_it_does_not_keep() -> None:
    """Of 4 cards' worth the sister keeps 2: two jobs run, or all four once she lends everything."""
    for lend, running in ((0, 2), (640_000, 4), (-1, 4), (320_000, 3)):
        world = snapshot(
            jobs=5,
            tenant_names=("a", "b"),
            tenant_quota=[[1], [2]],
            quota_names=("all", "a", "b"),
            quota_parent=[-1, 0, 0],
            quota_guaranteed_milli_tflops=[4 * 320_000, 0, 2 * 320_000],
            quota_borrow_milli_tflops=[0, -1, -1],
            quota_lend_milli_tflops=[-1, -1, lend],
            quota_used_milli_tflops=[0, 0, 0],
            job_tenant=[0] * 5,
        )
        round_ = begin(world)

        found = refill(round_.choices, round_.rows, QUICK, everything(round_), nothing())

        assert found.gangs[:, 1].sum() == running, lend


def test_shares_share_cards_and_leave_whole_ones() -> None:
    """Four halves and two whole cards on four cards: two cards are split, and numbered without holes."""
    world = gangs(
        (4, 1),
        (2, 1),
        nodes_per_pool=1,
        cards=4,
        shape_share_milli=[400, 0],
        slice_start=[0, 1],
        slice_milli=[500],
        model_shares_per_card_max=[-1],
    )
    round_ = begin(world)

    found = refill(round_.choices, round_.rows, QUICK, everything(round_), nothing())

    assert found.lines is not None
    assert found.gangs[:, 1].tolist() == [1, 1]
    cards = found.lines.entries[:, 2]
    assert sorted(cards[cards < -1].tolist()) == [-3, -3, -2, -2]


def test_gangs_close_together_fill_domains() -> None:
    """Two domains of two nodes each hold one gang of two nodes, and no third gang fits across them."""
    world = gangs(
        *[(2, 5)] * 3,
        nodes_per_pool=4,
        cards=8,
        node_domain=[0, 0, 1, 1],
        shape_within=[1, 1, 1],
    )
    round_ = begin(world)

    found = refill(round_.choices, round_.rows, QUICK, everything(round_), nothing())

    assert found.lines is not None
    assert len(found.lines.lines) == 2
    nodes = np.split(found.lines.entries[:, 0], found.lines.lines[1:, 3])
    assert sorted(sorted(each.tolist()) for each in nodes) == [[0, 1], [2, 3]]


def test_what_is_held_stays_and_takes_room() -> None:
    """A part frees some pairs only: the others run on, wherever in the pool the solver puts them."""
    world = gangs((2, 4), (2, 4), (1, 8), nodes_per_pool=2, ceilings=[7_000_000, 8_000_000, 30_000_000])
    round_ = begin(world)
    part = everything(round_)
    low = int(np.argmin(round_.choices.pairs.worth[part.free] / 8))
    rest = np.delete(part.free, low)
    left = part.left.copy()
    left[round_.choices.pairs.group[part.free[low]]] -= 1

    found = refill(
        round_.choices,
        round_.rows,
        QUICK,
        replace(
            part, free=rest, now=np.zeros_like(rest), held=np.array([[part.free[low], 1]], dtype=np.int64), left=left
        ),
        nothing(),
    )

    assert found.lines is not None
    assert part.free[low] in found.gangs[:, 0]
    assert found.gangs[:, 1].sum() == 2
    round_.ground.remove(part.pools)
    round_.ground.place_at(found.lines.lines, found.lines.entries)  # it says so if anything did not fit
