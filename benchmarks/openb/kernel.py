"""The arrivals one by one, compiled: filter, score, place. No departure, retry, migration or preemption.

The node with the highest integer score gets the task; ties go to the first node in the order of the arrays, which the
caller has put into the run's fixed random order. Scores are kept until the node changes: a decision costs one scan.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., Any])

FIRST_FIT, RANDOM, BEST_FIT, DOT_PRODUCT, PACKING, CLUSTERING, FGD = range(7)
CARD = 1000
CPU_MOST, CARD_MILLI_MOST = 128_000.0, 8_000.0
"""What the published scores divide by: 128 cores, 8 cards."""


def compiled(function: Function) -> Function:
    """Compile with numba and keep the machine code beside the source."""
    return cast(Function, njit(cache=True)(function))


class Cluster(NamedTuple):
    """Nodes in the order of ties; `cpu`, `memory`, `card` are what is left and change in place.

    Shapes [nodes], but `card` [nodes, 8] in milli, 0 where there is no card. `held` has a bit for each
    kind of request (0 = share, else its cards) that runs there, `version` counts changes.
    """

    cpu: Ints
    memory: Ints
    card: Ints
    cards: Ints
    model: Ints
    held: Ints
    version: Ints


class Requests(NamedTuple):
    """Request classes; `models` is a bit set."""

    cpu: Ints
    memory: Ints
    cards: Ints
    milli: Ints
    models: Ints


class Shapes(NamedTuple):
    """Typical shapes with their shares of the tasks."""

    cpu: Ints
    cards: Ints
    milli: Ints
    models: Ints
    share: Floats


class Memory(NamedTuple):
    """Scores by class and node, true while `version` is the node's; `score` < 0 says that the task does not fit."""

    score: Ints
    card: Ints
    version: Ints


class Log(NamedTuple):
    """By arrival: node or -1, and its cards as bits."""

    node: Ints
    cards: Ints


@compiled
def fits(cluster: Cluster, n: int, asked: Requests, c: int) -> bool:
    """Whether the class has CPU, memory, model and cards on the node."""
    if cluster.cpu[n] < asked.cpu[c] or cluster.memory[n] < asked.memory[c]:
        return False
    if not (cluster.model[n] & asked.models[c]):
        return False
    enough = 0
    for k in range(cluster.cards[n]):
        if cluster.card[n, k] >= asked.milli[c]:
            enough += 1
    return bool(enough >= asked.cards[c])


@compiled
def tightest(card: Ints, cards: int, milli: int) -> int:
    """Return the card with the least left that still has `milli`; -1 without one."""
    best = -1
    for k in range(cards):
        if card[k] >= milli and (best < 0 or card[k] < card[best]):
            best = k
    return best


@compiled
def fragments(cpu: int, card: Ints, cards: int, model: int, shapes: Shapes) -> float:
    """Return the idle milli of a node that a typical task cannot use, expected over the shapes (FGD's F)."""
    idle = 0
    for k in range(cards):
        idle += card[k]
    if idle == 0:
        return 0.0
    lost = 0.0
    for s in range(len(shapes.cpu)):
        unusable, enough = idle, 0
        if shapes.cards[s] and shapes.cpu[s] <= cpu and (shapes.models[s] & model):
            small = 0
            for k in range(cards):
                if card[k] >= shapes.milli[s]:
                    enough += 1
                else:
                    small += card[k]
            if enough >= shapes.cards[s]:
                unusable = small
        lost += shapes.share[s] * unusable
    return lost


@compiled
def take(card: Ints, cards: int, wanted: int, milli: int, share_card: int) -> int:
    """Take the cards in place: `share_card` for a share, the first idle ones for whole cards. Return them as bits."""
    if wanted == 1 and milli < CARD:
        card[share_card] -= milli
        return 1 << share_card
    bits = 0
    for k in range(cards):
        if wanted > 0 and card[k] == CARD:
            card[k] = 0
            bits |= 1 << k
            wanted -= 1
    return bits


@compiled
def fgd(cluster: Cluster, n: int, asked: Requests, c: int, shapes: Shapes) -> tuple[int, int]:
    """Return 100 sigmoid(drop of F / 1000), for a share of the card where it is best."""
    cards, model = cluster.cards[n], cluster.model[n]
    before = fragments(cluster.cpu[n], cluster.card[n], cards, model, shapes)
    cpu = cluster.cpu[n] - asked.cpu[c]
    share = asked.cards[c] == 1 and asked.milli[c] < CARD
    best, best_card = -1, -1
    for k in range(cards if share else 1):
        if share and cluster.card[n, k] < asked.milli[c]:
            continue
        after = cluster.card[n].copy()
        take(after, cards, asked.cards[c], asked.milli[c], k)
        drop = before - fragments(cpu, after, cards, model, shapes)
        score = int(100.0 / (1.0 + math.exp(-drop / 1000.0)))
        if score > best:
            best, best_card = score, k
    return best, best_card


@compiled
def packing(cluster: Cluster, n: int, asked: Requests, c: int) -> int:
    """Return a score that prefers cards in use, then idle cards on nodes in use, then idle nodes."""
    if asked.cards[c] == 0:
        return 0
    idle = 0
    for k in range(cluster.cards[n]):
        if cluster.card[n, k] == CARD:
            idle += 1
    if idle == cluster.cards[n]:
        return max(33 - idle, idle)
    k = tightest(cluster.card[n], cluster.cards[n], asked.milli[c])
    if asked.milli[c] < CARD and cluster.card[n, k] < CARD:
        return int(max(100 - cluster.card[n, k] * 100 // CARD // 10, 50))
    return int(max(50 - asked.cards[c], 33))


@compiled
def clustering(cluster: Cluster, n: int, asked: Requests, c: int) -> int:
    """Return a score that prefers nodes with the same kind of request, alone or among others, then idle nodes."""
    if asked.cards[c] == 0:
        return 0
    kind = 1 << (0 if asked.milli[c] < CARD else asked.cards[c])
    full = int(25 * (8 * CARD - cluster.card[n].sum()) // (8 * CARD))
    held = cluster.held[n]
    if held & kind:
        return full + (75 if held == kind else 50)
    return full + (25 if held == 0 else 0)


@compiled
def score(policy: int, cluster: Cluster, n: int, asked: Requests, c: int, shapes: Shapes) -> tuple[int, int]:
    """Return the node's score from 0 to 100 and the card for a share."""
    if policy == FGD:
        return fgd(cluster, n, asked, c, shapes)
    card = tightest(cluster.card[n], cluster.cards[n], asked.milli[c])
    value = 0
    idle, milli = cluster.card[n].sum(), asked.cards[c] * asked.milli[c]
    if policy == BEST_FIT:
        left = (cluster.cpu[n] - asked.cpu[c]) / CPU_MOST + (idle - milli) / CARD_MILLI_MOST
        value = int(100.0 * (1.0 - 0.5 * left))
    elif policy == DOT_PRODUCT:
        dot = cluster.cpu[n] * asked.cpu[c] / CPU_MOST**2 + idle * milli / CARD_MILLI_MOST**2
        value = int(100.0 * (1.0 - dot / 2.0))
    elif policy == PACKING:
        value = packing(cluster, n, asked, c)
    elif policy == CLUSTERING:
        value = clustering(cluster, n, asked, c)
    return value, card


@compiled
def remember(policy: int, cluster: Cluster, asked: Requests, c: int, shapes: Shapes, known: Memory) -> None:
    """Bring the scores of one class up to date on the nodes that changed since it was last asked for."""
    for n in range(len(cluster.cpu)):
        if known.version[c, n] == cluster.version[n]:
            continue
        known.version[c, n] = cluster.version[n]
        if known.score[c, n] < 0:
            continue  # nothing ever leaves, so what did not fit never will
        if fits(cluster, n, asked, c):
            known.score[c, n], known.card[c, n] = score(policy, cluster, n, asked, c, shapes)
        else:
            known.score[c, n] = -1


@compiled
def choose(known: Memory, c: int) -> int:
    """Return the first node with the highest score; -1 if the task fits nowhere."""
    best, highest = -1, -1
    for n in range(known.score.shape[1]):
        if known.score[c, n] > highest:
            best, highest = n, known.score[c, n]
    return best


@compiled
def anyone(known: Memory, c: int, luck: float) -> int:
    """Return a uniformly drawn node on which the task fits; -1 if there is none."""
    feasible = np.nonzero(known.score[c] >= 0)[0]
    return int(feasible[int(luck * len(feasible))]) if len(feasible) else -1


@compiled
def any_card(cluster: Cluster, n: int, milli: int, luck: float) -> int:
    """Return a uniformly drawn card of the node with enough left."""
    feasible = np.nonzero(cluster.card[n] >= milli)[0]
    return int(feasible[int(luck * len(feasible))])


@compiled
def place(
    policy: int, order: Ints, cluster: Cluster, asked: Requests, shapes: Shapes, known: Memory, luck: Floats, log: Log
) -> None:
    """Place the arrivals and write the log. `luck`: [arrivals, 2], uniform in [0, 1); only RANDOM looks at it."""
    for i in range(len(order)):
        c = order[i]
        remember(policy, cluster, asked, c, shapes, known)
        n = anyone(known, c, luck[i, 0]) if policy == RANDOM else choose(known, c)
        log.node[i] = n
        if n < 0:
            continue
        card = known.card[c, n]
        share = asked.cards[c] == 1 and asked.milli[c] < CARD
        if policy == RANDOM and share:
            card = any_card(cluster, n, asked.milli[c], luck[i, 1])
        log.cards[i] = take(cluster.card[n], cluster.cards[n], asked.cards[c], asked.milli[c], card)
        cluster.cpu[n] -= asked.cpu[c]
        cluster.memory[n] -= asked.memory[c]
        if asked.cards[c]:
            cluster.held[n] |= 1 << (0 if share else asked.cards[c])
        cluster.version[n] += 1
