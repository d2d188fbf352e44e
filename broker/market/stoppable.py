"""What stopping each live lease would mean: whether it may be, what work it would cost, and whose guarantee it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broker.job import PriorityClass
from broker.store.occupancy import Occupancy
from scheduler.fields import MILLI_PER_CARD, UNKNOWN
from scheduler.snapshot import Snapshot

Ints = NDArray[np.int64]

MILLI_TFLOPS_PER_PFLOPS = 10**6


def of_leases(held: Occupancy, world: Snapshot, pool: Ints) -> dict[str, Any]:
    """Return the arrays of a horizon that preemption asks for. `pool`: [R] where each lease is, in the snapshot.

    Work since the last checkpoint is done again: checkpoints are taken to come as often as the job says. One that was
    stopped before has to get as far as one of its own first; a job without any is not stopped twice.
    """
    number = len(held.lease)
    every, started = _ints(held.checkpoint_interval_seconds), _ints(held.started_s)
    ran = np.where(started < 0, 0, np.maximum(world.taken_at_s - started, 0))
    since = np.where(every > 0, ran % np.maximum(every, 1), ran)
    first = _ints(held.first)
    milli = np.add.reduceat(np.append(_ints(held.milli), 0), first[:-1]) if number else _ints(())
    cards = milli // MILLI_PER_CARD  # shares are never stopped
    tflops = np.maximum(world.model_fp16_programme_milli_tflops[world.pool_model[pool]], 0)
    quota = _quotas(held, world, world.pool_hub[pool])
    return {
        "lease_preemptible": np.array(held.preemptible, dtype=np.bool_) & (_ints(held.stop_ordered_s) < 0),
        "lease_lost_card_seconds": since * cards,
        "lease_tier": _ints([0 if each == PriorityClass.EMERGENCY else 1 for each in held.priority]),
        "lease_quota": quota,
        "lease_quota_use": np.where(quota < 0, 0, -(-milli * tflops // MILLI_PER_CARD)),
        "lease_moved": np.array(held.preempted, dtype=np.bool_) & ((every == 0) | (ran < every)),
        "lease_micro_yuan_per_card_hour": _ceilings(held, tflops),
        "lease_grace_seconds": _ints(held.grace_seconds),
    }


def _ceilings(held: Occupancy, milli_tflops: Ints) -> Ints:
    """Return [R] what a card may cost its city at most in an hour: the nearest to its worth that is known for sure."""
    ceilings = zip(held.ceiling, milli_tflops.tolist(), strict=True)
    return _ints([ceiling * each // MILLI_TFLOPS_PER_PFLOPS for ceiling, each in ceilings])


def _quotas(held: Occupancy, world: Snapshot, hub: Ints) -> Ints:
    """Return [R] the quota that each lease counts to: its enterprise's where that has one, else its city's."""
    index = {name: at for at, name in enumerate(world.tenant_names)}
    if not index:
        return np.full(len(held.lease), UNKNOWN, dtype=np.int64)
    tenant = [
        index.get(f"{city}/{enterprise}", index.get(city, UNKNOWN))
        for city, enterprise in zip(held.city, held.enterprise, strict=True)
    ]
    table = np.append(world.tenant_quota, np.full((1, len(world.hub_names)), UNKNOWN), axis=0)  # nobody's: the last row
    found: Ints = table[tenant, hub]
    return found


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
