"""Measure what a hub takes: memory of its processes, and bytes on disk for each job, lease and event.

    python deploy/drills/size.py [JOBS]          (20,000 that wait and 300 that run, unless said otherwise)

Starts a broker of its own in a temporary folder and stops it at the end. Memory is the proportional set size: what
processes share is counted once.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil

from broker import postgres

XISUAN = Path(sys.executable).with_name("xisuan")
RUN = 300
TABLES = """
    SELECT relname, pg_total_relation_size(oid) AS bytes
      FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


def main(jobs: int) -> None:
    """Measure at rest, with so many jobs that wait, and after some that ran."""
    with tempfile.TemporaryDirectory(prefix="xisuan-size-") as name:
        home = Path(name) / "home"
        Path(name).chmod(0o711)
        serving = start(
            "serve", "--home", home, "--listen", "127.0.0.1:0", "--metrics-listen", "", log=Path(name) / "log"
        )
        agent = None
        try:
            said(Path(name) / "log", "serving at")
            time.sleep(30)  # until the planner is warm
            memory("at rest", serving, home)
            before = tables(home)
            ask(home, "submit", "--stack", "cuda", "--cards", "1", "--repeat", jobs, "--", "sleep", "60")
            time.sleep(10)
            memory(f"{jobs:,} jobs wait", serving, home)
            grown(before, tables(home), jobs, "job that waits")
            (Path(name) / "pools.yaml").write_text(
                "pools: [{pool: a, model: ascend-910b, nodes: 8, cards: 8, cpu_milli: 64000, memory_mib: 65536}]\n"
            )
            ask(home, "cluster", "attach", "--cluster", "lab", "--hub", "qingyang", "--owner", "lab",
                "--inventory", Path(name) / "pools.yaml", "--ask", "ascend-910b=1")  # fmt: skip
            agent = start("agent", "--config", home / "agents" / "lab.yaml", log=Path(name) / "agent.log")
            said(Path(name) / "agent.log", "attached")
            print(f"  agent {pss(agent):.0f} MiB")
            before = tables(home)
            ask(home, "submit", "--stack", "cann", "--cards", "1", "--repeat", RUN, "--follow", "--", "true")
            grown(before, tables(home), RUN, "job that ran (job, lease, 5 events)")
        finally:
            for process in (agent, serving):
                if process is not None:
                    process.terminate()
                    process.wait(60)
            postgres.destroy(home / "postgres")


def start(*arguments: object, log: Path) -> "subprocess.Popen[bytes]":
    """Start a program."""
    with log.open("wb") as output:
        return subprocess.Popen([XISUAN, *map(str, arguments)], stdout=output, stderr=output)


def said(log: Path, text: str) -> None:
    """Wait until a log says it."""
    end = time.monotonic() + 120
    while text not in log.read_text():
        if time.monotonic() > end:
            sys.exit(f"never said {text!r}:\n{log.read_text()}")
        time.sleep(0.1)


def ask(home: Path, *arguments: object) -> None:
    """Run a command as a city of this machine."""
    environment = {**os.environ, "XISUAN_HOME": str(home), "XISUAN_CITY": "ganzhou"}
    subprocess.run([XISUAN, *map(str, arguments)], env=environment, stdout=subprocess.DEVNULL, check=True)


def family(process: "subprocess.Popen[bytes]") -> Iterator[psutil.Process]:
    """Yield a process and all below it."""
    root = psutil.Process(process.pid)
    yield root
    yield from root.children(recursive=True)


def pss(process: "subprocess.Popen[bytes]") -> float:
    """Return what a process and all below it take, in MiB."""
    return sum(each.memory_full_info().pss for each in family(process)) / 2**20


def memory(what: str, serving: "subprocess.Popen[bytes]", home: Path) -> None:
    """Print what broker, planner and database take."""
    broker, planner = 0.0, 0.0
    for each in family(serving):
        size = each.memory_full_info().pss / 2**20
        if each.pid == serving.pid:
            broker = size
        else:
            planner += size
    data = (home / "postgres" / "cluster").resolve()
    database = sum(postgres_pss(each, data) for each in psutil.process_iter())
    print(f"{what}: broker {broker:.0f} MiB, planning process {planner:.0f} MiB, PostgreSQL {database / 2**20:.0f} MiB")


def postgres_pss(process: psutil.Process, data: Path) -> int:
    """Return what a process takes, in bytes, if it is one of the server's."""
    try:
        ours = Path(process.cwd()) == data / "data"
        return int(process.memory_full_info().pss) if ours else 0
    except psutil.Error:
        return 0


def tables(home: Path) -> dict[str, int]:
    """Return the size of every table with its indexes, in bytes."""

    async def read() -> dict[str, int]:
        with postgres.using(home / "postgres") as server:
            session = await asyncpg.connect(server.dsn("postgres"))
            try:
                return {row["relname"]: row["bytes"] for row in await session.fetch(TABLES)}
            finally:
                await session.close()

    return asyncio.run(read())


def grown(before: dict[str, int], after: dict[str, int], count: int, what: str) -> None:
    """Print how much the tables grew for each of so many."""
    each = {name: (after[name] - before.get(name, 0)) / count for name in after}
    named = ", ".join(f"{name} {size:.0f}" for name, size in sorted(each.items(), key=lambda e: -e[1]) if size >= 20)
    print(f"  bytes for each {what}: {sum(each.values()):.0f} ({named})")


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else "20000"
    if not re.fullmatch("[1-9][0-9]{0,6}", given):
        sys.exit("usage: size.py [JOBS]")
    main(int(given))
