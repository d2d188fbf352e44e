"""The agent's log: what may stand in it."""

import pytest

from broker.agent.log import open_log


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_no_values(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Functions hold API keys in their variables: a traceback tells the place of an error, never what was there."""

    def call(api_key: str) -> None:
        raise ValueError("it broke")

    try:
        call("-".join(["xs", "very", "secret"]))
    except ValueError:
        open_log("json" if style == "json" else "console").exception("call failed")  # type: ignore[attr-defined]

    written = capsys.readouterr().err
    assert "it broke" in written
    assert "in call" in written
    assert "xs-very-secret" not in written
