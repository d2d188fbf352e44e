"""A decision of a round as plain data: stored beside its plan, and comparable bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from scheduler.errors import BadPlan
from scheduler.horizon import Cause, Fate, Horizon, News, Promise
from scheduler.plan import UNREADABLE, Placement, Plan
from scheduler.reclaim import Claim, Preemption
from scheduler.refusals import Refusals
from scheduler.rounds import Round
from scheduler.snapshot import Snapshot


@dataclass(frozen=True)
class Decided:
    """What a round decided. Nodes and pools are those of the world it was given, but for those of `plan`."""

    snapshot_hash: str  # input_hash() of that world
    plan: Plan  # of the world of its zones: what waits and was promised nothing before
    zones: tuple[str, ...]  # names of the pools of that world: what the prices of `plan` speak of
    pool_of: tuple[int, ...]  # of each zone its pool
    placements: tuple[Placement, ...]  # everything that starts now, promised gangs first
    refusals: Refusals  # what waits on and is promised nothing
    promises: tuple[Promise, ...]  # that stand after the round
    made: tuple[str, ...]  # jobs of the new ones
    news: tuple[News, ...]  # of those that stood before
    stops: tuple[Preemption, ...] = ()  # leases that are stopped for some of the promised

    @classmethod
    def of(cls, world: Snapshot, horizon: Horizon, whole: Round) -> Self:
        """Return what is to be kept of a round of this world and horizon."""
        made, promises = whole.decision, whole.reclaim.promises
        promised, reclaimed = {each.job_id for each in promises}, {each.job_id: each for each in whole.reclaim.made}
        planned, before = made.zoned.world, {each.job_id for each in horizon.promises}
        stood = before - {each.job_id for each in made.news if each.fate in (Fate.BROKEN, Fate.GONE)}
        return cls(
            snapshot_hash=made.plan.snapshot_hash if planned is world else world.input_hash(),
            plan=made.plan,
            zones=planned.pool_names,
            pool_of=tuple(made.zoned.pool_of.tolist()),
            placements=made.placements,
            refusals=made.refusals.without(promised),
            promises=promises,
            made=tuple(each.job_id for each in promises if each.job_id not in stood),
            news=tuple(_sooner(each, reclaimed) for each in made.news),
            stops=whole.reclaim.preemptions,
        )

    def to_bytes(self) -> bytes:
        """Return all but the plan as canonical JSON: equal decisions give equal bytes.

        Placements and refusals are there only where they are not as in the plan: a long queue is not written twice.
        """
        placements = None if self.placements == self.plan.placements else self.placements
        planned = Refusals.of(self.plan.refusals).in_pools(self.pool_of)
        as_planned = dict(planned.rows())
        changed = [as_planned.get(name) != row for name, row in self.refusals.rows()]
        content = {
            "snapshot_hash": self.snapshot_hash,
            "zones": self.zones,
            "pool_of": self.pool_of,
            "placements": placements and [each._asdict() for each in placements],
            "refusals": self.refusals.where(np.array(changed, dtype=bool)).to_json(),
            "promises": [asdict(each) for each in self.promises],
            "made": self.made,
            "news": [asdict(each) for each in self.news],
        }
        if self.stops:
            content["stops"] = [asdict(each) for each in self.stops]
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, plan: bytes, decision: bytes) -> Self:
        """Read a plan and what `to_bytes` wrote. Raise BadPlan for anything else."""
        read = Plan.from_bytes(plan)
        try:
            found = cls(**_content(read, json.loads(decision)))
        except UNREADABLE as error:
            raise BadPlan("decision", f"is not a stored decision ({str(error)[:200]})") from error
        if found.to_bytes() != decision:
            raise BadPlan("decision", "is not in canonical form")
        return found


def _content(plan: Plan, given: dict[str, Any]) -> dict[str, Any]:
    placements = plan.placements
    if given["placements"] is not None:
        placements = tuple(Placement(**_tuples(each, "nodes", "tasks", "cards")) for each in given["placements"])
    promises = tuple(Promise(**_tuples(each, "nodes", "tasks")) for each in given["promises"])
    changed = {each.job_id: each for each in Refusals.from_json(given["refusals"])}
    pool_of = tuple(map(int, given["pool_of"]))
    refusals = Refusals.of(plan.refusals).in_pools(pool_of).without({each.job_id for each in promises})
    if changed:
        refusals = Refusals.of([changed.get(each.job_id, each) for each in refusals])
    return {
        "snapshot_hash": str(given["snapshot_hash"]),
        "plan": plan,
        "zones": tuple(given["zones"]),
        "pool_of": pool_of,
        "placements": placements,
        "refusals": refusals,
        "promises": promises,
        "made": tuple(given["made"]),
        "news": tuple(_news(each) for each in given["news"]),
        "stops": tuple(Preemption(**{**each, "claim": Claim(each["claim"])}) for each in given.get("stops", ())),
    }


def _sooner(news: News, reclaimed: dict[str, Promise]) -> News:
    """Return the news of a promise as it is once others are stopped for it, if they are."""
    promise = reclaimed.get(news.job_id)
    if promise is None or news.fate not in (Fate.KEPT, Fate.MOVED):
        return news
    if promise.start_s <= news.promised_s:
        return replace(news, fate=Fate.KEPT, start_s=promise.start_s, cause=None)
    return replace(news, start_s=promise.start_s)


def _news(given: dict[str, Any]) -> News:
    cause = None if given["cause"] is None else Cause(given["cause"])
    return News(**{**given, "fate": Fate(given["fate"]), "cause": cause})


def _tuples(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**given, **{name: tuple(given[name]) for name in names}}
