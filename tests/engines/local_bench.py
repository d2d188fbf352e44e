"""The local engine on a bench: in an own folder, with the means to do it harm."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from broker.agent.engines.lease_folder import LeaseFolder
from broker.agent.engines.local import LocalEngine, LocalSettings
from broker.agent.engines.processes import all_processes
from broker.agent.engines.spec import folder_name
from broker.agent.orders import LeaseKey, NodeStock, PoolStock
from broker.clock import SystemClock
from tests.deadlines import eventually_now

NODES = ("lab-1", "lab-2")
POOLS = (PoolStock("ascend", "ascend-910b", tuple(NodeStock(name, 4, 64_000, 65_536) for name in NODES)),)


class LocalBench:
    """See `conformance.Bench`."""

    nodes = NODES

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.settings = LocalSettings(self.state, POOLS, log_bytes_max=4096, foreign_scan_seconds=0.05)
        self.engine = LocalEngine(self.settings, SystemClock())

    async def restart(self, while_away: Callable[[], None] = lambda: None) -> None:
        await self.engine.close()
        while_away()
        self.engine = LocalEngine(self.settings, SystemClock())
        await self.engine.open()

    def folder(self, key: LeaseKey) -> LeaseFolder:
        found = LeaseFolder.load(self.state / "leases" / folder_name(key))
        assert found is not None
        return found

    def kill_guard(self, key: LeaseKey) -> None:
        supervisor = self.folder(key).supervisor()
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGKILL)

    @contextmanager
    def occupy(self, node: str, card: int) -> Iterator[None]:
        pid = os.posix_spawn(
            "/bin/sleep",
            ["sleep", "1000"],
            {},
            file_actions=[(os.POSIX_SPAWN_OPEN, 9, str(self.state / "cards" / node / f"card{card}"), os.O_RDWR, 0)],
        )
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def survivors(self) -> list[str]:
        """Processes that name our folder on their command line or in their environment, once they had time to end."""
        marks = (os.fsencode(self.state),)

        def ours() -> list[str]:
            found = []
            for one in all_processes():
                try:
                    words = (
                        Path(f"/proc/{one.pid}/cmdline").read_bytes() + Path(f"/proc/{one.pid}/environ").read_bytes()
                    )
                except OSError:
                    continue
                if any(mark in words for mark in marks) and one.pid != os.getpid():
                    found.append(f"{one.pid}: {words.split(b'XISUAN', 1)[0]!r}")
            return found

        supervisor_leaves_seconds = 5.0  # it says that the lease has ended, and then leaves
        try:
            eventually_now(lambda: not ours(), seconds=supervisor_leaves_seconds)
        except AssertionError:
            return ours()
        return []


@asynccontextmanager
async def local_bench(folder: Path) -> AsyncIterator[LocalBench]:
    """An open engine; at the end everything of it is killed, whatever the test did."""
    bench = LocalBench(folder)
    await bench.engine.open()
    try:
        yield bench
    finally:
        for lease in (await bench.engine.observe()).leases:
            await bench.engine.stop(lease.key, grace_seconds=0, reason="CANCELLED")
        left = bench.survivors()
        await bench.engine.close()
        assert not left, left
