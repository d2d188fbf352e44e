"""What a run must never do, checked again from the placement log: it shares no code with the kernel that placed.

Only the lists, the arrivals and the log go in; sums are made anew, in plain Python.
"""

from collections.abc import Sequence

from benchmarks.openb.trace import CARD_MILLI, Arrivals, Node, Placement, Request


def findings(nodes: Sequence[Node], arrivals: Arrivals, placements: Sequence[Placement]) -> list[str]:
    """Return one sentence for each broken rule; nothing for a clean run."""
    found = []
    if len(placements) != len(arrivals.order):
        found.append(f"{len(arrivals.order)} arrivals but {len(placements)} entries in the log")
    machines = [_Machine(node) for node in nodes]
    for number, (index, placement) in enumerate(zip(arrivals.order.tolist(), placements, strict=False)):
        if placement.node == -1:
            if placement.cards:
                found.append(f"arrival {number} was not placed but holds cards {placement.cards}")
        elif not 0 <= placement.node < len(nodes):
            found.append(f"arrival {number} is on node {placement.node}, which does not exist")
        else:
            found += machines[placement.node].add(number, arrivals.classes[index], placement.cards)
    return found


class _Machine:
    """One node's sums."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._cpu_milli = self._memory_mib = 0
        self._card_milli = [0] * node.cards

    def add(self, number: int, request: Request, cards: tuple[int, ...]) -> list[str]:
        """Add a task; return what it breaks."""
        node, broken = self._node, []
        self._cpu_milli += request.cpu_milli
        self._memory_mib += request.memory_mib
        if self._cpu_milli > node.cpu_milli:
            broken.append(f"{self._cpu_milli} of {node.cpu_milli} CPU milli")
        if self._memory_mib > node.memory_mib:
            broken.append(f"{self._memory_mib} of {node.memory_mib} MiB")
        if request.models and node.model not in request.models:
            broken.append(f"model {node.model}, allowed are {', '.join(request.models)}")
        if len(set(cards)) != request.cards or len(cards) != request.cards:
            broken.append(f"cards {cards} where {request.cards} are wanted")
        for card in cards:
            if not 0 <= card < node.cards:
                broken.append(f"card {card} of {node.cards}")
                continue
            if request.card_milli == CARD_MILLI and self._card_milli[card]:
                broken.append(f"card {card} was in use and is taken whole")
            self._card_milli[card] += request.card_milli
            if self._card_milli[card] > CARD_MILLI:
                broken.append(f"{self._card_milli[card]} of {CARD_MILLI} milli on card {card}")
        return [f"arrival {number} on {node.name}: {what}" for what in broken]
