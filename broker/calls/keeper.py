"""Start the processes that take the calls, keep them alive, and carry what they tell each other."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final

import structlog

from broker.calls.bus import LINE_BYTES_MAX, PING, PONG, READY, Bus, line_of, lines_of

CALL_PROGRAM: Final = "broker.call_process"
"""The module that such a process runs."""

START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 10.0
BACKOFF_SECONDS: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 5.0
UNREAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""What a process may leave unread of what it was told; with more it is started again."""

PING_SECONDS: Final = 1.0
PINGS_UNANSWERED_MAX: Final = 15
"""A process that hangs keeps its connections and does nothing for them; after so many it is started again."""

log = structlog.get_logger("broker")


class CannotStart(Exception):
    """A process that takes calls has not come up; its own lines in the log say why."""


class CallProcesses:
    """The processes of one broker that take its calls, numbered from 1; number 0 is the broker's own."""

    def __init__(
        self,
        bus: Bus,
        count: int,
        charge: Mapping[str, Any],
        *,
        program: str = CALL_PROGRAM,
        pings_max: int = PINGS_UNANSWERED_MAX,
    ) -> None:
        """Start nothing yet.

        Args:
            charge: what each of them is told to do, beside its number; it may hold passwords.
            program: the module that they run.
            pings_max: so many that it has not answered mean that a process hangs.
        """
        self._bus = bus
        self._charge = charge
        self._children = {number: _Child(program, pings_max) for number in range(1, count + 1)}
        bus.connect(lambda lines: self._tell(lines, but=0))

    @asynccontextmanager
    async def running(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Have all of them take calls for as long as the block runs. Raise CannotStart: one does not come up.

        `stop`: ends the wait for them, so that the block begins and can end at once.
        """
        keeping = [asyncio.create_task(self._keep(number), name=f"calls-{number}") for number in self._children]
        try:
            for number, child in self._children.items():
                if not await _either(child.ready, stop, START_SECONDS_MAX):
                    raise CannotStart(
                        f"call process {number} takes no calls after {START_SECONDS_MAX:.0f} s: its log says why"
                    )
            yield
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            await asyncio.gather(*(child.stop() for child in self._children.values()))

    def any_ready(self) -> bool:
        """Tell whether one of them takes calls now."""
        return any(child.ready.is_set() for child in self._children.values())

    async def _keep(self, number: int) -> None:
        """Start the process, and start it again whenever it has ended."""
        failures = 0
        while True:
            child = self._children[number]
            try:
                await child.start(number, self._charge, lambda line: self._heard(number, line))
            except OSError as error:  # no more processes or files for now
                log.error("call_process_not_started", process=number, error=str(error))
            else:
                log.warning("call_process_ended", process=number, code=child.code)
            failures = 0 if child.ready.is_set() else failures + 1
            child.ready.clear()
            self._relay(line_of("links", {"process": number, "clusters": []}), but=number)
            await asyncio.sleep(min(BACKOFF_SECONDS * 2 ** min(failures, 10), BACKOFF_SECONDS_MAX))

    def _heard(self, number: int, line: bytes) -> None:
        self._children[number].unanswered = 0
        if line == PONG:
            return
        if line == READY:
            self._children[number].ready.set()
            self._relay(line_of("hello", number), but=0)  # so that all hear who has which agents
        else:
            self._relay(line, but=number)

    def _relay(self, line: bytes, but: int) -> None:
        self._bus.hear(line)
        self._tell(line, but)

    def _tell(self, lines: bytes, but: int) -> None:
        for number, child in self._children.items():
            if number != but:
                child.tell(lines)


class _Child:
    """One process, and the end of the pair of sockets that is ours."""

    def __init__(self, program: str, pings_max: int) -> None:
        self.ready = asyncio.Event()
        self.unanswered = 0  # pings
        self._program = program
        self._pings_max = pings_max
        self.process: asyncio.subprocess.Process | None = None
        self.code: int | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self, number: int, charge: Mapping[str, Any], heard: Any) -> None:
        """Start it and hear it until it has ended."""
        self.unanswered = 0
        ours, theirs = socket.socketpair()
        with ExitStack() as unless_started, theirs:
            unless_started.enter_context(ours)
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", self._program, str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
                env=_environment(),
            )  # fmt: skip
            unless_started.pop_all()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX)
        pinging = asyncio.create_task(self._ping(number), name=f"ping-{number}")
        try:
            self.tell(json.dumps(dict(charge) | {"process": number}).encode() + b"\n")
            await lines_of(reader, heard)
            await self._end()
        finally:
            pinging.cancel()
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()

    async def _ping(self, number: int) -> None:
        """Kill it when it has not answered for long. Pings count, not time: we may have stood still ourselves."""
        await self.ready.wait()
        while self.unanswered < self._pings_max:
            self.unanswered += 1
            self.tell(PING)
            await asyncio.sleep(PING_SECONDS)
        log.error("call_process_hangs", process=number, pings=self.unanswered)
        self._kill()

    def tell(self, lines: bytes) -> None:
        """Write to it; one that has ended, or does not read, is not waited for."""
        if self._writer is None or self._writer.is_closing():
            return
        self._writer.write(lines)
        if self._writer.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            log.error("call_process_reads_nothing")
            self._kill()

    async def stop(self) -> None:
        """Let calls end for a while, then end it."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            await self._end()

    async def _end(self) -> None:
        """Wait for its end, and do not wait for ever."""
        assert self.process is not None  # noqa: S101
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):  # not wait_for, which can swallow a cancellation
                self.code = await self.process.wait()
        except TimeoutError:
            self._kill()
            self.code = await self.process.wait()

    def _kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()


async def _either(one: asyncio.Event, other: asyncio.Event, seconds: float) -> bool:
    """Wait until one of the two is set; return whether that was in time."""
    waits = [asyncio.ensure_future(each.wait()) for each in (one, other)]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)


def _environment() -> dict[str, str]:
    """Return ours, with where our code came from: the folder that we are in may hold another program of the name."""
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
