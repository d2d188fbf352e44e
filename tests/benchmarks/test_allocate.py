"""`benchmarks allocate` in small: its figures, its files, and rivals that keep the same rules."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from benchmarks import one_model, rivals
from benchmarks.__main__ import app
from benchmarks.sweep import exponent
from benchmarks.worlds.national import national
from benchmarks.worlds.rule_sets import RULE_SETS, with_rules
from benchmarks.worlds.summary import binding, hardness
from benchmarks.worlds.trace import real_jobs
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.snapshot import Snapshot

WORLD = national(1, 100, 12, 300, real_jobs(None))
POLICY = Policy(effort=2)
MEMORY_MIB_MAX = 4_096
PROMISED = {
    "cold_seconds", "warm_seconds", "gap_cold", "gap_warm", "objective", "bound", "peak_mib",
    "first_come", "density", "compile_seconds",
    *(f"one_model{figure}" for figure in ("", "_found", "_out_of_memory", "_died", "_model_mib", "_peak_mib")),
    *(f"{what}_{name}" for what in ("gap", "seconds") for name in RULE_SETS),
}  # fmt: skip


def allocate(*options: str) -> Result:
    small = ("--nodes", "100", "--pools", "12", "--jobs", "300", "--effort", "2", "--budget", "0")
    return CliRunner().invoke(app, ["allocate", *small, "--one-model-seconds", "2", *options])


def figures(path: Path) -> dict[str, float]:
    written = json.loads(path.read_text())
    assert written["benchmark"] == "allocate"
    assert written["audit"] == {"violations": 0}
    found: dict[str, float] = written["figures"]
    return found


def test_a_run_writes_every_promised_figure_and_can_be_repeated_from_its_file(tmp_path: Path) -> None:
    """The same instance, read from a file, gives the same plan."""
    saved, first, again = tmp_path / "world.npz", tmp_path / "first.json", tmp_path / "again.json"

    drawn = allocate("--save-instance", str(saved), "--json", str(first), "--plot", str(tmp_path / "plots"))
    read = allocate("--instance", str(saved), "--json", str(again), "--no-rule-sets")

    assert (drawn.exit_code, read.exit_code) == (0, 0), (drawn.output, drawn.exception)
    assert set(figures(first)) >= PROMISED
    assert all(figures(first)[name] == figures(again)[name] for name in ("objective", "bound", "density"))
    assert "gap_cards" not in figures(again)
    assert {file.name for file in (tmp_path / "plots").iterdir()} == {
        "allocate-ways.png", "allocate-worth.png", "allocate-prices.png",
    }  # fmt: skip
    assert "jobs it binds" in drawn.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--nodes", "3", "--pools", "4"), "--nodes"),
        (("--data", "/nowhere"), "--data"),
        (("--instance", "/nowhere.npz"), "--instance"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], told: str) -> None:
    found = allocate(*options)

    assert found.exit_code == 2
    assert told in found.output


def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "world.npz"
    broken.write_bytes(b"no archive")

    found = allocate("--instance", str(broken))

    assert found.exit_code == 2


@pytest.fixture(scope="module")
def ours() -> Plan:
    return plan(WORLD, POLICY)


@pytest.mark.parametrize("name", RULE_SETS)
@pytest.mark.parametrize("seed", [1, 2])
def test_rivals_keep_every_rule(seed: int, name: str) -> None:
    """What they place passes the verifier, worths included; otherwise the comparison would be worth nothing."""
    world = with_rules(national(seed, 150, 12, 500, real_jobs(None)), name)
    given, made = rivals.instance(world, POLICY), plan(world, Policy(effort=0))

    one = one_model.one_model(given, 2, MEMORY_MIB_MAX, 1).rival
    assert one is not None
    for rival in (rivals.first_come(given), rivals.density(given), one):
        assert rival.placements
        assert rivals.broken(rival.placements, world, made) == []


def test_a_rival_that_breaks_a_rule_is_told(ours: Plan) -> None:
    given = rivals.instance(WORLD, POLICY)
    fine = rivals.density(given).placements

    assert {found.rule.value for found in rivals.broken((*fine, fine[0]), WORLD, ours)} >= {"JOB_TWICE"}


@pytest.mark.parametrize(
    ("seconds", "memory_mib", "told", "figure"),
    [
        ("1e-9", "4096", "found nothing in the time", "one_model_found"),
        ("60", "1", "killed at the memory limit", "one_model_out_of_memory"),
    ],
)
def test_a_one_model_rival_that_ends_without_a_plan_says_why(
    seconds: str, memory_mib: str, told: str, figure: str, tmp_path: Path
) -> None:
    """The benchmark goes on without it; 0 stands for its plan."""
    found = allocate(
        "--one-model-seconds", seconds, "--one-model-memory-mib", memory_mib, "--no-rule-sets",
        "--json", str(tmp_path / "f.json"),
    )  # fmt: skip

    assert found.exit_code == 0, (found.output, found.exception)
    assert f"one_model: {told}" in found.output
    written = figures(tmp_path / "f.json")
    assert written["one_model"] == written["one_model_found"] == 0
    assert written[figure] == (figure == "one_model_out_of_memory")


def test_a_hint_is_a_plan_that_the_model_allows() -> None:
    """Every row of the model holds for what worth density placed, and it is counted whole."""
    given = rivals.instance(WORLD, POLICY)
    dense = rivals.density(given)

    offers, model = one_model.modelled(given, dense)

    assert model.hint is not None
    row = np.repeat(np.arange(model.upper.size), np.diff(model.row_start))
    used = np.bincount(row, model.term_use * model.hint[model.term_variable], model.upper.size)
    assert np.all(used <= model.upper)
    assert np.all(model.hint <= model.most)
    hinted = np.flatnonzero(model.hint[: offers.job.size])
    assert len(set(offers.job[hinted])) == hinted.size == len(dense.placements)


def test_a_hint_makes_a_line_of_its_own(tmp_path: Path) -> None:
    found = allocate("--one-model-hint", "--no-rule-sets", "--json", str(tmp_path / "f.json"))

    assert found.exit_code == 0, (found.output, found.exception)
    written = figures(tmp_path / "f.json")
    assert written["one_model_found"] == written["one_model_hinted_found"] == 1


def test_tiers_are_counted_as_the_planner_counts_them(ours: Plan) -> None:
    given = rivals.instance(WORLD, POLICY)

    reached = rivals.by_tier(given, ours.placements, [tier.name for tier in ours.tiers])

    assert reached == [tier.objective for tier in ours.tiers]


def changed(**arrays: object) -> Snapshot:
    content = {name: getattr(WORLD, name) for name in Snapshot.__dataclass_fields__}
    return Snapshot(**(content | arrays))


def test_a_rule_binds_the_jobs_that_lose_a_pool_by_it() -> None:
    """Nobody when it forbids nothing, every refused job that has a model somewhere when it forbids all."""
    free = changed(shape_hub_allowed=np.ones_like(WORLD.shape_hub_allowed))
    shut = changed(shape_hub_allowed=np.zeros_like(WORLD.shape_hub_allowed))

    counts = [binding(rivals.instance(world, POLICY), plan(world, POLICY)) for world in (free, shut)]

    assert counts[0]["HUB_NOT_ALLOWED"] == 0
    assert counts[1]["HUB_NOT_ALLOWED"] > 100
    assert counts[1]["PRICE_BELOW_ASK"] == counts[1]["price of block"] == 0


def test_a_price_binds_the_jobs_that_would_pay_it() -> None:
    """After the steps for guarantees there are prices of worth: of slices and power in this world."""
    given = rivals.instance(WORLD, POLICY)

    counts = binding(given, plan(WORLD, replace(POLICY, effort=20)))

    waiting = int((given.best_worth > 0).sum())
    assert all(0 <= jobs <= waiting for name, jobs in counts.items() if name.startswith("price of"))
    assert counts["price of slice"] + counts["price of power"] > 0


def test_hardness_is_a_share_of_what_could_run() -> None:
    hard = hardness(rivals.instance(WORLD, POLICY))

    assert hard.free_cards == int(WORLD.node_free_cards[WORLD.node_open].sum())
    assert 0 < hard.nowhere_share < 1


def test_cost_that_doubles_with_the_jobs_has_exponent_one() -> None:
    assert exponent([10, 100, 1000], [1.0, 10.0, 100.0]) == pytest.approx(1)
    assert exponent([10], [1.0]) == 0


def test_a_sweep_measures_every_size_up_to_the_largest(tmp_path: Path) -> None:
    found = allocate("--sweep", "--sweep-max", "1000", "--json", str(tmp_path / "f.json"), "--plot", str(tmp_path))

    assert found.exit_code == 0, (found.output, found.exception)
    assert {"seconds_1000_jobs", "peak_mib_1000_jobs", "gap_1000_jobs", "exponent"} == set(figures(tmp_path / "f.json"))
    assert (tmp_path / "allocate-growth.png").is_file()
