"""The folder of an embedded PostgreSQL: what lies where, whose it is, and who uses it.

    FOLDER/secrets.json    port and passwords, mode 0600; its presence makes the folder ours
    FOLDER/start.log       what the server said before its own log was open
    FOLDER/starting.lock   exclusive while somebody starts or stops the server
    FOLDER/users.lock      shared, one holder for each program that uses the server: the last one stops it
    FOLDER/running.lock    exclusive, held by the server itself and inherited by all its processes
    FOLDER/cluster/        data/, socket/ and log/, which belong to the server's user; a link, where that user may not
                           enter FOLDER

A lock is an flock: the kernel drops it when its holders are gone, however they ended. So `running.lock` tells for sure
that no process of the server is left, which a pid file cannot: pids are recycled, zombies look alive, and back ends
outlive a killed postmaster for a moment.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

from broker.postgres.programs import ServerUser

SUPERUSER: Final = "postgres"
OWNER: Final = "xisuan_owner"
CITY: Final = "xisuan_city"
HUB: Final = "xisuan_hub"
_ROLES: Final = (SUPERUSER, OWNER, CITY, HUB)

ELSEWHERE: Final = Path("/var/lib/xisuan-postgres")
"""Where root's clusters lie when the server's user may not enter the folder itself (such as one below /root)."""

_LOCK_SECONDS_MAX: Final = 360.0
_POLL_SECONDS: Final = 0.02
_SOCKET_PATH_BYTES_MAX: Final = 107  # the kernel's limit, less the final zero
_SECRETS_FORMAT: Final = 1


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why and the way out.

    EmbeddedPostgresError
    ├─ FolderRefused      the folder is not ours, or not safe
    ├─ ServerDidNotStart  the server ended while it started, or took too long
    └─ ServerDidNotStop   some process of the server is still there
    """


class FolderRefused(EmbeddedPostgresError):
    """The folder is not ours, or not safe."""


class ServerDidNotStart(EmbeddedPostgresError):
    """The server ended while it started, or took too long."""


class ServerDidNotStop(EmbeddedPostgresError):
    """Some process of the server is still there."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What `secrets.json` holds."""

    port: int
    passwords: Mapping[str, str] = field(repr=False)  # by role
    initialised: bool = False  # the data was there once: a new, empty one would hide a loss

    @classmethod
    def invent(cls) -> Self:
        """Return fresh ones."""
        return cls(free_port(), {role: secrets.token_urlsafe(24) for role in _ROLES})


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that holds an embedded PostgreSQL, or will. Made by `claim` or `find`."""

    folder: Path

    @classmethod
    def claim(cls, folder: Path, user: ServerUser) -> Self:
        """Return the place, making what is missing. Raise FolderRefused if the folder holds something else."""
        place = cls(Path(os.path.abspath(folder)))
        try:
            place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            place._refuse_foreign()
            with place.starting():
                place._refuse_foreign()
                if not place.secrets_file.exists():
                    place.write_secrets(Secrets.invent())
                if user.other:  # it must pass through, but sees nothing
                    place.folder.chmod(0o711)
                place._make_cluster(user)
        except OSError as error:
            raise FolderRefused(f"{place.folder} cannot be used: {error}; choose a folder of your own") from error
        return place

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Return the place if the folder is one already."""
        place = cls(Path(os.path.abspath(folder)))
        return place if place.secrets_file.exists() and place.cluster.is_dir() else None

    @property
    def secrets_file(self) -> Path:
        """Port and passwords."""
        return self.folder / "secrets.json"

    @property
    def cluster(self) -> Path:
        """The folder of all that the server's user must reach."""
        return self.folder / "cluster"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory, as the server names it."""
        return self.cluster.resolve() / "data"

    @property
    def log(self) -> Path:
        """The folder of the server's log files."""
        return self.cluster.resolve() / "log"

    @property
    def start_log(self) -> Path:
        """What the server said before its own log was open, or why it could not be run."""
        return self.folder / "start.log"

    @property
    def programs(self) -> Path:
        """Where programs are copied to when the server's user may not enter their own folder."""
        return self.cluster.resolve().parent / "programs"

    @property
    def socket(self) -> Path | None:
        """The folder of the unix socket, None where its path is too long for the kernel (then TCP alone serves)."""
        folder = self.cluster.resolve() / "socket"
        return folder if len(os.fsencode(folder / ".s.PGSQL.65535.lock")) <= _SOCKET_PATH_BYTES_MAX else None

    def secrets(self) -> Secrets:
        """Read port and passwords. Raise FolderRefused if others can read them too, or if they make no sense."""
        if stat.S_IMODE(self.secrets_file.stat().st_mode) & 0o077:
            raise FolderRefused(f"{self.secrets_file} can be read by others: chmod 600 it, and change the passwords")
        try:
            stored = json.loads(self.secrets_file.read_text())
            if stored["format"] != _SECRETS_FORMAT:
                raise FolderRefused(f"{self.secrets_file} was written by another version: use that one")
            passwords = {role: str(stored["passwords"][role]) for role in _ROLES}
            return Secrets(int(stored["port"]), passwords, bool(stored["initialised"]))
        except (ValueError, KeyError, TypeError) as error:
            raise FolderRefused(f"{self.secrets_file} is damaged ({error!r}): restore it from a backup") from error

    def write_secrets(self, values: Secrets) -> None:
        """Replace them, all or nothing, whatever happens to the machine meanwhile."""
        text = json.dumps({"format": _SECRETS_FORMAT, **asdict(values)}, indent=2)
        fresh = self.folder / "secrets.json.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.secrets_file)
        sync_folder(self.folder)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Be the only one who starts or stops the server. Raise FolderRefused if somebody else never ends."""
        deadline = time.monotonic() + _LOCK_SECONDS_MAX
        while (lock := self._take("starting.lock", fcntl.LOCK_EX)) is None:
            if time.monotonic() > deadline:
                raise FolderRefused(
                    f"another program has been starting or stopping the server in {self.folder} for "
                    f"{_LOCK_SECONDS_MAX:.0f} s: end it and try again"
                )
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            _release(lock)

    def join_users(self) -> int:
        """Count as a user of the server until `leave_users`, or the end of this program."""
        lock = self._take("users.lock", fcntl.LOCK_SH)
        if lock is None:  # exclusive only inside starting(), where join_users is called too
            raise FolderRefused(f"{self.folder / 'users.lock'} is held by a program that is not ours")
        return lock

    def leave_users(self, lock: int) -> bool:
        """Return whether no other user is left. To be called inside `starting`."""
        _release(lock)
        alone = self._take("users.lock", fcntl.LOCK_EX)
        if alone is None:
            return False
        _release(alone)
        return True

    def take_running(self) -> int | None:
        """Return the lock that the server is to inherit, None while any process of a server has it."""
        return self._take("running.lock", fcntl.LOCK_EX)

    def running(self) -> bool:
        """Return whether any process of the server is there."""
        lock = self._take("running.lock", fcntl.LOCK_SH)  # shared, so that two who only ask do not see each other
        if lock is not None:
            os.close(lock)
        return lock is None

    def _take(self, name: str, kind: int) -> int | None:
        lock = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def _refuse_foreign(self) -> None:
        ours = {"starting.lock", "secrets.json.new"}  # all that an interrupted claim can leave
        if not self.secrets_file.exists() and (strange := sorted({p.name for p in self.folder.iterdir()} - ours)):
            raise FolderRefused(
                f"{self.folder} is not empty and not a data folder of ours (it holds {strange[0]!r}): "
                "choose another folder, or a new one inside it"
            )

    def _make_cluster(self, user: ServerUser) -> None:
        """Make the folders of the server. Only the innermost belong to its user: root writes in none of them."""
        if not self.cluster.is_dir():
            self.refuse_loss()
            self.cluster.unlink(missing_ok=True)  # a link to what was deleted
            if user.may_enter(self.folder):
                self.cluster.mkdir()
            else:
                ELSEWHERE.mkdir(parents=True, exist_ok=True)
                ground = Path(tempfile.mkdtemp(prefix="ground-", dir=ELSEWHERE))
                for passage in (ELSEWHERE, ground):
                    passage.chmod(0o711)
                (ground / "cluster").mkdir()
                self.cluster.symlink_to(ground / "cluster")
            self.cluster.chmod(0o711 if user.other else 0o700)
            sync_folder(self.folder)
        for name in ("socket", "log"):
            folder = self.cluster.resolve() / name
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                user.own(folder)

    def refuse_loss(self) -> None:
        """Raise FolderRefused if there was data here once."""
        if self.secrets().initialised:
            raise FolderRefused(
                f"the data in {self.cluster} is gone: mount or restore it, or delete {self.folder} to begin anew"
            )

    def delete(self) -> None:
        """Delete the folder and all that belongs to it."""
        if self.cluster.is_symlink():
            shutil.rmtree(self.cluster.resolve().parent, ignore_errors=True)
        shutil.rmtree(self.folder)


def _release(lock: int) -> None:
    """Give the lock up for children that inherited it too; the server's own is never given up like this."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
