"""A decision of a round as plain data: stored beside its plan, and comparable bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from scheduler.decide import Decision
from scheduler.errors import BadPlan, SchedulerError
from scheduler.horizon import Cause, Fate, News, Promise
from scheduler.plan import Placement, Plan, Refusal
from scheduler.reasons import Reason
from scheduler.snapshot import Snapshot


@dataclass(frozen=True)
class Decided:
    """What a round decided. Nodes and pools are those of the world it was given, but for those of `plan`."""

    snapshot_hash: str  # input_hash() of that world
    plan: Plan  # of the world of its zones: what waits and was promised nothing before
    zones: tuple[str, ...]  # names of the pools of that world: what the prices of `plan` speak of
    pool_of: tuple[int, ...]  # of each zone its pool
    placements: tuple[Placement, ...]  # everything that starts now, promised gangs first
    refusals: tuple[Refusal, ...]  # what waits on and is promised nothing
    promises: tuple[Promise, ...]  # that stand after the round
    made: tuple[str, ...]  # jobs of the new ones
    news: tuple[News, ...]  # of those that stood before

    @classmethod
    def of(cls, world: Snapshot, made: Decision) -> Self:
        """Return what is to be kept of a decision of this world."""
        planned = made.zoned.world
        return cls(
            snapshot_hash=made.plan.snapshot_hash if planned is world else world.input_hash(),
            plan=made.plan,
            zones=planned.pool_names,
            pool_of=tuple(made.zoned.pool_of.tolist()),
            placements=made.placements,
            refusals=made.refusals,
            promises=made.promises,
            made=tuple(each.job_id for each in made.made),
            news=made.news,
        )

    def to_bytes(self) -> bytes:
        """Return all but the plan as canonical JSON: equal decisions give equal bytes.

        Placements and refusals are there only where they are not as in the plan: a long queue is not written twice.
        """
        placements = None if self.placements == self.plan.placements else self.placements
        as_planned = set(_unzoned(self.plan.refusals, self.pool_of))
        content = {
            "snapshot_hash": self.snapshot_hash,
            "zones": self.zones,
            "pool_of": self.pool_of,
            "placements": placements and [each._asdict() for each in placements],
            "refusals": [each._asdict() for each in self.refusals if each not in as_planned],
            "promises": [asdict(each) for each in self.promises],
            "made": self.made,
            "news": [asdict(each) for each in self.news],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, plan: bytes, decision: bytes) -> Self:
        """Read a plan and what `to_bytes` wrote. Raise BadPlan for anything else."""
        read = Plan.from_bytes(plan)
        try:
            found = cls(**_content(read, json.loads(decision)))
        except (ValueError, KeyError, IndexError, TypeError, RecursionError, SchedulerError) as error:
            raise BadPlan("decision", f"is not a stored decision ({str(error)[:200]})") from error
        if found.to_bytes() != decision:
            raise BadPlan("decision", "is not in canonical form")
        return found


def _content(plan: Plan, given: dict[str, Any]) -> dict[str, Any]:
    placements = plan.placements
    if given["placements"] is not None:
        placements = tuple(Placement(**_tuples(each, "nodes", "tasks", "cards")) for each in given["placements"])
    promises = tuple(Promise(**_tuples(each, "nodes", "tasks")) for each in given["promises"])
    changed = {each["job_id"]: Refusal(**{**each, "reason": Reason(each["reason"])}) for each in given["refusals"]}
    promised = {each.job_id for each in promises}
    return {
        "snapshot_hash": str(given["snapshot_hash"]),
        "plan": plan,
        "zones": tuple(given["zones"]),
        "pool_of": tuple(given["pool_of"]),
        "placements": placements,
        "refusals": tuple(
            changed.get(each.job_id, each)
            for each in _unzoned(plan.refusals, given["pool_of"])
            if each.job_id not in promised
        ),
        "promises": promises,
        "made": tuple(given["made"]),
        "news": tuple(_news(each) for each in given["news"]),
    }


def _unzoned(refusals: Iterable[Refusal], pool_of: Sequence[int]) -> Iterator[Refusal]:
    return (each._replace(pool=pool_of[each.pool]) if each.pool >= 0 else each for each in refusals)


def _news(given: dict[str, Any]) -> News:
    cause = None if given["cause"] is None else Cause(given["cause"])
    return News(**{**given, "fate": Fate(given["fate"]), "cause": cause})


def _tuples(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**given, **{name: tuple(given[name]) for name in names}}
