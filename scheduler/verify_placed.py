"""Every placement by itself, and what all placements take together."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from scheduler import verify_formulas as formulas
from scheduler.fields import GANG_CARDS_MAX, MILLI_PER_CARD, UNKNOWN, WITHIN_DOMAIN, WITHIN_NODE
from scheduler.plan import Placement
from scheduler.snapshot import Bools, Ints, Snapshot
from scheduler.verify_formulas import PPM, exact_sums
from scheduler.verify_rules import Rule, Violation
from scheduler.verify_worth import Market

_NEW_CARDS_MAX: Final = 2**16
_WORTH_MAX: Final = 2**62


@dataclass(frozen=True, eq=False)
class Placed:
    """Placements whose numbers mean something. I placements; E entries, one for each placement and node."""

    placement: tuple[Placement, ...]  # [I]
    job: Ints  # [I]
    shape: Ints  # [I]
    pool: Ints  # [I]
    build: Ints  # [I] index into the snapshot's builds
    size: Ints  # [I] tasks
    granted_milli: Ints  # [I] 0: whole cards
    meter_watts: Ints  # [I]
    quota_use: Ints  # [I]
    entry: Ints  # [E] index of the placement
    node: Ints  # [E]
    tasks: Ints  # [E]


def readable(
    snapshot: Snapshot, position: dict[str, int], placements: Iterable[Placement]
) -> Iterator[Violation | tuple[int, Placement]]:
    """Yield the placements of known jobs that can be looked into, with their jobs, and what is wrong with others."""
    pools, nodes, splits = len(snapshot.pool_names), len(snapshot.node_names), snapshot.split_node.size
    builds = np.diff(snapshot.build_start)[snapshot.job_shape].tolist()
    for placement in placements:
        job = position.get(placement.job_id)
        if job is None:
            continue
        name, cards = placement.job_id, placement.cards
        wrong = None
        if not 0 <= placement.pool < pools:
            wrong = f"pool {placement.pool}"
        elif not 0 <= placement.build < builds[job]:
            wrong = f"build {placement.build}"
        elif placement.nodes and not (min(placement.nodes) >= 0 and max(placement.nodes) < nodes):
            wrong = "a node"
        elif cards and not (min(cards) >= -_NEW_CARDS_MAX and max(cards) < splits):
            wrong = "a split card"
        if wrong is not None:
            yield Violation(Rule.DANGLING_INDEX, f"{name}: there is no such thing as {wrong:.80}")
            continue
        counts = placement.tasks
        if not counts or len(counts) != len(placement.nodes) or min(counts) < 1 or sum(counts) > GANG_CARDS_MAX:
            yield Violation(Rule.GANG_SPLIT, f"{name}: on {len(placement.nodes)} nodes, tasks {counts!s:.80}")
            continue
        yield job, placement


def placed(market: Market, found: list[tuple[int, Placement]]) -> Placed:
    """Turn readable placements into arrays."""
    snapshot = market.snapshot
    placements = tuple(placement for _, placement in found)
    job = np.array([job for job, _ in found], dtype=np.int64)
    shape = snapshot.job_shape[job]
    pool = np.array([p.pool for p in placements], dtype=np.int64)
    tasks = np.array(list(chain.from_iterable(p.tasks for p in placements)), dtype=np.int64)
    entry = np.repeat(np.arange(job.size), np.array([len(p.tasks) for p in placements], dtype=np.int64))
    size = np.zeros(job.size, dtype=np.int64)
    np.add.at(size, entry, tasks)
    model, hub = snapshot.pool_model[pool], snapshot.pool_hub[pool]
    granted = market.granted[shape, model]
    # a share that the model does not give is a violation of its own; count what was asked for
    granted = np.where(granted == UNKNOWN, snapshot.shape_share_milli[shape], granted)
    milli = formulas.milli_cards(size, snapshot.shape_cards_per_task[shape], granted)
    return Placed(
        placement=placements,
        job=job,
        shape=shape,
        pool=pool,
        build=snapshot.build_start[shape] + np.array([p.build for p in placements], dtype=np.int64),
        size=size,
        granted_milli=granted,
        meter_watts=formulas.meter_watts(milli, snapshot.model_card_watts[model], snapshot.hub_pue_ppm[hub]),
        quota_use=formulas.quota_use(milli, snapshot.model_fp16_programme_milli_tflops[model]),
        entry=entry,
        node=np.array(list(chain.from_iterable(p.nodes for p in placements)), dtype=np.int64),
        tasks=tasks,
    )


def each_by_itself(market: Market, all_of: Placed) -> Iterator[Violation]:
    """Check where each gang is, whether its job may run there, and what it claims to be worth."""
    snapshot = market.snapshot
    yield from _places(snapshot, all_of)
    yield from _allowed(market, all_of)
    yield from _worths(market, all_of)


def _places(snapshot: Snapshot, all_of: Placed) -> Iterator[Violation]:
    entry, node = all_of.entry, all_of.node
    order = np.lexsort((node, entry))
    again = (np.diff(entry[order]) == 0) & (np.diff(node[order]) == 0)
    for at in order[1:][again].tolist():
        yield Violation(Rule.NODE_OUTSIDE_POOL, f"{_job(all_of, entry[at])} names node {node[at]} twice")
    rules = (
        (Rule.NODE_OUTSIDE_POOL, snapshot.node_pool[node] != all_of.pool[entry]),
        (Rule.NODE_CLOSED, ~snapshot.node_open[node]),
    )
    for rule, broken in rules:
        for at in np.flatnonzero(broken).tolist():
            yield Violation(rule, f"{_job(all_of, entry[at])}: {snapshot.node_names[node[at]]}")


def _allowed(market: Market, all_of: Placed) -> Iterator[Violation]:
    snapshot, shape, pool = market.snapshot, all_of.shape, all_of.pool
    model, hub, city = snapshot.pool_model[pool], snapshot.pool_hub[pool], snapshot.job_city[all_of.job]
    foreign = np.array([origin != "domestic" for origin in snapshot.model_origin], dtype=bool)
    limit, trip = snapshot.shape_round_trip_micros_max[shape], snapshot.round_trip_micros[city, hub]
    in_time = formulas.arrives_in_time(
        snapshot.shape_transfer_seconds_max[shape],
        snapshot.shape_input_gib[shape],
        snapshot.shape_staged[shape, hub],
        snapshot.transfer_mib_per_second[city, hub],
    )
    moves = formulas.transfer_seconds(
        snapshot.shape_input_gib[shape], snapshot.shape_staged[shape, hub], snapshot.transfer_mib_per_second[city, hub]
    )
    ends = snapshot.taken_at_s + moves + snapshot.job_walltime_seconds[all_of.job]
    finish_by, until = snapshot.job_finish_by_s[all_of.job], snapshot.pool_until_s[pool]
    rules: tuple[tuple[Rule, Bools], ...] = (
        (Rule.WRONG_BUILD, ~market.runs[all_of.build, model]),
        (Rule.FOREIGN_MODEL, snapshot.shape_domestic_only[shape] & foreign[model]),
        (Rule.OWNER_FORBIDDEN, ~snapshot.shape_owner_allowed[shape, snapshot.pool_owner[pool]]),
        (Rule.CARD_NOT_SHARED, market.granted[shape, model] == UNKNOWN),
        (Rule.HUB_FORBIDDEN, ~snapshot.shape_hub_allowed[shape, hub]),
        (Rule.TOO_FAR, (limit >= 0) & ((trip < 0) | (trip > limit))),
        (Rule.TRANSFER_TOO_LONG, ~in_time),
        (Rule.TOO_LATE, (finish_by >= 0) & (ends > finish_by)),
        (Rule.STILL_THERE, (until >= 0) & (ends > until)),
    )
    for rule, broken in rules:
        for at in np.flatnonzero(broken).tolist():
            yield Violation(rule, f"{_job(all_of, at)} in {snapshot.pool_names[pool[at]]}")


def _worths(market: Market, all_of: Placed) -> Iterator[Violation]:
    """Check size and level, and that the worth claimed is that of a form that the placement satisfies."""
    snapshot, forms = market.snapshot, market.forms
    count = np.bincount(all_of.entry, minlength=all_of.job.size)
    domain = snapshot.node_domain[all_of.node]
    first = np.searchsorted(all_of.entry, np.arange(all_of.job.size))
    elsewhere = np.zeros(all_of.job.size, dtype=bool)
    elsewhere[all_of.entry[domain != domain[first[all_of.entry]]]] = True
    # at most two forms of a shape have the same size: close together, and spread
    keys = forms.shape * (2 * GANG_CARDS_MAX) - forms.tasks
    wanted = all_of.shape * (2 * GANG_CARDS_MAX) - all_of.size
    low, high = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
    claims = [min(max(p.worth_micro_yuan_per_hour, -1), _WORTH_MAX) for p in all_of.placement]
    claimed = np.array(claims, dtype=np.int64)
    together, agrees = np.zeros((2, all_of.job.size), dtype=bool)
    best = np.zeros(all_of.job.size, dtype=np.int64)
    for nth in range(2):
        at = np.flatnonzero(low + nth < high)
        form = low[at] + nth
        level = forms.level[form]
        fine = ~(((level == WITHIN_NODE) & (count[at] > 1)) | ((level == WITHIN_DOMAIN) & elsewhere[at]))
        at, form = at[fine], form[fine]
        worth = _worth(market, all_of, at, forms.speed_ppm[form])
        together[at] = True
        agrees[at] |= worth == claimed[at]
        best[at] = np.maximum(best[at], worth)
    elastic = np.diff(snapshot.size_start)[all_of.shape] > 0
    offered = low < high
    for rule, broken, say in (
        (Rule.GANG_SPLIT, ~offered & ~elastic, all_of.size),
        (Rule.WRONG_SIZE, ~offered & elastic, all_of.size),
        (Rule.FABRIC_SPLIT, offered & ~together, count),
        (Rule.NOT_WORTH_IT, together & (best <= 0), best),
        (Rule.WRONG_WORTH, together & ~agrees, best),
    ):
        for placement in np.flatnonzero(broken).tolist():
            yield Violation(rule, f"{_job(all_of, placement)}: {say[placement]}")


def _worth(market: Market, all_of: Placed, at: Ints, speed_ppm: Ints) -> Ints:
    """Return the worth of these placements at the speed of a form, with the build that each names."""
    snapshot = market.snapshot
    job, shape, pool = all_of.job[at], all_of.shape[at], all_of.pool[at]
    model, hub, city = snapshot.pool_model[pool], snapshot.pool_hub[pool], snapshot.job_city[job]
    figure = snapshot.model_fp16_programme_milli_tflops[model]
    card = np.where(figure >= 0, figure * snapshot.build_speed_ppm[all_of.build[at]] // PPM, UNKNOWN)
    value = formulas.card_value(snapshot.job_ceiling_micro_yuan_per_pflops_hour[job], card)
    per_task = snapshot.shape_cards_per_task[shape]
    full = snapshot.shape_tasks[shape] * formulas.task_value(value, per_task, snapshot.shape_share_milli[shape])
    gib = np.where(snapshot.shape_staged[shape, hub], 0, snapshot.shape_input_gib[shape])
    net = (
        formulas.scaled(full, speed_ppm, PPM)
        - formulas.asks(
            all_of.size[at], per_task, all_of.granted_milli[at], snapshot.pool_ask_micro_yuan_per_card_hour[pool]
        )
        - formulas.energy(all_of.meter_watts[at], snapshot.hub_micro_yuan_per_kwh[hub])
        - formulas.transfer(
            gib + snapshot.shape_output_gib[shape],
            snapshot.transfer_micro_yuan_per_gib[city, hub],
            snapshot.job_walltime_seconds[job],
        )
    )
    return np.where(figure >= 0, formulas.weighted(net, market.weight[job]), 0)


def all_together(market: Market, all_of: Placed) -> Iterator[Violation]:
    """Check that no node, card, hub or quota is promised more than once."""
    snapshot = market.snapshot
    newly_split = yield from _shares(snapshot, all_of)
    shape = all_of.shape[all_of.entry]
    whole = np.where(all_of.granted_milli[all_of.entry] > 0, 0, snapshot.shape_cards_per_task[shape])
    nodes = len(snapshot.node_names)
    cards = exact_sums(all_of.node, all_of.tasks * whole, nodes)
    rules = (
        (Rule.CARDS_OVER, [a + b for a, b in zip(cards, newly_split, strict=True)], snapshot.node_free_cards),
        (
            Rule.CPU_OVER,
            exact_sums(all_of.node, all_of.tasks * snapshot.shape_cpu_milli_per_task[shape], nodes),
            snapshot.node_free_cpu_milli,
        ),
        (
            Rule.MEMORY_OVER,
            exact_sums(all_of.node, all_of.tasks * snapshot.shape_memory_mib_per_task[shape], nodes),
            snapshot.node_free_memory_mib,
        ),
    )
    for rule, used, free in rules:
        for node, (has, most) in enumerate(zip(used, free.tolist(), strict=True)):
            if has > most:
                yield Violation(rule, f"{snapshot.node_names[node]}: {has} of {most}")
    yield from _limits(market, all_of)


def _shares(snapshot: Snapshot, all_of: Placed) -> Generator[Violation, None, list[int]]:
    """Check the cards that shares name. Return, for each node, how many of its free cards are newly split."""
    newly_split = [0] * len(snapshot.node_names)
    shared = all_of.granted_milli > 0
    named = np.array([len(p.cards) for p in all_of.placement], dtype=np.int64)
    fine = named == np.where(shared, all_of.size, 0)
    for at in np.flatnonzero(~fine).tolist():
        yield Violation(Rule.CARDS_UNNAMED, f"{_job(all_of, at)}: {named[at]} for {all_of.size[at]} tasks")
    use = (shared & fine)[all_of.entry]
    owner = np.repeat(all_of.entry[use], all_of.tasks[use])
    node = np.repeat(all_of.node[use], all_of.tasks[use])
    card = np.array(
        [card for p, good in zip(all_of.placement, fine.tolist(), strict=True) if good for card in p.cards],
        dtype=np.int64,
    )
    share = all_of.granted_milli[owner]
    before, new = card >= 0, card < 0
    wrong = np.flatnonzero(before)[snapshot.split_node[card[before]] != node[before]]
    for at in wrong.tolist():
        yield Violation(Rule.CARD_ELSEWHERE, f"{_job(all_of, owner[at])}: {snapshot.node_names[node[at]]}")
    most = snapshot.model_shares_per_card_max[snapshot.pool_model[snapshot.node_pool]]
    at_card, index = np.unique(card[before], return_inverse=True)
    yield from _over(
        snapshot,
        snapshot.split_node[at_card],
        exact_sums(index, share[before], at_card.size),
        snapshot.split_free_milli[at_card],
        np.bincount(index, minlength=at_card.size) + snapshot.split_shares[at_card],
        most,
    )
    key, index = np.unique(node[new] * _NEW_CARDS_MAX + (-1 - card[new]), return_inverse=True)
    of_node, number = key // _NEW_CARDS_MAX, key % _NEW_CARDS_MAX
    yield from _over(
        snapshot,
        of_node,
        exact_sums(index, share[new], key.size),
        np.full(key.size, MILLI_PER_CARD),
        np.bincount(index, minlength=key.size),
        most,
    )
    for split, cards, last in zip(*_by_node(of_node, number), strict=True):
        newly_split[split] = cards
        if last != cards - 1:
            yield Violation(
                Rule.SPLIT_NUMBERS, f"{snapshot.node_names[split]}: {cards} cards, the last is number {last}"
            )
    return newly_split


def _by_node(node: Ints, number: Ints) -> tuple[list[int], list[int], list[int]]:
    """Return the nodes (ascending, as given), how many numbers each has, and its last."""
    nodes, first, count = np.unique(node, return_index=True, return_counts=True)
    return nodes.tolist(), count.tolist(), number[first + count - 1].tolist()


def _over(
    snapshot: Snapshot, node: Ints, milli: list[int], free: Ints, tasks: Ints, tasks_max: Ints
) -> Iterator[Violation]:
    """Check shared cards of these nodes: what is promised of each, and among how many tasks."""
    for at, used, left in zip(node.tolist(), milli, free.tolist(), strict=True):
        if used > left:
            yield Violation(Rule.SHARES_OVER, f"{snapshot.node_names[at]}: {used} of {left} thousandths of a card")
    most = tasks_max[node]
    for at in np.flatnonzero((most != UNKNOWN) & (tasks > most)).tolist():
        yield Violation(
            Rule.SHARE_COUNT_OVER, f"{snapshot.node_names[node[at]]}: {tasks[at]} tasks on a card, not {most[at]}"
        )


def direct_use(market: Market, all_of: Placed) -> list[int]:
    """Return, for each quota, what the placements of its own tenants count to it, milli-TFLOPS."""
    snapshot = market.snapshot
    tenant = snapshot.job_tenant[all_of.job]
    leaf = np.append(snapshot.tenant_quota, np.full((1, len(snapshot.hub_names)), UNKNOWN), axis=0)[
        tenant, snapshot.pool_hub[all_of.pool]
    ]
    counts = leaf >= 0
    return exact_sums(leaf[counts], all_of.quota_use[counts], len(snapshot.quota_names))


def _limits(market: Market, all_of: Placed) -> Iterator[Violation]:
    snapshot, quotas = market.snapshot, market.quotas
    drawn = exact_sums(snapshot.pool_hub[all_of.pool], all_of.meter_watts, len(snapshot.hub_names))
    for hub, (watts, free) in enumerate(zip(drawn, market.free_watts, strict=True)):
        if free is not None and watts > free:
            yield Violation(Rule.POWER_OVER, f"{snapshot.hub_names[hub]}: {watts} of {free} W")
    direct = direct_use(market, all_of)
    new, lent = quotas.new(direct), quotas.lent(direct)
    for quota, limit in enumerate(quotas.limit):
        if limit is None:
            continue
        if new[quota] > max(0, limit - quotas.used[quota]):
            yield Violation(
                Rule.QUOTA_OVER, f"{quotas.names[quota]}: {new[quota]} on top of {quotas.used[quota]}, limit {limit}"
            )
        if lent[quota] > max(limit, quotas.lent_before[quota]):
            yield Violation(
                Rule.LENT_OVER, f"{quotas.names[quota]}: children use and keep {lent[quota]}, limit {limit}"
            )


def _job(all_of: Placed, at: int) -> str:
    return all_of.placement[at].job_id
