"""Asked why a job waits, every pool gives a reason and a number that is worth something."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planning_worlds import arrays, gangs, random_world, snapshot

from scheduler.errors import UnknownJob
from scheduler.explain import cheapest_clearing, explain
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.snapshot import Snapshot

POLICY = Policy(effort=20, solver_work_ms_per_step=20)


def test_a_refused_job_hears_the_same_reason_as_its_refusal_says() -> None:
    """The explanation of one job agrees with the round that refused it."""
    world = random_world(3, jobs=80, pools=4, nodes_per_pool=3)
    found = plan(world, POLICY)

    for refusal in found.refusals:
        verdicts = explain(world, found, refusal.job_id)

        assert verdicts[refusal.pool].reason is refusal.reason
        assert [v.pool for v in verdicts] == [0, 1, 2, 3]


def test_a_placed_job_hears_where_and_what_else_there_was() -> None:
    """One pool is chosen; others it may use are only not better."""
    world = random_world(3, jobs=80, pools=4, nodes_per_pool=3)
    found = plan(world, POLICY)

    for placement in found.placements:
        reasons = [v.reason for v in explain(world, found, placement.job_id)]

        assert reasons[placement.pool] is Reason.CHOSEN
        assert reasons.count(Reason.CHOSEN) == 1
        assert Reason.OUTBID not in reasons


def test_the_clearing_price_is_the_one_that_wins() -> None:
    """Raise the ceiling above what the verdict asks for, and the next round places the job."""
    ceilings = [9_000_000, 10_000_000]
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=ceilings)
    found = plan(world, POLICY)

    cheapest = cheapest_clearing(explain(world, found, "job-0"))
    assert cheapest is not None
    enough = cheapest.clearing_micro_yuan_per_pflops_hour + 100
    after = plan(gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[enough, ceilings[1]]), POLICY)

    assert cheapest.price_short_micro_yuan_per_pflops_hour == cheapest.clearing - ceilings[0] > 0
    assert [p.job_id for p in after.placements] == ["job-0"]


def test_on_free_cards_the_clearing_price_is_the_ask() -> None:
    """2 yuan for 0.32 PFLOPS are 6.25 yuan for a PFLOPS-hour; one micro-yuan more for the card wins it."""
    world = snapshot(jobs=1, job_ceiling_micro_yuan_per_pflops_hour=[6_000_000])
    found = plan(world, POLICY)

    (verdict,) = explain(world, found, "job-0")

    assert verdict.reason is Reason.PRICE_BELOW_ASK
    assert verdict.clearing_micro_yuan_per_pflops_hour == 6_250_004
    assert verdict.price_short_micro_yuan_per_pflops_hour == 250_004
    paying = snapshot(jobs=1, job_ceiling_micro_yuan_per_pflops_hour=[verdict.clearing])
    assert len(plan(paying, POLICY).placements) == 1


def test_missing_cards_are_counted_by_task() -> None:
    """Two tasks of five cards on nodes with eight and four free: one task, five cards short."""
    world = snapshot(jobs=1, shape_tasks=[2], shape_cards_per_task=[5], node_free_cards=[8, 4])

    (verdict,) = explain(world, plan(world, POLICY), "job-0")

    assert (verdict.reason, verdict.tasks_short, verdict.cards_short) == (Reason.CARDS_SHORT, 1, 5)
    assert cheapest_clearing([verdict]) is None


def test_money_does_not_help_where_the_gang_does_not_fit() -> None:
    """A pool that is too dear and too small is not offered as the cheapest one."""
    world = snapshot(jobs=1, shape_tasks=[99], job_ceiling_micro_yuan_per_pflops_hour=[0])

    verdicts = explain(world, plan(world, POLICY), "job-0")

    assert verdicts[0].reason is Reason.PRICE_BELOW_ASK
    assert cheapest_clearing(verdicts) is None


def test_a_pool_without_a_figure_has_no_price() -> None:
    """-1 says that nobody knows."""
    plain = arrays(jobs=1, model_fp16_programme_milli_tflops=[-1])
    world = Snapshot(**plain)

    (verdict,) = explain(world, plan(world, POLICY), "job-0")

    assert verdict.reason is Reason.MODEL_WITHOUT_FIGURE
    assert verdict.clearing == verdict.price_short_micro_yuan_per_pflops_hour == -1


def test_a_job_of_another_round_is_unknown() -> None:
    """It was submitted after the snapshot, or never."""
    world = snapshot(jobs=1)
    found = plan(world, POLICY)

    with pytest.raises(UnknownJob, match="job-7"):
        explain(world, found, "job-7")


def test_priority_lowers_the_price_that_wins() -> None:
    """An urgent job's yuan counts more, so that it needs fewer of them."""
    world = gangs((1, 8), (1, 8), nodes_per_pool=1, ceilings=[9_000_000, 10_000_000])
    found = plan(world, POLICY)
    urgent = replace(world, job_priority=[2, 1])

    standard_price = explain(world, found, "job-0")[0].clearing
    urgent_price = explain(urgent, found, "job-0")[0].clearing

    assert urgent_price < standard_price
