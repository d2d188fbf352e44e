"""Backups of a hub: the database and the keys of its home, in a folder each, checked when they are put back.

    FOLDER/xisuan-20261126T024000Z/
        database.dump    all rows as of one moment
        keys/            key files and the key that signs placement policies
        manifest.json    version, last migration, rows by table, and SHA-256 of every file

A backup is moved into place when it is complete. What agents keep (output of jobs, the engine's record) is not in it:
it is theirs, on their machines.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Self

from broker.postgres import destroy, dump, using
from broker.postgres.place import OWNER, EmbeddedPostgresError, sync_folder
from broker.store import copies
from broker.store.migrate import read

DATABASE: Final = "database.dump"
MANIFEST: Final = "manifest.json"
KEYS: Final = "keys"
_FORMAT: Final = 1
_NAME: Final = re.compile(r"xisuan-[0-9]{8}T[0-9]{6}Z")


class BackupRefused(EmbeddedPostgresError):
    """The backup cannot be made, or not be put back; the message says why and the way out."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        made_at: when the copy was begun, in ISO form.
        program: version of the program that made it.
        migration: number of the last migration of the tables.
        rows: by table that never loses any; the copy may hold more, as callers went on.
        sha256: of every file, by its path in the backup.
    """

    made_at: str
    program: str
    migration: int
    rows: Mapping[str, int]
    sha256: Mapping[str, str]

    @classmethod
    def read(cls, backup: Path) -> Self:
        """Read it and check every file against it. Raise BackupRefused."""
        try:
            stored = json.loads((backup / MANIFEST).read_text())
            if stored.pop("format") != _FORMAT:
                raise BackupRefused(f"{backup} was made by another version: restore it with that one")
            found = cls(**stored)
            wrong = [name for name, wanted in found.sha256.items() if _sha256(backup / name) != wanted]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupRefused(f"{backup} is no whole backup ({error}): take another one") from error
        if wrong:
            raise BackupRefused(f"{backup / wrong[0]} is not what was written: take another backup")
        return found


def make(folder: Path, home: Path, dsn: str, now: datetime, *, keep: int = 0) -> tuple[Path, Manifest]:
    """Make a backup in the folder, and return where it is.

    Args:
        folder: where backups lie; made when missing.
        home: whose keys are saved, and whose embedded database without a DSN.
        dsn: a login that sees all rows; empty: the embedded database.
        now: the moment that names it.
        keep: so many stay, the newest; 0 deletes none.
    Raises: EmbeddedPostgresError.
    """
    name = f"xisuan-{now:%Y%m%dT%H%M%SZ}"
    draft, target = folder / f".{name}.part", folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            raise BackupRefused(f"{target} is there already: one backup a second is enough")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if dsn:
            manifest = _fill(draft, home, dsn, now)
        else:
            if not (home / "postgres").is_dir():
                raise BackupRefused(f"there is no embedded database in {home}: give --home or --dsn")
            with using(home / "postgres") as server:
                manifest = _fill(draft, home, server.dsn("postgres"), now)
        draft.rename(target)
        sync_folder(folder)
    except OSError as error:
        raise BackupRefused(f"the backup cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    ours = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    for old in ours[:-keep] if keep else []:
        shutil.rmtree(old)
    return target, manifest


def put_back(backup: Path, home: Path, dsn: str) -> Manifest:
    """Put a backup into a new home, or into an empty database, and check that all of it is there.

    Args:
        backup: the folder that `make` returned.
        home: must have no embedded database yet; its keys are written where there are none.
        dsn: a login that may make everything in an empty database; empty: a new embedded one.
    Raises: EmbeddedPostgresError.
    """
    manifest = Manifest.read(backup)
    newest = len(read())
    if manifest.migration > newest:
        raise BackupRefused(
            f"{backup} is of migration {manifest.migration:04}, this program ends at {newest:04}: install that release"
        )
    if dsn:
        _restore(backup, dsn, None, manifest)
    else:
        if (home / "postgres").exists():
            raise BackupRefused(f"{home} has a database already: name another --home, or move that one away")
        home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        try:
            with using(home / "postgres") as server:
                _restore(backup, server.dsn("postgres"), OWNER, manifest)
        except BaseException:
            destroy(home / "postgres")  # half of a database is worse than none
            raise
    for file in sorted((backup / KEYS).glob("*")):
        target = home / KEYS / file.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(file, target)
            target.chmod(0o600)
    return manifest


def _fill(draft: Path, home: Path, dsn: str, now: datetime) -> Manifest:
    try:
        migration, rows = asyncio.run(copies.last_migration(dsn)), asyncio.run(copies.rows(dsn))
    except copies.CopyRefused as error:
        raise BackupRefused(str(error)) from error
    dump.dump(dsn, draft / DATABASE)
    (draft / KEYS).mkdir(mode=0o700)
    for key in sorted((home / KEYS).glob("*")):
        if not key.name.startswith("."):
            shutil.copyfile(key, draft / KEYS / key.name)
            (draft / KEYS / key.name).chmod(0o600)
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    sha256 = {path.relative_to(draft).as_posix(): _sha256(path) for path in files}
    manifest = Manifest(now.isoformat(), _version(), migration, rows, sha256)
    written = draft / MANIFEST
    written.write_text(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=2) + "\n")
    for path in (*files, written):
        _sync(path)
    return manifest


def _restore(backup: Path, dsn: str, owner: str | None, manifest: Manifest) -> None:
    try:
        if not asyncio.run(copies.is_empty(dsn)):
            raise BackupRefused("the database has tables already: restore into an empty one")
        dump.restore(dsn, backup / DATABASE, owner=owner)
        asyncio.run(copies.skip_ids(dsn))
        rows = asyncio.run(copies.rows(dsn))
    except copies.CopyRefused as error:
        raise BackupRefused(str(error)) from error
    short = [table for table, wanted in manifest.rows.items() if rows.get(table, 0) < wanted]
    if short:
        raise BackupRefused(f"after the restore rows of {short[0]} are missing: take another backup")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _version() -> str:
    try:
        return version("xisuan")
    except PackageNotFoundError:
        return "unknown"
