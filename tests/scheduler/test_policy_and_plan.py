"""Policies and plans are stored as text and come back whole, or are refused by name."""

from __future__ import annotations

import pytest
from planning_worlds import snapshot

from scheduler.errors import BadPlan, BadPolicy, BadSnapshot
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.replay import replay


def test_a_policy_comes_back_from_json() -> None:
    """Canonical: equal policies give equal text; settings left out keep their default."""
    policy = Policy(seed=7, effort=3, priority_percent=(50, 100, 200, 400))

    assert Policy.from_json(policy.to_json()) == policy
    assert Policy.from_json("{}") == Policy()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "policy"),
        ("[]", "policy"),
        ("[" * 100_000, "policy"),
        ('{"effort": -1}', "effort"),
        ('{"effort": 1.5}', "effort"),
        ('{"effort": true}', "effort"),
        ('{"effort": "9"}', "effort"),
        ('{"efort": 1}', "efort"),
        ('{"seed": 4294967296}', "seed"),
        ('{"priority_percent": [1, 2, 3]}', "priority_percent"),
        ('{"priority_percent": 5}', "priority_percent"),
        ('{"priority_percent": [4, 3, 2, 1]}', "priority_percent"),
        ('{"priority_percent": [0, 1, 2, 3]}', "priority_percent"),
        ('{"priority_percent": [1, 2, 3, 10001]}', "priority_percent"),
        ('{"ageing_step_seconds": 0}', "ageing_step_seconds"),
        ('{"opening_prices": 5}', "opening_prices"),
        ('{"opening_prices": [["a/p", [[1]], 0, 0]]}', "opening_prices"),
        ('{"opening_prices": [["a/p", [[1, -5]], 0, 0]]}', "opening_prices"),
        ('{"opening_prices": [["a/p", [[1, 0.5]], 0, 0]]}', "opening_prices"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_name(text: str, field: str) -> None:
    """The setting is named, and what it may be."""
    with pytest.raises(BadPolicy) as refused:
        Policy.from_json(text)

    assert refused.value.field == field


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"prices": 1}'])
def test_bytes_that_are_no_plan_are_refused(damage: bytes) -> None:
    """A round's stored plan may be damaged; it is not guessed at."""
    with pytest.raises(BadPlan):
        Plan.from_bytes(damage)


def test_a_plan_in_other_words_is_refused() -> None:
    """Only canonical bytes compare."""
    stored = plan(snapshot(), Policy(effort=0)).to_bytes()

    with pytest.raises(BadPlan, match="canonical"):
        Plan.from_bytes(stored.replace(b",", b", ", 1))


def test_a_replay_of_damaged_input_names_what_is_damaged() -> None:
    """Both stored inputs are checked."""
    with pytest.raises(BadSnapshot):
        replay(b"gone", Policy().to_json(), 1)
    with pytest.raises(BadPolicy):
        replay(snapshot().to_bytes(), "gone", 1)
    with pytest.raises(BadPolicy):
        replay(snapshot().to_bytes(), Policy().to_json(), -1)
