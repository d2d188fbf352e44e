"""Backups: made while the hub serves, put back elsewhere, and found to be the same hub; damaged ones are refused."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from broker import postgres
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, Exchange, Told, xisuan
from tests.e2e.test_first_steps import submitted

pytestmark = pytest.mark.e2e

DRILL = Path(__file__).parents[2] / "deploy" / "drills" / "restore.sh"


@dataclass
class Saved:
    """A hub that serves, with jobs that ended, one that runs and money, and a backup of it."""

    exchange: Exchange
    backup: Path
    running: str

    def restore(self, home: Path, backup: Path | None = None) -> Told:
        return xisuan("backup", "restore", backup or self.backup, "--home", home, "--json", environment={})


@pytest.fixture(scope="module")
async def saved() -> AsyncIterator[Saved]:
    with running.exchange() as hub:
        hub.start_agent(ASCEND)
        await hub.attached(ASCEND)
        hub.xisuan("ledger", "deposit", "city/ganzhou", "100", "--reference", "first")
        async with hub.client() as city:
            for number in range(3):
                await city.wait(submitted(hub, command=["sh", "-c", f"exit {number % 2}"]))
            runs = submitted(hub, command=["perl", "-e", "select(undef, undef, undef, 0.1) while 1"])
            await city.wait_started(runs)
        told = hub.xisuan("backup", "make", hub.folder / "backups", "--json")
        yield Saved(hub, Path(told.data["backup"]), runs)


async def test_the_restore_drill_proves_that_a_running_hub_can_be_restored(saved: Saved) -> None:
    """The script of deploy/drills, as an operator runs it."""
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = await asyncio.to_thread(
        subprocess.run, ["bash", DRILL, saved.exchange.home], env=path | {"TMPDIR": str(saved.exchange.folder)},
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ok, ") == 6
    assert "can be restored" in done.stdout


async def test_after_a_restore_no_number_means_something_else(saved: Saved, open_folder: Path) -> None:
    """Clients and agents were told numbers after the backup; new jobs and leases get others."""
    told = saved.restore(open_folder / "home")
    assert told.code == 0, told.err

    with postgres.using(open_folder / "home" / "postgres") as server:
        session = await asyncpg.connect(server.dsn("postgres"))
        (last,) = await session.fetchrow("SELECT max(job_id) FROM jobs")
        (following,) = await session.fetchrow("SELECT nextval('job_ids')")
        found = await session.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        await session.close()

    assert told.data["rows"]["jobs"] == 4
    assert following == last + 1_000_001
    assert {row[0] for row in found} == {"xisuan_owner"}
    assert (open_folder / "home" / "keys" / "operator.key").stat().st_mode & 0o777 == 0o600


def test_a_backup_that_was_changed_or_is_of_a_newer_release_is_refused(saved: Saved, open_folder: Path) -> None:
    damaged, newer, partial = (open_folder / name for name in ("damaged", "newer", "partial"))
    for copy in (damaged, newer, partial):
        shutil.copytree(saved.backup, copy)
    with (damaged / "database.dump").open("r+b") as file:
        file.seek(2_000)
        file.write(b"\0\0\0\0")
    manifest = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps(manifest | {"migration": 9999}))
    (partial / "manifest.json").unlink()

    told = [saved.restore(open_folder / "home", copy) for copy in (damaged, newer, partial)]

    assert [each.code for each in told] == [1, 1, 1]
    assert "not what was written" in told[0].err
    assert "install that release" in told[1].err
    assert "no whole backup" in told[2].err
    assert not (open_folder / "home" / "postgres").exists()


def test_nothing_is_restored_over_a_hub(saved: Saved) -> None:
    told = saved.restore(saved.exchange.home)

    assert told.code == 1
    assert "has a database already" in told.err


async def test_a_login_that_row_level_security_binds_makes_no_backup(saved: Saved, open_folder: Path) -> None:
    """It would lack rows without a word."""
    with postgres.using(saved.exchange.home / "postgres") as server:
        told = xisuan("backup", "make", open_folder / "backups", "--dsn", server.dsn_hub, "--json", environment={})

    assert told.code == 1
    assert "superuser" in told.err
    assert list((open_folder / "backups").iterdir()) == []


async def test_a_backup_moves_to_a_postgresql_of_ones_own_and_old_ones_are_deleted(
    saved: Saved, open_folder: Path
) -> None:
    """From embedded to external, with the same two commands."""
    with postgres.using(open_folder / "postgres") as server:
        dsn = open_folder / "dsn"
        dsn.touch(mode=0o600)
        dsn.write_text(server.dsn("postgres"))
        there = ("--home", open_folder / "home", "--dsn", f"@{dsn}", "--json")
        moved = xisuan("backup", "restore", saved.backup, *there, environment={})
        again = xisuan("backup", "restore", saved.backup, *there, environment={})
        backups = ("backup", "make", open_folder / "backups", "--keep", "1")
        made = [xisuan(*backups, *there, environment={})]
        while len(made) < 2:  # each second has one
            last = xisuan(*backups, *there, environment={})
            if "one backup a second" not in last.err:
                made.append(last)

    assert moved.code == 0, moved.err
    assert again.code == 1
    assert "empty one" in again.err
    assert [each.code for each in made] == [0, 0], made[1].err
    assert [path.name for path in (open_folder / "backups").iterdir()] == [Path(made[1].data["backup"]).name]
