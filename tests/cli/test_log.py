"""The broker's log: what may stand in it."""

import subprocess
import sys

import pytest

CRASH = """
import structlog
from broker.log_lines import LogStyle, open_log

open_log(LogStyle("{style}"))

def call(api_key):
    raise ValueError("it broke")

try:
    call("-".join(["xs", "very", "secret"]))
except ValueError:
    structlog.get_logger("broker").exception("call failed")
"""


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_no_values(style: str) -> None:
    """Functions hold API keys and passwords in their variables: a traceback tells the place, never what was there."""
    ended = subprocess.run(
        [sys.executable, "-c", CRASH.format(style=style)], capture_output=True, text=True, check=True
    )

    assert "it broke" in ended.stderr
    assert "in call" in ended.stderr
    assert "xs-very-secret" not in ended.stderr
