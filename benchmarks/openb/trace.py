"""The experiment's input: nodes and tasks from CSV (plain or gzip), and the seeded stream of arrivals.

Every arrival refers to a *request class* (equal CPU, memory, cards, milli and allowed models): all that a policy sees.
"""

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CARD_MILLI = 1000
CARDS_MAX = 8
"""Of one node, and of one task: the traces have no more."""
INFLATED = 1.3
"""Clones are appended until this multiple of the capacity is asked for."""


class BadTrace(ValueError):
    """A node or task list cannot be read; the message names the file, the line and the column."""


class Node(NamedTuple):
    """A machine as the list has it."""

    name: str
    cpu_milli: int
    memory_mib: int
    cards: int
    model: str


class Request(NamedTuple):
    """What a task asks for: whole cards, or `card_milli` below 1000 of one card, or no card."""

    cpu_milli: int
    memory_mib: int
    cards: int
    card_milli: int
    models: tuple[str, ...]
    """Allowed models; empty allows all. As the list writes them: the published experiment tells the usual shapes apart
    by that text, and lists with doubled names would agree with it less if names were sorted."""

    @property
    def milli(self) -> int:
        """Card milli in all."""
        return self.cards * self.card_milli


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of one arrival: its node's index in the list and its card numbers; node -1 if it fitted nowhere."""

    node: int
    cards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One seed's stream.

    Attributes:
        classes: distinct requests.
        order: class index of every arrival.
    """

    classes: Sequence[Request]
    order: NDArray[np.int64]

    def milli(self) -> NDArray[np.int64]:
        """Return the card milli that each arrival asks for."""
        return np.array([request.milli for request in self.classes], dtype=np.int64)[self.order]


def read_nodes(path: Path) -> list[Node]:
    """Read a node list. Raise BadTrace."""
    nodes = [
        Node(
            row["sn"], _whole(row, "cpu_milli", 2**40), _whole(row, "memory_mib", 2**40),
            _whole(row, "gpu", CARDS_MAX), row["model"],
        )
        for row in _rows(path, ("sn", "cpu_milli", "memory_mib", "gpu", "model"))
    ]  # fmt: skip
    if not sum(node.cards for node in nodes):
        raise BadTrace(f"{path}: no node has a card (column gpu): give a list of GPU nodes")
    return nodes


def read_requests(path: Path) -> list[Request]:
    """Read a task list, one request for each task, in the list's order. Raise BadTrace."""
    requests = []
    for row in _rows(path, ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")):
        cards, milli = _whole(row, "num_gpu", CARDS_MAX), _whole(row, "gpu_milli", CARD_MILLI)
        if cards and (not milli or (cards > 1 and milli < CARD_MILLI)):
            raise BadTrace(
                f"{row['']}: gpu_milli is {milli} of {cards} cards: one card has 1..1000, more cards 1000 each"
            )
        models = tuple(model for model in (row.get("gpu_spec") or "").split("|") if model)
        cpu, memory = _whole(row, "cpu_milli", 2**40), _whole(row, "memory_mib", 2**40)
        requests.append(Request(cpu, memory, cards, milli if cards else 0, models))
    if not sum(request.milli for request in requests):
        raise BadTrace(f"{path}: no task asks for a card (column num_gpu): nothing would fill the cluster")
    return requests


def arrivals(requests: Sequence[Request], capacity_milli: int, seed: int) -> Arrivals:
    """Return the tasks in random order, then clones of uniformly drawn tasks up to INFLATED times the capacity.

    A trace that asks for more than that is cut, which after shuffling thins it at random.
    """
    luck = np.random.default_rng(seed)
    classes = sorted(set(requests))
    number = {request: index for index, request in enumerate(classes)}
    of_task = np.array([number[request] for request in requests], dtype=np.int64)
    milli = np.array([request.milli for request in classes], dtype=np.int64)
    order = luck.permutation(of_task)
    goal = int(INFLATED * capacity_milli)
    while milli[order].sum() < goal:
        order = np.concatenate([order, luck.choice(of_task, size=len(of_task))])
    enough = int(np.searchsorted(np.cumsum(milli[order]), goal)) + 1
    return Arrivals(classes, order[:enough])


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield rows; the entry "" says where the row stands."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as text:
        reader = csv.DictReader(text)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise BadTrace(f"{path}: no column {', '.join(missing)}: its first line must name {', '.join(columns)}")
        for row in reader:
            yield row | {"": f"{path}:{reader.line_num}"}


def _whole(row: dict[str, str], column: str, most: int) -> int:
    text = row[column]
    if not (text and text.isascii() and text.isdigit() and int(text[:20]) <= most):
        raise BadTrace(f"{row['']}: {column} is {text!r:.40}: a whole number from 0 to {most} is wanted")
    return int(text)
