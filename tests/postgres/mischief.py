"""Harm done to an embedded server from outside."""

import os
import signal
from pathlib import Path


def postmaster_pid(folder: Path) -> int:
    return int((folder / "cluster" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def kill_postmaster(folder: Path) -> int:
    """Kill it as the kernel would for want of memory, and return its pid."""
    pid = postmaster_pid(folder)
    os.kill(pid, signal.SIGKILL)
    return pid
