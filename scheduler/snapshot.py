"""The frozen view of the exchange that one round is planned on: a struct of arrays, and nothing else is read.

Indices refer to positions: `pool_hub[p]` is an index into `hub_names`. Every number is an integer in the unit its name
ends with, so that worths, prices and the bound are exact. Values outside `LIMITS` are refused, not wrapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler import snapshot_file
from scheduler.errors import BadSnapshot

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Votes = NDArray[np.int16]

UNKNOWN: Final = -1
"""In a figure: nobody knows it. In a limit: there is none."""
PRIORITIES: Final = ("deferrable", "standard", "urgent", "emergency")
GANG_CARDS_MAX: Final = 2**20
NAME_LENGTH_MAX: Final = 512

LIMITS: Final[dict[str, tuple[int, int]]] = {
    "model_fp16_programme_milli_tflops": (UNKNOWN, 10**9),
    "model_fp16_nameplate_milli_tflops": (UNKNOWN, 10**9),
    "model_fp16_measured_milli_tflops": (UNKNOWN, 10**9),
    "city_weight_ppm": (0, 10**9),
    "round_trip_micros": (UNKNOWN, 10**9),
    "pool_ask_micro_yuan_per_card_hour": (0, 10**10),
    "node_cards": (0, 2**16),
    "node_cpu_milli": (0, 2**31),
    "node_memory_mib": (0, 2**34),
    "node_free_cards": (0, 2**16),
    "node_free_cpu_milli": (0, 2**31),
    "node_free_memory_mib": (0, 2**34),
    "shape_tasks": (1, GANG_CARDS_MAX),
    "shape_cards_per_task": (1, 2**16),
    "shape_cpu_milli_per_task": (0, 2**31),
    "shape_memory_mib_per_task": (0, 2**34),
    "shape_round_trip_micros_max": (UNKNOWN, 10**9),
    "build_speed_ppm": (1, 10**7),
    "job_priority": (0, len(PRIORITIES) - 1),
    "job_ceiling_micro_yuan_per_pflops_hour": (0, 10**12),
    "job_submitted_at_s": (0, 2**40),
    "job_walltime_seconds": (1, 2**40),
}
"""Smallest and largest value allowed in each array of quantities."""

INDICES: Final[dict[str, str]] = {
    "pool_hub": "hub_names",
    "pool_model": "model_names",
    "node_pool": "pool_names",
    "job_city": "city_names",
    "job_shape": "shape_tasks",
}
"""Arrays of indices, and the array whose positions they name."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """Everything a plan may depend on, besides the policy. Arrays are read-only; equal content gives equal bytes.

    Sizes in brackets: M models, H hubs, C cities, P pools, N nodes, S shapes, B builds, J jobs.
    Raises: BadSnapshot: on construction, naming the array and the way out.
    """

    taken_at_s: int  # epoch seconds; a job's waiting time is counted up to here

    model_names: tuple[str, ...]  # [M] accelerator models
    model_stack: tuple[str, ...]  # [M] software stack, for example "cann"
    model_origin: tuple[str, ...]  # [M] "domestic" or "foreign"
    model_fp16_programme_milli_tflops: Ints  # [M] what the programme counts; jobs are priced by it; -1 not known
    model_fp16_nameplate_milli_tflops: Ints  # [M] what the data sheet says; -1 not known
    model_fp16_measured_milli_tflops: Ints  # [M] what a benchmark reached; -1 not known

    hub_names: tuple[str, ...]  # [H]
    city_names: tuple[str, ...]  # [C]
    city_weight_ppm: Ints  # [C] fair-share weight in millionths
    round_trip_micros: Ints  # [C, H] between city and hub; -1 not known

    pool_names: tuple[str, ...]  # [P] "cluster/pool"
    pool_cluster: tuple[str, ...]  # [P] name of the cluster
    pool_hub: Ints  # [P] index of the hub
    pool_model: Ints  # [P] index of the model: nodes of a pool carry equal cards
    pool_ask_micro_yuan_per_card_hour: Ints  # [P] what the owner wants

    node_names: tuple[str, ...]  # [N] unique within the pool
    node_pool: Ints  # [N] index of the pool, ascending
    node_open: Bools  # [N] False: cordoned or silent, takes no new work
    node_cards: Ints  # [N] capacity when empty
    node_cpu_milli: Ints  # [N]
    node_memory_mib: Ints  # [N]
    node_free_cards: Ints  # [N] what new work may use now, at most the capacity
    node_free_cpu_milli: Ints  # [N]
    node_free_memory_mib: Ints  # [N]

    shape_tasks: Ints  # [S] tasks of the gang
    shape_cards_per_task: Ints  # [S] whole cards, all of one task on one node
    shape_cpu_milli_per_task: Ints  # [S]
    shape_memory_mib_per_task: Ints  # [S]
    shape_round_trip_micros_max: Ints  # [S] -1: no limit
    shape_hub_allowed: Bools  # [S, H]

    build_start: Ints  # [S + 1] builds of shape s are build_start[s] .. build_start[s + 1] - 1
    build_stack: tuple[str, ...]  # [B]
    build_models: Bools  # [B, M] models the build can run on
    build_speed_ppm: Ints  # [B] speed against the job's reference, in millionths

    job_id: tuple[str, ...]  # [J] unique
    job_city: Ints  # [J] index of the city
    job_shape: Ints  # [J] index of the shape
    job_priority: Ints  # [J] index into PRIORITIES
    job_ceiling_micro_yuan_per_pflops_hour: Ints  # [J] the most the city pays for one FP16 PFLOPS for one hour
    job_submitted_at_s: Ints  # [J] epoch seconds
    job_walltime_seconds: Ints  # [J]

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _frozen(field.name, str(field.type), getattr(self, field.name)))
        self.validate()

    def validate(self) -> None:
        """Check shapes, ranges and references. Raise BadSnapshot for the first rule that is broken."""
        if not 0 <= self.taken_at_s <= 2**40:
            raise BadSnapshot("taken_at_s", "give epoch seconds between 0 and 2^40")
        self._check_lengths()
        for name, (low, high) in LIMITS.items():
            _check_range(name, getattr(self, name), low, high)
        for name, target in INDICES.items():
            _check_range(name, getattr(self, name), 0, len(getattr(self, target)) - 1)
        self._check_names()
        self._check_nodes()
        self._check_shapes()

    def _check_lengths(self) -> None:
        sizes = {
            "model": len(self.model_names),
            "hub": len(self.hub_names),
            "city": len(self.city_names),
            "pool": len(self.pool_names),
            "node": len(self.node_names),
            "shape": len(self.shape_tasks),
            "build": len(self.build_stack),
            "job": len(self.job_id),
        }
        tables = {
            "round_trip_micros": (sizes["city"], sizes["hub"]),
            "shape_hub_allowed": (sizes["shape"], sizes["hub"]),
            "build_models": (sizes["build"], sizes["model"]),
            "build_start": (sizes["shape"] + 1,),
        }
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            wanted = tables.get(field.name) or (sizes[field.name.split("_", 1)[0]],)
            if isinstance(value, tuple):
                found: tuple[int, ...] = (len(value),)
            elif value.size == 0 and 0 in wanted:  # an empty list cannot tell how many columns it would have
                found = wanted
                object.__setattr__(self, field.name, value.reshape(wanted))
            else:
                found = value.shape
            if found != wanted:
                raise BadSnapshot(field.name, f"has shape {found}, must be {wanted}")

    def _check_names(self) -> None:
        for name in ("model_names", "hub_names", "city_names", "pool_names", "job_id"):
            seen: set[str] = set()
            for value in getattr(self, name):
                if value in seen:
                    raise BadSnapshot(name, f"{value!r} stands there twice; names must be unique")
                seen.add(value)
        pairs = set(zip(self.node_pool.tolist(), self.node_names, strict=True))
        if len(pairs) != len(self.node_names):
            raise BadSnapshot("node_names", "two nodes of one pool have the same name")
        if any(origin not in ("domestic", "foreign") for origin in self.model_origin):
            raise BadSnapshot("model_origin", 'every entry is "domestic" or "foreign"')

    def _check_nodes(self) -> None:
        if np.any(np.diff(self.node_pool) < 0):
            raise BadSnapshot("node_pool", "must ascend: sort the nodes by pool")
        for resource in ("cards", "cpu_milli", "memory_mib"):
            over = np.flatnonzero(getattr(self, f"node_free_{resource}") > getattr(self, f"node_{resource}"))
            if over.size:
                raise BadSnapshot(f"node_free_{resource}", f"node {over[0]} has more free than it has at all")

    def _check_shapes(self) -> None:
        start = self.build_start
        if start[0] != 0 or start[-1] != len(self.build_stack) or np.any(np.diff(start) < 0):
            raise BadSnapshot("build_start", "must ascend from 0 to the number of builds")
        large = np.flatnonzero(self.shape_tasks * self.shape_cards_per_task > GANG_CARDS_MAX)
        if large.size:
            raise BadSnapshot("shape_tasks", f"shape {large[0]} asks for more than {GANG_CARDS_MAX} cards")

    def of_one_job(self, job: int) -> Snapshot:
        """Return the same world with this job alone in it, as job 0 of shape 0."""
        shape = int(self.job_shape[job])
        builds = slice(int(self.build_start[shape]), int(self.build_start[shape + 1]))
        rows = {"job": slice(job, job + 1), "shape": slice(shape, shape + 1), "build": builds}
        changes: dict[str, Any] = {
            field.name: getattr(self, field.name)[rows[prefix]]
            for field in fields(self)
            if (prefix := field.name.split("_", 1)[0]) in rows
        }
        changes |= {"job_shape": [0], "build_start": [0, builds.stop - builds.start]}
        return replace(self, **changes)

    def to_bytes(self) -> bytes:
        """Return the snapshot as an uncompressed .npz file: the same snapshot gives the same bytes."""
        return snapshot_file.write({field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read what `to_bytes` (or `numpy.savez`) wrote. Raise BadSnapshot for anything else; never unpickles."""
        arrays: dict[str, Any] = snapshot_file.read(data, [field.name for field in fields(cls)])
        return cls(**arrays)

    def input_hash(self) -> str:
        """Return the SHA-256 of `to_bytes()` in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _frozen(name: str, kind: str, value: object) -> object:
    if kind == "int":
        if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iu":
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise BadSnapshot(name, "must be one integer")
        return int(value)
    if kind.startswith("tuple"):
        return _names(name, value)
    return _array(name, value, np.dtype(np.bool_) if kind == "Bools" else np.dtype(np.int64))


def _names(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadSnapshot(name, "must be a sequence of names")
    names = tuple(str(item) if isinstance(item, np.str_) else item for item in value)
    for item in names:
        if not isinstance(item, str):
            raise BadSnapshot(name, "must hold strings only")
        if not 0 < len(item) <= NAME_LENGTH_MAX or not item.isprintable():
            raise BadSnapshot(name, f"{item[:40]!r} is not 1 to {NAME_LENGTH_MAX} printable characters")
    return names


def _array(name: str, value: object, dtype: np.dtype[np.int64] | np.dtype[np.bool_]) -> NDArray[np.generic]:
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise BadSnapshot(name, "rows have different lengths") from error
    if given.size and given.dtype.kind not in ("b" if dtype == np.bool_ else "iu"):
        wanted = "booleans" if dtype == np.bool_ else "integers"
        raise BadSnapshot(name, f"holds {given.dtype}, must hold {wanted}")
    if given.dtype == np.uint64 and given.size and given.max() > np.iinfo(np.int64).max:
        raise BadSnapshot(name, "holds a value beyond 2^63")
    frozen = np.array(given, dtype=dtype, order="C")  # a copy of our own: the caller may go on writing to theirs
    frozen.flags.writeable = False
    return frozen


def _check_range(name: str, values: Ints, low: int, high: int) -> None:
    wrong = np.flatnonzero((values < low) | (values > high))
    if wrong.size:
        found = int(values.reshape(-1)[wrong[0]])
        raise BadSnapshot(name, f"entry {int(wrong[0])} is {found}, must be between {low} and {high}")
