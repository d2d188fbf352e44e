"""What nobody on this machine can pass: the same rows put into PostgreSQL bare, and the same messages echoed by gRPC.

The rows are those that our own broker has just stored; the table has its keys and nothing else: no checks, no events.
The server of the echo is a process of its own with grpc.aio, as our broker is, and passes bytes on unread.
"""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

import asyncpg
import grpc

from benchmarks.real_rivals.tasks import NotMeasured

AT_ONCE: Final = 64
_CONNECTIONS: Final = 8
_BATCH: Final = 500
_UNARY, _STREAM = "/echo.Echo/Unary", "/echo.Echo/Stream"
_BYTES_MAX: Final = 16 * 1024 * 1024
_OPTIONS: Final = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", _BYTES_MAX))
_ROWS: Final = (
    "SELECT job_id, city, request_key, body_sha256, spec::text, submitted_at FROM jobs ORDER BY job_id LIMIT $1"
)
_TABLE: Final = """
    DROP SCHEMA IF EXISTS bare CASCADE; CREATE SCHEMA bare;
    CREATE TABLE bare.jobs (job_id bigint PRIMARY KEY, city text, request_key text, body_sha256 bytea, spec jsonb,
                            submitted_at timestamptz, UNIQUE (city, request_key))
"""
_INSERT: Final = "INSERT INTO bare.jobs VALUES ($1, $2, $3, $4, $5, $6)"
_DURABLE: Final = "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on'"


async def postgres(dsn_hub: str, dsn_owner: str, rows_max: int) -> dict[str, float]:
    """Return rows a second: single inserts on one connection and on eight, and one COPY of all.

    Args: dsn_hub: may read the jobs. dsn_owner: may make tables.
    Raises: NotMeasured: commits are not durable there, or there are no jobs.
    """
    hub = await asyncpg.connect(dsn_hub)
    pool = await asyncpg.create_pool(dsn_owner, min_size=_CONNECTIONS, max_size=_CONNECTIONS)
    try:
        if not await hub.fetchval(_DURABLE):
            raise NotMeasured("fsync or synchronous_commit is off: such figures are none")
        await hub.execute("SET ROLE xisuan_hub")
        rows = [tuple(row) for row in await hub.fetch(_ROWS, rows_max)]
        if not rows:
            raise NotMeasured("there are no rows to insert")
        found = {}
        for name, connections in (("insert_one_per_second", 1), ("insert_many_per_second", _CONNECTIONS)):
            await pool.execute(_TABLE)
            parts = [rows[number::connections] for number in range(connections)]
            began = time.perf_counter()
            await asyncio.gather(*(_inserted(pool, part) for part in parts))
            found[name] = len(rows) / (time.perf_counter() - began)
        await pool.execute(_TABLE)
        began = time.perf_counter()
        await pool.copy_records_to_table("jobs", schema_name="bare", records=rows)
        found["copy_per_second"] = len(rows) / (time.perf_counter() - began)
        return found
    finally:
        await pool.close()
        await hub.close()


async def _inserted(pool: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    async with pool.acquire() as connection:
        insert = await connection.prepare(_INSERT)
        for row in rows:
            await insert.fetch(*row)


async def echo(messages: Sequence[bytes]) -> dict[str, float]:
    """Return messages a second: single calls one by one and 64 at once, on a stream, and many in each message.

    The last is what the submission of many jobs in a message could come to: bytes of the messages put together.
    """
    with _echoing() as endpoint:
        async with grpc.aio.insecure_channel(endpoint, options=_OPTIONS) as channel:
            await channel.channel_ready()
            unary: Any = channel.unary_unary(_UNARY)
            stream: Any = channel.stream_stream(_STREAM)
            return {
                "unary_one_per_second": await _unary(unary, messages[: max(len(messages) // 4, 1)], 1),
                "unary_many_per_second": await _unary(unary, messages, AT_ONCE),
                "stream_per_second": await _streamed(stream, messages, 1),
                "stream_of_batches_per_second": await _streamed(stream, messages, _BATCH),
            }


async def _unary(call: Any, messages: Sequence[bytes], at_once: int) -> float:
    left = iter(messages)

    async def worker() -> None:
        for message in left:
            await call(message)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return len(messages) / (time.perf_counter() - began)


async def _streamed(begin: Any, messages: Sequence[bytes], batch: int) -> float:
    joined = [b"".join(messages[at : at + batch]) for at in range(0, len(messages), batch)]

    async def write(call: Any) -> None:
        for message in joined:
            await call.write(message)
        await call.done_writing()

    began = time.perf_counter()
    call = begin()
    writing = asyncio.create_task(write(call))
    answers = 0
    while await call.read() is not grpc.aio.EOF:
        answers += 1
    await writing
    seconds = time.perf_counter() - began
    if answers != len(joined):
        raise NotMeasured(f"{answers} echoes of {len(joined)} messages")
    return len(messages) / seconds


@contextmanager
def _echoing() -> Iterator[str]:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        yield f"127.0.0.1:{here.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection) -> None:
    asyncio.run(_serving(pipe))


async def _serving(pipe: Connection) -> None:
    async def unary(request: bytes, _: Any) -> bytes:
        return request

    async def stream(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    handlers: dict[str, Any] = {
        _UNARY.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(unary),
        _STREAM.rpartition("/")[2]: grpc.stream_stream_rpc_method_handler(stream),
    }
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pipe.send(port)
    await server.wait_for_termination()
