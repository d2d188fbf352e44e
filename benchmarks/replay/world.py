"""The cards of a replay: a YAML or JSON file of models and pools, as arrays and as the planner's snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from benchmarks.replay.trace import BadTrace
from scheduler.snapshot import Ints, Snapshot

BUNDLED: Final = ("philly-day", "philly", "philly-small", "chronus", "gavel", "gavel-small", "gangs")
_POOL: Final = {"nodes": 10**6, "cards": 2**16, "cpu": 2**20, "memory_gib": 2**20, "domain_nodes": 10**6}
_MICRO: Final = 10**6


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Nodes by pool. M models, P pools, N nodes.

    Attributes:
        milli_tflops: [M] programme-counted FP16 of a card; jobs are priced by it.
        ask_micro_yuan: [P] an hour and card.
        pool_first: [P + 1] nodes of pool p are pool_first[p] .. pool_first[p + 1] - 1.
        pool_cards: [P] cards of each node of the pool.
    """

    name: str
    source: str
    model_names: tuple[str, ...]
    model_stack: tuple[str, ...]
    model_origin: tuple[str, ...]
    milli_tflops: Ints
    pool_names: tuple[str, ...]
    pool_model: Ints
    ask_micro_yuan: Ints
    pool_first: Ints
    pool_cards: Ints
    pool_cpu_milli: Ints
    pool_memory_mib: Ints
    pool_domain_nodes: Ints

    @property
    def node_pool(self) -> Ints:
        """[N]."""
        return np.repeat(np.arange(len(self.pool_names)), np.diff(self.pool_first))

    @property
    def node_cards(self) -> Ints:
        """[N]."""
        return self.pool_cards[self.node_pool]

    @property
    def cards(self) -> int:
        """All of them."""
        return int(self.node_cards.sum())

    def cpu_milli(self, node: Ints, cards: Ints) -> Ints:
        """Return what goes with so many cards of these nodes: traces say nothing of CPU and memory."""
        of: Ints = self.pool_cpu_milli[self.node_pool[node]] * cards // self.node_cards[node]
        return of

    def memory_mib(self, node: Ints, cards: Ints) -> Ints:
        """Return what goes with so many cards of these nodes."""
        of: Ints = self.pool_memory_mib[self.node_pool[node]] * cards // self.node_cards[node]
        return of

    def snapshot(self, now_s: int, free: Ints, cities: tuple[str, ...], used_milli_tflops: Ints) -> Snapshot:
        """Return the planner's view, without jobs. CPU and memory are free where cards are: traces say nothing of them.

        Args:
            free: [N] cards.
            used_milli_tflops: [C] of what runs now, for fair share.
        """
        pool = self.node_pool
        inside = np.arange(pool.size) - self.pool_first[pool]
        return Snapshot(
            taken_at_s=now_s,
            model_names=self.model_names,
            model_stack=self.model_stack,
            model_origin=self.model_origin,
            model_fp16_programme_milli_tflops=self.milli_tflops,
            model_fp16_nameplate_milli_tflops=np.full(len(self.model_names), -1),
            model_fp16_measured_milli_tflops=np.full(len(self.model_names), -1),
            hub_names=("hub",),
            city_names=cities,
            city_weight_ppm=np.full(len(cities), _MICRO),
            city_used_milli_tflops=used_milli_tflops,
            round_trip_micros=np.full((len(cities), 1), -1),
            pool_names=self.pool_names,
            pool_cluster=tuple(name.partition("/")[0] for name in self.pool_names),
            pool_hub=np.zeros(len(self.pool_names), dtype=np.int64),
            pool_model=self.pool_model,
            pool_ask_micro_yuan_per_card_hour=self.ask_micro_yuan,
            node_names=tuple(f"n{number}" for number in inside.tolist()),
            node_pool=pool,
            node_domain=inside // self.pool_domain_nodes[pool],
            node_open=np.ones(pool.size, dtype=bool),
            node_cards=self.node_cards,
            node_free_cards=free,
            node_cpu_milli=self.pool_cpu_milli[pool],
            node_memory_mib=self.pool_memory_mib[pool],
            node_free_cpu_milli=self.cpu_milli(np.arange(pool.size), free),
            node_free_memory_mib=self.memory_mib(np.arange(pool.size), free),
            **_no_jobs(),
        )


def read_world(named: str) -> World:
    """Read a bundled world by its name, or a file. Raise BadTrace, naming the file and the entry."""
    if named in BUNDLED:
        text = resources.files("benchmarks.replay").joinpath(f"worlds/{named}.yaml").read_text()
        return _world(named, text)
    path = Path(named)
    if not path.is_file():
        raise BadTrace(f"{named}: is no file, and no bundled world; those are {', '.join(BUNDLED)}")
    return _world(named, path.read_text())


def _world(name: str, text: str) -> World:
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadTrace(f"{name}: is neither YAML nor JSON ({str(error)[:120]})") from error
    models, pools = _entries(name, given, "models"), _entries(name, given, "pools")
    number = {model["name"]: at for at, model in enumerate(models)}
    for pool in pools:
        if pool.get("model") not in number:
            raise BadTrace(f"{name}: pools: {pool['name']}: model is {pool.get('model')!r}: one of {', '.join(number)}")
    count = {key: [_whole(name, pool, key, most) for pool in pools] for key, most in _POOL.items()}
    return World(
        name=Path(name).stem,
        source=str(given.get("source", name)),
        model_names=tuple(number),
        model_stack=tuple(str(model.get("stack", "cuda")) for model in models),
        model_origin=tuple(str(model.get("origin", "foreign")) for model in models),
        milli_tflops=np.array([_milli(name, model, "tflops", 1000) for model in models]),
        pool_names=tuple(pool["name"] for pool in pools),
        pool_model=np.array([number[pool["model"]] for pool in pools]),
        ask_micro_yuan=np.array([_milli(name, pool, "ask_yuan_per_card_hour", _MICRO) for pool in pools]),
        pool_first=np.append(0, np.cumsum(count["nodes"])),
        pool_cards=np.array(count["cards"]),
        pool_cpu_milli=1000 * np.array(count["cpu"]),
        pool_memory_mib=1024 * np.array(count["memory_gib"]),
        pool_domain_nodes=np.array(count["domain_nodes"]),
    )


def _entries(name: str, given: Any, key: str) -> list[dict[str, Any]]:
    entries = given.get(key) if isinstance(given, Mapping) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise BadTrace(f"{name}: {key} must be a list of at least one entry; benchmarks/README.md has an example")
    names = [entry.get("name") for entry in entries]
    if not all(isinstance(each, str) and each for each in names) or len(set(names)) < len(names):
        raise BadTrace(f"{name}: {key}: each entry needs a name of its own")
    return entries


def _whole(name: str, entry: dict[str, Any], key: str, most: int) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadTrace(f"{name}: {entry['name']}: {key} is {value!r}: a whole number from 1 to {most} is wanted")
    return value


def _milli(name: str, entry: dict[str, Any], key: str, factor: int) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10_000:
        raise BadTrace(f"{name}: {entry['name']}: {key} is {value!r}: a number from 0 to 10000 is wanted")
    return round(value * factor)


def _no_jobs() -> dict[str, Any]:
    return {
        "shape_tasks": (), "shape_cards_per_task": (), "shape_cpu_milli_per_task": (), "shape_memory_mib_per_task": (),
        "shape_round_trip_micros_max": (), "shape_hub_allowed": np.zeros((0, 1), dtype=bool), "build_start": (0,),
        "build_stack": (), "build_models": np.zeros((0, 0), dtype=bool), "build_speed_ppm": (), "job_id": (),
        "job_city": (), "job_shape": (), "job_priority": (), "job_submitted_at_s": (),
        "job_ceiling_micro_yuan_per_pflops_hour": (), "job_walltime_seconds": (),
    }  # fmt: skip
