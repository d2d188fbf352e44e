"""The same world with fewer rules: what each of them costs in time and in proof.

Each set holds those before it; cards, demand and ceilings stay as they are.
"""

from dataclasses import MISSING, fields, replace
from typing import Any, Final

import numpy as np

from scheduler.fields import UNKNOWN
from scheduler.snapshot import Snapshot

RULE_SETS: Final = {
    "cards": "whole cards, builds, round trips and hubs; jobs that ask for shares are left out",
    "shares": "+ shares of cards, and cards that are split already",
    "cpu": "+ CPU and memory",
    "power_quota": "+ power, energy, quotas, tiers, fair share, fabric, smaller sizes, data, owners, domestic only",
}
"""Names of the sets, smallest first, and what each adds."""

_SHARES: Final = frozenset(
    ("slice_start", "slice_milli", "model_shares_per_card_max", "split_node", "split_free_milli", "split_shares")
)


def with_rules(snapshot: Snapshot, name: str) -> Snapshot:
    """Return the world with the rules of one of RULE_SETS."""
    if name == "power_quota":
        return snapshot
    keep = frozenset() if name == "cards" else _SHARES | {"shape_share_milli"}
    optional = (each for each in fields(snapshot) if (each.default, each.default_factory) != (MISSING, MISSING))
    may_go = [each.name for each in optional]
    empty: dict[str, Any] = {
        rule: () if isinstance(getattr(snapshot, rule), tuple) else np.zeros(0, dtype=getattr(snapshot, rule).dtype)
        for rule in may_go
        if rule not in keep
    }
    # other lists of references would point nowhere
    empty["pool_owner"] = np.zeros(len(snapshot.pool_names), dtype=np.int64)
    if name != "cpu":
        none = np.zeros(len(snapshot.shape_tasks), dtype=np.int64)
        empty |= {"shape_cpu_milli_per_task": none, "shape_memory_mib_per_task": none}
    if name == "cards":
        empty |= _without_sharing_jobs(snapshot)
    return replace(snapshot, **empty)


def _without_sharing_jobs(snapshot: Snapshot) -> dict[str, Any]:
    stay = np.flatnonzero(snapshot.shape_share_milli[snapshot.job_shape] == 0)
    jobs: dict[str, Any] = {
        name: getattr(snapshot, name)[stay]
        for name in (
            "job_city",
            "job_shape",
            "job_priority",
            "job_ceiling_micro_yuan_per_pflops_hour",
            "job_submitted_at_s",
            "job_walltime_seconds",
        )
    }
    jobs["job_tenant"] = np.full(stay.size, UNKNOWN)
    return jobs | {"job_id": tuple(snapshot.job_id[job] for job in stay.tolist())}
