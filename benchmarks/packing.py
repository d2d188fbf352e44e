"""Put gangs on named nodes one after another, best fit, with every rule kept: the rivals' compiled code.

Best fit: a task goes to the node with the fewest free cards that holds it; a share to the split card with the least
left that holds it, and only then to a whole card. Nothing moves once it is placed.
"""

from typing import Final, NamedTuple

import numpy as np

from benchmarks.offers import DOMAIN, NODE, Facts, inlined, meter, quota_use, shape_barrier, way_barrier, worth
from scheduler.compiled import compiled
from scheduler.snapshot import Ints, Snapshot

NO_MORE: Final = 2**62
NOWHERE: Final = -2
"""In place of a form: no nodes of the pool hold it any more."""


class Room(NamedTuple):
    """What is left while jobs are placed; every array is written to."""

    cards: Ints  # [N] whole free cards; closed nodes have none
    cpu: Ints  # [N] -1 on closed nodes, so that they hold nothing
    memory: Ints  # [N]
    domain: Ints  # [N] read only
    split_of: Ints  # [N] first split card of the node, -1: none
    split_next: Ints  # [X + new] next split card of the same node
    split_left: Ints  # [X + new] thousandths
    split_shares: Ints  # [X + new] tasks on it
    split_label: Ints  # [X + new] as a placement names it
    split_count: Ints  # [1] how many there are by now
    newly_split: Ints  # [N] whole cards that were split in this plan
    watts: Ints  # [H] -1: no limit
    parent: Ints  # [Q] read only
    limit: Ints  # [Q] -1: none; read only
    guaranteed: Ints  # [Q] read only
    kept: Ints  # [Q] read only
    used: Ints  # [Q] new work included
    counted: Ints  # [Q] what the children of a quota use and keep, and its own direct use


class Nodes(NamedTuple):
    """The part of `Room` that tells what a node holds."""

    cards: Ints
    cpu: Ints
    memory: Ints
    domain: Ints
    split_of: Ints
    split_next: Ints
    split_left: Ints
    split_shares: Ints


class Choices(NamedTuple):
    """Form and pool that nothing in the shape forbids and that fit alone, shape by shape."""

    start: Ints  # [S + 1]
    form: Ints
    pool: Ints


class Placed(NamedTuple):
    """One row for each node of a gang, or for each task of shares."""

    job: Ints
    node: Ints
    tasks: Ints
    card: Ints
    form: Ints  # [J] -1: refused
    pool: Ints  # [J]


def room(snapshot: Snapshot) -> Room:
    """Return what new work may use at the round's start."""
    shut = ~snapshot.node_open
    old, spare = len(snapshot.split_node), int(snapshot.node_free_cards.sum())
    split_of = np.full(len(snapshot.node_names), -1, dtype=np.int64)
    split_next = np.full(old + spare, -1, dtype=np.int64)
    for split in range(old - 1, -1, -1):
        node = snapshot.split_node[split]
        split_next[split], split_of[node] = split_of[node], split
    guaranteed, borrow, lend = (
        getattr(snapshot, f"quota_{name}_milli_tflops") for name in ("guaranteed", "borrow", "lend")
    )
    used, parent = snapshot.quota_used_milli_tflops, snapshot.quota_parent
    kept = np.where(lend >= 0, np.maximum(guaranteed - lend, 0), 0)
    children, counted = np.zeros_like(used), np.zeros_like(used)
    has = parent >= 0
    np.add.at(children, parent[has], used[has])
    np.add.at(counted, parent[has], np.maximum(used, kept)[has])
    power = np.where(
        snapshot.hub_power_cap_watts < 0,
        snapshot.hub_pace_watts,
        np.where(
            snapshot.hub_pace_watts < 0,
            snapshot.hub_power_cap_watts,
            np.minimum(snapshot.hub_power_cap_watts, snapshot.hub_pace_watts),
        ),
    )
    return Room(
        cards=np.where(shut, 0, snapshot.node_free_cards),
        cpu=np.where(shut, -1, snapshot.node_free_cpu_milli),
        memory=np.where(shut, -1, snapshot.node_free_memory_mib),
        domain=snapshot.node_domain,
        split_of=split_of,
        split_next=split_next,
        split_left=np.append(snapshot.split_free_milli, np.zeros(spare, dtype=np.int64)),
        split_shares=np.append(snapshot.split_shares, np.zeros(spare, dtype=np.int64)),
        split_label=np.arange(old + spare),
        split_count=np.array([old]),
        newly_split=np.zeros(len(snapshot.node_names), dtype=np.int64),
        watts=np.where(power < 0, -1, np.maximum(power - snapshot.hub_used_watts, 0)),
        parent=parent,
        limit=np.where(borrow >= 0, guaranteed + borrow, -1),
        guaranteed=guaranteed,
        kept=kept,
        used=used.copy(),
        counted=counted + np.maximum(used - children, 0),
    )


@inlined
def held(n: Nodes, cards: int, cpu: int, memory: int, granted: int, most: int, node: int) -> int:
    """Return how many units of so many cards, CPU and memory the node holds; shares take slices of `granted` milli."""
    units = 0
    # most nodes are full: divisions only for the others
    if granted == 0 and n.cards[node] >= cards:
        units = n.cards[node] // cards
    elif granted > 0 and n.cpu[node] >= cpu:
        on_one = 1000 // granted if most < 0 else min(1000 // granted, most)
        units = n.cards[node] * on_one
        split = n.split_of[node]
        while split >= 0:
            fitting = n.split_left[split] // granted
            units += fitting if most < 0 else min(fitting, max(most - n.split_shares[split], 0))
            split = n.split_next[split]
    if units > 0 and cpu > 0:
        units = min(units, max(n.cpu[node], 0) // cpu)
    if units > 0 and memory > 0:
        units = min(units, max(n.memory[node], 0) // memory)
    return units


@compiled
def where(r: Room, f: Facts, shape: int, form: int, pool: int) -> tuple[int, int]:
    """Return the nodes, first and end, that hold the form as its level wants; (-1, -1) when none do.

    Of several domains or nodes, the one with the fewest free cards.
    """
    n = Nodes(r.cards, r.cpu, r.memory, r.domain, r.split_of, r.split_next, r.split_left, r.split_shares)
    model, tasks, level = f.pool_model[pool], f.form_tasks[form], f.form_level[form]
    unit, wanted = (tasks, 1) if level == NODE else (1, tasks)
    cards, cpu, memory = f.shape_cards[shape] * unit, f.shape_cpu[shape] * unit, f.shape_memory[shape] * unit
    first, end = f.pool_start[pool], f.pool_start[pool + 1]
    granted, most = f.granted[shape, model], f.model_shares_max[model]
    best_first, best_end, best_free = -1, -1, -1
    begin, holds, free = first, 0, 0
    for node in range(first, end):
        if level == NODE or (level == DOMAIN and n.domain[node] != n.domain[begin]):
            begin, holds, free = node, 0, 0
        holds += held(n, cards, cpu, memory, granted, most, node)
        free += n.cards[node]
        if level != NODE and level != DOMAIN:
            if holds >= wanted:
                return int(first), int(end)
            continue
        last = level == NODE or node + 1 == end or n.domain[node + 1] != n.domain[node]
        if last and holds >= wanted and (best_free < 0 or free < best_free):
            best_first, best_end, best_free = begin, node + 1, free
    return int(best_first), int(best_end)


@compiled
def choices_of(r: Room, f: Facts) -> tuple[Ints, Ints, Ints]:
    """Return what each shape may take: list starts [S + 1], and form and pool of each choice that fits alone."""
    count = 0
    start = np.zeros(f.shape_tasks.size + 1, np.int64)
    forms = np.empty(f.form_tasks.size * f.pool_hub.size, np.int64)
    pools = np.empty(f.form_tasks.size * f.pool_hub.size, np.int64)
    for shape in range(f.shape_tasks.size):
        for pool in range(f.pool_hub.size):
            if shape_barrier(f, shape, pool) < 9:
                continue
            for form in range(f.form_start[shape], f.form_start[shape + 1]):
                if where(r, f, shape, form, pool)[0] >= 0:
                    forms[count], pools[count] = form, pool
                    count += 1
        start[shape + 1] = count
    return start, forms[:count].copy(), pools[:count].copy()


@inlined
def quota_holds(r: Room, leaf: int, use: int) -> bool:
    """Return whether one more job of this use keeps every limit of the chain."""
    quota, child = leaf, -1
    while quota >= 0:
        if r.limit[quota] >= 0:
            if use > max(0, r.limit[quota] - r.used[quota]):
                return False
            slack = max(0, r.limit[quota] - r.counted[quota])
            if child >= 0:
                slack += max(0, r.kept[child] - r.used[child])
            if use > slack:
                return False
        quota, child = r.parent[quota], quota
    return True


@inlined
def take_quota(r: Room, leaf: int, use: int) -> None:
    """Count the use at the leaf and above."""
    quota = leaf
    r.counted[quota] += use
    while quota >= 0:
        before = max(r.used[quota], r.kept[quota])
        r.used[quota] += use
        above = r.parent[quota]
        if above >= 0:
            r.counted[above] += max(r.used[quota], r.kept[quota]) - before
        quota = above


@compiled
def put_whole(r: Room, f: Facts, shape: int, form: int, first: int, end: int, row: int, p: Placed, job: int) -> int:
    """Put the tasks on nodes, fewest free cards first; return the next free row."""
    n = Nodes(r.cards, r.cpu, r.memory, r.domain, r.split_of, r.split_next, r.split_left, r.split_shares)
    left = f.form_tasks[form]
    unit = left if f.form_level[form] == NODE else 1
    cards, cpu, memory = f.shape_cards[shape], f.shape_cpu[shape], f.shape_memory[shape]
    # not a sort: nodes have few cards, so there are few different numbers of free ones
    free = cards * unit
    while left > 0:
        more = NO_MORE
        for node in range(first, end):
            if free < n.cards[node] < more:
                more = n.cards[node]
            if n.cards[node] != free:
                continue
            here = min(left, unit * held(n, cards * unit, cpu * unit, memory * unit, 0, -1, node))
            if here > 0:
                n.cards[node] -= here * cards
                n.cpu[node] -= here * cpu
                n.memory[node] -= here * memory
                p.job[row], p.node[row], p.tasks[row], p.card[row] = job, node, here, 0
                row += 1
                left -= here
            if left == 0:
                break
        free = more
    return row


@compiled
def split_for(r: Room, f: Facts, shape: int, granted: int, most: int, first: int, end: int) -> tuple[int, int]:
    """Return node and split card for one share: the tightest split card, else a new one on the fullest node."""
    n = Nodes(r.cards, r.cpu, r.memory, r.domain, r.split_of, r.split_next, r.split_left, r.split_shares)
    cpu, memory = f.shape_cpu[shape], f.shape_memory[shape]
    best_node, best_split, best_left = -1, -1, 1001
    new_node = -1
    for node in range(first, end):
        if n.cpu[node] < cpu or n.memory[node] < memory:
            continue
        split = n.split_of[node]
        while split >= 0:
            if granted <= n.split_left[split] < best_left and (most < 0 or n.split_shares[split] < most):
                best_node, best_split, best_left = node, split, n.split_left[split]
            split = n.split_next[split]
        if n.cards[node] > 0 and (new_node < 0 or n.cards[node] < n.cards[new_node]):
            new_node = node
    if best_split >= 0:
        return best_node, best_split
    split = r.split_count[0]
    r.split_count[0] += 1
    r.cards[new_node] -= 1
    r.split_label[split] = -1 - r.newly_split[new_node]
    r.newly_split[new_node] += 1
    r.split_left[split] = 1000
    r.split_next[split] = r.split_of[new_node]
    r.split_of[new_node] = split
    return new_node, int(split)


@compiled
def put_shares(
    r: Room, f: Facts, shape: int, form: int, pool: int, first: int, end: int, row: int, p: Placed, job: int
) -> int:
    """Put the shares on cards; return the next free row."""
    model = f.pool_model[pool]
    granted, most = f.granted[shape, model], f.model_shares_max[model]
    for _ in range(f.form_tasks[form]):
        node, split = split_for(r, f, shape, granted, most, first, end)
        r.split_left[split] -= granted
        r.split_shares[split] += 1
        r.cpu[node] -= f.shape_cpu[shape]
        r.memory[node] -= f.shape_memory[shape]
        p.job[row], p.node[row], p.tasks[row], p.card[row] = job, node, 1, r.split_label[split]
        row += 1
    return row


@compiled
def offers(f: Facts, c: Choices) -> tuple[Ints, Ints]:
    """Return what each job's choices are worth to it: list starts [J + 1], and worths, 0 where it may not have it."""
    start = np.zeros(f.job_shape.size + 1, np.int64)
    for job in range(f.job_shape.size):
        shape = f.job_shape[job]
        start[job + 1] = start[job] + c.start[shape + 1] - c.start[shape]
    worths = np.zeros(start[-1], np.int64)
    for job in range(f.job_shape.size):
        first = c.start[f.job_shape[job]]
        for place in range(start[job + 1] - start[job]):
            form, pool = c.form[first + place], c.pool[first + place]
            if way_barrier(f, job, f.pool_hub[pool]) == 9:
                worths[start[job] + place] = worth(f, job, form, pool)
    return start, worths


@inlined
def serves_guarantee(r: Room, leaf: int) -> bool:
    """Return whether some quota of the chain uses less than is guaranteed to it."""
    quota, found = leaf, False
    while quota >= 0:
        found = found or r.used[quota] < r.guaranteed[quota]
        quota = r.parent[quota]
    return found


@compiled
def fill(r: Room, f: Facts, c: Choices, start: Ints, worths: Ints, order: Ints, only: Ints, p: Placed) -> int:
    """Offer jobs in this order to their pools, best worth first: the first that holds a job has it.

    Twice: first only where they use what is guaranteed and unused, then everywhere.

    Args: start, worths: as `offers` returns them; the worths are used up. only: [J] the choice that the job must take,
    -1 for any. Returns: rows written.
    """
    row = 0
    shut = np.zeros(c.form.size, np.bool_)
    tried = np.zeros(worths.size, np.bool_)
    for guaranteed in (True, False):
        for job in order:
            shape = f.job_shape[job]
            first, offered = c.start[shape], start[job]
            while p.form[job] < 0:
                best, at = 0, -1
                for place in range(start[job + 1] - offered):
                    value = worths[offered + place]
                    if value > best and not tried[offered + place] and not shut[first + place]:
                        best, at = value, first + place
                if at < 0:
                    break
                tried[offered + at - first] = True
                form, pool = c.form[at], c.pool[at]
                leaf = f.job_leaf[job, f.pool_hub[pool]]
                if (only[job] >= 0 and only[job] != at) or (guaranteed and not serves_guarantee(r, leaf)):
                    continue
                row = try_one(r, f, job, form, pool, row, p)
                if p.form[job] == NOWHERE:
                    shut[at] = True  # what is free only shrinks
                    p.form[job] = -1
        tried[:] = False
    return row


@compiled
def try_one(r: Room, f: Facts, job: int, form: int, pool: int, row: int, p: Placed) -> int:
    """Place the job there if power, quota and nodes allow; `p.form` tells. Return the next free row."""
    shape, hub = f.job_shape[job], f.pool_hub[pool]
    leaf, watts, use = f.job_leaf[job, hub], meter(f, job, form, pool), quota_use(f, job, form, pool)
    if (r.watts[hub] >= 0 and watts > r.watts[hub]) or (leaf >= 0 and not quota_holds(r, leaf, use)):
        return row
    begin, end = where(r, f, shape, form, pool)
    if begin < 0:
        p.form[job] = NOWHERE
        return row
    if f.granted[shape, f.pool_model[pool]] > 0:
        row = put_shares(r, f, shape, form, pool, begin, end, row, p, job)
    else:
        row = put_whole(r, f, shape, form, begin, end, row, p, job)
    if r.watts[hub] >= 0:
        r.watts[hub] -= watts
    if leaf >= 0:
        take_quota(r, leaf, use)
    p.form[job], p.pool[job] = form, pool
    return row
