"""What stopping a lease would mean, from the rows of what is held."""

from typing import Any

import numpy as np

from broker.market.stoppable import of_leases
from broker.store.occupancy import Occupancy
from scheduler.snapshot import Snapshot
from tests.scheduler.planning_worlds import random_ruled_world

WORLD = random_ruled_world(3, jobs=1)
"""Tenants a, b and c; the quotas of a and b are 1 and 2 in both hubs, that of c is 3 in the first one only."""
NOW = WORLD.taken_at_s


def held(**changes: Any) -> Occupancy:
    """One lease of four whole cards, started a thousand seconds ago, with a checkpoint every 300 seconds."""
    columns: dict[str, Any] = {
        "lease": 7, "job": 7, "pool_id": 1, "offered_s": NOW - 1_000, "started_s": NOW - 1_000, "ends_s": NOW + 1_000,
        "preemptible": True, "checkpoint_interval_seconds": 300, "grace_seconds": 30, "walltime_seconds": 2_000,
        "stop_ordered_s": -1, "preempted": False, "city": "a", "enterprise": "", "priority": "standard",
        "ceiling": 10**7,
    }  # fmt: skip
    return Occupancy(
        **{name: (value,) for name, value in (columns | changes).items()},
        first=(0, 2),
        node_id=(1, 2),
        cards=(2, 2),
        milli=(2_000, 2_000),
        cpu_milli=(0, 0),
        memory_mib=(0, 0),
    )


def of(world: Snapshot = WORLD, pool: int = 0, **changes: Any) -> dict[str, Any]:
    found = of_leases(held(**changes), world, np.array([pool]))
    return {name.removeprefix("lease_"): value.tolist()[0] for name, value in found.items()}


def test_the_work_since_the_last_checkpoint_is_lost() -> None:
    assert of()["lost_card_seconds"] == 4 * 100
    assert of(checkpoint_interval_seconds=0)["lost_card_seconds"] == 4 * 1_000
    assert of(started_s=-1)["lost_card_seconds"] == 0
    assert of(started_s=NOW + 50)["lost_card_seconds"] == 0  # its agent's clock is ahead


def test_who_was_stopped_before_has_to_get_on_first() -> None:
    assert not of()["moved"]
    assert of(preempted=True, started_s=NOW - 299)["moved"]
    assert not of(preempted=True, started_s=NOW - 300)["moved"]
    assert of(preempted=True, checkpoint_interval_seconds=0)["moved"]  # it never gets further


def test_what_is_being_stopped_is_not_stopped_again() -> None:
    assert of()["preemptible"]
    assert not of(stop_ordered_s=NOW - 5)["preemptible"]
    assert not of(preemptible=False)["preemptible"]


def test_a_lease_counts_to_the_quota_of_its_tenant_in_its_hub() -> None:
    tflops = int(WORLD.model_fp16_programme_milli_tflops[WORLD.pool_model[0]])
    assert (of()["quota"], of()["quota_use"]) == (1, 4 * max(tflops, 0))
    assert of(city="b")["quota"] == 2
    assert of(city="b", enterprise="not-known")["quota"] == 2  # the city's: the enterprise has none of its own
    assert (of(city="nobody")["quota"], of(city="nobody")["quota_use"]) == (-1, 0)
    elsewhere = int(np.flatnonzero(WORLD.pool_hub == 1)[0])
    assert (of(pool=elsewhere, city="c")["quota"], of(pool=elsewhere, city="c")["quota_use"]) == (-1, 0)


def test_tiers_and_graces_are_those_of_the_job() -> None:
    assert (of()["tier"], of(priority="emergency")["tier"]) == (1, 0)
    assert of()["grace_seconds"] == 30


def test_nothing_held_is_nothing_to_stop() -> None:
    found = of_leases(Occupancy(), WORLD, np.zeros(0, dtype=np.int64))
    assert {array.size for array in found.values()} == {0}
