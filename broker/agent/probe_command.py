"""A probe is a job whose program is called `xisuan-probe`: what that is on these cards is the agent's to know."""

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from broker.agent.orders import Desired, Order

PROBE: Final = "xisuan-probe"

_FILE: Final = Path(__file__).with_name("probe.py")


def own() -> tuple[str, ...]:
    """Return what measures the processors of this machine, for emulated cards.

    Jobs of an agent that runs as root are other users'. Where those cannot reach this Python, such as one in a home,
    the program is handed to the Python that they have.
    """
    python = Path(sys.executable).resolve()
    if os.geteuid() != 0 or all(each.stat().st_mode & stat.S_IXOTH for each in (python, *python.parents)):
        return (sys.executable, str(_FILE))
    return ("python3", "-c", _FILE.read_text(encoding="utf-8"))


class ProbeCommands:
    """The commands that probes run, by software stack. `other`: for stacks that are not named; empty: none."""

    def __init__(self, commands: Mapping[str, tuple[str, ...]], other: tuple[str, ...] = ()) -> None:
        self._commands = dict(commands)
        self._other = other

    def filled_in(self, desired: Desired) -> Desired:
        """Return what should be, with the probes among it as commands of this place.

        Where there is none the probe stays as it is, and fails: there is no such program.
        """
        if not any(order.command[0] == PROBE for order in desired.start):
            return desired
        return replace(desired, start=tuple(map(self._of, desired.start)))

    def _of(self, order: Order) -> Order:
        if order.command[0] != PROBE:
            return order
        command = self._commands.get(order.stack, self._other)
        return replace(order, command=(*command, *order.command[1:])) if command else order
