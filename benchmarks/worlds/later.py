"""The world a moment after a round: some of its jobs run now, with their cards, and others have come."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from scheduler.plan import Placement, Plan
from scheduler.snapshot import Ints, Snapshot

SECONDS: Final = 5  # from one round to the next


def later(snapshot: Snapshot, plan: Plan, seed: int, share: float) -> Snapshot:
    """Return the world after this share of its jobs changed: half of them started as planned, half came instead.

    What started took its cards, CPU, memory, power and quota. Who comes is drawn from those who wait: the same shapes
    and cities, other ids.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    changed = round(len(snapshot.job_id) * share / 2)
    started = min(changed, len(plan.placements))
    which = np.sort(draw.choice(len(plan.placements), started, replace=False)).tolist()
    gone = [plan.placements[number] for number in which]
    world = _after(snapshot, gone)
    running = {placement.job_id for placement in gone}
    stay = np.array([job for job, name in enumerate(snapshot.job_id) if name not in running], dtype=np.int64)
    like = draw.integers(0, len(snapshot.job_id), changed)
    now = snapshot.taken_at_s + SECONDS
    jobs: dict[str, Any] = {}
    for each in fields(snapshot):
        if each.name.startswith("job_") and each.name != "job_id":
            values = getattr(snapshot, each.name)
            jobs[each.name] = np.concatenate([values[stay], values[like]])
    jobs["job_id"] = (
        *(snapshot.job_id[job] for job in stay.tolist()),
        *(f"later-{now}-{number}" for number in range(changed)),
    )
    jobs["job_submitted_at_s"][stay.size :] = now
    return replace(snapshot, taken_at_s=now, **world, **jobs)


def _after(snapshot: Snapshot, started: Sequence[Placement]) -> dict[str, Any]:
    """Return what is free and used once these placements run."""
    cards, cpu, memory = (
        getattr(snapshot, f"node_free_{name}").copy() for name in ("cards", "cpu_milli", "memory_mib")
    )
    watts, quota, city_used = (
        snapshot.hub_used_watts.copy(),
        snapshot.quota_used_milli_tflops.copy(),
        snapshot.city_used_milli_tflops.copy(),
    )
    position = {job_id: job for job, job_id in enumerate(snapshot.job_id)}
    splits = _Splits(snapshot)
    for placement in started:
        job = position[placement.job_id]
        shape = int(snapshot.job_shape[job])
        model, hub = int(snapshot.pool_model[placement.pool]), int(snapshot.pool_hub[placement.pool])
        milli = sum(placement.tasks) * int(snapshot.shape_cards_per_task[shape]) * 1000
        nodes = np.repeat(placement.nodes, placement.tasks).tolist()
        if snapshot.shape_share_milli[shape]:
            slice_ = _granted(snapshot, shape, model)
            milli = sum(placement.tasks) * slice_
            for node, card in zip(nodes, placement.cards, strict=True):
                cards[node] -= splits.take(node, card, slice_)
        else:
            np.subtract.at(cards, nodes, snapshot.shape_cards_per_task[shape])
        np.subtract.at(cpu, nodes, snapshot.shape_cpu_milli_per_task[shape])
        np.subtract.at(memory, nodes, snapshot.shape_memory_mib_per_task[shape])
        draws = -(-milli * int(snapshot.model_card_watts[model]) // 1000)
        watts[hub] += -(-draws * int(snapshot.hub_pue_ppm[hub]) // 10**6)
        use = -(-milli * int(snapshot.model_fp16_programme_milli_tflops[model]) // 1000)
        city_used[snapshot.job_city[job]] += use
        tenant = int(snapshot.job_tenant[job])
        leaf = int(snapshot.tenant_quota[tenant, hub]) if tenant >= 0 else -1
        while leaf >= 0:
            quota[leaf] += use
            leaf = int(snapshot.quota_parent[leaf])
    return {
        "node_free_cards": cards,
        "node_free_cpu_milli": cpu,
        "node_free_memory_mib": memory,
        "hub_used_watts": watts,
        "quota_used_milli_tflops": quota,
        "city_used_milli_tflops": city_used,
        **splits.arrays(),
    }


def _granted(snapshot: Snapshot, shape: int, model: int) -> int:
    offered = snapshot.slice_milli[snapshot.slice_start[model] : snapshot.slice_start[model + 1]]
    return int(offered[np.searchsorted(offered, snapshot.shape_share_milli[shape])])


class _Splits:
    """The split cards, as shares are put on them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.node = snapshot.split_node.tolist()
        self.left = snapshot.split_free_milli.tolist()
        self.shares = snapshot.split_shares.tolist()
        self.new: dict[tuple[int, int], int] = {}  # (node, label of a whole card) -> position

    def take(self, node: int, card: int, milli: int) -> int:
        """Put one share on a card as a placement names it; return how many whole cards were split for it."""
        at, split = card, 0
        if card < 0:
            if (node, card) not in self.new:
                self.new[node, card] = len(self.node)
                self.node.append(node)
                self.left.append(1000)
                self.shares.append(0)
                split = 1
            at = self.new[node, card]
        self.left[at] -= milli
        self.shares[at] += 1
        return split

    def arrays(self) -> dict[str, Ints]:
        order = np.argsort(np.array(self.node, dtype=np.int64), kind="stable")
        columns = {"split_node": self.node, "split_free_milli": self.left, "split_shares": self.shares}
        return {name: np.array(values, dtype=np.int64)[order] for name, values in columns.items()}
