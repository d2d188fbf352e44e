"""Named cards of named nodes: what a pattern program asks for is dealt out here, and what is left is filled.

All choices are greedy, or exact on one card or one node; ties go to the lower index, so equal input gives equal cards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.card_ground import CARD_MILLI, NEED_MAX, Array, Ground, Kind

_LABELS_MAX: Final = 4  # fillings remembered for each used part of a card: the best worth, and cheaper ones below it
_TRIES_MAX: Final = 50  # partners looked at for an exchange: most CPU first
_SUMS_MAX: Final = 60  # sums of CPU and worth remembered while a node is chosen anew

Label = tuple[int, int, int, tuple[int, ...]]  # of a filling: -worth, CPU, memory, kinds
_EMPTY: Final[Label] = (0, 0, 0, ())


@dataclass(frozen=True, slots=True)
class Filling:
    """What the program wants of one group of nodes.

    Attributes:
        tasks: by kind, tasks with whole cards or none.
        shares: by kind, tasks with a share.
        patterns: (milli free, sizes of the shares on it), how many cards.
    """

    tasks: Mapping[int, int]
    shares: Mapping[int, int]
    patterns: Mapping[tuple[int, tuple[int, ...]], int]


def deal(ground: Ground, among: Array, filling: Filling) -> None:
    """Put what the program wants on the nodes of one group: tasks without cards, gangs, then cards, CPU kept level."""
    kinds = ground.kinds
    order = sorted(filling.tasks, key=lambda c: (-kinds[c].cards, -kinds[c].cpu_milli, c))
    bundles: list[tuple[int, int, list[int]]] = []
    for c in order:
        for _ in range(filling.tasks[c]):
            if kinds[c].cards == 1:
                bundles.append((kinds[c].cpu_milli, CARD_MILLI, [c]))
            else:
                put_anywhere(ground, c, among)
    bundles += _bundles(kinds, filling)
    bundles.sort(key=lambda bundle: (-bundle[0], bundle[1], bundle[2]))
    cards = np.array([[node_cards.count(level) for level in _levels(bundles)] for node_cards in _of(ground, among)])
    column = {level: index for index, level in enumerate(_levels(bundles))}
    for cpu, level, shares in bundles:
        memory = sum(kinds[c].memory_mib for c in shares)
        free = cards[:, column[level]] > 0
        fits = free & (ground.cpu[among] >= cpu) & (ground.memory[among] >= memory)
        if not fits.any():
            continue  # filled later, by what then fits
        level_cpu = np.where(fits, ground.cpu[among] / np.maximum(cards.sum(axis=1), 1), -1.0)
        at = int(level_cpu.argmax())
        n = int(among[at])
        card = next(k for k, m in enumerate(ground.milli[n]) if m == level and not ground.on_card[n][k])
        cards[at, column[level]] -= 1
        ground.put_shares(n, card, shares)


def _levels(bundles: Sequence[tuple[int, int, list[int]]]) -> list[int]:
    return sorted({level for _, level, _ in bundles} | {CARD_MILLI})


def _of(ground: Ground, among: Array) -> list[list[int]]:
    return [ground.milli[int(n)] for n in among]


def _bundles(kinds: Sequence[Kind], filling: Filling) -> list[tuple[int, int, list[int]]]:
    """Return (CPU, level, kinds) for each card: shares of a size go to its slots, most CPU first, card after card."""
    stock: dict[int, list[int]] = {}
    for c, count in sorted(filling.shares.items(), key=lambda item: kinds[item[0]].cpu_milli):
        stock.setdefault(kinds[c].share_milli, []).extend([c] * count)
    bundles = []
    for (level, sizes), count in sorted(filling.patterns.items()):
        for _ in range(count):
            shares = [stock[size].pop() for size in sizes if stock.get(size)]
            if shares:
                bundles.append((sum(kinds[c].cpu_milli for c in shares), level, shares))
    return bundles


def put_anywhere(ground: Ground, c: int, among: Array) -> bool:
    """Put a task with several cards, or none, where no card is starved of CPU or memory, then tightest by cards."""
    rooms = ground.rooms(c, among)
    if not len(rooms):
        return False
    kind, mean = ground.kinds[c], ground.need_by_card
    idle = ground.idle[rooms] - kind.cards
    cpu, memory = ground.cpu[rooms] - kind.cpu_milli, ground.memory[rooms] - kind.memory_mib
    starved = (cpu < idle * mean[0]) | (memory < idle * mean[1])
    order = np.lexsort((rooms, -cpu / (idle + 1), idle if kind.cards else np.zeros(len(rooms)), starved))
    ground.put(c, int(rooms[order[0]]))
    return True


def force(ground: Ground, c: int) -> bool:
    """Put a required task without cards by taking back others that are not required; return whether there was a way."""
    kind = ground.kinds[c]
    may = ground.allowed[c] & (ground.memory + ground.card_memory.sum(axis=1) >= kind.memory_mib)
    cpu = np.where(may, ground.cpu + ground.card_cpu.sum(axis=1), -1)
    if not len(cpu) or cpu.max() < kind.cpu_milli:
        return False
    n = int(cpu.argmax())
    for k in np.argsort(-ground.card_cpu[n], kind="stable").tolist():
        if ground.cpu[n] >= kind.cpu_milli and ground.memory[n] >= kind.memory_mib:
            break
        ground.clear(n, k)
    ground.put(c, n)
    return True


def refill(ground: Ground, n: int, card: int) -> int:
    """Fill one card anew with the worthiest of what it holds and what is left; return the worth that was won."""
    level = ground.nodes[n].cards[card]
    if ground.milli[n][card] == 0 or any(card in cards for _, cards in ground.others[n]):
        return 0
    before = ground.clear(n, card)
    items = _items(ground, n, level)
    best = _front(ground.kinds, items, level, int(ground.cpu[n]), int(ground.memory[n]))[0][3]
    worth = [sum(ground.kinds[c].worth for c in shares) for shares in (before, best)]
    ground.put_shares(n, card, list(best) if worth[1] > worth[0] else before)
    return max(worth[1] - worth[0], 0)


def make_room(ground: Ground, n: int) -> int:
    """Fill the node's cards that want CPU: by exchanges with other nodes, then by a new choice for the whole node.

    Every exchange keeps the worth and gives this node the CPU that the other one has to spare. Return the worth won.
    """
    won = 0
    for card in sorted(range(len(ground.milli[n])), key=lambda k: (-ground.milli[n][k], k)):
        while ground.milli[n][card]:
            won += refill(ground, n, card)
            if not ground.milli[n][card] or not (_move_out(ground, n) or _exchange(ground, n, card)):
                break
    return won


def _move_out(ground: Ground, n: int) -> bool:
    """Move one task without cards to a node with more CPU left; return whether one was moved."""
    for number, (c, cards) in enumerate(ground.others[n]):
        rooms = ground.rooms(c, np.flatnonzero(ground.cpu > ground.cpu[n])) if not cards else ()
        if len(rooms) and ground.kinds[c].cpu_milli:
            best = int(rooms[np.argmax(ground.cpu[rooms] / (ground.idle[rooms] + 1))])
            if ground.idle[best]:
                continue
            ground.take_out(n, number)
            ground.put(c, best)
            return True
    return False


def _exchange(ground: Ground, n: int, spared: int) -> bool:
    """Exchange the tasks of one card (not `spared`) where this node gains most CPU; return whether it gained any."""
    best: tuple[int, int, int, int] | None = None
    for k, mine in enumerate(ground.on_card[n]):
        if not mine or k == spared:
            continue
        gain, more = ground.card_cpu[n, k] - ground.card_cpu, ground.card_memory[n, k] - ground.card_memory
        fits = (ground.card_cpu > 0) & (ground.level == ground.level[n, k]) & (gain > 0) & (gain <= ground.cpu[:, None])
        fits &= (more <= ground.memory[:, None]) & (-more <= ground.memory[n])
        fits[n] = False
        nodes, cards = np.nonzero(fits)
        order = np.argsort(-gain[nodes, cards], kind="stable")[:_TRIES_MAX]
        for other, card in zip(nodes[order].tolist(), cards[order].tolist(), strict=True):
            if best is not None and gain[other, card] <= best[0]:
                break
            theirs = ground.on_card[other][card]
            if all(ground.allowed[c, other] for c in mine) and all(ground.allowed[c, n] for c in theirs):
                best = int(gain[other, card]), k, other, card
                break
    if best is None:
        return False
    _, k, other, card = best
    mine, theirs = ground.clear(n, k), ground.clear(other, card)
    ground.put_shares(n, k, theirs)
    ground.put_shares(other, card, mine)
    return True


def rework(ground: Ground, n: int) -> int:
    """Choose anew what runs on all cards of a node, gangs excepted, within its CPU; return the worth that was won."""
    gangs = {k for _, cards in ground.others[n] for k in cards}
    cards = [k for k, level in enumerate(ground.nodes[n].cards) if level and k not in gangs]
    before = {k: ground.clear(n, k) for k in cards}
    cpu, memory = int(ground.cpu[n]), int(ground.memory[n])
    fronts = {
        level: _front(ground.kinds, _items(ground, n, level), level, cpu, memory)
        for level in {ground.nodes[n].cards[k] for k in cards}
    }
    chosen: list[Label] = [_EMPTY]
    picks: list[dict[int, int]] = [{}]
    for k in cards:
        chosen, picks = _both(chosen, picks, fronts[ground.nodes[n].cards[k]], k, cpu, memory)
    worth = sum(ground.kinds[c].worth for shares in before.values() for c in shares)
    won = 0
    for k in cards:
        wanted = fronts[ground.nodes[n].cards[k]][picks[0][k]][3]
        ground.put_shares(n, k, _there(ground, wanted))
    for k in cards:
        refill(ground, n, k)
    won = sum(ground.kinds[c].worth for k in cards for c in ground.on_card[n][k]) - worth
    if won > 0:
        return won
    for k in cards:
        ground.clear(n, k)
    for k in cards:
        ground.put_shares(n, k, before[k])
    return 0


def _there(ground: Ground, wanted: Sequence[int]) -> list[int]:
    """Return the part of the wanted kinds that is left."""
    return [c for number, c in enumerate(wanted) if wanted[:number].count(c) < ground.left[c]]


def _both(
    some: list[Label], picks: list[dict[int, int]], front: Sequence[Label], k: int, cpu: int, memory: int
) -> tuple[list[Label], list[dict[int, int]]]:
    """Return the best sums of one of `some` and one of the front within CPU and memory, and what they pick for k.

    The last of each is to leave all cards empty: whatever memory there is, that is a choice.
    """
    sums = [
        (a[0] + b[0], a[1] + b[1], a[2] + b[2], i, j)
        for i, a in enumerate(some)
        for j, b in enumerate(front)
        if a[1] + b[1] <= cpu and a[2] + b[2] <= memory
    ]
    sums.sort()
    kept, lowest = [], cpu + 1
    for one in sums:
        if one[1] < lowest:
            lowest = one[1]
            kept.append(one)
    nothing = (0, 0, 0, len(some) - 1, len(front) - 1)
    if kept[-1][:3] != nothing[:3]:
        kept.append(nothing)
    if len(kept) > _SUMS_MAX:
        kept = [kept[at * (len(kept) - 1) // (_SUMS_MAX - 1)] for at in range(_SUMS_MAX)]
    return [(w, c, m, ()) for w, c, m, _, _ in kept], [picks[i] | {k: j} for _, _, _, i, j in kept]


def _items(ground: Ground, n: int, level: int) -> list[int]:
    """Return the kinds to choose from, each as often as it is there and the card could hold it, cheapest first."""
    by_size: dict[int, list[int]] = {}
    for c in np.flatnonzero(ground.allowed[:, n]).tolist():
        kind = ground.kinds[c]
        size = kind.share_milli or kind.cards * CARD_MILLI
        if ground.left[c] and 0 < size <= level and kind.cpu_milli <= ground.cpu[n]:
            by_size.setdefault(size, []).append(c)
    items: list[int] = []
    for size, kinds in sorted(by_size.items(), reverse=True):
        room = level // size
        kinds.sort(key=lambda c: (-ground.kinds[c].worth, ground.kinds[c].cpu_milli, ground.kinds[c].memory_mib, c))
        lowest_cpu, enough = NEED_MAX, 0
        for c in kinds:
            if enough >= room and ground.kinds[c].cpu_milli >= lowest_cpu:
                continue
            times = min(ground.left[c], room)
            items += [c] * times
            enough, lowest_cpu = enough + times, min(lowest_cpu, ground.kinds[c].cpu_milli)
    return items


def _front(kinds: Sequence[Kind], items: Sequence[int], level: int, cpu: int, memory: int) -> list[Label]:
    """Return fillings of one card within CPU and memory, worthiest first, each cheaper in CPU than those before it.

    The last one is to leave it empty, also where others need no CPU either: they may need memory.
    """
    labels: dict[int, list[Label]] = {0: [_EMPTY]}  # by milli used
    for c in items:
        kind = kinds[c]
        size = kind.share_milli or CARD_MILLI
        for used in sorted((u for u in labels if u + size <= level), reverse=True):
            for worth, cpu_used, memory_used, chosen in labels[used]:
                if cpu_used + kind.cpu_milli <= cpu and memory_used + kind.memory_mib <= memory:
                    label = (worth - kind.worth, cpu_used + kind.cpu_milli, memory_used + kind.memory_mib, (*chosen, c))
                    _remember(labels.setdefault(used + size, []), label)
    front, lowest = [], cpu + 1
    for label in sorted(label for some in labels.values() for label in some):
        if label[1] < lowest:
            lowest = label[1]
            front.append(label)
    return front if front[-1] == _EMPTY else [*front, _EMPTY]


def _remember(some: list[Label], label: Label) -> None:
    if any(old[0] <= label[0] and old[1] <= label[1] and old[2] <= label[2] for old in some):
        return
    some[:] = [old for old in some if not (label[0] <= old[0] and label[1] <= old[1] and label[2] <= old[2])]
    some.append(label)
    some.sort()
    del some[_LABELS_MAX:]
