"""What the exchange can give: pools of one make each, their nodes, fabric domains, and cards that are split already."""

from typing import Any, Final

import numpy as np

from benchmarks.worlds.makes import MAKES
from scheduler.snapshot import Ints

NODE_CARDS: Final = 8
CPU_MILLI_PER_CARD: Final = 16_000
MEMORY_MIB_PER_CARD: Final = 128_000
POOR_POOL_SHARE: Final = 0.15  # of the pools have nodes with half the CPU and memory: older hosts
DOMAIN_NODES: Final = (16, 32, 64)  # a leaf switch, a pod, a super-node; every pool has one kind
CLUSTERS_MAX: Final = 40
OWNERS: Final = 12
SPLIT_NODE_SHARE: Final = 0.08  # of the nodes with busy cards, in pools whose make can be split
_YUAN: Final = 1_000_000
_Rng = np.random.Generator


def sizes(draw: _Rng, nodes: int, pools: int) -> Ints:
    """Split the nodes over pools of unlike sizes, at least one each."""
    share = draw.lognormal(0, 0.8, pools)
    found: Ints = 1 + np.floor((nodes - pools) * share / share.sum()).astype(np.int64)
    found[: nodes - int(found.sum())] += 1
    return found


def pools(draw: _Rng, count: int, hubs: int) -> dict[str, Any]:
    """Return the arrays of pools; every cluster has one owner and lies in one hub."""
    clusters = min(CLUSTERS_MAX, count)
    cluster = np.arange(count) % clusters
    model = np.arange(count) % len(MAKES)
    pflops = np.array([make.programme_milli_tflops for make in MAKES])[model] / 10**6
    return {
        "pool_names": [f"cluster-{cluster[pool]}/pool-{pool}" for pool in range(count)],
        "pool_cluster": [f"cluster-{number}" for number in cluster],
        "pool_hub": cluster % hubs,
        "pool_model": model,
        "pool_ask_micro_yuan_per_card_hour": np.rint(pflops * draw.uniform(5, 9, count) * _YUAN).astype(np.int64),
        "owner_names": [f"owner-{owner}" for owner in range(OWNERS)],
        "pool_owner": cluster % OWNERS,
    }


def nodes(draw: _Rng, pool_nodes: Ints, free_share: float) -> dict[str, Any]:
    """Draw what is free: some nodes empty, some full, the rest in part; about 1 % closed.

    Large gangs leave whole domains behind, so empty nodes come in domains: of each, another share is empty.
    """
    count, pool = int(pool_nodes.sum()), np.repeat(np.arange(pool_nodes.size), pool_nodes)
    inside = np.arange(count) - np.repeat(np.cumsum(pool_nodes) - pool_nodes, pool_nodes)
    domain = inside // draw.choice(DOMAIN_NODES, pool_nodes.size)[pool]
    # mean 0.6 of the free share, and from hardly any to almost all
    mean = free_share * 0.6
    starts = np.append(True, (np.diff(pool) != 0) | (np.diff(domain) != 0))
    empty_share = draw.beta(1.5 * mean, 1.5 * (1 - mean), int(starts.sum()))[np.cumsum(starts) - 1]
    empty = draw.random(count) < empty_share
    free = np.where(empty, NODE_CARDS, draw.binomial(NODE_CARDS, (free_share - mean) / (1 - mean), count))
    host = np.where(draw.random(pool_nodes.size) < POOR_POOL_SHARE, 0.5, 1.0)[pool]
    # the jobs that run there took CPU and memory as they pleased, so cards can be free without either
    beside = draw.uniform(0.7, 1.3, (2, count))
    content: dict[str, Any] = {
        "node_names": [f"node-{node}" for node in range(count)],
        "node_pool": pool,
        "node_domain": domain,
        "node_open": draw.random(count) < 0.99,
        "node_cards": np.full(count, NODE_CARDS),
        "node_free_cards": free,
    }
    for name, per_card, taken in (
        ("cpu_milli", CPU_MILLI_PER_CARD, beside[0]),
        ("memory_mib", MEMORY_MIB_PER_CARD, beside[1]),
    ):
        whole = (host * per_card * NODE_CARDS).astype(np.int64)
        part = np.minimum(host * per_card * free * taken, whole).astype(np.int64)
        content |= {f"node_{name}": whole, f"node_free_{name}": np.where(empty, whole, part)}
    return content


def splits(draw: _Rng, pool_model: Ints, node_pool: Ints, node_free_cards: Ints) -> dict[str, Any]:
    """Draw cards that are in use in part: one on each chosen node, with one or two shares of slices of its make."""
    model = pool_model[node_pool]
    offered = np.array([bool(make.slices_milli) for make in MAKES])[model]
    chosen = np.flatnonzero(offered & (node_free_cards < NODE_CARDS) & (draw.random(node_pool.size) < SPLIT_NODE_SHARE))
    shares = draw.integers(1, 3, chosen.size)
    # two shares of at most half a card fit on every one
    used = [
        int(draw.choice([milli for milli in MAKES[make].slices_milli if milli * count <= 1000])) * count
        for make, count in zip(model[chosen].tolist(), shares.tolist(), strict=True)
    ]
    return {"split_node": chosen, "split_free_milli": 1000 - np.array(used, dtype=np.int64), "split_shares": shares}
