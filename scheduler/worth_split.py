"""What a placed job is worth, part by part: what the city would pay, less what it costs, beside what others would pay.

The parts are those of `choices.py`; the prices are of any round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.choices import weights_percent
from scheduler.errors import UnknownJob
from scheduler.fields import WITHIN_DOMAIN, WITHIN_NODE, WITHIN_POOL
from scheduler.forms import Forms, forms_of
from scheduler.judging import VALUE_MAX, fastest_builds
from scheduler.limits import limits_of, meters
from scheduler.plan import Prices
from scheduler.policy import Policy
from scheduler.pricing import CostSplit, cost_split
from scheduler.snapshot import ARRAYS_OF_JOBS, Snapshot

_PPM: Final = 10**6


@dataclass(frozen=True, slots=True)
class WorthSplit:
    """Micro-yuan per hour of one gang where it runs."""

    gross: int  # what the city would pay at its ceiling
    asks: int  # what the owner wants
    energy: int
    transfer: int
    weight_percent: int  # factor on what is left: priority, waiting and fair share
    worth: int  # gross less these costs, times the factor; at least 1, or 0 where nothing is left
    cost: CostSplit  # what others would pay for the same cards, CPU, memory, power and quota, at the prices

    @property
    def gain(self) -> int:
        """Worth less what others would pay."""
        return self.worth - self.cost.total


def worth_split(
    snapshot: Snapshot, policy: Policy, prices: Prices, job_id: str, nodes: Sequence[int], tasks: int, at_s: int
) -> WorthSplit | None:
    """Return the parts of what a job is worth on these nodes; None where no form of it has so many tasks there.

    Args:
        snapshot: with the job; what is free does not count.
        policy: of the rounds.
        prices: in the order of the snapshot's pools, hubs and quotas.
        job_id: the job.
        nodes: indices of the nodes that it is on, all of one pool.
        tasks: the size that it runs with.
        at_s: epoch seconds up to which its waiting counts: when it started.
    Raises: UnknownJob: the snapshot holds no such job.
    """
    if job_id not in snapshot.job_id:
        raise UnknownJob("job_id", f"{job_id!r} is not in this world")
    alone = snapshot.of_one_job(snapshot.job_id.index(job_id))
    pool, forms = int(alone.node_pool[nodes[0]]), forms_of(alone)
    fast = int(fastest_builds(alone)[0][0, alone.pool_model[pool]])
    form = _form(alone, forms, nodes, tasks)
    if form is None or fast <= 0:
        return None
    kinds, limits, hub = forms.kinds, limits_of(alone), int(alone.pool_hub[pool])
    kind = int(forms.kind[form])
    cards, share, asked = int(kinds.cards[kind]), int(kinds.share[kind]), int(alone.shape_share_milli[0])
    ask = int(alone.pool_ask_micro_yuan_per_card_hour[pool])
    value = min(int(alone.job_ceiling_micro_yuan_per_pflops_hour[0]) * fast // _PPM, VALUE_MAX)
    gross = int(alone.shape_tasks[0]) * (value * asked // 1000 if share else value * cards)
    gross = gross * int(forms.speed_ppm[form]) // _PPM
    asks = tasks * (-(-ask * share // 1000) if share else ask * cards)
    energy = -(-int(meters(limits, kinds)[kind, pool]) * int(alone.hub_micro_yuan_per_kwh[hub]) // 1000)
    transfer = _transfer(alone, hub)
    then = alone.with_jobs(at_s, **{name: getattr(alone, name) for name in ARRAYS_OF_JOBS})
    weight = int(weights_percent(then, policy)[0])
    net = gross - asks - energy - transfer
    return WorthSplit(
        gross=gross,
        asks=asks,
        energy=energy,
        transfer=transfer,
        weight_percent=weight,
        worth=max(net * weight // 100, 1) if net > 0 else 0,
        cost=cost_split(prices, kinds, limits, kind, pool, int(alone.job_tenant[0])),
    )


def _form(alone: Snapshot, forms: Forms, nodes: Sequence[int], tasks: int) -> int | None:
    """Return the fastest form of the size that is as close together as the nodes are."""
    domains = np.unique(alone.node_domain[list(nodes)]).size
    close = WITHIN_NODE if len(nodes) == 1 else WITHIN_DOMAIN if domains == 1 else WITHIN_POOL
    granted = int(forms.granted[0, alone.pool_model[alone.node_pool[nodes[0]]]])
    kinds, kind = forms.kinds, forms.kind
    fits = (kinds.tasks[kind] == tasks) & (kinds.share[kind] == granted) & (kinds.level[kind] <= close)
    found = np.flatnonzero(fits)
    return int(found[np.argmax(forms.speed_ppm[found])]) if found.size else None


def _transfer(alone: Snapshot, hub: int) -> int:
    """Return what moving the data costs, spread over the walltime."""
    gib = int(alone.shape_output_gib[0]) + (0 if alone.shape_staged[0, hub] else int(alone.shape_input_gib[0]))
    per_gib = int(alone.transfer_micro_yuan_per_gib[alone.job_city[0], hub])
    return -(-gib * per_gib * 3600 // int(alone.job_walltime_seconds[0]))
