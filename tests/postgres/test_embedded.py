"""The embedded server: shared by its users, safe from others, and back after every kind of death."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest

from broker import postgres
from broker.postgres import EmbeddedServer, FolderRefused, ServerDidNotStart
from tests.conftest import FAST, temporary_folder
from tests.deadlines import eventually_now
from tests.postgres.mischief import kill_postmaster, postmaster_pid

USE_UNTIL_KILLED = """
import sys, signal, pathlib
from broker import postgres
with postgres.using(pathlib.Path(sys.argv[1])):
    print("in use", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def quiet_server() -> Iterator[EmbeddedServer]:
    """A server with the product's settings, only to be looked at."""
    with temporary_folder() as folder:
        yield postgres.start(folder / "postgres")
        postgres.destroy(folder / "postgres")


@pytest.fixture
def folder(server_folder: Path) -> Path:
    """The folder of a server that was used before and does not run."""
    return server_folder


async def value(dsn: str, query: str) -> object:
    session = await asyncpg.connect(dsn)
    try:
        return await session.fetchval(query)
    finally:
        await session.close()


def user_in_another_process(folder: Path) -> "subprocess.Popen[str]":
    user = subprocess.Popen([sys.executable, "-c", USE_UNTIL_KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
    assert user.stdout is not None
    assert user.stdout.readline() == "in use\n"
    return user


def end(user: "subprocess.Popen[str]") -> None:
    user.kill()
    user.communicate()


async def test_each_role_can_log_in_and_none_of_the_broker_has_power(quiet_server: EmbeddedServer) -> None:
    power = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication FROM pg_roles"
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"

    for dsn in (quiet_server.dsn_owner, quiet_server.dsn_city, quiet_server.dsn_hub):
        assert await value(dsn, f"{power} WHERE rolname = current_user") is False
    assert await value(quiet_server.dsn_owner, owner) == "xisuan_owner"


async def test_nobody_gets_in_without_the_password(quiet_server: EmbeddedServer) -> None:
    """Jobs of cities run on the same machine: neither the socket nor the loopback address is trusted."""
    port = quiet_server.secrets.port
    for host in (str(quiet_server.socket), "127.0.0.1"):
        for user in ("postgres", "xisuan_owner", "xisuan_hub"):
            for password in ("", "guess"):
                with pytest.raises(asyncpg.InvalidPasswordError):
                    await asyncpg.connect(host=host, port=port, user=user, password=password, database="xisuan")


def test_passwords_are_random_hidden_from_others_and_from_logs(quiet_server: EmbeddedServer) -> None:
    stored = quiet_server.folder / "secrets.json"
    passwords = json.loads(stored.read_text())["passwords"].values()

    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert len(set(passwords)) == len(passwords) == 4
    assert min(map(len, passwords)) >= 32
    assert not any(password in repr(quiet_server) for password in passwords)
    assert not any(password in log.read_text() for log in quiet_server.folder.rglob("*.log") for password in passwords)


def test_it_listens_on_the_loopback_address_alone(quiet_server: EmbeddedServer) -> None:
    postmaster = psutil.Process(postmaster_pid(quiet_server.folder))

    listening = {c.laddr.ip for c in postmaster.net_connections("inet") if c.status == psutil.CONN_LISTEN}

    assert listening == {"127.0.0.1"}
    assert postmaster.uids().effective != 0


async def test_what_is_committed_is_on_the_disk_and_pages_are_checked(quiet_server: EmbeddedServer) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await value(quiet_server.dsn_hub, f"SHOW {setting}") == "on", setting


async def test_settings_of_the_caller_go_before_ours(folder: Path) -> None:
    server = postgres.start(folder, settings=FAST | {"max_connections": "17"})

    assert await value(server.dsn_hub, "SHOW max_connections") == "17"


def test_a_second_start_attaches(quiet_server: EmbeddedServer) -> None:
    pid = postmaster_pid(quiet_server.folder)

    assert postgres.start(quiet_server.folder) == quiet_server
    assert postmaster_pid(quiet_server.folder) == pid
    assert postgres.alive(quiet_server.folder)


def test_of_several_first_starts_at_once_one_makes_the_server(open_folder: Path) -> None:
    with ThreadPoolExecutor(4) as callers:
        servers = list(callers.map(lambda _: postgres.start(open_folder / "new"), range(4)))
    postgres.destroy(open_folder / "new")

    assert len({(s.folder, s.dsn_hub) for s in servers}) == 1


def test_the_last_user_stops_it(folder: Path) -> None:
    with postgres.using(folder) as first:
        with postgres.using(folder) as second:
            assert first == second
        assert postgres.alive(folder)

    assert not postgres.alive(folder)


def test_a_killed_user_no_longer_counts_and_its_server_lives_on(folder: Path) -> None:
    user = user_in_another_process(folder)
    pid = postmaster_pid(folder)

    with postgres.using(folder):
        end(user)
        assert postmaster_pid(folder) == pid
        assert postgres.alive(folder)

    assert not postgres.alive(folder)


def test_a_user_in_another_process_keeps_it_alive(folder: Path) -> None:
    user = user_in_another_process(folder)

    with postgres.using(folder):
        pass
    kept = postgres.alive(folder)
    end(user)

    assert kept


async def test_a_killed_postmaster_is_seen_at_once_and_comes_back_with_all_that_was_committed(folder: Path) -> None:
    """Also while PID 1 has not buried it: a zombie is not taken for a server."""
    server = postgres.start(folder)
    await value(server.dsn_owner, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = kill_postmaster(folder)
    eventually_now(lambda: not postgres.alive(folder))

    again = postgres.start(folder)

    assert again == server
    assert postmaster_pid(folder) != pid
    assert await value(again.dsn_owner, "SELECT answer FROM kept") == 42


async def test_a_recycled_pid_is_not_taken_for_the_server(folder: Path) -> None:
    stale = [str(os.getpid()), str(folder / "cluster" / "data"), "0", "1", "", "", "", "ready"]
    (folder / "cluster" / "data" / "postmaster.pid").write_text("\n".join(stale))
    assert not postgres.alive(folder)

    server = postgres.start(folder)

    assert await value(server.dsn_hub, "SELECT 1") == 1


async def test_a_port_that_somebody_took_is_given_up(folder: Path) -> None:
    port = json.loads((folder / "secrets.json").read_text())["port"]

    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", port))
        somebody.listen()
        server = postgres.start(folder)

    assert server.secrets.port != port
    assert await value(server.dsn_hub, "SELECT 1") == 1


def test_a_start_that_was_cut_off_is_begun_anew(folder: Path) -> None:
    secrets = json.loads((folder / "secrets.json").read_text()) | {"initialised": False}
    (folder / "secrets.json").write_text(json.dumps(secrets))
    (folder / "cluster" / "data" / "PG_VERSION").unlink()
    (folder / "cluster" / "new" / "data").mkdir(parents=True)

    postgres.start(folder)

    assert postgres.alive(folder)
    assert not (folder / "cluster" / "new").exists()


def test_lost_data_is_not_replaced_by_an_empty_database(folder: Path) -> None:
    shutil.rmtree(folder / "cluster" / "data")

    with pytest.raises(FolderRefused, match="is gone: mount or restore it"):
        postgres.start(folder)


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(open_folder: Path) -> None:
    (open_folder / "thesis.txt").write_text("years of work")

    with pytest.raises(FolderRefused, match=r"it holds 'thesis\.txt'"):
        postgres.start(open_folder)
    postgres.stop(open_folder)
    postgres.destroy(open_folder)

    assert [path.name for path in open_folder.iterdir()] == ["thesis.txt"]
    assert not postgres.alive(open_folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.chmod(0o640), "can be read by others: chmod 600"),
        (lambda file: file.write_text("{"), "is damaged"),
        (lambda file: file.write_text('{"format": 1, "port": 1, "passwords": []}'), "is damaged"),
        (lambda file: file.write_text('{"format": 2}'), "another version"),
    ],
)
def test_bad_secrets_are_refused(open_folder: Path, spoil: Callable[[Path], object], said: str) -> None:
    file = open_folder / "secrets.json"
    file.touch(mode=0o600)
    spoil(file)

    with pytest.raises(FolderRefused, match=said):
        postgres.start(open_folder)


def test_data_of_another_version_is_refused(folder: Path) -> None:
    (folder / "cluster" / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(FolderRefused, match=r"made by PostgreSQL 9, but the programs .* PGBIN"):
        postgres.start(folder)


def test_a_server_that_will_not_start_tells_why(folder: Path) -> None:
    with pytest.raises(ServerDidNotStart, match="invalid value for parameter"):
        postgres.start(folder, settings={"shared_buffers": "plenty"})


def test_root_runs_the_server_as_whoever_owns_the_data(folder: Path) -> None:
    """Else a user `postgres` that is added to the machine later would be given data of `nobody`."""
    if os.geteuid() == 0:
        for name in ("data", "log", "socket"):
            subprocess.run(["chown", "-R", "nobody:", folder / "cluster" / name], check=True)
    owner = (folder / "cluster" / "data").stat().st_uid

    postgres.start(folder)

    assert psutil.Process(postmaster_pid(folder)).uids().effective == owner


def test_a_folder_below_a_closed_one_will_do(open_folder: Path) -> None:
    """Root's home is closed to the user that the server runs as: then the data lies where it may go."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "postgres"

    postgres.start(folder, settings=FAST)
    real = (folder / "cluster").resolve()
    lived = postgres.alive(folder)
    postgres.destroy(folder)

    assert lived
    assert real.is_relative_to(closed) == (os.geteuid() != 0)
    assert not real.parent.exists()
    assert not folder.exists()


async def test_with_a_path_too_long_for_a_socket_it_serves_tcp_alone(open_folder: Path) -> None:
    folder = open_folder / ("deep" * 25)
    server = postgres.start(folder, settings=FAST)
    answer = await value(server.dsn_hub, "SELECT 1")
    postgres.destroy(folder)

    assert server.socket is None
    assert answer == 1
