"""Have compiled code ready before it is needed: made once for each machine, loaded by each process."""

import gc
from typing import Any, Final

import numpy as np

from scheduler.fields import MILLI_PER_CARD, WITHIN_POOL
from scheduler.horizon import Horizon, Promise
from scheduler.mix import UsualTask, mix_of
from scheduler.placer import Placer
from scheduler.policy import Policy
from scheduler.profile import Gang, Profile
from scheduler.snapshot import Snapshot

_NOTHING_WAITS: Final[dict[str, Any]] = {
    "city_names": (), "city_weight_ppm": [], "round_trip_micros": np.zeros((0, 1), np.int64), "build_stack": (),
    "shape_tasks": [], "shape_cards_per_task": [], "shape_cpu_milli_per_task": [], "shape_memory_mib_per_task": [],
    "shape_round_trip_micros_max": [], "shape_hub_allowed": np.zeros((0, 1), np.bool_), "build_start": [0],
    "build_models": np.zeros((0, 1), np.bool_), "build_speed_ppm": [], "job_id": (), "job_city": [], "job_shape": [],
    "job_priority": [], "job_submitted_at_s": [], "job_ceiling_micro_yuan_per_pflops_hour": [],
    "job_walltime_seconds": [],
}  # fmt: skip
_ONE_NODE: Final[dict[str, Any]] = {
    "taken_at_s": 0, "model_names": ("m",), "model_stack": ("s",), "model_origin": ("domestic",), "hub_names": ("h",),
    "model_fp16_programme_milli_tflops": [1], "model_fp16_nameplate_milli_tflops": [1],
    "model_fp16_measured_milli_tflops": [1], "pool_names": ("p",), "pool_cluster": ("c",), "pool_hub": [0],
    "pool_model": [0], "pool_ask_micro_yuan_per_card_hour": [0], "node_names": ("n",), "node_pool": [0],
    "node_open": [True], "node_cards": [1], "node_free_cards": [1], "node_cpu_milli": [1], "node_memory_mib": [1],
    "node_free_cpu_milli": [1], "node_free_memory_mib": [1],
}  # fmt: skip


def warm() -> None:
    """Load or make what the first round and the fast lane need beside the planner."""
    for mix in (None, mix_of({UsualTask(0, 1, MILLI_PER_CARD, ()): 1})):  # what came so far says where tasks go
        Placer(empty_snapshot(), Policy(), mix=mix).warm()
    _warm_profile()
    gc.freeze()  # the compiler leaves some hundred thousand objects that every garbage collection would walk through


def empty_snapshot() -> Snapshot:
    """Return a world without anything."""
    none: tuple[str, ...] = ()
    texts = {"model_names", "model_stack", "model_origin", "hub_names", "city_names", "pool_names", "pool_cluster"}
    texts |= {"node_names", "build_stack", "job_id"}
    values = {name: none if name in texts else [] for name in Snapshot.__dataclass_fields__}
    return Snapshot(**{**values, "taken_at_s": 0, "build_start": [0]})  # type: ignore[arg-type]


def _warm_profile() -> None:
    """Load or make the code that looks for promised starts, so that no commit waits for it."""
    world = Snapshot(**_NOTHING_WAITS | _ONE_NODE)
    profile, gang = Profile(world, Horizon(), 0), Gang(1, 1, 0, 0, WITHIN_POOL, 60)
    profile.start(np.array([0]), np.array([60]), np.array([[1, 0, 0]]))
    start = profile.earliest(0, gang, 1)
    nodes, tasks = profile.nodes_at(0, gang, start)
    profile.fits_at(Promise("job-1", start, start + 60, 0, 0, nodes, tasks, 0, 1, 0, 0, WITHIN_POOL))
    profile.kept_until()
