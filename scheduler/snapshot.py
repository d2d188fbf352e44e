"""The frozen view of the exchange that one round is planned on: a struct of arrays, and nothing else is read.

Indices refer to positions: `pool_hub[p]` is an index into `hub_names`. Every number is an integer in the unit its name
ends with, so that worths, prices and the bound are exact. Values outside `fields.LIMITS` are refused, not wrapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler import snapshot_file
from scheduler.arrays import check_order, check_range, check_starts, check_unique, frozen, those_there
from scheduler.errors import BadSnapshot
from scheduler.fields import (
    GANG_CARDS_MAX,
    INDICES,
    INDICES_OR_NONE,
    LIMITS,
    NAME_LENGTH_MAX,
    NEUTRAL,
    PRIORITIES,
    QUOTA_DEPTH_MAX,
    UNKNOWN,
)

__all__ = [
    "ARRAYS_IN_USE",
    "ARRAYS_OF_JOBS",
    "GANG_CARDS_MAX",
    "LIMITS",
    "NAME_LENGTH_MAX",
    "PRIORITIES",
    "UNKNOWN",
    "Snapshot",
]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Votes = NDArray[np.int16]


def _unused(dtype: type[np.generic] = np.int64) -> Any:
    """Return a field that may be left out; `NEUTRAL` says what it holds then."""
    return field(default_factory=lambda: np.zeros(0, dtype=dtype))


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshot:
    """Everything a plan may depend on, besides the policy. Arrays are read-only; equal content gives equal bytes.

    Sizes in brackets: M models, L slices, H hubs, C cities, O owners, P pools, N nodes, X split cards, S shapes,
    E smaller sizes, B builds, T tenants, Q quotas, J jobs. Arrays after "may be left out" have neutral values.
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
    node_free_cards: Ints  # [N] whole cards that new work may use now, at most the capacity
    node_free_cpu_milli: Ints  # [N]
    node_free_memory_mib: Ints  # [N]

    shape_tasks: Ints  # [S] tasks of the gang
    shape_cards_per_task: Ints  # [S] cards, all of one task on one node; 1 where a share is asked for
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

    # From here on every array may be left out.

    # shares of a card: a request is rounded up to the next slice that the vendor offers
    slice_start: Ints = _unused()  # [M + 1] slices of model m are slice_start[m] .. slice_start[m + 1] - 1
    slice_milli: Ints = _unused()  # [L] thousandths of a card, ascending within a model; a model without is never split
    model_shares_per_card_max: Ints = _unused()  # [M] most tasks on one split card; -1: as many as fit
    split_node: Ints = _unused()  # [X] node of each card that is split already, ascending; not among the free cards
    split_free_milli: Ints = _unused()  # [X] what is left of it
    split_shares: Ints = _unused()  # [X] tasks on it
    shape_share_milli: Ints = _unused()  # [S] share of one card for each task; 0: whole cards

    # fabric: a gang may have to stay within a domain (a leaf, a super-node) or a node, or is slower when it spreads
    node_domain: Ints = _unused()  # [N] number of the domain within the pool, ascending there
    shape_within: Ints = _unused()  # [S] WITHIN_POOL, WITHIN_DOMAIN or WITHIN_NODE: where the whole gang must be
    shape_spread_speed_ppm: Ints = _unused()  # [S] its speed when it spans domains, in millionths

    # elastic jobs: smaller sizes that would do, with their speed against the full gang
    size_start: Ints = _unused()  # [S + 1] sizes of shape s are size_start[s] .. size_start[s + 1] - 1
    size_tasks: Ints = _unused()  # [E] descending within a shape, less than shape_tasks
    size_speed_ppm: Ints = _unused()  # [E]

    # who may have it
    owner_names: tuple[str, ...] = ()  # [O] default: one, "any"
    pool_owner: Ints = _unused()  # [P] index of the owner
    shape_owner_allowed: Bools = _unused(np.bool_)  # [S, O]
    shape_domestic_only: Bools = _unused(np.bool_)  # [S] only models of domestic origin

    # data: input goes to the hub unless it is staged there, output comes back
    shape_input_gib: Ints = _unused()  # [S]
    shape_output_gib: Ints = _unused()  # [S]
    shape_staged: Bools = _unused(np.bool_)  # [S, H] the input is there already
    shape_transfer_seconds_max: Ints = _unused()  # [S] the input must arrive within this time; -1: no limit
    transfer_micro_yuan_per_gib: Ints = _unused()  # [C, H]
    transfer_mib_per_second: Ints = _unused()  # [C, H] -1: nobody measured it

    # time: what starts now must have ended by then
    pool_until_s: Ints = _unused()  # [P] epoch seconds from which its nodes are promised or closed; -1: no such time
    job_finish_by_s: Ints = _unused()  # [J] epoch seconds after which the job is of no use; -1: no such time

    # power: watts at the meter of the hub, cooling (PUE) included
    model_card_watts: Ints = _unused()  # [M] of one busy card with its share of the host
    hub_pue_ppm: Ints = _unused()  # [H]
    hub_power_cap_watts: Ints = _unused()  # [H] -1: no cap
    hub_pace_watts: Ints = _unused()  # [H] mean power that keeps within the year's energy quota; -1: no quota
    hub_used_watts: Ints = _unused()  # [H] of what runs now
    hub_micro_yuan_per_kwh: Ints = _unused()  # [H]

    # quotas: a tree hub > city > enterprise, in programme-counted FP16; a tenant's leaf depends on the hub
    tenant_names: tuple[str, ...] = ()  # [T]
    tenant_quota: Ints = _unused()  # [T, H] index of the quota that its jobs count to there; -1: none
    quota_names: tuple[str, ...] = ()  # [Q]
    quota_parent: Ints = _unused()  # [Q] an earlier quota, or -1
    quota_guaranteed_milli_tflops: Ints = _unused()  # [Q] served before anybody's market worth
    quota_borrow_milli_tflops: Ints = _unused()  # [Q] how much more than guaranteed it may use; -1: no limit
    quota_lend_milli_tflops: Ints = _unused()  # [Q] how much of the guaranteed others may use meanwhile; -1: all
    quota_used_milli_tflops: Ints = _unused()  # [Q] by what runs now, its children's use included
    job_tenant: Ints = _unused()  # [J] -1: none, no quota applies
    city_used_milli_tflops: Ints = _unused()  # [C] by what runs now; fair share weighs cities by it
    job_tier: Ints = _unused()  # [J] strict order: nothing of a lower tier is bought with worth of a higher; 0 first

    def __post_init__(self) -> None:
        if not self.owner_names:
            object.__setattr__(self, "owner_names", ("any",))
        for each in fields(self):
            object.__setattr__(self, each.name, frozen(each.name, str(each.type), getattr(self, each.name)))
        self.validate()

    def validate(self) -> None:
        """Check shapes, ranges and references. Raise BadSnapshot for the first rule that is broken."""
        self._check_values([each.name for each in fields(self)[1:]])
        self._check_names()
        self._check_nodes()
        self._check_splits()
        self._check_shapes()
        self._check_quotas()

    def _check_values(self, names: Iterable[str]) -> None:
        """Check the time, and lengths, ranges and references of these arrays."""
        if not 0 <= self.taken_at_s <= 2**40:
            raise BadSnapshot("taken_at_s", "give epoch seconds between 0 and 2^40")
        names = list(names)
        self._check_lengths(names)
        for name in names:
            if name in LIMITS:
                check_range(name, getattr(self, name), *LIMITS[name])
            target, low = INDICES.get(name), 0
            if target is None:
                target, low = INDICES_OR_NONE.get(name), UNKNOWN
            if target is not None:
                check_range(name, getattr(self, name), low, len(getattr(self, target)) - 1)

    def _check_lengths(self, names: Iterable[str]) -> None:
        sizes = {
            "model": len(self.model_names),
            "slice": len(self.slice_milli),
            "hub": len(self.hub_names),
            "city": len(self.city_names),
            "owner": len(self.owner_names),
            "pool": len(self.pool_names),
            "node": len(self.node_names),
            "split": len(self.split_node),
            "shape": len(self.shape_tasks),
            "size": len(self.size_tasks),
            "build": len(self.build_stack),
            "tenant": len(self.tenant_names),
            "quota": len(self.quota_names),
            "job": len(self.job_id),
        }
        by_city_and_hub = (sizes["city"], sizes["hub"])
        tables = {
            "round_trip_micros": by_city_and_hub,
            "transfer_micro_yuan_per_gib": by_city_and_hub,
            "transfer_mib_per_second": by_city_and_hub,
            "shape_hub_allowed": (sizes["shape"], sizes["hub"]),
            "shape_staged": (sizes["shape"], sizes["hub"]),
            "shape_owner_allowed": (sizes["shape"], sizes["owner"]),
            "build_models": (sizes["build"], sizes["model"]),
            "tenant_quota": (sizes["tenant"], sizes["hub"]),
            "build_start": (sizes["shape"] + 1,),
            "size_start": (sizes["shape"] + 1,),
            "slice_start": (sizes["model"] + 1,),
        }
        for name in names:
            value = getattr(self, name)
            wanted = tables.get(name) or (sizes[name.split("_", 1)[0]],)
            if isinstance(value, tuple):
                found: tuple[int, ...] = (len(value),)
            elif value.size == 0 and (0 in wanted or name in NEUTRAL):
                # an empty list cannot tell how many columns it would have
                found = wanted
                object.__setattr__(self, name, _filled(name, wanted, value.dtype))
            else:
                found = value.shape
            if found != wanted:
                raise BadSnapshot(name, f"has shape {found}, must be {wanted}")

    def _check_names(self) -> None:
        unique = ("model_names", "hub_names", "city_names", "owner_names", "pool_names", "tenant_names", "quota_names")
        for name in (*unique, "job_id"):
            check_unique(name, getattr(self, name))
        ends = [0, *(np.flatnonzero(np.diff(self.node_pool)) + 1).tolist(), len(self.node_names)]
        if any(len(set(self.node_names[start:end])) < end - start for start, end in pairwise(ends)):
            raise BadSnapshot("node_names", "two nodes of one pool have the same name")
        if any(origin not in ("domestic", "foreign") for origin in self.model_origin):
            raise BadSnapshot("model_origin", 'every entry is "domestic" or "foreign"')

    def _check_nodes(self) -> None:
        if np.any(np.diff(self.node_pool) < 0):
            raise BadSnapshot("node_pool", "must ascend: sort the nodes by pool")
        if np.any((np.diff(self.node_domain) < 0) & (np.diff(self.node_pool) == 0)):
            raise BadSnapshot("node_domain", "must ascend within a pool: sort the nodes by pool and domain")
        for resource in ("cards", "cpu_milli", "memory_mib"):
            over = np.flatnonzero(getattr(self, f"node_free_{resource}") > getattr(self, f"node_{resource}"))
            if over.size:
                raise BadSnapshot(f"node_free_{resource}", f"node {over[0]} has more free than it has at all")

    def _check_splits(self) -> None:
        check_starts("slice_start", self.slice_start, len(self.slice_milli))
        check_order("slice_milli", self.slice_start, self.slice_milli, ascending=True)
        if np.any(np.diff(self.split_node) < 0):
            raise BadSnapshot("split_node", "must ascend: sort the split cards by node")
        split = np.bincount(self.split_node, minlength=len(self.node_names))
        over = np.flatnonzero(self.node_free_cards + split > self.node_cards)
        if over.size:
            raise BadSnapshot("split_node", f"node {over[0]} has more free and split cards than it has at all")

    def _check_shapes(self) -> None:
        check_starts("build_start", self.build_start, len(self.build_stack))
        check_starts("size_start", self.size_start, len(self.size_tasks))
        check_order("size_tasks", self.size_start, self.size_tasks, ascending=False)
        large = np.flatnonzero(self.shape_tasks * self.shape_cards_per_task > GANG_CARDS_MAX)
        if large.size:
            raise BadSnapshot("shape_tasks", f"shape {large[0]} asks for more than {GANG_CARDS_MAX} cards")
        full = np.repeat(self.shape_tasks, np.diff(self.size_start))
        wrong = np.flatnonzero(self.size_tasks >= full)
        if wrong.size:
            raise BadSnapshot("size_tasks", f"size {wrong[0]} is not smaller than the full gang")
        shared = self.shape_share_milli > 0
        wrong = np.flatnonzero(shared & (self.shape_cards_per_task != 1))
        if wrong.size:
            raise BadSnapshot("shape_cards_per_task", f"shape {wrong[0]} asks for a share, so it must be 1")
        wrong = np.flatnonzero(shared & ((self.shape_within != 0) | (self.shape_spread_speed_ppm != 10**6)))
        if wrong.size:
            raise BadSnapshot(
                "shape_within", f"shape {wrong[0]} asks for shares of cards: they have no fabric to keep to"
            )

    def _check_quotas(self) -> None:
        quotas = len(self.quota_names)
        if np.any(self.quota_parent >= np.arange(quotas)):
            raise BadSnapshot("quota_parent", "must be an earlier quota, or -1: write parents before children")
        depth = np.ones(quotas, dtype=np.int64)
        for quota, parent in enumerate(self.quota_parent.tolist()):
            if parent >= 0:
                depth[quota] = depth[parent] + 1
        if depth.max(initial=0) > QUOTA_DEPTH_MAX:
            raise BadSnapshot("quota_parent", f"the tree is deeper than {QUOTA_DEPTH_MAX}")
        below, children = self.quota_parent >= 0, np.zeros(quotas, dtype=np.int64)
        np.add.at(children, self.quota_parent[below], self.quota_used_milli_tflops[below])
        less = np.flatnonzero(self.quota_used_milli_tflops < children)
        if less.size:
            name, used, parts = self.quota_names[less[0]], self.quota_used_milli_tflops[less[0]], children[less[0]]
            raise BadSnapshot(
                "quota_used_milli_tflops",
                f"{name} uses {used}, its children {parts}: what they use counts to it as well",
            )

    def of_one_job(self, job: int) -> Snapshot:
        """Return the same world with this job alone in it, as job 0 of shape 0."""
        return self.of_jobs([job])

    def of_jobs(self, jobs: Sequence[int]) -> Snapshot:
        """Return the same world with these jobs alone in it, in this order, and with the shapes that they have.

        What is taken from a snapshot has been checked in it. Raises: BadSnapshot: a job is named twice.
        """
        rows = np.array(jobs, dtype=np.int64)
        if those_there(rows, len(self.job_id))[0].size != rows.size:
            raise BadSnapshot("job_id", "names a job twice")
        shapes, shape_of = those_there(self.job_shape[rows], len(self.shape_tasks))
        builds, build_start = _rows_of(self.build_start, shapes)
        sizes, size_start = _rows_of(self.size_start, shapes)
        chosen = {"job": rows, "shape": shapes, "build": builds, "size": sizes}
        arrays: dict[str, Any] = {"job_shape": shape_of, "build_start": build_start, "size_start": size_start}
        for name, prefix in ARRAYS_OF_JOBS.items():
            if name not in arrays:
                value = getattr(self, name)
                texts = isinstance(value, tuple)
                arrays[name] = (
                    tuple(map(value.__getitem__, chosen[prefix].tolist())) if texts else value[chosen[prefix]]
                )
        for value in arrays.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        return self._with(arrays)

    def with_jobs(self, taken_at_s: int, **arrays: Any) -> Snapshot:
        """Return the same world with other jobs in it, at another time; it costs what the new arrays cost.

        `arrays` are those of jobs, shapes, builds and sizes; of these, what may be left out of a snapshot may be left
        out here, and without any there is no job. Raises: BadSnapshot: naming the array and the way out.
        """
        for name in arrays.keys() - ARRAYS_OF_JOBS.keys():
            raise BadSnapshot(name, "says nothing of jobs, shapes, builds or sizes: make a new snapshot")
        content: dict[str, Any] = {"taken_at_s": frozen("taken_at_s", "int", taken_at_s)}
        for name in ARRAYS_OF_JOBS:
            kind = _KINDS[name]
            given = arrays.get(name, () if kind.startswith("tuple") else _NOTHING[name])
            content[name] = frozen(name, kind, given)
        other = self._with(content)
        other._check_values(ARRAYS_OF_JOBS)
        check_unique("job_id", other.job_id)
        other._check_shapes()
        return other

    def with_free(self, **arrays: Any) -> Snapshot:
        """Return the same world and jobs with other things free or in use; it costs what the new arrays cost.

        `arrays` are of `ARRAYS_IN_USE`. Raises: BadSnapshot: naming the array and the way out.
        """
        for name in arrays.keys() - ARRAYS_IN_USE:
            raise BadSnapshot(name, f"is none of {', '.join(sorted(ARRAYS_IN_USE))}: make a new snapshot")
        other = self._with({name: frozen(name, _KINDS[name], arrays[name]) for name in arrays})
        other._check_values(arrays)
        other._check_nodes()
        other._check_splits()
        return other

    def _with(self, arrays: Mapping[str, Any]) -> Snapshot:
        """Return a copy with these arrays, which are checked by the caller."""
        other = object.__new__(Snapshot)
        content = vars(self).copy()  # at once: another thread may ask for the index meanwhile
        content.pop("job_index", None)
        vars(other).update(content, **arrays)
        return other

    @cached_property
    def job_index(self) -> Mapping[str, int]:
        """Of each job its index."""
        return {job_id: job for job, job_id in enumerate(self.job_id)}

    def to_bytes(self) -> bytes:
        """Return the snapshot as an uncompressed .npz file: the same snapshot gives the same bytes."""
        return snapshot_file.write({each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read what `to_bytes` (or `numpy.savez`) wrote; arrays that may be left out may be missing.

        Raise BadSnapshot for anything else; never unpickles.
        """
        names = [each.name for each in fields(cls)]
        needed = [each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING]
        arrays: dict[str, Any] = snapshot_file.read(data, names, needed)
        return cls(**arrays)

    def input_hash(self) -> str:
        """Return the SHA-256 of the content in hexadecimal: of each array its name, type, shape and values."""
        return snapshot_file.content_hash({each.name: getattr(self, each.name) for each in fields(self)})


_KINDS: Final = {each.name: str(each.type) for each in fields(Snapshot)}
ARRAYS_OF_JOBS: Final = {
    name: prefix for name in _KINDS if (prefix := name.split("_", 1)[0]) in ("job", "shape", "build", "size")
}
"""The arrays that speak of jobs and not of the world they come to, and what each is counted by."""
ARRAYS_IN_USE: Final = frozenset(
    {f"node_free_{name}" for name in ("cards", "cpu_milli", "memory_mib")}
    | {"hub_used_watts", "quota_used_milli_tflops", "city_used_milli_tflops"}
)
"""The arrays that say what runs now."""
_NOTHING: Final[dict[str, NDArray[np.generic]]] = {
    name: np.zeros(int(name == "build_start"), dtype=np.bool_ if _KINDS[name] == "Bools" else np.int64)
    for name in ARRAYS_OF_JOBS
}


def _rows_of(start: Ints, shapes: Ints) -> tuple[Ints, Ints]:
    """Return the entries of these shapes, and where each begins among them."""
    count = np.diff(start)[shapes]
    begin = np.append(0, np.cumsum(count))
    return np.repeat(start[shapes] - begin[:-1], count) + np.arange(begin[-1]), begin


def _filled(name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    filled = np.full(shape, NEUTRAL.get(name, 0), dtype=dtype)
    filled.flags.writeable = False
    return filled
