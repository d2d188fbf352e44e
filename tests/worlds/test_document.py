"""Documents of strangers: nothing in them is expanded, run or guessed."""

import json
import tracemalloc
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.worlds.document import DEPTH_MAX, DOCUMENT, DOCUMENT_BYTES_MAX, parse

BOMB = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

REFUSED = {
    "an anchor": ("hubs: &h [1]", "hubs", "anchors"),
    "an alias": ("hubs: *h", "hubs", "aliases"),
    "a merge key": ("a: {<<: *x}", "a.<<", "aliases"),
    "a tag": ("world: !!python/object/apply:os.system ['true']", "world", "tags"),
    "a plain tag": ("world: !!str 5", "world", "tags"),
    "a key twice": ("world: a\nworld: b", DOCUMENT, "line 2: key 'world' occurs twice"),
    "a key twice, below": ("hubs:\n  - hub: a\n    hub: b", "hubs[0]", "line 3: key 'hub' occurs twice"),
    "two documents": ("a: 1\n---\nb: 2", DOCUMENT, "second document"),
    "a key that is a list": ("? [a]\n: 1", DOCUMENT, "a key must be text"),
    "a broken document": ("hubs: [", DOCUMENT, "not valid YAML"),
    "a tab": ("a:\n\t- b", DOCUMENT, "line 2"),
    "a day that does not exist": ("date: 2025-02-30", "date", "no date"),
    "an escape character": ("a: \x1b[31m", DOCUMENT, "not valid YAML"),
    "a lone surrogate": ("a: \ud800", DOCUMENT, "UTF-8"),
    "deep YAML": ("[" * 5000, "[0]" * DEPTH_MAX, "nested deeper"),
    "deep JSON": ('{"a":' * 5000 + "1" + "}" * 5000, DOCUMENT, ""),
    "rather deep JSON": ('{"a":' * 30 + "1" + "}" * 30, DOCUMENT, "nested deeper"),
    "a JSON key twice": ('{"a": 1, "a": 2}', DOCUMENT, "'a' occurs twice"),
    "a JSON number that is none": ('{"a": NaN}', DOCUMENT, "NaN is not a number"),
    "broken JSON": ('{"a": }', DOCUMENT, "line 1: not valid JSON"),
    "a JSON number with 5,000 digits": ('{"a": ' + "9" * 5000 + "}", DOCUMENT, "not valid JSON"),
    "too much": ("#" * (DOCUMENT_BYTES_MAX + 1), DOCUMENT, "at most 1048576"),
    "half of a character in JSON": ('{"world": "\\ud800"}', "document", "\\ud800 is half of a character"),
    "half of a character in a key": ('{"\\ude00": 1}', "document", "\\ude00 is half of a character"),
    "half of a character in YAML": ('world: "\\ud800"', "document", "invalid Unicode"),
}


@pytest.mark.parametrize(("text", "field", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_power_or_two_meanings_is_refused(text: str, field: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(text)

    [problem] = refused.value.fields
    assert problem.field == field
    assert why in problem.description


def test_a_yaml_bomb_costs_nothing() -> None:
    """Nine levels of nine aliases would be 3.5 GB of text."""
    tracemalloc.start()
    with pytest.raises(InvalidRequest, match="anchors"):
        parse(BOMB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000


def test_plain_words_mean_what_they_say() -> None:
    """YAML 1.1 reads `no` as false, `1:30` as ninety and 012 as ten."""
    text = "{a: no, b: 1:30, c: 0x10, d: true, e: ~, f: 2025-12-31, g: '5', h: 1.5, i: -3, j: 2025-12-31 10:00:00}"

    assert parse(" " + text.replace("{", "\n").replace("}", "").replace(", ", "\n ").lstrip()) == {
        "a": "no",
        "b": "1:30",
        "c": "0x10",
        "d": True,
        "e": None,
        "f": date(2025, 12, 31),
        "g": "5",
        "h": 1.5,
        "i": -3,
        "j": "2025-12-31 10:00:00",
    }


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text("nulltrefaso 12.-~:#中é", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), PLAIN, max_size=3))
def test_yaml_and_json_of_the_same_values_read_the_same(values: dict[str, Any]) -> None:
    as_yaml = yaml.dump(values, Dumper=_WithoutAliases, allow_unicode=True, default_flow_style=False)

    assert parse(as_yaml) == values
    assert parse(json.dumps(values)) == values


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidRequest):
        parse(text)


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, _: Any) -> bool:
        return True
