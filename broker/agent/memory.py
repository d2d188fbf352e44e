"""Which attempt of each job was taken last: kept on disk, so that no late order starts anything after a restart."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from broker.agent.engines import files
from broker.ids import JobId

_KEPT: Final = timedelta(days=30)
"""Far longer than any message can be late, and than any lease can live without the engine having a trace of it."""


_REWRITTEN_MIN: Final = 10_000
"""Jobs below which nothing is gained by forgetting old ones."""


class EpochMemory:
    """The latest epoch of each job, in an append-only file that is rewritten when it is opened or has doubled."""

    def __init__(self, path: Path, *, now: datetime) -> None:
        """Read the file. A last line that was cut off by a crash is ignored: its lease was never started."""
        self._path = str(path)
        self._epochs: dict[JobId, tuple[int, datetime]] = {}
        for job, epoch, at in _lines(path):
            if epoch > self.latest(job):
                self._epochs[job] = (epoch, at)
        self._rewrite(now)

    def latest(self, job: JobId) -> int:
        """Return the highest epoch of the job that was taken, 0 when none was."""
        return self._epochs.get(job, (0,))[0]

    def remember(self, job: JobId, epoch: int, *, now: datetime) -> None:
        """Keep that this epoch was taken; a lower one than before changes nothing.

        Raise OSError when it is remembered only as long as we live.
        """
        if epoch <= self.latest(job):
            return
        self._epochs[job] = (epoch, now)
        if len(self._epochs) > self._rewrite_at:
            self._rewrite(now)
        else:
            files.append_lines(self._path, [_line(job, epoch, now)])

    def _rewrite(self, now: datetime) -> None:
        """Forget what is too old; next when there is twice as much, so that it costs little for each epoch."""
        self._epochs = {job: (epoch, at) for job, (epoch, at) in self._epochs.items() if now - at < _KEPT}
        self._rewrite_at = max(_REWRITTEN_MIN, 2 * len(self._epochs))
        beside = self._path + ".new"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(_line(job, epoch, at)) + "\n" for job, (epoch, at) in self._epochs.items())
        os.replace(beside, self._path)


def _line(job: JobId, epoch: int, at: datetime) -> dict[str, int | str]:
    return {"job": job, "epoch": epoch, "at": at.isoformat()}


def _lines(path: Path) -> list[tuple[JobId, int, datetime]]:
    found = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
                found.append((JobId(int(line["job"])), int(line["epoch"]), datetime.fromisoformat(line["at"])))
            except (ValueError, KeyError, TypeError):
                continue
    return found
