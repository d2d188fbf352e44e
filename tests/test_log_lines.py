"""Many lines at once look as one by one, in either style."""

import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
import structlog

from broker.log_lines import LogStyle, tell_all

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


BOTH_WAYS = """
import json, sys
import structlog
from broker.log_lines import LogStyle, open_log, tell_all

lines = json.loads(sys.argv[2])
open_log(LogStyle(sys.argv[1]), call_process=1)
log = structlog.get_logger("jobs")
for event, facts in lines:
    log.info(event, **facts)
tell_all(log, lines)
"""
MANY = """
import sys
import structlog
from broker.log_lines import LogStyle, open_log, tell_all

open_log(LogStyle.JSON, call_process=int(sys.argv[1]))
log = structlog.get_logger("jobs")
for number in range(50):
    tell_all(log, [("job_submitted", {"job": f"job-{each}", "city": "赣州" * 9}) for each in range(100)])
    log.info("round_committed", round=number, note="x" * 200)
"""


@pytest.mark.parametrize("style", LogStyle)
def test_lines_at_once_look_as_one_by_one(style: LogStyle) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOTH_WAYS, style, json.dumps(LINES)], capture_output=True, text=True, check=True
    )

    lines = [TIME.sub("TIME", line).rstrip() for line in done.stderr.splitlines()]
    one_by_one, at_once = lines[: len(LINES)], lines[len(LINES) :]
    if style is LogStyle.JSON:
        assert [json.loads(line) for line in at_once] == [json.loads(line) for line in one_by_one]
    else:
        assert at_once == one_by_one


def test_lines_of_several_processes_do_not_break_each_other() -> None:
    """A broker and its call processes write to one pipe, as a container's log is."""
    read, write = os.pipe()
    writers = [subprocess.Popen([sys.executable, "-c", MANY, str(each)], stderr=write) for each in range(3)]
    os.close(write)
    with open(read, encoding="utf-8") as told:
        lines = [json.loads(line) for line in told]

    assert [each.wait() for each in writers] == [0] * 3
    assert Counter(line["call_process"] for line in lines) == dict.fromkeys(range(3), 50 * 101)


def test_without_a_style_lines_go_where_structlog_sends_them() -> None:
    with structlog.testing.capture_logs() as caught:
        tell_all(structlog.get_logger("jobs"), LINES[:1])

    assert caught == [{"event": "job_submitted", "log_level": "info", "job": "job-1", "city": "ganzhou"}]
