"""A process that takes calls, as it sees the broker that it belongs to."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from broker.calls.bus import LINE_BYTES_MAX, PONG, READY, Bus, lines_of


@dataclass(frozen=True, slots=True)
class Seat:
    """Its number, from 1; where it listens with the others; and the line to the broker's own process."""

    process: int
    listen: str
    line: socket.socket
    bus: Bus = field(default_factory=Bus)

    @asynccontextmanager
    async def taken(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Say that calls are taken, and hear what the others tell; set `stop` when the broker is gone."""
        reader, writer = await asyncio.open_connection(sock=self.line, limit=LINE_BYTES_MAX)
        self.bus.connect(writer.write)
        self.bus.on("ping", lambda _: writer.write(PONG))
        hearing = asyncio.create_task(self._hear(reader, stop), name="bus")
        writer.write(READY)
        try:
            yield
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        await lines_of(reader, self.bus.hear)
        stop.set()
