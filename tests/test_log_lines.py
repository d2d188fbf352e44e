"""Many lines at once look as one by one, in either style."""

import io
import json
import re
from collections.abc import Iterator

import pytest
import structlog

from broker.log_lines import LogStyle, open_log, tell_all

LINES = [
    ("job_submitted", {"job": "job-1", "city": "ganzhou"}),
    ("job_failed", {"job": "job-2", "city": "ganzhou", "attempt": 2, "reason": "EXIT_CODE"}),
    (
        "a_name_that_is_longer_than_thirty_characters",
        {"note": "two words", "quoted": "a'b", "none": "", "city": "赣州"},
    ),
    ("nothing", {}),
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written to stderr, and structlog as it was afterwards."""
    before, there = structlog.get_config(), io.StringIO()
    monkeypatch.setattr("sys.stderr", there)
    monkeypatch.setattr("broker.log_lines._opened", None)
    yield there
    structlog.configure(**before)


@pytest.mark.parametrize("style", LogStyle)
def test_lines_at_once_look_as_one_by_one(style: LogStyle, stderr: io.StringIO) -> None:
    open_log(style, call_process=1)
    log = structlog.get_logger("jobs")
    for event, facts in LINES:
        log.info(event, **facts)
    one_by_one = stderr.getvalue()
    stderr.seek(0)
    stderr.truncate()

    tell_all(log, LINES)

    told, wanted = (TIME.sub("TIME", text).splitlines() for text in (stderr.getvalue(), one_by_one))
    if style is LogStyle.JSON:
        assert [json.loads(line) for line in told] == [json.loads(line) for line in wanted]
    else:
        assert [line.rstrip() for line in told] == [line.rstrip() for line in wanted]


def test_without_a_style_lines_go_where_structlog_sends_them(stderr: io.StringIO) -> None:
    with structlog.testing.capture_logs() as caught:
        tell_all(structlog.get_logger("jobs"), LINES[:1])

    assert caught == [{"event": "job_submitted", "log_level": "info", "job": "job-1", "city": "ganzhou"}]
    assert stderr.getvalue() == ""
