"""What a decision with promises must keep, derived a second time: it shares no code with what decided.

Node by node, everything that is known to be in use is laid side by side: what is in use and belongs to no lease, leases
until the margin after their end, so what starts now, and promises from their start to their end. At no start of a
promise, and not now, may that be more than the node has; and nothing may reach into a closed time. Nor may it be more
than a hub has power for (`verify_power.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from scheduler.horizon import Fate, Horizon, News, Promise
from scheduler.plan import Placement
from scheduler.snapshot import Snapshot
from scheduler.verify_power import Meters, together

_FOREVER: Final = 2**60
_RESOURCES: Final = ("cards", "cpu_milli", "memory_mib")


class TimeRule(StrEnum):
    """What a decision can break."""

    OVERBOOKED = "OVERBOOKED"  # a promise would find less on its nodes than it was promised
    INTO_CLOSED = "INTO_CLOSED"  # a start or a promise reaches into the time in which a node is closed
    OVERDRAWN = "OVERDRAWN"  # a hub would have less power when a promise starts than was promised
    PROMISE_LOST = "PROMISE_LOST"  # a promise is neither kept, nor started, nor is anything said of it
    PROMISE_DELAYED = "PROMISE_DELAYED"  # a promise that could be kept where it was has a later start
    PROMISED_TWICE = "PROMISED_TWICE"  # a job has two promises, or starts and is promised a start
    TOO_EARLY = "TOO_EARLY"  # a promise begins before the time that it was booked for, or before the round
    OUTSIDE_POOL = "OUTSIDE_POOL"  # a promise names a node of another pool


@dataclass(frozen=True)
class TimeViolation:
    """One broken rule: what, and where."""

    rule: TimeRule
    detail: str


@dataclass(frozen=True)
class _Use:
    """Something in use on a node: from, until, how much of each resource."""

    begin: int
    end: int
    amount: tuple[int, int, int]
    whose: str


Taken: TypeAlias = tuple[int, int, list[tuple[int, int, int]], str]
"""From, until, how much on each node, and whose."""


def time_violations(
    world: Snapshot,
    horizon: Horizon,
    margin_seconds: int,
    placements: Sequence[Placement],
    promises: Sequence[Promise],
    news: Sequence[News],
) -> list[TimeViolation]:
    """Return what a decision of this world and horizon breaks; nothing for one that keeps all rules.

    Args: placements, promises, news: as in `decide.Decision`; their nodes are those of the world.
    """
    found = list(_spoken_of(horizon, placements, promises, news))
    found += list(_in_place(world, promises))
    now = world.taken_at_s
    looked_at = {node for each in (*promises, *horizon.promises) for node in each.nodes}
    looked_at.update(horizon.closed_node.tolist())  # on all others nothing is promised and nothing closes
    before = _running(world, horizon, margin_seconds, looked_at)
    after = {node: list(uses) for node, uses in before.items()}
    position = {job_id: job for job, job_id in enumerate(world.job_id)}
    there = [each for each in placements if not looked_at.isdisjoint(each.nodes)]
    starts = [(each, started(world, position[each.job_id], each, margin_seconds)) for each in there]
    for placement, taken in starts:
        _add(after, placement.nodes, taken)
    for (node, _), end in split_cards(starts).items():
        if node in looked_at:
            after[node].append(_Use(now, end, (1, 0, 0), "shares"))
    _promise_all(after, promises)
    found += list(_overbooked(world, after, promises, now))
    found += list(_into_closed(horizon, after, now))
    meters = Meters(world, horizon, margin_seconds)
    found += list(_overdrawn(meters, world, horizon, placements, promises))
    _promise_all(before, horizon.promises)
    kept = {each.job_id: each.start_s for each in promises} | {each.job_id: now for each in placements}
    for promise in horizon.promises:
        late = promise.job_id in world.job_id and kept.get(promise.job_id, _FOREVER) > promise.start_s
        if not late or _short_of_quota(promise, news) or not _could_stand(world, horizon, before, promise):
            continue
        if not _short_of_power(meters, world, placements, promise):
            found.append(TimeViolation(TimeRule.PROMISE_DELAYED, f"{promise.job_id} could start at {promise.start_s}"))
    return found


def _spoken_of(
    horizon: Horizon, placements: Sequence[Placement], promises: Sequence[Promise], news: Sequence[News]
) -> Iterator[TimeViolation]:
    times = Counter([each.job_id for each in placements] + [each.job_id for each in promises])
    for job_id, count in times.items():
        if count > 1:
            yield TimeViolation(TimeRule.PROMISED_TWICE, job_id)
    said = Counter(each.job_id for each in news)
    for promise in horizon.promises:
        if said[promise.job_id] != 1:
            yield TimeViolation(TimeRule.PROMISE_LOST, promise.job_id)
    for each in news:
        if each.fate in (Fate.STARTED, Fate.KEPT, Fate.MOVED) and times[each.job_id] != 1:
            yield TimeViolation(TimeRule.PROMISE_LOST, f"{each.job_id}: {each.fate}")


def _in_place(world: Snapshot, promises: Iterable[Promise]) -> Iterator[TimeViolation]:
    for promise in promises:
        if promise.start_s < max(promise.not_before_s, world.taken_at_s):
            yield TimeViolation(TimeRule.TOO_EARLY, f"{promise.job_id} at {promise.start_s}")
        if any(world.node_pool[node] != promise.pool for node in promise.nodes):
            yield TimeViolation(TimeRule.OUTSIDE_POOL, promise.job_id)


def _running(world: Snapshot, horizon: Horizon, margin_seconds: int, nodes: Collection[int]) -> dict[int, list[_Use]]:
    """Return what is in use on these nodes before the round; what belongs to no lease is in use for good."""
    uses: dict[int, list[_Use]] = {node: [] for node in sorted(nodes)}
    for entry, node in enumerate(horizon.held_node.tolist()):
        if node not in uses:
            continue
        lease = int(horizon.held_lease[entry])
        end = int(horizon.lease_ends_at_s[lease]) + margin_seconds
        end = end if end > world.taken_at_s else world.taken_at_s + margin_seconds
        cards, cpu, memory = (int(getattr(horizon, f"held_{name}")[entry]) for name in _RESOURCES)
        uses[node].append(_Use(0, end, (cards, cpu, memory), horizon.lease_id[lease]))
    for node in uses:
        known = [sum(use.amount[at] for use in uses[node]) for at in range(3)]
        cards, cpu, memory = (
            int(getattr(world, f"node_{name}")[node] - getattr(world, f"node_free_{name}")[node]) - known[at]
            for at, name in enumerate(_RESOURCES)
        )
        uses[node].append(_Use(0, _FOREVER, (cards, cpu, memory), "no lease"))
    return uses


def started(world: Snapshot, job: int, placement: Placement, margin_seconds: int) -> Taken:
    """Return when a placement begins and ends, and what it takes on each of its nodes."""
    shape, hub = int(world.job_shape[job]), int(world.pool_hub[placement.pool])
    moves = 0
    if world.shape_input_gib[shape] > 0 and not world.shape_staged[shape, hub]:
        speed = int(world.transfer_mib_per_second[world.job_city[job], hub])
        moves = -(-int(world.shape_input_gib[shape]) * 1024 // speed) if speed > 0 else 2**59
    end = world.taken_at_s + moves + int(world.job_walltime_seconds[job]) + margin_seconds
    cpu, memory = int(world.shape_cpu_milli_per_task[shape]), int(world.shape_memory_mib_per_task[shape])
    cards = 0 if world.shape_share_milli[shape] > 0 else int(world.shape_cards_per_task[shape])
    amounts = [(tasks * cards, tasks * cpu, tasks * memory) for tasks in placement.tasks]
    return world.taken_at_s, end, amounts, placement.job_id


def split_cards(starts: Iterable[tuple[Placement, Taken]]) -> dict[tuple[int, int], int]:
    """Return the cards that shares split now, node and number, and when the last of these shares ends."""
    cards: dict[tuple[int, int], int] = {}
    for placement, (_, end, _, _) in starts:
        of_tasks = [node for node, tasks in zip(placement.nodes, placement.tasks, strict=True) for _ in range(tasks)]
        for card in zip(of_tasks, placement.cards, strict=False):
            if card[1] < 0:
                cards[card] = max(end, cards.get(card, 0))
    return cards


def _add(uses: dict[int, list[_Use]], nodes: Iterable[int], taken: Taken) -> None:
    begin, end, amounts, whose = taken
    for node, amount in zip(nodes, amounts, strict=True):
        if node in uses:
            uses[node].append(_Use(begin, end, amount, whose))


def _promise_all(uses: dict[int, list[_Use]], promises: Iterable[Promise]) -> None:
    for promise in promises:
        each = (promise.cards_per_task, promise.cpu_milli_per_task, promise.memory_mib_per_task)
        amounts = [(tasks * each[0], tasks * each[1], tasks * each[2]) for tasks in promise.tasks]
        _add(uses, promise.nodes, (promise.start_s, promise.end_s, amounts, promise.job_id))


def _short(world: Snapshot, uses: Iterable[_Use], node: int, at: int) -> str:
    """Return which resource of the node is overbooked at a time; nothing if none is."""
    there = [use for use in uses if use.begin <= at < use.end]
    for column, name in enumerate(_RESOURCES):
        if sum(use.amount[column] for use in there) > int(getattr(world, f"node_{name}")[node]):
            return name
    return ""


def _overbooked(
    world: Snapshot, uses: dict[int, list[_Use]], promises: Sequence[Promise], now: int
) -> Iterator[TimeViolation]:
    for promise in promises:
        for node in promise.nodes:
            starts = {use.begin for use in uses[node] if promise.start_s < use.begin < promise.end_s}
            for at in sorted({now, promise.start_s} | starts):
                if name := _short(world, uses[node], node, at):
                    where = f"{world.node_names[node]}: {name} at {at}"
                    yield TimeViolation(TimeRule.OVERBOOKED, f"{promise.job_id} on {where}")


def _into_closed(horizon: Horizon, uses: dict[int, list[_Use]], now: int) -> Iterator[TimeViolation]:
    rows = zip(
        horizon.closed_node.tolist(), horizon.closed_from_s.tolist(), horizon.closed_until_s.tolist(), strict=True
    )
    for node, begin, end in rows:
        for use in uses[node]:
            if now <= use.begin < end and use.end > begin:
                yield TimeViolation(TimeRule.INTO_CLOSED, f"{use.whose} on node {node} until {use.end}, closed {begin}")


def _overdrawn(
    meters: Meters,
    world: Snapshot,
    horizon: Horizon,
    placements: Sequence[Placement],
    promises: Sequence[Promise],
) -> Iterator[TimeViolation]:
    if not meters.limited or not promises:
        return
    runs = meters.running()
    starts = meters.started(placements)
    before = together(runs, meters.promised_before(horizon.promises))
    after = together(runs, starts, meters.promised(promises))
    for each in meters.overdrawn(before, after, [world.taken_at_s, *(promise.start_s for promise in promises)]):
        where = f"{world.hub_names[each.hub]}: {each.watts} of {each.allowed_watts} W at {each.at_s}"
        yield TimeViolation(TimeRule.OVERDRAWN, where)


def _short_of_quota(promise: Promise, news: Iterable[News]) -> bool:
    """Return whether a quota is said to be what a promise is moved for."""
    return any(each.job_id == promise.job_id and each.cause == "QUOTA_SHORT" for each in news)


def _short_of_power(meters: Meters, world: Snapshot, placements: Sequence[Placement], promise: Promise) -> bool:
    """Return whether a promise that is due has no power now, beside what runs and starts."""
    hub, now = int(world.pool_hub[promise.pool]), world.taken_at_s
    if hub not in meters.limited or promise.start_s > now:
        return False
    draws = together(meters.running(), meters.started(placements))
    return meters.drawn(draws, hub, now) + meters.of_gang(promise) > meters.caps[hub]


def _could_stand(world: Snapshot, horizon: Horizon, uses: dict[int, list[_Use]], promise: Promise) -> bool:
    """Return whether the promise could start where and when it says, beside what ran and was promised before."""
    if promise.start_s < world.taken_at_s:
        return False
    for node in promise.nodes:
        times = [
            (int(horizon.closed_from_s[at]), int(horizon.closed_until_s[at]))
            for at, closed in enumerate(horizon.closed_node.tolist())
            if closed == node
        ]
        opens = world.node_open[node] or any(begin <= world.taken_at_s < end for begin, end in times)
        if not opens or any(begin < promise.end_s and end > promise.start_s for begin, end in times):
            return False
        starts = {use.begin for use in uses[node] if promise.start_s < use.begin < promise.end_s}
        if any(_short(world, uses[node], node, at) for at in {promise.start_s} | starts):
            return False
    return True
