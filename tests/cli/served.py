"""A broker's services behind a socket, and a home folder with a profile and keys, for tests of commands about money."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.caller import Role
from broker.client.settings import write_key, write_profile
from broker.clock import ManualClock
from broker.market.identity import Identity
from broker.rpc.server import build_server
from broker.store.database import Database

OPERATOR_KEY = ("operator", Role.OPERATOR, "")
GANZHOU_KEY = ("city-ganzhou", Role.CITY, "ganzhou")


@asynccontextmanager
async def served(
    database: Database, home: Path, service: Any, clock: ManualClock, keys: Sequence[tuple[str, Role, str]]
) -> AsyncIterator[Path]:
    """Serve one service, and write a home folder of Ganzhou that reaches it with these keys (name, role, subject)."""
    identity = Identity(database)
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=_unlimited, clock=clock
    )
    await server.start()
    write_profile(home, endpoint=f"127.0.0.1:{server.port}", city="ganzhou")
    for name, role, subject in keys:
        write_key(home, name, (await identity.create(role, subject, "test", clock.now())).text)
    try:
        yield home
    finally:
        await server.stop(0)


async def _unlimited(_: str) -> int:
    return 1_000_000
