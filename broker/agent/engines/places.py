"""Where jobs work on the disk, and for how long what they leave behind is kept."""

import asyncio
import hashlib
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from broker.agent.engines.accounts import Account, Accounts
from broker.agent.engines.protocol import EngineError

_SHARED_WORK: Final = Path("/var/lib/xisuan-jobs")
"""Where working directories go when the agent is root and its state lies where no job can reach it, as below /root."""

_PRUNE_EVERY_SECONDS: Final = 60.0


@dataclass(slots=True)
class Retention:
    """How long output and working directories of settled leases are kept.

    Attributes:
        hours: longest time after the end.
        leases_max: most leases; the oldest go first.
    """

    hours: float = 168.0
    leases_max: int = 1000
    _pruned_at: float = field(default=float("-inf"), repr=False)

    async def prune(self, folders: Path, work_root: Path) -> None:
        """Delete what is kept no longer; cheap when called often."""
        if time.monotonic() - self._pruned_at < _PRUNE_EVERY_SECONDS:
            return
        self._pruned_at = time.monotonic()
        await asyncio.to_thread(self._prune, folders, work_root)

    def _prune(self, folders: Path, work_root: Path) -> None:
        settled = sorted((_mark_time(path), path) for path in folders.iterdir() if (path / "settled").exists())
        too_many = max(0, len(settled) - self.leases_max)
        oldest = time.time() - self.hours * 3600
        for index, (settled_at, path) in enumerate(settled):
            if index < too_many or settled_at < oldest:
                _delete(work_root / path.name)
                if not (work_root / path.name).exists():  # what could not be deleted is tried again the next time
                    _delete(path)


def _delete(folder: Path) -> None:
    """Delete what a job has left. By `rm`: jobs nest folders so deep that Python's own way ends in a RecursionError."""
    subprocess.run(["rm", "-rf", "--one-file-system", "--", folder], stderr=subprocess.DEVNULL, check=False)


def _mark_time(path: Path) -> float:
    return (path / "settled").stat().st_mtime


def choose_work_root(wanted: Path | None, state_dir: Path, accounts: Accounts) -> Path:
    """Return the folder for working directories, made if need be. Raise EngineError when jobs cannot reach it."""
    account = accounts.of_lease(1)
    if wanted is not None:
        root = own_folder(wanted, "work_dir")
        if not _can_reach(root, account):
            raise EngineError(
                f"work_dir: {account.name} cannot enter {root}, a folder above is closed: open it, or name another"
            )
        return root
    root = own_folder(state_dir / "work", "state_dir")
    if _can_reach(root, account):
        return root
    own_folder(_SHARED_WORK, "work_dir")
    name = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:12]
    return own_folder(_SHARED_WORK / name, "work_dir")


def own_folder(path: Path, setting: str) -> Path:
    """Return the folder, made if need be, into which only we write and through which anybody may pass.

    Args:
        path: the folder.
        setting: its name in the configuration, for the error.
    Raises: EngineError: it cannot be made, or somebody else can put links in the place of what we make in it.
    """
    try:
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o002:
            raise EngineError(
                f"{setting}: {path} belongs to others or anybody may write into it: name a folder of the agent's own, "
                "or a new one inside it"
            )
        path.chmod(0o711)
    except OSError as error:
        raise EngineError(f"{setting}: {path} cannot be made: {error.strerror}") from error
    return path.resolve()


def _can_reach(path: Path, account: Account) -> bool:
    """Return whether the account may pass through every folder down to `path`."""
    if account.user is None:
        return True
    return all(_may_enter(folder.stat(), account) for folder in (path, *path.parents))


def _may_enter(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.user:
        return bool(found.st_mode & 0o100)
    if found.st_gid == account.group:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)
