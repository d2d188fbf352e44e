"""Copies of a database as files: made and put back with PostgreSQL's own programs, whole or not at all."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from broker.postgres.place import EmbeddedPostgresError
from broker.postgres.programs import ProgramsNotFound, ServerUser, find_programs

_PLAIN: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
_VARIABLES: Final = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


class DumpFailed(EmbeddedPostgresError):
    """The database could not be copied, or not put back; the message says why."""


def dump(dsn: str, file: Path) -> None:
    """Write all of the database into a file, as of one moment; callers go on meanwhile.

    Args:
        dsn: a login that sees every row: the superuser, or one with BYPASSRLS. Another one is refused by PostgreSQL,
            so that no copy lacks rows without a word.
        file: made with mode 0600; must not exist.
    Raises: DumpFailed.
    """
    file.touch(mode=0o600, exist_ok=False)
    _run("pg_dump", ["--format=custom", "--compress=gzip:4", f"--file={file}"], dsn)


def restore(dsn: str, file: Path, *, owner: str | None) -> None:
    """Put a copy into an empty database, in one transaction.

    Args:
        dsn: a login that may make everything in it.
        file: what `dump` wrote.
        owner: who shall own the tables; None: the login itself.
    Raises: DumpFailed.
    """
    role = [f"--role={owner}"] if owner else []
    _run("pg_restore", ["--no-owner", *role, "--exit-on-error", "--single-transaction", str(file)], dsn, into=True)


def _run(program: str, arguments: list[str], dsn: str, *, into: bool = False) -> None:
    settings = _settings(dsn)
    named = [f"--dbname={settings['PGDATABASE']}"] if into else []
    done = subprocess.run(
        [_folder() / program, "--no-password", *named, *arguments],
        env={**_PLAIN, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip()
        fenced = re.search("row-level security|privilege|permission denied", said)
        hint = "; log in as the superuser, or with a role that has BYPASSRLS and may read everything" if fenced else ""
        raise DumpFailed(f"{program} failed: {said[-1500:]}{hint}")


def _folder() -> Path:
    """Return the folder of the programs; we run them as ourselves, as clients."""
    try:
        return find_programs(ServerUser(os.geteuid(), os.getegid(), other=False), Path("/nonexistent")).folder
    except (ProgramsNotFound, OSError) as error:
        raise DumpFailed(f"there is no pg_dump to be had: {error}") from error


def _settings(dsn: str) -> Mapping[str, str]:
    """Return the DSN as variables: in an argument everybody could read the password. Raise DumpFailed."""
    try:
        parts = urlsplit(dsn)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        found = {
            "PGHOST": query.get("host") or parts.hostname or "",
            "PGPORT": query.get("port") or str(parts.port or ""),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
            "PGDATABASE": unquote(parts.path.lstrip("/")),
        }
    except ValueError:
        found = {}
    if not found.get("PGDATABASE") or not re.fullmatch("postgres(ql)?", parts.scheme):
        raise DumpFailed("this is no DSN: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    found |= {_VARIABLES[name]: value for name, value in query.items() if name in _VARIABLES}
    return {name: value for name, value in found.items() if value}
