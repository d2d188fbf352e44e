"""What each array of a snapshot may hold: ranges, references, and the neutral value of a rule that does not apply.

`Snapshot` checks itself by these tables. An array left out (or empty) means that nobody uses the rule: it is filled
with its neutral value, so a world of whole cards and no quotas names none of them.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = -1
"""In a figure: nobody knows it. In a limit: there is none."""
PRIORITIES: Final = ("deferrable", "standard", "urgent", "emergency")
WITHIN_POOL: Final = 0
WITHIN_DOMAIN: Final = 1
WITHIN_NODE: Final = 2
MILLI_PER_CARD: Final = 1000
GANG_CARDS_MAX: Final = 2**20
NAME_LENGTH_MAX: Final = 512
TIERS_MAX: Final = 4
QUOTA_DEPTH_MAX: Final = 8

LIMITS: Final[dict[str, tuple[int, int]]] = {
    "model_fp16_programme_milli_tflops": (UNKNOWN, 10**9),
    "model_fp16_nameplate_milli_tflops": (UNKNOWN, 10**9),
    "model_fp16_measured_milli_tflops": (UNKNOWN, 10**9),
    "model_card_watts": (0, 10**4),
    "model_shares_per_card_max": (UNKNOWN, MILLI_PER_CARD),
    "slice_milli": (1, MILLI_PER_CARD - 1),
    "hub_pue_ppm": (10**6, 4 * 10**6),
    "hub_power_cap_watts": (UNKNOWN, 10**12),
    "hub_pace_watts": (UNKNOWN, 10**12),
    "hub_used_watts": (0, 10**12),
    "hub_micro_yuan_per_kwh": (0, 10**8),
    "city_weight_ppm": (0, 10**9),
    "city_used_milli_tflops": (0, 2**50),
    "round_trip_micros": (UNKNOWN, 10**9),
    "transfer_micro_yuan_per_gib": (0, 10**9),
    "transfer_mib_per_second": (UNKNOWN, 10**9),
    "pool_ask_micro_yuan_per_card_hour": (0, 10**10),
    "pool_until_s": (UNKNOWN, 2**40),
    "node_domain": (0, 2**31),
    "node_cards": (0, 2**16),
    "node_cpu_milli": (0, 2**31),
    "node_memory_mib": (0, 2**34),
    "node_free_cards": (0, 2**16),
    "node_free_cpu_milli": (0, 2**31),
    "node_free_memory_mib": (0, 2**34),
    "split_free_milli": (0, MILLI_PER_CARD),
    "split_shares": (0, MILLI_PER_CARD),
    "shape_tasks": (1, GANG_CARDS_MAX),
    "shape_cards_per_task": (1, 2**16),
    "shape_share_milli": (0, MILLI_PER_CARD - 1),
    "shape_cpu_milli_per_task": (0, 2**31),
    "shape_memory_mib_per_task": (0, 2**34),
    "shape_round_trip_micros_max": (UNKNOWN, 10**9),
    "shape_within": (WITHIN_POOL, WITHIN_NODE),
    "shape_spread_speed_ppm": (1, 10**6),
    "shape_input_gib": (0, 2**20),
    "shape_output_gib": (0, 2**20),
    "shape_transfer_seconds_max": (UNKNOWN, 2**40),
    "size_tasks": (1, GANG_CARDS_MAX),
    "size_speed_ppm": (1, 10**6),
    "build_speed_ppm": (1, 10**7),
    "quota_guaranteed_milli_tflops": (0, 2**50),
    "quota_borrow_milli_tflops": (UNKNOWN, 2**50),
    "quota_lend_milli_tflops": (UNKNOWN, 2**50),
    "quota_used_milli_tflops": (0, 2**50),
    "job_tier": (0, TIERS_MAX - 1),
    "job_priority": (0, len(PRIORITIES) - 1),
    "job_ceiling_micro_yuan_per_pflops_hour": (0, 10**12),
    "job_submitted_at_s": (0, 2**40),
    "job_walltime_seconds": (1, 2**40),
    "job_finish_by_s": (UNKNOWN, 2**40),
}
"""Smallest and largest value allowed in each array of quantities."""

INDICES: Final[dict[str, str]] = {
    "pool_hub": "hub_names",
    "pool_model": "model_names",
    "pool_owner": "owner_names",
    "node_pool": "pool_names",
    "split_node": "node_names",
    "job_city": "city_names",
    "job_shape": "shape_tasks",
}
"""Arrays of indices, and the array whose positions they name."""

INDICES_OR_NONE: Final[dict[str, str]] = {
    "tenant_quota": "quota_names",
    "quota_parent": "quota_names",
    "job_tenant": "tenant_names",
}
"""The same, where UNKNOWN means: none."""

NEUTRAL: Final[dict[str, int]] = {
    "model_card_watts": 0,
    "model_shares_per_card_max": UNKNOWN,
    "slice_start": 0,
    "hub_pue_ppm": 10**6,
    "hub_power_cap_watts": UNKNOWN,
    "hub_pace_watts": UNKNOWN,
    "hub_used_watts": 0,
    "hub_micro_yuan_per_kwh": 0,
    "city_used_milli_tflops": 0,
    "transfer_micro_yuan_per_gib": 0,
    "transfer_mib_per_second": UNKNOWN,
    "pool_owner": 0,
    "pool_until_s": UNKNOWN,
    "node_domain": 0,
    "shape_share_milli": 0,
    "shape_within": WITHIN_POOL,
    "shape_spread_speed_ppm": 10**6,
    "shape_input_gib": 0,
    "shape_output_gib": 0,
    "shape_transfer_seconds_max": UNKNOWN,
    "shape_staged": False,
    "shape_domestic_only": False,
    "shape_owner_allowed": True,
    "size_start": 0,
    "tenant_quota": UNKNOWN,
    "job_tenant": UNKNOWN,
    "job_tier": 0,
    "job_finish_by_s": UNKNOWN,
}
"""What an array is filled with when it is left out."""
