"""A session is what we signed, for a while; a form is of the session that it was made for."""

from datetime import timedelta

import pytest

from broker.console import sessions
from broker.console.formats import heat, span, title
from broker.console.logins import BURST, Logins
from broker.console.words import preferred
from tests.small_world import T0

SECRET = sessions.secret_of(b"the private key")


def test_a_console_session_comes_back_as_it_was_begun() -> None:
    begun = sessions.begin("k" * 12, T0)

    assert sessions.from_cookie(sessions.to_cookie(begun, SECRET), SECRET, T0 + timedelta(hours=11)) == begun


@pytest.mark.parametrize("after", [sessions.LASTS, timedelta(days=400), timedelta(minutes=-2)])
def test_a_console_session_that_is_over_or_from_the_future_is_none(after: timedelta) -> None:
    cookie = sessions.to_cookie(sessions.begin("k" * 12, T0), SECRET)

    assert sessions.from_cookie(cookie, SECRET, T0 + after) is None


def test_no_other_cookie_is_a_console_session() -> None:
    cookie = sessions.to_cookie(sessions.begin("k" * 12, T0), SECRET)
    wrong = [cookie[:-1] + ("A" if cookie[-1] != "A" else "B"), "A" + cookie[1:], "", ".", "é.é", cookie + "x" * 600]

    assert [sessions.from_cookie(each, SECRET, T0) for each in wrong] == [None] * len(wrong)
    assert sessions.from_cookie(cookie, sessions.secret_of(b"another key"), T0) is None


def test_a_console_form_fits_its_own_session_only() -> None:
    mine, other = sessions.begin("k" * 12, T0), sessions.begin("k" * 12, T0)
    token = sessions.form_token(mine, SECRET)

    assert sessions.form_token_fits(token, mine, SECRET)
    assert not sessions.form_token_fits(token, other, SECRET)
    assert not sessions.form_token_fits("", mine, SECRET)
    assert token not in sessions.to_cookie(mine, SECRET)


def test_console_logins_from_one_address_have_to_wait_and_others_need_not() -> None:
    logins = Logins()

    assert [logins.wait_seconds("a", 100.0) for _ in range(BURST)] == [0] * BURST
    assert 0 < logins.wait_seconds("a", 100.0) <= 1
    assert logins.wait_seconds("b", 100.0) == 0
    assert logins.wait_seconds("a", 101.1) == 0


@pytest.mark.parametrize(
    ("asked", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB", "en"), ("de, zh;q=0.2", "zh"), ("", "en"), (";;q=x,zh;q=y", "en")],
)
def test_the_console_speaks_what_the_browser_likes_most(asked: str, language: str) -> None:
    assert preferred(asked) == language


def test_console_figures_are_short() -> None:
    assert [span(s) for s in (None, 0, 59, 61, 3_700, 90_000)] == ["–", "0s", "59s", "1m 01s", "1h 01m", "1d 01h"]
    assert [heat(part, 100) for part in (0, 1, 50, 100)] == [0, 1, 5, 9]
    assert [title("庆阳 Qingyang", language) for language in ("zh", "en")] == ["庆阳", "Qingyang"]
    assert title("East", "zh") == "East"
