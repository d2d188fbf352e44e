"""What the processes of one broker tell each other, so that none has to wait for its next look at the database.

Nothing here is remembered. Work, news and numbers of events are in the database as well, where every process finds them
some hundred milliseconds later; only which agent's stream is where, and pieces of output, are told nowhere else. A
line of JSON is one message: `[topic, value]`.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import structlog

LINE_BYTES_MAX: Final = 1024 * 1024
"""More than the longest message: a piece of output (256 KiB) in base64."""

READY: Final = b'["ready",null]\n'
"""What a process writes first: it takes calls from now on."""

PING: Final = b'["ping",null]\n'
PONG: Final = b'["pong",null]\n'
"""Whether it still does anything: asked by the broker's own process, answered at once."""

_log = structlog.get_logger("broker")

Handler = Callable[[Any], None]


class Bus:
    """Hands on what is told here, and tells here what comes from the others.

    What is told several times before the loop of events comes round goes out once.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._waiting: dict[bytes, None] = {}
        self._send: Callable[[bytes], None] | None = None

    def connect(self, send: Callable[[bytes], None]) -> None:
        """Let lines go out by `send`; until then, what is told is lost."""
        self._send = send

    def on(self, topic: str, handler: Handler) -> None:
        """Call the handler with each value that another process tells about the topic."""
        self._handlers[topic] = handler

    def tell(self, topic: str, value: Any = None) -> None:
        """Tell all other processes of this broker."""
        if self._send is None:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        line = line_of(topic, value)
        self._waiting.pop(line, None)  # what is told last arrives last
        self._waiting[line] = None

    def hear(self, line: bytes) -> None:
        """Take a line from another process. What cannot be read, or nobody here waits for, is passed over."""
        try:
            topic, value = json.loads(line)
            handler = self._handlers.get(topic)
            if handler is not None:
                handler(value)
        except Exception:
            _log.exception("bus_line_refused", line=line[:200])

    def _flush(self) -> None:
        lines = b"".join(self._waiting)
        self._waiting.clear()
        if self._send is not None:
            self._send(lines)


def line_of(topic: str, value: Any) -> bytes:
    """Return the message as it is written."""
    return json.dumps([topic, value], separators=(",", ":")).encode() + b"\n"


async def lines_of(reader: asyncio.StreamReader, hear: Callable[[bytes], None]) -> None:
    """Hand over line after line until the other end is gone, or writes what is no line."""
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        hear(line)
