"""Answers that all who look share for a moment, so that many open pages ask the database as often as one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

REST_SHARE: Final = 4.0


class Fresh(Generic[T]):
    """One answer, read anew when it is older than `seconds`, or than four times what the reading took.

    Those who ask meanwhile wait for the same reading.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._answer: tuple[float, T] | None = None
        self._ahead: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """Return the answer. Raise what reading it raises."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._answer is None or now >= self._answer[0]:
                answer = await self._read()
                done = asyncio.get_running_loop().time()
                self._answer = done + max(self._seconds, REST_SHARE * (done - now)), answer
            return self._answer[1]

    def begin(self) -> None:
        """Read it now if that is due, for somebody who will ask in a moment. What goes wrong, that one is told."""
        due = self._answer is None or asyncio.get_running_loop().time() >= self._answer[0]
        if due and not self._lock.locked():
            self._ahead = asyncio.ensure_future(self())
            self._ahead.add_done_callback(lambda done: done.cancelled() or done.exception())

    def forget(self) -> None:
        """Read it anew when it is asked for next: something was changed here."""
        self._answer = None
