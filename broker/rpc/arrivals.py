"""Messages of a stream, read ahead a little: what has arrived is handled together, the sender is never far ahead."""

import asyncio
from collections.abc import AsyncIterable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

M = TypeVar("M")


class Arrivals(Generic[M]):
    """Reads a stream in a task of its own for as long as the `async with` block runs.

    Args:
        messages: the stream.
        ahead_max: messages that may be read before they are taken; beyond it flow control holds the sender back.
        check: looks at each message; its error ends the stream, after everything before it was taken.
    """

    def __init__(self, messages: AsyncIterable[M], *, ahead_max: int, check: Callable[[M], None]) -> None:
        self._messages = messages
        self._check = check
        self._room = asyncio.Semaphore(ahead_max)
        self._arrived: asyncio.Queue[M | _End] = asyncio.Queue()  # bounded by the room
        self._end: _End | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()

    async def take(self, enough: Callable[[list[M]], bool]) -> list[M]:
        """Return what has arrived, at least one message, and no more once it is `enough`; nothing at the end.

        Raises: whatever reading the stream or the check has raised.
        """
        taken: list[M] = []
        while self._end is None and not enough(taken) and not (taken and self._arrived.empty()):
            message = await self._arrived.get()
            if isinstance(message, _End):
                self._end = message
            else:
                self._room.release()
                taken.append(message)
        if not taken and self._end is not None and self._end.error is not None:
            raise self._end.error
        return taken

    async def _read(self) -> None:
        error: BaseException | None = None
        try:
            await self._room.acquire()
            async for message in self._messages:
                self._check(message)
                self._arrived.put_nowait(message)
                await self._room.acquire()
        except BaseException as caught:  # handed to whoever takes, cancellation as well: it must not wait for ever
            error = caught
        self._arrived.put_nowait(_End(error))


class _End:
    """Nothing comes any more, because of the error if there is one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
