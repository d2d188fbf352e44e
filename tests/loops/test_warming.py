"""What the fast lane runs is machine code before the first job arrives: compiling it would hold up every call."""

import subprocess
import sys

WARMED = """
from broker.loops.warming import warm
warm()
from scheduler.picking import put_first, put_steered
from scheduler.profile import _sweep
print([len(function.signatures) for function in (put_first, put_steered, _sweep)])
"""


def test_placing_is_compiled_with_and_without_what_came_so_far() -> None:
    """In a process of its own, for others compile here as well."""
    told = subprocess.run([sys.executable, "-c", WARMED], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[1, 1, 1]"
