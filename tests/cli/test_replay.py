"""`xisuan rounds replay`: the same plan bit for bit, or it says so."""

import json
from dataclasses import replace

import pytest
import typer

from broker.cli.policies import compared, show_compared
from broker.cli.rounds import replayed
from broker.client import RoundRecord
from scheduler.decide import decide
from scheduler.decided import Decided
from scheduler.errors import BadPlan
from scheduler.horizon import Horizon
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.rounds import Round
from tests.scheduler.planning_worlds import gangs, random_world


@pytest.fixture(scope="module")
def record() -> RoundRecord:
    """A round as the broker stores it: stopped in the middle of its effort."""
    snapshot, policy = random_world(7, jobs=60, pools=3, nodes_per_pool=4), Policy(effort=6)
    left = iter([False, False])
    made = plan(snapshot, policy, lambda: next(left, True))
    assert made.effort_spent == 2
    return RoundRecord(snapshot.to_bytes(), made.to_bytes(), policy.to_json())


def test_a_round_replays_bit_for_bit(record: RoundRecord) -> None:
    result = replayed(record)

    assert result["same"]
    assert result["violations"] == []
    assert result["objective_micro_yuan_per_hour"] == result["stored_objective_micro_yuan_per_hour"]


def test_another_plan_is_told(record: RoundRecord) -> None:
    stored = Plan.from_bytes(record.plan)
    changed = replace(stored, bound_micro_yuan_per_hour=stored.bound + 1)

    result = replayed(replace(record, plan=changed.to_bytes()))

    assert not result["same"]


@pytest.mark.parametrize("part", ["snapshot", "plan", "policy_json"])
def test_a_record_that_cannot_be_read_is_told(record: RoundRecord, part: str) -> None:
    broken = json.dumps({"seed": -1}) if part == "policy_json" else b"PK\x05\x06"

    result = replayed(replace(record, **{part: broken}))

    assert not result["same"]
    assert "the record cannot be read" in result["violations"][0]


@pytest.fixture(scope="module")
def ahead() -> RoundRecord:
    """A round that looked ahead: a gang of eight cards waits for four that are taken for two hours."""
    world = gangs((1, 8), (1, 1), nodes_per_pool=1, node_free_cards=[4])
    taken: dict[str, object] = {"held_node": [0], "held_cards": [4], "held_cpu_milli": [0], "held_memory_mib": [0]}
    ends = {"lease_id": ("lease-1",), "lease_ends_at_s": [world.taken_at_s + 7_200], "held_lease": [0]}
    horizon, policy = Horizon(**taken | ends), Policy(effort=6)  # type: ignore[arg-type]
    made = decide(world, horizon, policy)
    assert made.made
    decision = Decided.of(world, horizon, Round.stopping_nobody(made)).to_bytes()
    return RoundRecord(world.to_bytes(), made.plan.to_bytes(), policy.to_json(), horizon.to_bytes(), decision)


def test_a_round_that_looked_ahead_replays_with_its_promises(ahead: RoundRecord) -> None:
    result, forgetful = replayed(ahead), compared(ahead, ["promises_max=0"])

    assert (result["same"], result["violations"]) == (True, [])
    assert (result["placed"], result["stored_placed"], result["promises"]) == (1, 1, 1)
    assert (forgetful["violations"], forgetful["other"]["placed"]) == ([], 1)


def test_another_decision_beside_the_same_plan_is_told(ahead: RoundRecord) -> None:
    stored = Decided.from_bytes(ahead.plan, ahead.decision)

    result = replayed(replace(ahead, decision=replace(stored, promises=(), made=()).to_bytes()))

    assert not result["same"]


@pytest.mark.parametrize("broken", [b"{}", b"[]", b'{"news": 1}', b" "])
def test_a_decision_that_cannot_be_read_is_told(ahead: RoundRecord, broken: bytes) -> None:
    with pytest.raises(BadPlan):
        Decided.from_bytes(ahead.plan, broken)
    assert "the record cannot be read" in replayed(replace(ahead, decision=broken))["violations"][0]
    assert "the record cannot be read" in replayed(replace(ahead, horizon=broken))["violations"][0]


def test_a_round_under_another_policy_is_compared_job_by_job(
    record: RoundRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    same, other = compared(record, ["seed=1"]), compared(record, ["fair_share_percent=0", "ageing_percent_per_step=0"])

    assert same["starts_only_stored"] == same["starts_only_other"] == same["moves"] == []
    assert same["stored"] == same["other"]
    assert other["violations"] == []
    started = {each.job_id for each in Plan.from_bytes(record.plan).placements}
    assert set(other["starts_only_stored"]) <= started
    assert not set(other["starts_only_other"]) & started
    show_compared(3, other)
    assert "fair_share_percent=0" in capsys.readouterr().out


@pytest.mark.parametrize("setting", ["seed", "seed=", "seed=-1", "nothing=1", 'seed="x"', "seed=1e9", "effort=0"])
def test_settings_that_cannot_be_are_refused_by_name(record: RoundRecord, setting: str) -> None:
    with pytest.raises(typer.BadParameter):
        compared(record, [setting])
