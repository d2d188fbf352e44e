"""What the verifier derives by itself: worths, meters, quotas and fair shares, each worked out by hand here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planning_worlds import arrays, snapshot
from test_verify import world

from scheduler import choices
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify_fits import fits_alone, needs_of
from scheduler.verify_formulas import exact_sums, scaled, scaled_up
from scheduler.verify_limits import Quotas, broken_before
from scheduler.verify_worth import Market, fair_percent, forms_of, granted_slices, weights_percent

POLICY = Policy()


def offered(snapshot_now: Snapshot, policy: Policy = POLICY) -> dict[tuple[int, int, int, int], int]:
    """Return worths by job, pool, tasks and level."""
    market = Market(snapshot_now, policy)
    found = {}
    for offer in market.offers():
        for group, form, worth in zip(offer.group.tolist(), offer.form.tolist(), offer.worth.tolist(), strict=True):
            for job in np.flatnonzero(market.groups.of_job == group).tolist():
                key = job, offer.site.pool, int(market.forms.tasks[form]), int(market.forms.level[form])
                assert key not in found
                found[key] = worth
    return found


def test_worths_are_what_the_definitions_say() -> None:
    """By hand, in yuan per hour. A card-hour in pool 0 is worth 10 * 0.32 = 3.2, in pool 1 it is 10 * 0.312 = 3.12.

    job-0   8 * 3.2 - 8 * 2 - 8 * 500 W * 1.2 * 0.5 - (100 + 20 GiB) * 0.001 = 25.6 - 16 - 2.4 - 0.12 = 7.08
    job-1   3 tasks of 200 milli, granted 250: 3 * 0.64 - 3 * 0.5 - 375 W * 1.2 * 0.5 = 1.92 - 1.5 - 0.225 = 0.195
    job-2   4 times the rest, as urgent: 25.6 * speed - cards * 2 - cards * 500 W * 1.2 * 0.5
    job-3   pool 0: 4 * 3.2 - 4 * 2 - 1.2 = 3.6; pool 1: 4 * 3.12 - 4 * 1.5 - 4 * 400 W * 1.25 * 0.3 = 5.88
    job-4   has 9 cards for one task, and no node has
    """
    assert offered(world()) == {
        (0, 0, 2, 1): 7_080_000,
        (1, 0, 3, 0): 195_000,
        (2, 0, 4, 1): 4 * 7_200_000,
        (2, 0, 4, 0): 4 * 4_640_000,
        (2, 0, 2, 1): 4 * 6_160_000,
        (2, 0, 2, 0): 4 * 4_624_000,
        (3, 0, 2, 2): 3_600_000,
        (3, 1, 2, 2): 5_880_000,
    }


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        (
            {"pool_ask_micro_yuan_per_card_hour": [2_885_000, 10**10]},
            {(0, 0, 2, 1), (1, 0, 3, 0), (2, 0, 4, 0), (3, 1, 2, 2)},
        ),
        ({"model_fp16_programme_milli_tflops": [320_000, -1]}, {(3, 1, 2, 2)}),
        ({"hub_power_cap_watts": [1_000 + 4_799, -1]}, {(0, 0, 2, 1), (2, 0, 4, 0), (2, 0, 4, 1)}),
        ({"quota_borrow_milli_tflops": [0, 559_999, -1]}, {(0, 0, 2, 1)}),
        ({"shape_hub_allowed": [[True, False]] * 5}, {(3, 1, 2, 2)}),
        ({"shape_owner_allowed": [[True, False]] * 5}, {(3, 1, 2, 2)}),
        ({"shape_domestic_only": [True] * 5}, {(3, 1, 2, 2)}),
        ({"transfer_mib_per_second": [[99, 100]]}, {(0, 0, 2, 1)}),
        ({"transfer_mib_per_second": [[0, 100]]}, {(0, 0, 2, 1)}),
        ({"slice_start": [0, 0, 2]}, {(1, 0, 3, 0)}),
        ({"node_domain": [0, 1, 2, 0, 0], "node_free_cards": [7, 7, 7, 8, 8]}, {(0, 0, 2, 1), (2, 0, 4, 1)}),
    ],
)
def test_a_rule_takes_away_what_it_forbids_and_nothing_else(
    changes: dict[str, Any], gone: set[tuple[int, int, int, int]]
) -> None:
    assert set(offered(world())) - set(offered(world(**changes))) == gone


def test_staged_input_is_not_moved() -> None:
    """Only the 20 GiB that come back are paid for."""
    assert offered(world(shape_staged=[[True, False]] * 5))[0, 0, 2, 1] == 7_180_000


def test_every_small_part_is_rounded_against_the_plan() -> None:
    """Ask of a slice, watts, energy and transfer are rounded up, the value down; a net above 0 is worth at least 1."""
    one = snapshot(
        jobs=1,
        pool_ask_micro_yuan_per_card_hour=[1],
        slice_start=[0, 1],
        slice_milli=[333],
        shape_share_milli=[333],
        model_card_watts=[1],
        hub_micro_yuan_per_kwh=[1],
        shape_output_gib=[1],
        transfer_micro_yuan_per_gib=[[1]],
        job_walltime_seconds=[7_200],
        job_ceiling_micro_yuan_per_pflops_hour=[47],
        job_priority=[0],
    )

    # value 47 * 0.32 -> 15, of the share -> 4; ask 1, energy 1, transfer 1; net 1; a quarter of it is less than 1
    assert offered(one) == {(0, 0, 1, 0): 1}
    assert offered(Snapshot(**(vars(one) | {"job_ceiling_micro_yuan_per_pflops_hour": [46]}))) == {(0, 0, 1, 0): 1}
    assert offered(Snapshot(**(vars(one) | {"job_ceiling_micro_yuan_per_pflops_hour": [37]}))) == {}


def test_the_largest_figures_stay_exact() -> None:
    """A card-hour is worth 10,000 yuan at most: the ceiling above it changes nothing."""
    huge = snapshot(
        jobs=1,
        cards=2**16,
        nodes_per_pool=16,
        model_fp16_programme_milli_tflops=[10**9],
        build_speed_ppm=[10**7],
        shape_tasks=[16],
        shape_cards_per_task=[2**16],
        shape_cpu_milli_per_task=[0],
        shape_memory_mib_per_task=[0],
        job_ceiling_micro_yuan_per_pflops_hour=[10**12],
        job_priority=[3],
        model_card_watts=[10**4],
        hub_pue_ppm=[4 * 10**6],
        hub_micro_yuan_per_kwh=[10**8],
    )
    watts = 2**20 * 40_000
    net = 2**20 * (10**10 - 2_000_000) - watts * 10**5

    assert offered(huge) == {(0, 0, 16, 0): net * 16}


def test_shares_of_a_card_go_on_ageing() -> None:
    """They are promised nothing, so only their worth brings them to their turn; planner and verifier say the same."""
    policy = Policy(ageing_steps_max=60, ageing_steps_max_of_shares=400, fair_share_percent=0)
    old = {"jobs": 1, "job_submitted_at_s": [0], "job_priority": [0]}
    whole, share = snapshot(**old), snapshot(**old, shape_share_milli=[500])

    for weigh in (weights_percent, choices.weights_percent):
        assert weigh(whole, policy).tolist() == [85]
        assert weigh(share, policy).tolist() == [425]


def test_weights_grow_with_waiting_and_fall_with_a_city_that_has_its_share() -> None:
    """Of 1,000 in use the first city, with three quarters of the weight, has 250: it is entitled to 750.

    A step of ageing is 5 % of the walltime here, three minutes of an hour.
    """
    policy = Policy(
        ageing_step_seconds=60, ageing_step_walltime_percent=5, ageing_percent_per_step=4, ageing_steps_max=400
    )
    two = snapshot(
        jobs=4,
        city_names=("nanjing", "wuhan", "hefei"),
        city_weight_ppm=[3_000_000, 1_000_000, 0],
        city_used_milli_tflops=[250, 700, 50],
        round_trip_micros=[[1]] * 3,
        job_city=[0, 1, 2, 0],
        job_priority=[1, 1, 2, 0],
        job_submitted_at_s=[10**6, 10**6 - 1_200, 10**6 - 599, 0],
    )

    assert fair_percent(two, POLICY) == [100 + 25 * 500 // 750, 100 - 25 * 450 // 700, 100 - 25]
    aged = [116, 124 * 84 // 100, 448 * 75 // 100, 425 * 116 // 100]
    assert weights_percent(two, policy).tolist() == aged
    urgent = replace(policy, priority_percent=(25, 100, 10_000, 10_000))
    assert weights_percent(two, urgent).tolist()[2] == 8_400
    assert weights_percent(two, replace(urgent, fair_share_percent=0)).tolist()[2] == 10_000  # and never more
    assert fair_percent(two, Policy(fair_share_percent=0)) == [100] * 3


@pytest.mark.parametrize("changes", [{"city_used_milli_tflops": [0]}, {"city_weight_ppm": [0]}])
def test_without_use_or_weights_every_city_is_equal(changes: dict[str, Any]) -> None:
    assert fair_percent(snapshot(**({"city_used_milli_tflops": [5]} | changes)), POLICY) == [100]


def test_forms_are_sizes_and_levels() -> None:
    """One task is close together anywhere; a gang that is slower when it spreads has both ways."""
    forms = forms_of(world())
    rows = zip(*(column.tolist() for column in (forms.shape, forms.tasks, forms.level, forms.speed_ppm)), strict=True)

    assert list(rows) == [
        (0, 2, 1, 1_000_000),
        (1, 3, 0, 1_000_000),
        (2, 4, 1, 1_000_000),
        (2, 4, 0, 900_000),
        (2, 2, 1, 600_000),
        (2, 2, 0, 540_000),
        (3, 2, 2, 1_000_000),
        (4, 1, 0, 1_000_000),
    ]
    assert forms.start.tolist() == [0, 1, 2, 6, 7, 8]


def test_a_share_is_rounded_up_to_a_slice() -> None:
    """The second model offers none, the third none as large."""
    shares = arrays(
        shape_share_milli=[500],
        model_names=("a", "b", "c", "d"),
        model_stack=("cann",) * 4,
        model_origin=("domestic",) * 4,
        slice_start=[0, 3, 3, 4, 5],
        slice_milli=[250, 499, 750, 499, 500],
        build_models=[[True] * 4],
        **{f"model_fp16_{name}_milli_tflops": [1] * 4 for name in ("programme", "nameplate", "measured")},
    )

    assert granted_slices(Snapshot(**shares)).tolist() == [[750, -1, -1, 500]]


def test_what_children_keep_is_in_use_for_their_parent() -> None:
    """Limit of "all": 10 + 2. The first child keeps 6 - 1 = 5 and uses 3, the second lends all and uses 4."""
    tree = Quotas(
        snapshot(
            quota_names=("all", "first", "second", "below"),
            quota_parent=[-1, 0, 0, 1],
            quota_guaranteed_milli_tflops=[10, 6, 5, 4],
            quota_borrow_milli_tflops=[2, -1, 0, 3],
            quota_lend_milli_tflops=[-1, 1, -1, 4],
            quota_used_milli_tflops=[9, 3, 4, 1],
        )
    )

    assert tree.headroom == [1, 3, 1, 3]
    # all: 2 + max(3, 5) + 4; first: 3 - 1 + max(1, 0)
    assert tree.lent_before == [11, 3, 4, 1]
    # below: 7 - 1; first has no limit; all: 12 - 9 at most, and what is not lent is 12 - 11 and 5 - 3 of the first
    assert tree.rooms() == [1, 3, 1, 3]
    assert tree.new([1, 0, 1, 2]) == [4, 2, 1, 2]
    assert tree.lent([0, 0, 0, 2]) == [11, 5, 4, 3]
    assert tree.lent([0, 0, 0, 3]) == [12, 6, 4, 4]
    assert tree.lent([1, 0, 0, 3]) == [13, 6, 4, 4]


def test_running_work_over_a_limit_is_told_in_words() -> None:
    """Hubs first, then quotas; a limit that is kept is not told."""
    over = snapshot(
        hub_power_cap_watts=[10],
        hub_pace_watts=[5],
        hub_used_watts=[11],
        quota_names=("all", "first"),
        quota_parent=[-1, 0],
        quota_guaranteed_milli_tflops=[10, 20],
        quota_borrow_milli_tflops=[0, -1],
        quota_lend_milli_tflops=[-1, 0],
        quota_used_milli_tflops=[11, 3],
    )
    quotas = Quotas(over)

    assert broken_before(over, quotas) == (
        "power: qingyang draws 11 W, its cap is 10 W",
        "energy: qingyang draws 11 W, its pace is 5 W",
        "quota: all uses 11 milli-TFLOPS, its limit is 10",
        "lending: children of all use and keep 28 milli-TFLOPS, its limit is 10",
    )
    assert quotas.rooms() == [0, 0]
    assert Quotas(snapshot()).rooms() == []


@pytest.mark.parametrize("seed", range(20))
def test_a_look_at_the_freest_nodes_decides_nothing_differently(seed: int) -> None:
    """Many nodes, few of them looked at first: the answer is that of counting on every node, one by one."""
    draw = np.random.Generator(np.random.PCG64(seed))
    nodes, shapes = 60, 40
    share = np.where(draw.random(shapes) < 0.4, draw.integers(1, 700, shapes), 0)
    split = np.flatnonzero(draw.random(nodes) < 0.3)
    free = draw.integers(0, 8, nodes)
    crowd = arrays(
        nodes_per_pool=nodes,
        node_open=draw.random(nodes) < 0.9,
        node_free_cards=free,
        node_free_cpu_milli=draw.integers(0, 64_000, nodes),
        node_free_memory_mib=draw.integers(0, 512_000, nodes),
        node_domain=np.arange(nodes) // 7,
        slice_start=[0, 3],
        slice_milli=[125, 250, 700],
        model_shares_per_card_max=[int(draw.choice([-1, 3]))],
        split_node=split,
        split_free_milli=draw.integers(0, 1000, split.size),
        split_shares=draw.integers(0, 4, split.size),
        shape_tasks=draw.integers(1, 90, shapes),
        shape_cards_per_task=np.where(share > 0, 1, draw.integers(1, 5, shapes)),
        shape_cpu_milli_per_task=draw.choice([0, 4_000, 12_000], shapes),
        shape_memory_mib_per_task=draw.choice([0, 40_000, 120_000], shapes),
        shape_share_milli=share,
        shape_within=np.where(share > 0, 0, draw.integers(0, 3, shapes)),
        shape_round_trip_micros_max=[-1] * shapes,
        shape_hub_allowed=[[True]] * shapes,
        build_start=np.arange(shapes + 1),
        build_stack=("cann",) * shapes,
        build_models=[[True]] * shapes,
        build_speed_ppm=[10**6] * shapes,
    )
    here = Snapshot(**crowd)
    forms, granted = forms_of(here), granted_slices(here)

    fits = fits_alone(needs_of(forms.shape, forms.tasks, forms.level, granted[forms.shape, 0], here), here, 0)

    expected = [
        _counted(here, int(shape), int(tasks), int(level), int(granted[shape, 0]))
        for shape, tasks, level in zip(forms.shape, forms.tasks, forms.level, strict=True)
    ]
    assert fits.tolist() == expected


def _counted(here: Snapshot, shape: int, tasks: int, level: int, granted: int) -> bool:
    """Count by the definition, in plain words."""
    most = int(here.model_shares_per_card_max[0])
    sums: dict[object, int] = {}
    for node in range(len(here.node_names)):
        if not here.node_open[node]:
            continue
        free = int(here.node_free_cards[node])
        if granted:
            per_card = min(1000 // granted, most if most >= 0 else 1000)
            held = free * per_card
            for card in np.flatnonzero(here.split_node == node).tolist():
                left = max(0, most - int(here.split_shares[card])) if most >= 0 else 1000
                held += min(int(here.split_free_milli[card]) // granted, left)
        else:
            held = free // int(here.shape_cards_per_task[shape])
        for have, need in (
            (here.node_free_cpu_milli[node], here.shape_cpu_milli_per_task[shape]),
            (here.node_free_memory_mib[node], here.shape_memory_mib_per_task[shape]),
        ):
            if need:
                held = min(held, int(have) // int(need))
        where = {0: "pool", 1: int(here.node_domain[node]), 2: node}[level]
        sums[where] = sums.get(where, 0) + held
    return granted >= 0 and max(sums.values(), default=0) >= tasks


def test_exact_arithmetic_beyond_64_bits() -> None:
    """Sums and scaled products are exact where plain 64-bit ones would wrap around."""
    index, amounts = np.array([0, 0, 2]), np.array([2**62, 2**62 + 5, 3])

    assert exact_sums(index, amounts, 3) == [2**63 + 5, 0, 3]
    assert scaled(-7, 10, 4) == -18
    assert scaled(10**15 + 1, 999_999, 10**6) == (10**15 + 1) * 999_999 // 10**6
    assert scaled_up(10**15 + 1, 999_999, 10**6) == -(-(10**15 + 1) * 999_999 // 10**6)
