"""Messages of a stream, read and looked at ahead a little.

What has arrived is handled together, and while that waits for the database the next messages are checked already; the
sender is never far ahead.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

M = TypeVar("M")
P = TypeVar("P")


class Arrivals(Generic[M, P]):
    """Reads a stream in a task of its own for as long as the `async with` block runs.

    Args:
        messages: the stream.
        weigh: tells a message's weight; its error ends the stream, after everything before it was taken.
        prepare: makes of a message what is taken; its error ends the stream likewise.
        ahead_max: weight that is read but not taken at which reading pauses: flow control holds the sender back.
        gather_seconds: for so long what is to be taken may grow, where several messages have come together: their
            sender does not wait for answers. A single message is taken at once.
    """

    def __init__(
        self,
        messages: AsyncIterable[M],
        *,
        weigh: Callable[[M], int],
        prepare: Callable[[M], Awaitable[P]],
        ahead_max: int,
        gather_seconds: float = 0.0,
    ) -> None:
        self._messages = messages
        self._weigh = weigh
        self._prepare = prepare
        self._ahead_max = ahead_max
        self._gather_seconds = gather_seconds
        self._arrived: deque[tuple[P, int]] = deque()
        self._ahead = 0
        self._ended = False
        self._error: BaseException | None = None
        self._news = asyncio.Event()  # something arrived, or the stream has ended
        self._room = asyncio.Event()
        self._stalled = (
            asyncio.Event()
        )  # nothing more comes: the stream has ended, or what is ahead must be taken first

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()

    async def take(self, count: Callable[[P], int], enough: int) -> list[P]:
        """Return what has arrived: at least one message, more until their `count` is `enough`; nothing at the end.

        Raises: whatever reading the stream, weighing or preparing a message has raised.
        """
        while not self._arrived and not self._ended:
            self._news.clear()
            await self._news.wait()
        if not self._arrived and self._error is not None:
            raise self._error
        if self._gather_seconds and len(self._arrived) > 1 and sum(count(each) for each, _ in self._arrived) < enough:
            await self._gather()
        taken: list[P] = []
        while self._arrived and enough > 0:
            message, weight = self._arrived.popleft()
            taken.append(message)
            self._ahead -= weight
            enough -= count(message)
        self._room.set()
        return taken

    async def _gather(self) -> None:
        """Wait for more, not beyond the end of the stream or what may be read ahead."""
        self._stalled.clear()
        if not self._ended and self._ahead < self._ahead_max:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._gather_seconds):
                    await self._stalled.wait()

    async def _read(self) -> None:
        try:
            async for message in self._messages:
                weight = self._weigh(message)
                self._arrived.append((await self._prepare(message), weight))
                self._ahead += weight
                self._news.set()
                if self._ahead >= self._ahead_max:
                    self._stalled.set()
                while self._ahead >= self._ahead_max:
                    self._room.clear()
                    await self._room.wait()
        except BaseException as error:  # handed to whoever takes, cancellation as well: it must not wait for ever
            self._error = error
        self._ended = True
        self._news.set()
        self._stalled.set()
