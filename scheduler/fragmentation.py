"""Fragmentation: the idle card milli that a typical task cannot use, expected over the typical tasks.

The measure is F of Weng et al., "Beware of Fragmentation", USENIX ATC 2023. For one typical task and one node:

- all idle milli of the node, if the task takes no card, may not run on the model, or lacks CPU or cards there;
- else the idle milli on those cards that are too small for it.

Memory does not count, as in the paper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scheduler.card_ground import CARD_MILLI, BadPacking, Kind, Node, check


def fragmentation(free: Sequence[Node], typical: Sequence[Kind]) -> int:
    """Return the expected unusable idle milli over all nodes, rounded down.

    Args:
        free: what each node has left.
        typical: popular tasks; `count` is how often each comes. `worth` and `required` say nothing here.
    Raises: BadPacking: a figure is out of range, or no typical task has a count.
    """
    check(typical, free)
    total = sum(kind.count for kind in typical)
    if not total:
        raise BadPacking("typical", "no task has a count: what is usable depends on what usually comes")
    # equal nodes lose the same: empty and full ones are many
    alike = Counter(node._replace(memory_mib=0, cards=tuple(sorted(node.cards))) for node in free)
    lost = sum(times * kind.count * unusable(node, kind) for node, times in alike.items() for kind in typical)
    return lost // total


def unusable(node: Node, kind: Kind) -> int:
    """Return the idle milli of a node that one task cannot use."""
    idle = sum(node.cards)
    need = kind.share_milli or CARD_MILLI
    wanted = 1 if kind.share_milli else kind.cards
    if not wanted or node.cpu_milli < kind.cpu_milli or (kind.models and node.model not in kind.models):
        return idle
    fitting = [milli for milli in node.cards if milli >= need]
    return idle - sum(fitting) if len(fitting) >= wanted else idle
