"""Everything that the console says, it says in every language."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from broker.caller import Role
from broker.console.words import LANGUAGES, texts
from broker.job import PriorityClass, WorkloadClass
from broker.lifecycle import AgentState, EndReason, Held, JobEvent, JobState, LeaseState, NodeMode
from broker.vouchers.states import ApplicationState, StoryEvent, VoucherState
from scheduler.changes import Effect
from scheduler.horizon import Fate
from scheduler.levers import Lever
from scheduler.reasons import Reason

ROOM = Path(__file__).parents[2] / "broker" / "console"
FACT = re.compile(r"\{(\w*)")
SAID = re.compile(r"""(?:\bt|\bsay)\((?:language, )?f?["']([\w.]+)["'.{]""")
BUILT = ("nav.", "size.", "span.", "rounds.", "close.", "error.", "cards.", "login.", "preview.")

GROUPS: dict[str, list[type[StrEnum]]] = {
    "agent": [AgentState],
    "mode": [NodeMode],
    "job": [JobState],
    "lease": [LeaseState],
    "event": [JobEvent],
    "end": [EndReason],
    "priority": [PriorityClass],
    "sector": [WorkloadClass],
    "reason": [Reason, Held],
    "lever": [Lever],
    "effect": [Effect],
    "application": [ApplicationState],
    "voucher": [VoucherState],
    "story": [StoryEvent],
    "fate": [Fate],
}


def test_all_languages_of_the_console_say_the_same_things() -> None:
    """The same keys, and in each text the same facts."""
    first, *others = (texts(language) for language in LANGUAGES)

    for other in others:
        assert first.keys() == other.keys()
        assert {k: sorted(FACT.findall(v)) for k, v in first.items()} == {
            k: sorted(FACT.findall(v)) for k, v in other.items()
        }
    assert not [key for each in (first, *others) for key, text in each.items() if not text.strip()]


@pytest.mark.parametrize("group", GROUPS)
def test_the_console_has_a_word_for_each_of_a_closed_set(group: str) -> None:
    names = {each.value for kind in GROUPS[group] for each in kind}

    assert not [name for name in names if f"{group}.{name}" not in texts("en")]


def test_the_console_has_a_word_for_each_role_that_may_enter() -> None:
    assert {f"role.{role.value}" for role in {*Role} - {Role.AGENT, Role.ENTERPRISE}} <= texts("en").keys()


def test_what_the_pages_of_the_console_say_is_there_and_nothing_else() -> None:
    sources = [*ROOM.rglob("*.html"), *ROOM.rglob("*.py")]
    said = {key for source in sources for key in SAID.findall(source.read_text(encoding="utf-8"))}
    whole = "".join(source.read_text(encoding="utf-8") for source in sources)
    known = texts("en").keys()

    assert not [key for key in said if key not in known and not any(k.startswith(f"{key.rstrip('.')}.") for k in known)]
    groups = (*(f"{group}." for group in GROUPS), "role.", "outcome.", *BUILT)
    assert not [key for key in known if key not in said and not key.startswith(groups) and f'"{key}"' not in whole]
