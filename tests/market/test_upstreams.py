"""What a job runs after must be there: judged item by item, in the order of the call."""

from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest, JobNotFound
from broker.ids import JobId
from broker.job import JobSpec
from broker.market.upstreams import named, objections
from tests.small_world import a_spec

KEYS = st.sampled_from("abcdef")


def after(*names: int | str) -> JobSpec:
    ids = tuple(JobId(n) for n in names if isinstance(n, int))
    return a_spec(after=ids, after_request_keys=tuple(n for n in names if isinstance(n, str)))


def test_what_is_not_there_is_named_with_its_place() -> None:
    found = objections([("k", after(1, 2, "x"))], [None], {JobId(1)}, set())[0]

    assert isinstance(found, InvalidRequest)
    assert [p.field for p in found.fields] == ["spec.after[1]", "spec.after_request_keys[0]"]
    assert "no job job-2 of this city" in found.fields[0].description
    assert "request key 'x'" in found.fields[1].description


def test_a_key_counts_from_its_item_on_unless_that_one_is_refused() -> None:
    items = [("a", after()), ("b", after("a")), ("c", after("z")), ("d", after("c")), ("e", after("f")), ("f", after())]

    found = [o and [p.field for p in o.fields] for o in objections(items, [None] * 6, set(), set())]

    assert found == [None, None, *[["spec.after_request_keys[0]"]] * 3, None]


def test_what_was_refused_before_stays_refused() -> None:
    first = JobNotFound(job="job-1")

    found = objections([("a", after()), ("b", after("a"))], [first, None], set(), set())

    assert found[0] is first
    assert isinstance(found[1], InvalidRequest)


@given(st.lists(st.tuples(KEYS, st.lists(KEYS, max_size=3)), max_size=8), st.sets(KEYS))
def test_whoever_passes_names_only_what_is_there_before_it(calls: list[tuple[str, list[str]]], known: set[str]) -> None:
    """So no order of items makes a circle."""
    items = [(key, after(*names)) for key, names in calls]

    found = objections(items, [None] * len(items), set(), known)

    there = set(known)
    for (key, spec), objection in zip(items, found, strict=True):
        assert (objection is None) == (set(spec.after_request_keys) <= there)
        if objection is None:
            there.add(key)
    assert named(items) == (set(), {name for _, names in calls for name in names})
