"""What nobody can earn in a replay: by hand, by trying every start, and above every policy on made and real jobs."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replay import engine, rivals
from benchmarks.replay.bound import best_starts, priced_bound, worth_bound
from benchmarks.replay.metrics import outcome, worth
from benchmarks.replay.public import read_trace
from benchmarks.replay.trace import NEVER_PREEMPTED, Row, trace_of
from benchmarks.replay.workload import Workload, in_world
from benchmarks.replay.world import read_world
from tests.benchmarks.test_replay import workload

POLICIES = (rivals.first_come, rivals.Easy, rivals.densest_first, rivals.shortest_first, rivals.LeastAttained)


def earned(load: Workload, policy: engine.Policy) -> float:
    """Return what the policy earns until the horizon."""
    log = engine.replay(load, policy)
    return worth(load, log, outcome(load, log))


def test_two_jobs_that_fill_the_node_cannot_both_run(tmp_path: Path) -> None:
    """The horizon is 10, so one of the two earns."""
    load = workload(tmp_path, "0,10,4,10\n0,10,4,10\n10,1,1,1\n")
    one = load.worth_micro_yuan[:2].max() * 10 / 3600

    assert worth_bound(load) == pytest.approx(one)
    assert priced_bound(load) == pytest.approx(one, rel=0.02)


def test_cards_that_stood_idle_before_a_job_came_do_it_no_good(tmp_path: Path) -> None:
    """Two come at 90 and fill the node until the horizon, 100; the plain bound lets one of them run before it came."""
    load = workload(tmp_path, "0,1,1,1\n90,10,4,10\n90,10,4,10\n100,1,1,1\n")
    of_each = load.worth_micro_yuan[:, 0] * load.run_s[:, 0] / 3600

    assert worth_bound(load) == pytest.approx(of_each[:3].sum(), rel=0.01)
    assert priced_bound(load, 300) == pytest.approx(of_each[0] + of_each[1:3].max(), rel=0.05)


def test_who_is_killed_pays_for_no_more_than_it_had(tmp_path: Path) -> None:
    """A long job ends at its walltime, before dearer ones come: at their price it could not have stayed."""
    dear = "".join(f"{at},100,4,100\n" for at in range(500, 1000, 100))
    load = workload(tmp_path, "0,1000,4,500\n" + dear + "1000,1,1,1\n")

    assert earned(load, rivals.first_come(load)) <= priced_bound(load, 300) * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 80), st.integers(1, 12), st.integers(0, 30), st.integers(1, 160)),
        min_size=2,
        max_size=12,
    ),
    st.integers(0, 40),
)
def test_no_policy_earns_more(rows: list[tuple[int, int, int, int, int]], steps: int) -> None:
    """However far the search for prices went, and although some are killed at their walltime: all prices are bounds."""
    made = [
        Row(when, lasts, cards, "a", walltime_s=walltime, checkpoint_s=NEVER_PREEMPTED)
        for when, lasts, cards, _, walltime in sorted(rows)
    ]
    load = in_world(trace_of(made, "made"), read_world("gavel"), seed=rows[0][3])
    bound = priced_bound(load, steps)

    assert bound <= worth_bound(load) * (1 + 1e-9)
    for policy in POLICIES:
        assert earned(load, policy(load)) <= bound * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 30), st.integers(1, 4)), min_size=1, max_size=6),
    st.lists(st.floats(0, 3), min_size=10, max_size=10),
)
def test_the_best_start_is_the_best_of_all(jobs: list[tuple[int, int, int]], prices: list[float]) -> None:
    """Against every start in steps of a twentieth of a second, in two pools whose prices change every four seconds."""
    submit, run, cards = (np.array(column, dtype=np.int64) for column in zip(*jobs, strict=True))
    horizon, part_s = 20, 4.0
    price = np.array(prices).reshape(2, 5)
    sums = np.concatenate([np.zeros((2, 1)), np.cumsum(price * part_s / 3600, axis=1)], axis=1)
    worth_of = np.stack([2 * cards, cards], axis=1)
    runs = np.stack([run, run + 3], axis=1)
    used = np.zeros((2, 5))

    gained = best_starts(submit, cards, runs, worth_of, sums, horizon, used)

    def cost(pool: int, second: float) -> float:
        return float(np.interp(second, np.arange(6) * part_s, sums[pool]))

    best = 0.0
    for job in range(submit.size):
        tried = [0.0]
        for pool in range(2):
            for at in np.arange(submit[job], horizon, 0.05):
                until = min(at + runs[job, pool], horizon)
                paid = cards[job] * (cost(pool, until) - cost(pool, at))
                tried.append(worth_of[job, pool] / 3600 * (until - at) - paid)
        best += max(tried)
    assert gained >= best - 1e-9
    assert gained == pytest.approx(best, abs=1e-4)
    assert used.max() <= cards.sum() * part_s / 3600 + 1e-9


def test_it_stands_above_every_policy_on_real_jobs() -> None:
    """And below the plain bound."""
    with resources.as_file(resources.files("broker.demo") / "philly_day.csv.gz") as bundled:
        load = in_world(read_trace(bundled), read_world("philly-day"), seed=3)
    bound = priced_bound(load, 30)

    assert bound <= worth_bound(load)
    for policy in POLICIES:
        assert 0 < earned(load, policy(load)) <= bound
