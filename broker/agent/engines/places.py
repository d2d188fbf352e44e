"""Where jobs work on the disk, and for how long what they leave behind is kept."""

import asyncio
import hashlib
import os
import shutil
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
                shutil.rmtree(work_root / path.name, ignore_errors=True)
                shutil.rmtree(path, ignore_errors=True)


def _mark_time(path: Path) -> float:
    return (path / "settled").stat().st_mtime


def choose_work_root(wanted: Path | None, state_dir: Path, accounts: Accounts) -> Path:
    """Return the folder for working directories, made if need be. Raise EngineError when jobs cannot reach it."""
    account = accounts.of_lease(1)
    if wanted is not None:
        root = _make(wanted)
        if not _can_reach(root, account):
            raise EngineError(
                f"work_dir: {account.name} cannot enter {root}, a folder above is closed: open it, or name another"
            )
        return root
    root = _make(state_dir / "work")
    if _can_reach(root, account):
        return root
    _make(_SHARED_WORK)
    return _make(_SHARED_WORK / hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:12])


def _make(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711)
    except OSError as error:
        raise EngineError(f"work_dir: {path} cannot be made: {error.strerror}") from error
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
