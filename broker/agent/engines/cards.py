"""Emulated cards: a file for each, which counts as in use while any process has it open.

Free cards are what is measured. A process that holds a card and did not come through the broker makes it a foreign
card, just as a stranger's process on a real device would.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from broker.agent.engines.processes import Stat, all_processes, descendants
from broker.agent.orders import NodeSeen, NodeStock, PoolStock

DOWN_MARK: Final = "down"
"""A file of this name in a node's folder takes the node down; its text says why."""

_DETAIL_MAX: Final = 256


class CardHolder(NamedTuple):
    """A process that has a card open."""

    pid: int
    node: str
    card: int


class OwnProcesses(NamedTuple):
    """What belongs to our leases: all that stems from these supervisors, and all in these sessions."""

    supervisors: frozenset[int]
    sessions: frozenset[int]


class EmulatedCards:
    """The device files of every node of an inventory."""

    def __init__(self, folder: Path, pools: tuple[PoolStock, ...]) -> None:
        self._folder = folder
        self._nodes: dict[str, NodeStock] = {node.node: node for pool in pools for node in pool.nodes}
        self._prefix = ""

    def create(self) -> None:
        """Make every file that is missing; anybody on the machine may open them, as with real devices."""
        _open_folder(self._folder)
        self._prefix = f"{os.path.realpath(self._folder)}/"
        for node in self._nodes.values():
            _open_folder(self._folder / node.node)
            for card in range(node.cards):
                path = self._folder / node.node / f"card{card}"
                path.touch(exist_ok=True)
                path.chmod(0o666)

    def has(self, node: str, card: int) -> bool:
        """Return whether the inventory has this card."""
        return node in self._nodes and 0 <= card < self._nodes[node].cards

    def why_down(self, node: str) -> str | None:
        """Return why no work can start on the node, None when it can."""
        try:
            text = (self._folder / node / DOWN_MARK).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        return text.strip()[:_DETAIL_MAX] or "it was marked as down"

    def survey(self, own: Callable[[], OwnProcesses]) -> tuple[NodeSeen, ...]:
        """Return every node that is down or has foreign work, by looking at every process that can be seen.

        `own` is asked only when a card is held at all.
        """
        foreign: dict[str, set[int]] = {}
        detail: dict[str, str] = {}
        holders = self._holders()
        ours = _ours(own()) if holders else set()
        for holder in holders:
            if holder.pid not in ours:
                foreign.setdefault(holder.node, set()).add(holder.card)
                detail.setdefault(holder.node, f"held by process {holder.pid}, which did not come through the broker")
        down = {node: why for node in self._nodes if (why := self.why_down(node)) is not None}
        return tuple(
            NodeSeen(node, node in down, tuple(sorted(foreign.get(node, ()))), down.get(node) or detail[node])
            for node in sorted(foreign.keys() | down.keys())
        )

    def _holders(self) -> list[CardHolder]:
        pids = [name for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
        return [
            CardHolder(int(pid), *place)
            for pid in pids
            for target in _open_files(pid)
            if target.startswith(self._prefix) and (place := self._place(target)) is not None
        ]

    def _place(self, path: str) -> tuple[str, int] | None:
        node, _, file = path.removeprefix(self._prefix).partition("/")
        number = file.removeprefix("card")
        if number.isdecimal() and self.has(node, int(number)):
            return node, int(number)
        return None


def _open_folder(path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(0o755)


def _open_files(pid: str) -> list[str]:
    """Return where the descriptors of a process lead; none when it has ended or may not be looked at."""
    folder = f"/proc/{pid}/fd"
    targets: list[str] = []
    with contextlib.suppress(OSError):
        targets.extend(os.readlink(f"{folder}/{name}") for name in os.listdir(folder))
    return targets


def _ours(own: OwnProcesses) -> set[int]:
    processes: list[Stat] = list(all_processes())
    ours = {one.pid for one in processes if one.session in own.sessions}
    for supervisor in own.supervisors:
        ours.add(supervisor)
        ours.update(one.pid for one in descendants(supervisor, processes))
    return ours
