"""A slow book-keeping beside the ground of a plan: it knows no tricks and remembers nothing."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from scheduler.choices import Choices
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE
from scheduler.ground import Ground
from scheduler.limits import LEFT, NEW, NO_LIMIT
from scheduler.terrain import FIRST_NODE, FIRST_SLOT, MILLI_LEFT, TASKS_LEFT


class Books:
    """What is free, recounted from the snapshot and from every entry; plain loops, nothing remembered."""

    def __init__(self, choices: Choices, ground: Ground) -> None:
        self.choices, snapshot = choices, choices.snapshot
        self.cards = np.where(snapshot.node_open, snapshot.node_free_cards, 0).tolist()
        self.cpu = snapshot.node_free_cpu_milli.tolist()
        self.memory = snapshot.node_free_memory_mib.tolist()
        self.left = choices.groups.count.tolist()
        self.watts = [0] * len(snapshot.hub_names)
        self.direct = [0] * len(snapshot.quota_names)
        self.most = [
            1000 if most < 0 else most for most in snapshot.model_shares_per_card_max[snapshot.pool_model].tolist()
        ]
        self.split: dict[tuple[int, int], list[int]] = {}  # (node, card): thousandths and tasks left
        for card, node in enumerate(snapshot.split_node.tolist()):
            if snapshot.node_open[node]:
                tasks = max(self.most[snapshot.node_pool[node]] - int(snapshot.split_shares[card]), 0)
                self.split[node, card] = [int(snapshot.split_free_milli[card]), tasks]
        first = [*ground.lines[:, 3].tolist(), len(ground.entries)]
        for line, (group, pair, count, low) in enumerate(ground.lines.tolist()):
            self._take(group, pair, count, ground.entries[low : first[line + 1]].tolist())

    def _take(self, group: int, pair: int, count: int, entries: list[list[int]]) -> None:
        kinds, kind, pool = self.choices.kinds, *self.of(pair)
        snapshot = self.choices.snapshot
        tasks, share, level = int(kinds.tasks[kind]), int(kinds.share[kind]), int(kinds.level[kind])
        assert sum(each for _, each, _ in entries) == count * tasks
        nodes = {node for node, _, _ in entries}
        assert {int(snapshot.node_pool[node]) for node in nodes} == {pool}
        if level == WITHIN_DOMAIN:
            assert count == 1
            assert len({int(snapshot.node_domain[node]) for node in nodes}) == 1
        for node, each, card in entries:
            self.cpu[node] -= each * int(kinds.cpu[kind])
            self.memory[node] -= each * int(kinds.memory[kind])
            if share:
                if card < -1 and (node, card) not in self.split:
                    self.cards[node] -= 1
                    self.split[node, card] = [1000, self.most[pool]]
                self.split[node, card][0] -= share * each
                self.split[node, card][1] -= each
                assert min(self.split[node, card]) >= 0
            else:
                assert card == -1
                assert level != WITHIN_NODE or each % tasks == 0
                self.cards[node] -= each * int(kinds.cards[kind])
            assert min(self.cards[node], self.cpu[node], self.memory[node]) >= 0
        self.left[group] -= count
        assert self.left[group] >= 0
        self.charge(group, pair, count)

    def of(self, pair: int) -> tuple[int, int]:
        """Return kind and pool of a pair."""
        return int(self.choices.pairs.kind[pair]), int(self.choices.pairs.pool[pair])

    def charge(self, group: int, pair: int, count: int) -> None:
        """Count power and quota of so many gangs."""
        snapshot, (kind, pool) = self.choices.snapshot, self.of(pair)
        milli, model = int(self.choices.kinds.milli_cards[kind]), int(snapshot.pool_model[pool])
        hub, tenant = int(snapshot.pool_hub[pool]), int(self.choices.groups.tenant[group])
        busy = -(-milli * int(snapshot.model_card_watts[model]) // 1000)
        self.watts[hub] += count * -(-busy * int(snapshot.hub_pue_ppm[hub]) // 10**6)
        quota = int(snapshot.tenant_quota[tenant, hub]) if tenant >= 0 else -1
        if quota >= 0:
            figure = int(snapshot.model_fp16_programme_milli_tflops[model])
            self.direct[quota] += count * -(-milli * figure // 1000)

    def below(self) -> list[int]:
        """Return what new work counts to each quota."""
        new = list(self.direct)
        for quota in reversed(range(len(new))):
            parent = int(self.choices.snapshot.quota_parent[quota])
            if parent >= 0:
                new[parent] += new[quota]
        return new

    def within_limits(self) -> bool:
        """Judge power, and rules (1) and (2) of quotas."""
        snapshot, new = self.choices.snapshot, self.below()
        for hub, watts in enumerate(self.watts):
            limits = [int(snapshot.hub_power_cap_watts[hub]), int(snapshot.hub_pace_watts[hub])]
            known = [limit for limit in limits if limit >= 0]
            if watts and known and watts > max(min(known) - int(snapshot.hub_used_watts[hub]), 0):
                return False
        used = snapshot.quota_used_milli_tflops.tolist()
        parents = snapshot.quota_parent.tolist()
        for quota, guaranteed in enumerate(snapshot.quota_guaranteed_milli_tflops.tolist()):
            borrow = int(snapshot.quota_borrow_milli_tflops[quota])
            if borrow < 0:
                continue
            limit = guaranteed + borrow
            children = [q for q, parent in enumerate(parents) if parent == quota]
            own = max(0, used[quota] - sum(used[q] for q in children))
            before = own + sum(max(used[q], self._kept(q)) for q in children)
            after = own + self.direct[quota] + sum(max(used[q] + new[q], self._kept(q)) for q in children)
            if new[quota] > max(0, limit - used[quota]) or after > max(limit, before):
                return False
        return True

    def _kept(self, quota: int) -> int:
        lend = int(self.choices.snapshot.quota_lend_milli_tflops[quota])
        return max(0, int(self.choices.snapshot.quota_guaranteed_milli_tflops[quota]) - lend) if lend >= 0 else 0

    def one_more(self, group: int, pair: int) -> bool:
        """Judge whether one more gang of the pair fits."""
        kinds, (kind, pool) = self.choices.kinds, self.of(pair)
        snapshot = self.choices.snapshot
        in_domain: dict[int, int] = defaultdict(int)
        best, total = 0, 0
        for node in np.flatnonzero(snapshot.node_pool == pool).tolist():
            held = self._held(kind, pool, node)
            in_domain[int(snapshot.node_domain[node])] += held
            total, best = total + held, max(best, held)
        level = int(kinds.level[kind])
        close = best if level == WITHIN_NODE else max(in_domain.values()) if level == WITHIN_DOMAIN else total
        if self.left[group] == 0 or close < int(kinds.tasks[kind]):
            return False
        watts, direct = list(self.watts), list(self.direct)
        self.charge(group, pair, 1)
        allowed = self.within_limits()
        self.watts, self.direct = watts, direct
        return allowed

    def _held(self, kind: int, pool: int, node: int) -> int:
        kinds = self.choices.kinds
        share = int(kinds.share[kind])
        if share:
            held = self.cards[node] * min(1000 // share, self.most[pool])
            held += sum(min(milli // share, tasks) for (at, _), (milli, tasks) in self.split.items() if at == node)
        else:
            held = self.cards[node] // int(kinds.cards[kind])
        for have, need in ((self.cpu, kinds.cpu), (self.memory, kinds.memory)):
            if need[kind]:
                held = min(held, have[node] // int(need[kind]))
        return int(held)

    def agree(self, ground: Ground) -> None:
        """Check that the ground keeps the same books."""
        land, free, snapshot = ground.terrain.land, ground.free, self.choices.snapshot
        assert np.array_equal(free.nodes, np.column_stack([self.cards, self.cpu, self.memory]))
        assert free.left.tolist() == self.left
        for pool, total in enumerate(free.total.tolist()):
            assert total == sum(self.cards[land.pools[pool, FIRST_NODE] : land.pools[pool + 1, FIRST_NODE]])
        new = self.below()
        assert free.account[:, NEW].tolist() == new
        start = ground.terrain.free
        for hub, watts in enumerate(free.watts.tolist()):
            limited = start.watts[hub] < NO_LIMIT
            assert watts == (start.watts[hub] - self.watts[hub] if limited else NO_LIMIT)
        bounded = start.account[:, LEFT] < NO_LIMIT
        assert np.array_equal(free.account[bounded, LEFT], (start.account[:, LEFT] - new)[bounded])
        for node in range(len(snapshot.node_names)):
            slots = range(int(land.slots[node, FIRST_SLOT]), int(land.slots[node + 1, FIRST_SLOT]))
            here = sorted(each for (at, _), each in self.split.items() if at == node)
            there = sorted(
                [int(free.slots[s, MILLI_LEFT]), int(free.slots[s, TASKS_LEFT])]
                for s in slots
                if free.slots[s, MILLI_LEFT] >= 0
            )
            if snapshot.node_open[node]:
                assert there == here
            assert free.widest[node] == max((milli for milli, tasks in here if tasks), default=0)
        worth = [0, 0, 0, 0]
        for group, pair, count, _ in ground.lines.tolist():
            worth[int(self.choices.groups.tier[group])] += count * int(self.choices.pairs.worth[pair])
        assert ground.objectives == worth
