"""Read what the engines themselves recorded (`engine.jsonl`, format: broker/agent/engines/RECORD.md)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from broker.audit.facts import RunFact

RECORD_NAME: Final = "engine.jsonl"

Key = tuple[int, int, int, int]  # lease, epoch, task, pid


def read_all(state_folders: Mapping[str, Path]) -> tuple[tuple[RunFact, ...], tuple[str, ...]]:
    """Return every task that the engines ran, and what could not be read of their records.

    Args:
        state_folders: by cluster: the folder that holds its agent's `engine.jsonl`, or that file itself.
    """
    runs: list[RunFact] = []
    unreadable: list[str] = []
    for cluster, folder in sorted(state_folders.items()):
        path = folder / RECORD_NAME if folder.is_dir() else folder
        if path.exists():
            _read(cluster, path, runs, unreadable)
        elif not folder.exists():
            unreadable.append(f"{cluster}: {path} does not exist")
    return tuple(runs), tuple(unreadable)


def _read(cluster: str, path: Path, runs: list[RunFact], unreadable: list[str]) -> None:
    started: dict[Key, dict[str, Any]] = {}
    ended: dict[Key, int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                kind = entry["kind"]
                if kind not in ("start", "end"):
                    continue
                key = (int(entry["lease"]), int(entry["epoch"]), int(entry["task"]), int(entry["pid"]))
                if kind == "start":
                    started[key] = entry
                else:
                    ended.setdefault(key, int(entry["boot_ns"]))
            except (ValueError, KeyError, TypeError) as error:
                unreadable.append(f"{cluster} line {number}: {error!r}")
    for key, entry in started.items():
        try:
            runs.append(_run(cluster, key, entry, ended.get(key)))
        except (ValueError, KeyError, TypeError) as error:
            unreadable.append(f"{cluster} start of lease {key[0]}: {error!r}")


def _run(cluster: str, key: Key, entry: Mapping[str, Any], ended_ns: int | None) -> RunFact:
    return RunFact(
        cluster=cluster,
        lease=key[0],
        epoch=key[1],
        job=int(str(entry["job"]).removeprefix("job-")),
        node=str(entry["node"]),
        cards=tuple(int(card) for card in entry["cards"]),
        task=key[2],
        started_ns=int(entry["boot_ns"]),
        ended_ns=ended_ns,
        alive=ended_ns is None and _lives(key[3], int(entry["pid_started"]), str(entry["boot"])),
        boot=str(entry["boot"]),
        milli=int(entry.get("milli", 1000)),
    )


def _lives(pid: int, started_ticks: int, boot: str) -> bool:
    """Tell whether exactly this process lives: same boot, same pid, same start."""
    try:
        if Path("/proc/sys/kernel/random/boot_id").read_text().strip() != boot:
            return False
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z" and int(fields[19]) == started_ticks
