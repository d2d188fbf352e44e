"""Wait for something to come true, at most for a while; nothing here sleeps for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_SECONDS = 0.01


async def eventually(holds: Callable[[], Awaitable[bool]], *, seconds: float = 20.0) -> None:
    """Return as soon as it holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"{holds} did not come true within {seconds} s"
        await asyncio.sleep(_POLL_SECONDS)


def eventually_now(holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """The same for code that blocks."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{holds} did not come true within {seconds} s"
        time.sleep(_POLL_SECONDS)
