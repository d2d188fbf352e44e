"""The worlds that the allocator is measured on are hard, hold every rule, and come from their seed alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks import rivals
from benchmarks.worlds.later import later
from benchmarks.worlds.makes import MAKES, SLICES_MILLI
from benchmarks.worlds.national import national
from benchmarks.worlds.rule_sets import RULE_SETS, with_rules
from benchmarks.worlds.summary import hardness
from benchmarks.worlds.trace import real_jobs
from scheduler.opening import prices_of
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot
from scheduler.verify import violations

SMALL = national(1, 100, 12, 300, real_jobs(None))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_national_world_is_hard(seed: int) -> None:
    """An easy world proves nothing: demand, gangs and builds are as promised."""
    world = national(seed, 4_000, 24, 10_000, real_jobs(None))

    hard = hardness(rivals.instance(world, Policy()))

    assert hard.demand_over_free >= 3
    assert hard.gang_worth_share >= 0.3
    assert hard.two_builds_share >= 0.5
    assert hard.share_jobs_share >= 0.15


def test_every_rule_is_in_the_world() -> None:
    """A rule that nobody uses is not measured."""
    world = SMALL
    gangs = world.shape_tasks > 1

    assert set(world.shape_within[gangs].tolist()) == {0, 1, 2}
    assert np.any(world.shape_spread_speed_ppm < 10**6)
    assert np.any(np.diff(world.size_start) == 2)
    assert np.any(world.split_free_milli < 1000)
    assert np.all(world.split_shares >= 1)
    assert np.any(world.shape_share_milli > 0)
    assert np.any(world.shape_domestic_only)
    assert not np.all(world.shape_owner_allowed)
    assert np.any(world.shape_input_gib > 0)
    assert np.any(world.shape_staged)
    assert np.any(world.shape_transfer_seconds_max >= 0)
    assert set(world.job_tier.tolist()) == {0, 1}
    assert np.any(world.job_tenant == -1)
    assert np.any(world.job_tenant >= 0)
    assert np.any(world.quota_lend_milli_tflops >= 0)
    assert np.any(world.quota_borrow_milli_tflops >= 0)
    assert np.any(world.quota_guaranteed_milli_tflops > world.quota_used_milli_tflops)
    assert np.all(world.model_card_watts > 0)
    assert np.all(world.hub_pue_ppm >= 1_150_000)
    assert np.all(world.city_used_milli_tflops > 0)


def test_one_power_cap_and_one_energy_pace_bind() -> None:
    """They leave power for some of the free cards of their hub, and the other caps for all of them."""
    world = SMALL
    watts = world.model_card_watts[world.pool_model[world.node_pool]] * world.node_free_cards * world.node_open
    wanted = np.bincount(world.pool_hub[world.node_pool], weights=watts, minlength=len(world.hub_names))
    wanted *= world.hub_pue_ppm / 10**6
    short = [
        [hub for hub, limit in enumerate(limits.tolist()) if limit >= 0 and limit - used[hub] < wanted[hub]]
        for limits, used in (
            (world.hub_power_cap_watts, world.hub_used_watts),
            (world.hub_pace_watts, world.hub_used_watts),
        )
    ]

    assert short == [[0], [1]]


def test_no_rule_is_broken_at_the_start() -> None:
    """Running work keeps to caps and quotas, so whatever the plan breaks is its own doing."""
    assert plan(SMALL, Policy(effort=0)).broken_before == ()


def test_quotas_are_a_tree_of_hubs_cities_and_enterprises() -> None:
    world = SMALL
    depth = [name.count("/") for name in world.quota_names]
    parents = [world.quota_names[parent] if parent >= 0 else "" for parent in world.quota_parent.tolist()]

    assert set(depth) == {0, 1, 2}
    assert all(name.rpartition("/")[0] == parent for name, parent in zip(world.quota_names, parents, strict=True))
    assert {depth[leaf] for leaf in world.tenant_quota[world.tenant_quota >= 0].tolist()} == {2}


def test_domains_have_as_many_nodes_as_fabrics_have() -> None:
    world = national(1, 2_000, 12, 300, real_jobs(None))

    pool, first, count = np.unique(world.node_pool * 10_000 + world.node_domain, return_index=True, return_counts=True)
    full = count[:-1][np.diff(pool // 10_000) == 0]  # the last of a pool may be smaller

    assert first.size == pool.size
    assert set(full.tolist()) <= {16, 32, 64}


def test_a_national_world_comes_from_its_seed() -> None:
    """Equal seed, equal bytes."""
    again, other = (national(seed, 100, 12, 300, real_jobs(None)) for seed in (1, 2))

    assert SMALL.to_bytes() == again.to_bytes() != other.to_bytes()


@pytest.fixture(scope="module")
def moved() -> tuple[Snapshot, int]:
    """A world after half of its jobs changed, and how many were placed before."""
    found = plan(SMALL, Policy(effort=2))
    return later(SMALL, found, 3, 0.3), len(found.placements)


def test_later_some_have_started_and_others_have_come(moved: tuple[Snapshot, int]) -> None:
    world, placed = moved
    gone = set(SMALL.job_id) - set(world.job_id)
    come = set(world.job_id) - set(SMALL.job_id)

    assert len(come) == round(0.15 * len(SMALL.job_id))
    assert len(gone) == min(len(come), placed)
    assert world.taken_at_s > SMALL.taken_at_s


def test_what_started_took_cards_power_and_quota(moved: tuple[Snapshot, int]) -> None:
    world, _ = moved

    assert world.node_free_cards.sum() < SMALL.node_free_cards.sum()
    assert world.node_free_cpu_milli.sum() < SMALL.node_free_cpu_milli.sum()
    assert len(world.split_node) > len(SMALL.split_node) or world.split_shares.sum() > SMALL.split_shares.sum()
    assert world.hub_used_watts.sum() > SMALL.hub_used_watts.sum()
    assert world.city_used_milli_tflops.sum() > SMALL.city_used_milli_tflops.sum()
    top = world.quota_parent == -1
    grown = world.quota_used_milli_tflops[top].sum() - SMALL.quota_used_milli_tflops[top].sum()
    assert 0 < grown <= world.city_used_milli_tflops.sum() - SMALL.city_used_milli_tflops.sum()


def test_later_no_rule_is_broken_and_the_next_plan_keeps_them(moved: tuple[Snapshot, int]) -> None:
    """A lease that the broker would commit leaves a world within its limits."""
    world, _ = moved
    before = plan(SMALL, Policy(effort=2))

    found = plan(world, Policy(effort=2, opening_prices=prices_of(SMALL, before)))

    assert found.broken_before == ()
    assert violations(world, found) == []


@pytest.mark.parametrize("name", RULE_SETS)
def test_fewer_rules_are_a_world_of_their_own(name: str) -> None:
    """Each set keeps cards and demand, and its plans the rules that are left."""
    world = with_rules(SMALL, name)

    assert world.node_free_cards.tolist() == SMALL.node_free_cards.tolist()
    assert np.any(world.shape_cpu_milli_per_task > 0) == (name in ("cpu", "power_quota"))
    assert bool(world.quota_names) == np.any(world.hub_power_cap_watts >= 0) == (name == "power_quota")
    assert np.any(world.shape_share_milli[world.job_shape] > 0) == (name != "cards")
    assert violations(world, plan(world, Policy(effort=2))) == []


def test_the_smallest_rule_set_leaves_only_sharing_jobs_out() -> None:
    world = with_rules(SMALL, "cards")
    sharing = SMALL.shape_share_milli[SMALL.job_shape] > 0

    assert world.job_id == tuple(name for name, left_out in zip(SMALL.job_id, sharing, strict=True) if not left_out)


def test_shares_come_from_the_trace_where_it_is_there(tmp_path: Path) -> None:
    for name, text in (
        ("philly_jobs.csv.gz", "submit_s,duration_s,num_gpus,vc\n0,60,4,a\n"),
        ("openb_pod_list_default.csv.gz", "num_gpu,gpu_milli\n1,460\n1,1000\n2,1000\n0,0\n"),
    ):
        with gzip.open(tmp_path / name, "wt") as text_file:
            text_file.write(text)

    real = real_jobs(tmp_path)

    assert (real.cards.tolist(), real.duration_seconds.tolist()) == ([4], [60])
    assert real.share_milli.tolist() == [460]
    assert real_jobs(None).share_milli.tolist() == list(SLICES_MILLI)
    with pytest.raises(FileNotFoundError, match="philly_jobs"):
        real_jobs(tmp_path / "nothing")


def test_slices_are_below_a_card_and_ascend() -> None:
    for make in MAKES:
        assert list(make.slices_milli) == sorted(set(make.slices_milli))
        assert all(0 < milli < 1000 for milli in make.slices_milli)
