"""From what was counted in the tables to what /metrics shows of the hub. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from broker.market.power import meter_watts, pace_watts
from broker.metrics import state
from broker.metrics.events import CLASSES
from broker.metrics.rounds import REASONS
from broker.metrics.state import Rows, Told
from broker.store.census import Backlog, Count, LeaseRow, NodeRow, QueueRow
from broker.store.energy import year_of
from broker.store.prices import PoolPlace
from broker.store.rules import JOULES_PER_KILOWATT_HOUR, Energy
from scheduler.card_ground import CARD_MILLI, Kind, Node
from scheduler.fragmentation import unusable

RACK_WATTS: Final = 2500
"""A standard rack, as the programme counts them."""

WATTS_PER_KILOWATT: Final = 1000
MILLI_TFLOPS_PER_PFLOPS: Final = 1_000_000
Reading = dict[Told, Rows]


def reading(count: Count) -> Reading:
    """Return what /metrics shows of a count."""
    return {
        **_of_jobs(count),
        **_of_pools(count),
        **_of_clusters(count),
        **_of_prices(count),
        **_of_hubs(count),
        **_of_backlogs(count),
        **_of_market(count),
    }


def _of_jobs(count: Count) -> Reading:
    jobs, leases = Counter[tuple[str, str]](), Counter[str]()
    queue, cards, reasons = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[str]()
    every = [(city, name) for city in count.cities for name in CLASSES]
    oldest = dict.fromkeys(every, 0.0)
    for row in count.queue:
        key = row.city, row.priority
        jobs[row.city, "pending"] += row.jobs
        queue[key] += row.jobs
        cards[key] += row.jobs * _milli_cards(count.shapes[row.shape_id])
        reasons[row.waiting_reason if row.waiting_reason in REASONS else "unknown"] += row.jobs
        oldest[key] = max(oldest.get(key, 0.0), _seconds(count.at, row.oldest_at))
    for lease in count.leases:
        jobs[lease.city, "running" if lease.started else "leased"] += lease.leases
        leases[lease.state] += lease.leases
    held = Counter[tuple[str, str]]()
    for use in count.use:
        held[use.city, use.hub] += use.milli_cards
    return {
        state.JOBS: [((city, name), jobs[city, name]) for city in count.cities for name in state.LIVE_JOBS],
        state.QUEUE_JOBS: [(key, queue[key]) for key in every],
        state.QUEUE_CARDS: [(key, cards[key] / CARD_MILLI) for key in every],
        state.QUEUE_OLDEST: list(oldest.items()),
        state.WAITING: [((reason,), jobs) for reason, jobs in reasons.items()],
        state.CITY_CARDS: [
            ((city, row.hub), held[city, row.hub] / CARD_MILLI) for city in count.cities for row in count.hubs
        ],
        state.LEASES: [((name,), number) for name, number in leases.items()],
        state.LEAKED: [((kind,), cards) for kind, cards in zip(state.LEAKS, count.leaked, strict=True)],
        state.PROMISED: [(("standing",), count.promises[0]), (("overdue",), count.promises[1])],
    }


def _of_pools(count: Count) -> Reading:
    nodes: dict[int, list[NodeRow]] = defaultdict(list)
    for row in count.nodes:
        nodes[row.pool_id].append(row)
    kinds = _kinds(count)
    by_hub = Counter({(hub.hub, use): 0 for hub in count.hubs for use in state.CARD_USES})
    cards, pflops, racks, fragments, blocks = ([] for _ in range(5))
    for place in count.places:
        labels, model = _labels(place), count.models[place.model]
        for use, number in uses(nodes[place.pool_id]).items():
            by_hub[place.hub, use] += number
            cards.append(((*labels, use), number))
            pflops.append(((*labels, use), number * model.programme_milli_tflops / MILLI_TFLOPS_PER_PFLOPS))
            if model.watts:
                racks.append(((*labels, use), number * model.watts / RACK_WATTS))
        free = free_nodes(nodes[place.pool_id])
        fragments.append((labels, fragmentation_ratio(free, place.model, kinds)))
        for least in (1, 2, 4, 8):
            blocks.append(((*labels, str(least)), sum(n for each, n in free.items() if each >= least)))
    return {
        state.CARDS: list(by_hub.items()),
        state.POOL_CARDS: cards,
        state.POOL_PFLOPS: pflops,
        state.POOL_RACKS: racks,
        state.FRAGMENTATION: fragments,
        state.FREE_BLOCKS: blocks,
    }


def uses(nodes: Sequence[NodeRow]) -> dict[str, int]:
    """Return the cards of these nodes by use; each counts once."""
    found = dict.fromkeys(state.CARD_USES, 0)
    for row in nodes:
        found["leased"] += row.leased * row.nodes
        found["foreign"] += row.foreign * row.nodes
        found["free" if row.open else "closed"] += max(0, row.cards - row.leased - row.foreign) * row.nodes
    return found


def free_nodes(nodes: Sequence[NodeRow]) -> Counter[int]:
    """Return how many nodes have how many free whole cards, of those that have any and take work."""
    found = Counter[int]()
    for row in nodes:
        free = row.cards - row.leased - row.foreign
        if row.open and free > 0:
            found[free] += row.nodes
    return found


def fragmentation_ratio(free: Mapping[int, int], model: str, kinds: Sequence[Kind]) -> float:
    """Return the part of the free cards that a typical task cannot use; 0 where nobody may run or nothing is free.

    The measure of `scheduler.fragmentation`, over the kinds of tasks that may run on the model; of CPU and memory
    nothing is asked.
    """
    there = [kind for kind in kinds if not kind.models or model in kind.models]
    idle = sum(cards * nodes for cards, nodes in free.items()) * CARD_MILLI
    tasks = sum(kind.count for kind in there)
    if not idle or not tasks:
        return 0.0
    lost = sum(
        nodes * kind.count * unusable(Node(model, 0, 0, (CARD_MILLI,) * cards), kind)
        for cards, nodes in free.items()
        for kind in there
    )
    return lost / (tasks * idle)


def _kinds(count: Count) -> list[Kind]:
    """Return the tasks of live jobs, alike ones together."""
    times = Counter[int]()
    rows: list[QueueRow | LeaseRow] = [*count.queue, *count.leases]
    for row in rows:
        times[row.shape_id] += row.jobs if isinstance(row, QueueRow) else row.leases
    return [_kind(count.shapes[shape], number) for shape, number in times.items()]


def _kind(shape: Mapping[str, Any], jobs: int) -> Kind:
    any_model = any(not build["models"] for build in shape["builds"])  # every model of its stack: not looked into here
    models = set() if any_model else {model for build in shape["builds"] for model in build["models"]}
    return Kind(
        cards=shape["cards_per_task"],
        share_milli=shape.get("share_milli", 0),
        cpu_milli=0,
        memory_mib=0,
        models=tuple(sorted(models)),
        count=jobs * shape["tasks"],
        worth=0,
    )


def _of_clusters(count: Count) -> Reading:
    agents = Counter(row.agent_state for row in count.clusters)
    return {
        state.NODES: [
            ((row.hub, row.cluster, name), count.node_states.get((row.cluster, name), 0))
            for row in count.clusters
            for name in state.NODE_STATES
        ],
        state.AGENTS: [((name,), number) for name, number in agents.items()],
        state.AGENT_SILENCE: [
            ((row.hub, row.cluster), _seconds(count.at, row.heard_at)) for row in count.clusters if row.heard_at
        ],
        state.CLUSTER_INFO: [((row.hub, row.cluster, row.engine, row.owner), 1) for row in count.clusters],
    }


def _of_prices(count: Count) -> Reading:
    asks, scarcity, spot = ([] for _ in range(3))
    for place in count.places:
        labels, ask = _labels(place), count.asks.get((place.cluster, place.model))
        if ask is not None:
            asks.append((labels, ask.micro_yuan_per_card_hour))
        last = count.prices.get(place.pool_id)
        if last is None:
            continue
        told = zip(state.PRICE_SIZES, last.scarcity_micro_yuan_per_card_hour, strict=True)
        known = [(size, beyond) for size, beyond in told if beyond is not None]
        scarcity += [((*labels, size), beyond) for size, beyond in known]
        asked = last.ask_micro_yuan_per_card_hour if ask is None else ask.micro_yuan_per_card_hour
        spot += [((*labels, size), asked + beyond) for size, beyond in known]
    return {state.ASK: asks, state.SCARCITY: scarcity, state.SPOT: spot}


def _of_hubs(count: Count) -> Reading:
    seconds_left = int((year_of(count.at).end - count.at).total_seconds())
    drawn_by = Counter[str]()
    for use in count.use:
        drawn_by[use.hub] += -(-use.milli_cards * count.models[use.model].watts // CARD_MILLI)
    power, power_max, pace, energy, energy_max, pue = ([] for _ in range(6))
    for row in count.hubs:
        labels, used, meter = (row.hub,), count.drawn[row.hub], meter_watts(drawn_by[row.hub], row.pue_milli)
        power.append((labels, meter))
        energy.append((labels, used.drew))
        if row.power_kilowatts_max:
            power_max.append((labels, row.power_kilowatts_max * WATTS_PER_KILOWATT))
        if row.pue_milli:
            pue.append((labels, row.pue_milli / 1000))
        if row.energy_kilowatt_hours_per_year:
            quota = row.energy_kilowatt_hours_per_year * JOULES_PER_KILOWATT_HOUR
            energy_max.append((labels, quota))
            pace.append((labels, pace_watts(Energy(quota, used.drew, used.committed), meter, seconds_left)))
    return {
        state.POWER: power,
        state.POWER_MAX: power_max,
        state.PACE: pace,
        state.ENERGY: energy,
        state.ENERGY_MAX: energy_max,
        state.PUE: pue,
    }


def _of_market(count: Count) -> Reading:
    market, vouchers = count.market, count.market.vouchers
    used = vouchers.granted_micro_yuan - vouchers.available_micro_yuan - vouchers.held_micro_yuan
    left = 0.0 if vouchers.first_ends_at is None else (vouchers.first_ends_at - count.at).total_seconds()
    energy: list[tuple[tuple[str, ...], float]] = []
    for row in count.hubs:
        total, green = market.energy_joules.get(row.hub, (0, 0))
        energy += [((row.hub, "green"), max(0, green)), ((row.hub, "other"), max(0, total - green))]
    return {
        state.QUOTES: [((name,), number) for name, number in market.quotes.items()],
        state.VOUCHERS: [((name,), number) for name, number in vouchers.states.items()],
        state.VOUCHER_MONEY: [
            (("granted",), vouchers.granted_micro_yuan),
            (("available",), vouchers.available_micro_yuan),
            (("held",), vouchers.held_micro_yuan),
            (("used",), max(0, used)),
        ],
        state.VOUCHER_ENDS: [((), max(0.0, left))],
        state.CHARGING_LAG: [((), 0.0 if market.due_at is None else _seconds(count.at, market.due_at))],
        state.MONTH_ENERGY: energy,
    }


def _of_backlogs(count: Count) -> Reading:
    books = count.books
    return {
        state.EVENTS_UNNUMBERED: [((), count.events.things)],
        state.EVENTS_LAG: [((), _age(count.at, count.events))],
        state.CHAIN_POSITION: [((), books.chained)],
        state.UNCHAINED: [((), books.unchained.things)],
        state.CHAIN_LAG: [((), _age(count.at, books.unchained))],
        state.HOLDS: [((), books.holds_open)],
        state.MONEY: list(_money(books.balances)),
    }


def _money(balances: Mapping[str, tuple[int, int]]) -> Iterator[tuple[tuple[str, ...], float]]:
    for kind in state.MONEY_KINDS:
        available, held = balances.get(kind, (0, 0))
        yield (kind, "available"), available
        yield (kind, "held"), held


def _milli_cards(shape: Mapping[str, Any]) -> int:
    """Return what a job asks for, in thousandths of a card."""
    each: int = shape.get("share_milli", 0) or shape["cards_per_task"] * CARD_MILLI
    return each * int(shape["tasks"])


def _labels(place: PoolPlace) -> tuple[str, str, str, str]:
    return place.hub, place.cluster, place.pool, place.model


def _age(at: datetime, backlog: Backlog) -> float:
    return 0.0 if backlog.oldest_at is None else _seconds(at, backlog.oldest_at)


def _seconds(at: datetime, since: datetime) -> float:
    return max(0.0, (at - since).total_seconds())
