"""Start, attach to and stop a PostgreSQL of our own in a data folder.

The first user starts the server, later ones attach, the last one stops it (`using`). The server is nobody's child: it
outlives a killed broker, and the next start finds it. Killed itself, it is started again and recovers what was
committed. Logins need scram passwords; it listens on a unix socket and on 127.0.0.1.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

import psutil

from broker.postgres.place import (
    CITY,
    HUB,
    OWNER,
    SUPERUSER,
    EmbeddedPostgresError,
    FolderRefused,
    Place,
    Secrets,
    ServerDidNotStart,
    ServerDidNotStop,
    free_port,
    sync_folder,
)
from broker.postgres.programs import Programs, ProgramsNotFound, ServerUser, find_programs

DATABASE: Final = "xisuan"

START_SECONDS_MAX: Final = 300.0
"""Recovery after a crash may have to read gigabytes of log."""

_POLL_SECONDS: Final = 0.01
_PORT_TRIES: Final = 5
_STOP_STEPS: Final = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 15.0))  # "fast", then "immediate"
_INITDB_OPTIONS: Final = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")
_SINGLE_OPTIONS: Final = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")  # statements hold passwords
_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})

_SETTINGS: Final = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",  # our queries are short: compiling them costs more than it saves
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    "log_filename": "%a.log",  # a file for each weekday, overwritten after a week
    "log_rotation_age": "1d",
    "log_truncate_on_rotation": "on",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # the detail of an error and its statement show rows of cities
    "log_min_error_statement": "panic",
    "unix_socket_permissions": "0700",
}


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server and how to log in. The DSNs hold passwords: never log them."""

    folder: Path
    socket: Path | None  # folder of the unix socket; None: TCP on 127.0.0.1
    secrets: Secrets

    @property
    def dsn_owner(self) -> str:
        """Login that owns the database and its tables: for migrations."""
        return self.dsn(OWNER)

    @property
    def dsn_city(self) -> str:
        """Login that sees one city at a time."""
        return self.dsn(CITY)

    @property
    def dsn_hub(self) -> str:
        """Login that sees all cities."""
        return self.dsn(HUB)

    def dsn(self, role: str, database: str = DATABASE) -> str:
        """Return the DSN of one of the roles, "postgres" (the superuser, for backups) among them."""
        login = f"{role}:{quote(self.secrets.passwords[role], safe='')}"
        if self.socket is None:
            return f"postgresql://{login}@127.0.0.1:{self.secrets.port}/{database}"
        query = {"host": self.socket, "port": self.secrets.port}
        return f"postgresql://{login}@/{database}?{urlencode(query, quote_via=quote)}"


def start(folder: Path, *, settings: Mapping[str, str] = _NO_SETTINGS) -> EmbeddedServer:
    """Start the server in the folder, or attach to the one that runs there; it may be called at any time.

    The caller does not count as a user of the server: who relies on it goes through `using`, and calls this to bring a
    killed server back.

    Args:
        folder: the data folder; made when missing, refused when it holds something else.
        settings: PostgreSQL settings that go before ours. A server that runs already keeps those it has.
    Raises: EmbeddedPostgresError.
    """
    user = _server_user(folder)
    place = Place.claim(folder, user)
    with place.starting():
        return _start(place, user, settings)


@contextmanager
def using(folder: Path, *, settings: Mapping[str, str] = _NO_SETTINGS) -> Iterator[EmbeddedServer]:
    """Start or attach as `start` does; at the end stop the server if nobody else uses it.

    Raises: EmbeddedPostgresError.
    """
    user = _server_user(folder)
    place = Place.claim(folder, user)
    with place.starting():
        ticket = place.join_users()
        try:
            server = _start(place, user, settings)
        except BaseException:
            os.close(ticket)
            raise
    try:
        yield server
    finally:
        with place.starting():
            if place.leave_users(ticket):
                _stop(place)


def alive(folder: Path) -> bool:
    """Return whether a server runs in the folder and takes connections."""
    place = Place.find(folder)
    return place is not None and _is_ready(place)


def stop(folder: Path) -> None:
    """Stop the server whoever uses it, and wait for its end; nothing happens if none runs. Raise ServerDidNotStop."""
    place = Place.find(folder)
    if place is not None:
        with place.starting():
            _stop(place)


def destroy(folder: Path) -> None:
    """Stop the server and delete the folder with everything in it. Raise ServerDidNotStop."""
    place = Place.find(folder)
    if place is not None:
        with place.starting():
            _stop(place)
            place.delete()


def _server_user(folder: Path) -> ServerUser:
    try:
        return ServerUser.choose(Place(folder).data)
    except ProgramsNotFound as error:
        raise EmbeddedPostgresError(str(error)) from error


def _start(place: Place, user: ServerUser, settings: Mapping[str, str]) -> EmbeddedServer:
    if not _is_ready(place):
        try:
            programs = find_programs(user, place.programs)
            _have_data(place, user, programs)
            _bring_up(place, user, programs, settings)
        except ProgramsNotFound as error:
            raise EmbeddedPostgresError(str(error)) from error
        except OSError as error:
            raise ServerDidNotStart(f"the server in {place.folder} cannot be started: {error}") from error
    return EmbeddedServer(place.folder, place.socket, place.secrets())


def _have_data(place: Place, user: ServerUser, programs: Programs) -> None:
    if not (place.data / "PG_VERSION").exists():
        place.refuse_loss()
        _make_data(place, user, programs)
    if not (known := place.secrets()).initialised:
        place.write_secrets(replace(known, initialised=True))
    version = (place.data / "PG_VERSION").read_text().strip()
    if version != str(programs.major):
        raise FolderRefused(
            f"{place.data} was made by PostgreSQL {version}, but the programs in {programs.folder} are version "
            f"{programs.major}: set PGBIN to programs of version {version}, or move the data with pg_dump"
        )


def _make_data(place: Place, user: ServerUser, programs: Programs) -> None:
    """Make the data directory with roles and database, all or nothing: it is moved into place when complete."""
    nursery = place.cluster.resolve() / "new"
    data, password_file = nursery / "data", nursery / "password"
    for remains in (nursery, place.data):
        shutil.rmtree(remains, ignore_errors=True)
    nursery.mkdir()
    nursery.chmod(0o711)  # whatever our umask
    data.mkdir(mode=0o700)
    passwords = place.secrets().passwords
    password_file.touch(mode=0o600)
    password_file.write_text(passwords[SUPERUSER])
    user.own(data)
    user.own(password_file)
    made = user.run([programs.initdb, "-D", data, "-U", SUPERUSER, f"--pwfile={password_file}", *_INITDB_OPTIONS])
    if made.returncode != 0:
        raise ServerDidNotStart(f"initdb failed in {nursery}: {made.stdout.strip()[-2000:]}")
    # A server in single-user mode takes commands from its input: no login is needed, nobody else can connect.
    # Passwords are urlsafe tokens of ours, so they need no quoting.
    roles = "".join(f"CREATE ROLE {role} LOGIN PASSWORD '{passwords[role]}'\n" for role in (OWNER, CITY, HUB))
    told = user.run(
        [programs.postgres, "--single", *_SINGLE_OPTIONS, "-D", data, SUPERUSER],
        text_in=f"{roles}CREATE DATABASE {DATABASE} OWNER {OWNER}\n",
    )
    if told.returncode != 0:
        raise ServerDidNotStart(f"the roles could not be made in {nursery}: {told.stdout.strip()[-2000:]}")
    data.replace(place.data)
    sync_folder(place.data.parent)
    shutil.rmtree(nursery)


def _bring_up(place: Place, user: ServerUser, programs: Programs, settings: Mapping[str, str]) -> None:
    """Wait for the server that is on its way, or launch one. Raise ServerDidNotStart."""
    deadline = time.monotonic() + START_SECONDS_MAX
    launches = 0
    while not _is_ready(place):
        # None: a server comes up, or the back ends of a killed one have not noticed its end yet.
        running = place.take_running()
        if running is not None:
            try:
                if launches:
                    _mend_port(place, launches)
                _launch(place, user, programs, settings, running)
                launches += 1
            finally:
                os.close(running)
        if time.monotonic() > deadline:
            raise ServerDidNotStart(f"not ready after {START_SECONDS_MAX:.0f} s; {_last_words(place)}")
        time.sleep(_POLL_SECONDS)


def _mend_port(place: Place, launches: int) -> None:
    """Choose another port if that is why the server ended (brokers that know the old one must be started again)."""
    said = _last_words(place)
    if launches >= _PORT_TRIES or "could not create any TCP/IP sockets" not in said:
        raise ServerDidNotStart(f"the server ended while it started; {said}")
    place.write_secrets(replace(place.secrets(), port=free_port()))


def _launch(place: Place, user: ServerUser, programs: Programs, settings: Mapping[str, str], running: int) -> None:
    """Launch the server with the lock that proves that no process of a former one is left."""
    # So what a killed one left is stale, whoever may have its pid by now; PostgreSQL itself would ask the pid alone.
    for stale in (place.data / "postmaster.pid", *(place.socket.glob(".s.PGSQL.*") if place.socket else ())):
        stale.unlink(missing_ok=True)
    chosen = {
        **_SETTINGS,
        "listen_addresses": "127.0.0.1",
        "port": str(place.secrets().port),
        "unix_socket_directories": str(place.socket or ""),
        "log_directory": str(place.log),
        **settings,
    }
    arguments = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    with place.start_log.open("wb") as output:
        # `setsid --fork` parts it from us: no signal to our group reaches it, and init buries it.
        command = ["setsid", "--fork", str(programs.postgres), "-D", str(place.data), *arguments]
        user.run(command, pass_fds=[running], output=output)


def _stop(place: Place) -> None:
    for number, seconds in _STOP_STEPS:
        deadline = time.monotonic() + seconds
        told: psutil.Process | None = None
        while place.running():
            postmaster = _postmaster(place)
            if postmaster is not None and postmaster != told:
                with suppress(psutil.NoSuchProcess):
                    postmaster.send_signal(number)
                told = postmaster
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise ServerDidNotStop(f"some process still holds {place.folder}/running.lock; {_last_words(place)}")


def _status(place: Place) -> list[str]:
    try:
        return [line.strip() for line in (place.data / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _postmaster(place: Place) -> psutil.Process | None:
    """Return the live postmaster; its working directory is the data directory, which tells it from a recycled pid."""
    lines = _status(place)
    try:
        process = psutil.Process(int(lines[0]))
        lives = process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == place.data
    except (IndexError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if lives else None


def _is_ready(place: Place) -> bool:
    return _status(place)[7:8] == ["ready"] and _postmaster(place) is not None


def _last_words(place: Place) -> str:
    logs = [place.start_log, *sorted(place.log.glob("*.log"), key=lambda path: path.stat().st_mtime)[-1:]]
    said = "\n".join(path.read_text(errors="replace")[-1500:].strip() for path in logs if path.exists())
    return f"its log in {place.log} ends with:\n{said}"
