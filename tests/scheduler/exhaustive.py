"""The best plan of a tiny world under all rules, found by trying everything. Slow, and sure.

Which job may run where, and what that is worth, is the verifier's word; what fits beside what is tried out here, task
by task. `greedy <= plan <= optimum` holds tier by tier in lexicographic order; `plan <= reachable <= bound` in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scheduler.plan import Placement, Plan, PlanStatus, Prices, Tier
from scheduler.policy import Policy
from scheduler.reasons import Reason
from scheduler.refusals import Refusal
from scheduler.snapshot import Snapshot
from scheduler.verify_bound import GUARANTEE, Bounds, Wanted
from scheduler.verify_limits import broken_before
from scheduler.verify_placed import direct_use, placed
from scheduler.verify_worth import Market

Values = tuple[int, ...]
"""One for each tier, the highest first: milli-TFLOPS of guarantees in use (if any is free), then worths by job tier."""


def optimum(snapshot: Snapshot, policy: Policy) -> Values:
    """Return what the best plan reaches in each tier, compared tier by tier in their order."""
    best, _ = _best(_World(snapshot, policy))
    return best


def optimal_plan(snapshot: Snapshot, policy: Policy) -> Plan:
    """Return a plan that reaches the optimum, with prices of 0."""
    world = _World(snapshot, policy)
    _, chosen = _best(world)
    return sealed(snapshot, policy, world.placements(chosen))


def reachable(snapshot: Snapshot, policy: Policy, plan: Plan) -> Values:
    """Return, for each tier of the plan, the most that any plan as good above reaches: what its bound speaks of.

    As good above: as much of each quota's guarantee in use, and as much worth in each tier above.
    """
    world = _World(snapshot, policy)
    position = {job_id: job for job, job_id in enumerate(snapshot.job_id)}
    found = placed(world.market, [(position[each.job_id], each) for each in plan.placements])
    new = world.market.quotas.new(direct_use(world.market, found))
    level = [min(h, n) for h, n in zip(world.market.quotas.headroom, new, strict=True)]
    reached = [tier.objective for tier in plan.tiers]
    return tuple(_most(world, at, level, reached) for at in range(len(reached)))


def sealed(
    snapshot: Snapshot, policy: Policy, placements: Sequence[Placement], prices: Sequence[Prices] | None = None
) -> Plan:
    """Return the plan of these placements: the rest refused, objectives and bounds as the prices (0) give them."""
    market = Market(snapshot, policy)
    position = {job_id: job for job, job_id in enumerate(snapshot.job_id)}
    found = placed(market, [(position[each.job_id], each) for each in placements])
    quotas = market.quotas
    level = tuple(min(h, n) for h, n in zip(quotas.headroom, quotas.new(direct_use(market, found)), strict=True))
    names = tier_names(snapshot)
    worths = {int(name.split("-")[1]): 0 for name in names if name != GUARANTEE}
    for each in placements:
        worths[int(snapshot.job_tier[position[each.job_id]])] += each.worth_micro_yuan_per_hour
    wanted, objectives = [], []
    for at, name in enumerate(names):
        number = -1 if name == GUARANTEE else int(name.split("-")[1])
        above = tuple((tier, worth) for tier, worth in worths.items() if tier < number)
        wanted.append(Wanted(name, number, above, level, prices[at] if prices else no_prices(snapshot, len(above))))
        objectives.append(sum(level) if name == GUARANTEE else worths[number])
    bounds = Bounds(market, wanted)
    tiers = tuple(
        Tier(each.name, objective, bound, each.prices)
        for each, objective, bound in zip(wanted, objectives, bounds.values, strict=True)
    )
    runs = {each.job_id for each in placements}
    eligible = bounds.eligible[market.groups.of_job]
    return Plan(
        snapshot_hash=snapshot.input_hash(),
        policy=replace(policy, effort=0),
        placements=tuple(placements),
        refusals=tuple(
            Refusal(job_id, Reason.OUTBID if eligible[job] else Reason.CARDS_SHORT, 0 if eligible[job] else -1)
            for job_id, job in position.items()
            if job_id not in runs
        ),
        tiers=tiers,
        objective_micro_yuan_per_hour=sum(worths.values()),
        bound_micro_yuan_per_hour=sum(tier.bound for tier in tiers if tier.name != GUARANTEE),
        effort_spent=0,
        status=PlanStatus.OPTIMAL if all(t.objective == t.bound for t in tiers) else PlanStatus.FEASIBLE,
        broken_before=broken_before(snapshot, quotas),
    )


def tier_names(snapshot: Snapshot) -> list[str]:
    """Return the tiers that a plan of the snapshot has."""
    headroom = snapshot.quota_guaranteed_milli_tflops > snapshot.quota_used_milli_tflops
    first = [GUARANTEE] if snapshot.job_id and headroom.any() else []
    return first + [f"worth-{tier}" for tier in sorted(set(snapshot.job_tier.tolist())) or [0]]


def no_prices(snapshot: Snapshot, tiers_above: int = 0) -> Prices:
    """Return prices of 0 for every row that there is: blocks of one card, no slices, no domains."""
    pools, quotas = len(snapshot.pool_names), (0,) * len(snapshot.quota_names)
    limited = bool(((snapshot.hub_power_cap_watts >= 0) | (snapshot.hub_pace_watts >= 0)).any())
    return Prices(
        block_cards=(1,),
        cards_micro_yuan_per_block_hour=((0,),) * pools,
        cpu_micro_yuan_per_core_hour=(0,) * pools,
        memory_micro_yuan_per_gib_hour=(0,) * pools,
        power_micro_yuan_per_kwh=(0,) * len(snapshot.hub_names) if limited else (),
        quota_micro_yuan_per_pflops_hour=quotas,
        guarantee_micro_yuan_per_pflops_hour=quotas,
        tier_ppm=(0,) * tiers_above,
    )


@dataclass(frozen=True)
class Option:
    """One way to run one job."""

    job: int
    build: int
    pool: int
    gang: Gang
    worth: int
    watts: int
    use: int  # milli-TFLOPS
    leaf: int  # quota, or -1


@dataclass(frozen=True, order=True)
class Gang:
    """What a gang asks of the nodes of a pool."""

    tasks: int
    cards: int
    share: int  # granted thousandths of one card; 0: whole cards
    cpu: int
    memory: int
    level: int


def _best(world: _World) -> tuple[Values, list[Option]]:
    best: tuple[Values, list[Option]] | None = None

    def hopeless(values: Values, _: list[int]) -> bool:
        return best is not None and values <= best[0]

    for values, chosen in world.plans(hopeless):
        if best is None or values > best[0]:
            best = values, list(chosen)
    assert best is not None
    return best


def _most(world: _World, tier: int, level: list[int], reached: list[int]) -> int:
    """Return the most of one tier, among plans that reach these levels and values above it."""
    most = -1
    guaranteed = world.names[0] == GUARANTEE

    def hopeless(values: Values, new: list[int]) -> bool:
        if values[tier] <= most:
            return True
        if tier > 0 and guaranteed and any(n < wanted for n, wanted in zip(new, level, strict=True)):
            return True
        return any(values[at] < reached[at] for at in range(int(guaranteed), tier))

    for values, _ in world.plans(hopeless):
        most = max(most, values[tier])
    return most


class _World:
    """All plans of a tiny world."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.snapshot = snapshot
        self.market = Market(snapshot, policy)
        self.names = tier_names(snapshot)
        self._tier_at = {int(n.split("-")[1]): at for at, n in enumerate(self.names) if n != GUARANTEE}
        self._options = [self._options_of(job) for job in range(len(snapshot.job_id))]
        self._packed: dict[tuple[int, tuple[Gang, ...]], list[_Put] | None] = {}

    def plans(self, hopeless: Callable[[Values, list[int]], bool]) -> Iterator[tuple[Values, list[Option]]]:
        """Yield every plan that breaks no rule, but for those whose optimistic values and quota use are hopeless."""
        return self._plans(0, [], hopeless)

    def placements(self, chosen: list[Option]) -> list[Placement]:
        """Put the chosen gangs on nodes."""
        done = {}
        for pool in {option.pool for option in chosen}:
            here = sorted((o for o in chosen if o.pool == pool), key=lambda o: o.gang)
            puts = self._pack(pool, tuple(o.gang for o in here))
            assert puts is not None
            for option, put in zip(here, puts, strict=True):
                nodes = sorted({node for node, _ in put})
                done[option.job] = Placement(
                    self.snapshot.job_id[option.job],
                    option.build,
                    pool,
                    tuple(nodes),
                    tuple(sum(n == node for n, _ in put) for node in nodes),
                    option.worth,
                    tuple(card for node in nodes for n, card in put if n == node) if option.gang.share else (),
                )
        return [done[job] for job in sorted(done)]

    def _options_of(self, job: int) -> list[Option]:
        snapshot, market, group = self.snapshot, self.market, int(self.market.groups.of_job[job])
        shape, tenant = int(snapshot.job_shape[job]), int(snapshot.job_tenant[job])
        options = []
        for offer in market.offers():
            for at in (offer.group == group).nonzero()[0].tolist():
                form, pool = int(offer.form[at]), offer.site.pool
                gang = Gang(
                    int(market.forms.tasks[form]),
                    int(snapshot.shape_cards_per_task[shape]),
                    int(offer.site.granted_milli[form]),
                    int(snapshot.shape_cpu_milli_per_task[shape]),
                    int(snapshot.shape_memory_mib_per_task[shape]),
                    int(market.forms.level[form]),
                )
                options.append(
                    Option(
                        job,
                        self._fastest(shape, int(snapshot.pool_model[pool])),
                        pool,
                        gang,
                        int(offer.worth[at]),
                        int(offer.site.meter_watts[form]),
                        int(offer.site.quota_use[form]),
                        int(snapshot.tenant_quota[tenant, snapshot.pool_hub[pool]]) if tenant >= 0 else -1,
                    )
                )
        return sorted(options, key=lambda option: -option.worth)

    def _fastest(self, shape: int, model: int) -> int:
        snapshot = self.snapshot
        builds = range(int(snapshot.build_start[shape]), int(snapshot.build_start[shape + 1]))
        figure = int(snapshot.model_fp16_programme_milli_tflops[model])
        runs = [b for b in builds if self.market.runs[b, model]]
        best = max(runs, key=lambda b: (figure * int(snapshot.build_speed_ppm[b]) // 10**6, -b))
        return best - builds.start

    def _plans(
        self, job: int, chosen: list[Option], hopeless: Callable[[Values, list[int]], bool]
    ) -> Iterator[tuple[Values, list[Option]]]:
        if hopeless(*self._optimistic(job, chosen)):
            return
        if job == len(self._options):
            yield self._optimistic(job, chosen)[0], chosen
            return
        for option in self._options[job]:
            chosen.append(option)
            if self._keeps_rules(chosen):
                yield from self._plans(job + 1, chosen, hopeless)
            chosen.pop()
        yield from self._plans(job + 1, chosen, hopeless)

    def _optimistic(self, job: int, chosen: list[Option]) -> tuple[Values, list[int]]:
        """Return values and new quota use if every job from `job` on could do its best in each of them."""
        values = [0] * len(self.names)
        direct = [0] * len(self.snapshot.quota_names)
        for option in chosen:
            values[self._tier(option.job)] += option.worth
            if option.leaf >= 0:
                direct[option.leaf] += option.use
        for options in self._options[job:]:
            if options:
                values[self._tier(options[0].job)] += options[0].worth
            for leaf in {option.leaf for option in options} - {-1}:
                direct[leaf] += max(option.use for option in options if option.leaf == leaf)
        new = self.market.quotas.new(direct)
        if self.names[0] == GUARANTEE:
            values[0] = sum(min(h, n) for h, n in zip(self.market.quotas.headroom, new, strict=True))
        return tuple(values), new

    def _tier(self, job: int) -> int:
        return self._tier_at[int(self.snapshot.job_tier[job])]

    def _keeps_rules(self, chosen: list[Option]) -> bool:
        last, quotas = chosen[-1], self.market.quotas
        hub = self.snapshot.pool_hub[last.pool]
        free = self.market.free_watts[hub]
        drawn = sum(option.watts for option in chosen if self.snapshot.pool_hub[option.pool] == hub)
        if free is not None and drawn > free:
            return False
        direct = [0] * len(quotas.names)
        for option in chosen:
            if option.leaf >= 0:
                direct[option.leaf] += option.use
        new, lent = quotas.new(direct), quotas.lent(direct)
        for quota, limit in enumerate(quotas.limit):
            if limit is None:
                continue
            if new[quota] > max(0, limit - quotas.used[quota]) or lent[quota] > max(limit, quotas.lent_before[quota]):
                return False
        return self._pack(last.pool, tuple(sorted(o.gang for o in chosen if o.pool == last.pool))) is not None

    def _pack(self, pool: int, gangs: tuple[Gang, ...]) -> list[_Put] | None:
        key = pool, gangs
        if key not in self._packed:
            self._packed[key] = _Packing(self.snapshot, pool, gangs).found
        return self._packed[key]


_Put = list[tuple[int, int]]
"""Node and card of each task; the card is only of shares, and named as in `Placement.cards`."""


@dataclass
class _Node:
    number: int
    domain: int
    cards: int
    cpu: int
    memory: int
    split: list[list[int]] = field(default_factory=list)  # name, free thousandths, tasks that may still come
    new: int = 0  # cards newly split

    def state(self) -> tuple[object, ...]:
        return self.cards, self.cpu, self.memory, tuple(sorted((free, left) for _, free, left in self.split))


class _Packing:
    """Tries to put gangs on the nodes of one pool."""

    def __init__(self, snapshot: Snapshot, pool: int, gangs: tuple[Gang, ...]) -> None:
        most = int(snapshot.model_shares_per_card_max[snapshot.pool_model[pool]])
        self._tasks_max = most if most >= 0 else 1000
        self._gangs = gangs
        self._nodes = [
            _Node(
                n,
                int(snapshot.node_domain[n]),
                int(snapshot.node_free_cards[n]),
                int(snapshot.node_free_cpu_milli[n]),
                int(snapshot.node_free_memory_mib[n]),
                [
                    [x, int(snapshot.split_free_milli[x]), self._tasks_max - int(snapshot.split_shares[x])]
                    for x in range(snapshot.split_node.size)
                    if snapshot.split_node[x] == n
                ],
            )
            for n in range(len(snapshot.node_names))
            if snapshot.node_pool[n] == pool and snapshot.node_open[n]
        ]
        self._failed: set[tuple[object, ...]] = set()
        self._puts: list[_Put] = [[] for _ in gangs]
        self.found = self._puts if self._gang(0) else None

    def _gang(self, at: int) -> bool:
        if at == len(self._gangs):
            return True
        key = (at, *(node.state() for node in self._nodes))
        if key in self._failed:
            return False
        level = self._gangs[at].level
        scopes = {
            0: lambda: [self._nodes],
            1: lambda: [[n for n in self._nodes if n.domain == d] for d in {n.domain for n in self._nodes}],
            2: lambda: [[n] for n in self._nodes],
        }[level]()
        for scope in scopes:
            if self._task(at, self._gangs[at].tasks, scope, 0):
                return True
        self._failed.add(key)
        return False

    def _task(self, at: int, left: int, scope: list[_Node], first: int) -> bool:
        if left == 0:
            return self._gang(at + 1)
        gang = self._gangs[at]
        for place in range(first, len(scope)):
            node = scope[place]
            if node.cpu < gang.cpu or node.memory < gang.memory:
                continue
            node.cpu -= gang.cpu
            node.memory -= gang.memory
            for undo, card in self._cards(node, gang):
                self._puts[at].append((node.number, card))
                if self._task(at, left - 1, scope, place):
                    return True
                self._puts[at].pop()
                undo()
            node.cpu += gang.cpu
            node.memory += gang.memory
        return False

    def _cards(self, node: _Node, gang: Gang) -> Iterator[tuple[Callable[[], None], int]]:
        """Take cards for one task in every way; each is to be undone before the next."""
        if not gang.share:
            if node.cards >= gang.cards:
                node.cards -= gang.cards
                yield lambda: setattr(node, "cards", node.cards + gang.cards), -1
            return
        for card in list(node.split):
            if card[1] >= gang.share and card[2] >= 1:
                card[1] -= gang.share
                card[2] -= 1
                yield lambda card=card: self._give_back(card, gang), card[0]
        if node.cards >= 1 and self._tasks_max >= 1:
            node.cards -= 1
            node.new += 1
            node.split.append([-node.new, 1000 - gang.share, self._tasks_max - 1])
            yield lambda: self._join(node), -node.new

    @staticmethod
    def _give_back(card: list[int], gang: Gang) -> None:
        card[1] += gang.share
        card[2] += 1

    @staticmethod
    def _join(node: _Node) -> None:
        node.split.pop()
        node.new -= 1
        node.cards += 1
