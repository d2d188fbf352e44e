"""A statement has one text and no other, and says itself whether its placement keeps the job's rules."""

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.policy.statement import TEXT_CHARACTERS_MAX, PlacementPolicy, PolicyFault, PolicyRefused
from tests.policy.statements import statement, statements


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements)
def test_a_statement_is_read_as_it_was_written(policy: PlacementPolicy) -> None:
    assert PlacementPolicy.from_text(policy.to_text()) == policy


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements, st.data())
def test_any_other_text_is_refused_or_says_something_else(policy: PlacementPolicy, data: st.DataObject) -> None:
    """So no second text says the same: what is signed is all that there is to be read."""
    text = policy.to_text()
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + data.draw(st.characters()) + text[at + data.draw(st.integers(0, 1)) :]

    read = None
    with suppress(PolicyRefused):
        read = PlacementPolicy.from_text(other)

    assert (read == policy) == (other == text)


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists) | st.text())
def test_what_is_no_statement_is_refused(value: object) -> None:
    for text in (json.dumps(value), str(value)):
        with pytest.raises(PolicyRefused, match=r"^POLICY_MALFORMED: "):
            PlacementPolicy.from_text(text)


WRONG = {
    "key_id": ["", "x" * 17, "é" * 16, 1],
    "lease": ["lease-0", "job-1", 1],
    "epoch": [0, -1, True, 2**31, 1.0, "1"],
    "job": ["lease-1", ""],
    "domestic_only": [0, "true", None],
    "allowed_owners": [["b", "a"], ["a", "a"], ["A"], "a", [1], None],
    "allowed_hubs": [["b", "a"], [""]],
    "origin": ["", "martian"],
    "city": ["", "Ganzhou", "a" * 64, None],
    "version": [0, 2, True, "1"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_each_field_is_checked(name: str, value: object) -> None:
    values = json.loads(statement().to_text())
    text = json.dumps(values | {name: value}, sort_keys=True, separators=(",", ":"))

    with pytest.raises(PolicyRefused, match=r"^POLICY_MALFORMED: "):
        PlacementPolicy.from_text(text)


def test_a_text_that_is_too_long_is_not_even_read() -> None:
    with pytest.raises(PolicyRefused, match=r"^POLICY_MALFORMED: "):
        PlacementPolicy.from_text("[" * (TEXT_CHARACTERS_MAX + 1))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"domestic_only": True}, None),
        ({"domestic_only": True, "origin": "foreign"}, PolicyFault.ORIGIN_NOT_ALLOWED),
        ({"origin": "foreign"}, None),
        ({"allowed_owners": ("lab-owner", "other")}, None),
        ({"allowed_owners": ("other",)}, PolicyFault.OWNER_NOT_ALLOWED),
        ({"allowed_hubs": ("qingyang",)}, None),
        ({"allowed_hubs": ("guian", "zhongwei")}, PolicyFault.HUB_NOT_ALLOWED),
    ],
)
def test_the_jobs_rules(changes: dict[str, object], fault: PolicyFault | None) -> None:
    problem = statement(**changes).objection()

    assert (problem.fault if problem else None) == fault
