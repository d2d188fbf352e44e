"""Request keys as they are stored: no two callers share one, and each gets its own back."""

from hypothesis import given
from hypothesis import strategies as st

from broker.ids import SLUG
from broker.request_key import beside, sent_key, stored_key

SENT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=128)
"""What checks of requests let through: printable ASCII."""

ENTERPRISES = st.just("") | st.from_regex(SLUG, fullmatch=True)


@given(ENTERPRISES, SENT, ENTERPRISES, SENT)
def test_keys_of_different_callers_never_meet(one: str, key: str, other: str, other_key: str) -> None:
    assert (stored_key(one, key) == stored_key(other, other_key)) == ((one, key) == (other, other_key))


@given(ENTERPRISES, SENT, SENT)
def test_a_key_comes_back_as_it_was_sent_and_others_beside_it_are_of_the_same_caller(
    enterprise: str, key: str, other: str
) -> None:
    stored = stored_key(enterprise, key)

    assert sent_key(stored) == key
    assert beside(stored, other) == stored_key(enterprise, other)
    assert len(stored) <= 192  # what the tables take
