"""Small files that are either whole or absent, and the engine's own record. Standard library only."""

import errno
import json
import os
import time
from typing import Any, Final

DATA_READY: Final = "data-ready"
"""In the folder of a gang's first task: the job's word that its data are ready for the jobs after it."""


def write_json(path: str, value: Any, mode: int = 0o600) -> None:
    """Write the value so that a reader sees the old file or the new one, never a part, whoever is killed when."""
    beside = f"{path}.{os.getpid()}.new"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(json.dumps(value, separators=(",", ":")).encode())
    os.replace(beside, path)


def read_json(path: str) -> Any:
    """Return the value in the file, None when there is no such file. Raise ValueError when it holds no JSON."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


def append_lines(path: str, lines: list[dict[str, Any]]) -> None:
    """Append JSON lines in one write: lines of several writers never mix (O_APPEND). Raise OSError on a full disk."""
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(handle, text) < len(text):
            raise OSError(errno.ENOSPC, "the record could only be written in part", path)
    finally:
        os.close(handle)


def now_text() -> str:
    """Return the wall clock as ISO 8601 in UTC with microseconds."""
    seconds, micros = divmod(time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{micros:06d}+00:00"


def ring(bell: str, word: str) -> None:
    """Tell the agent, if one listens, that something of `word` has changed; files stay the truth."""
    try:
        handle = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no agent: it will read the files when it starts
        return
    try:
        os.write(handle, word.encode() + b"\n")
    except BlockingIOError:  # it has enough to read already, and looks at everything then
        pass
    finally:
        os.close(handle)
