"""How reliable owners and their clusters are: shares of what went well, weighed, over the last days. Pure, then read.

The score is the weighted mean, in millionths, of those parts of which anything is known:

| part   | weight | what it is |
|--------|--------|------------|
| kept   | 50     | attempts that the cluster did not lose: not lost, vanished or written off |
| starts | 20     | attempts that could be started, of those that were |
| prompt | 15     | attempts that started within two minutes of their offer, of those that started |
| speed  | 15     | FP16 as the last real probes of each model measured it, of what the model is rated at; at most 1 |

An attempt counts when it ended in the time that is looked at, or is alive. How a job itself ended says nothing about
its owner. Emulated probes never count. Nothing plans by the score: it is data, for owners' prices and cities' choice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from broker.errors import ClusterNotFound
from broker.store import nodes, reliability
from broker.store.database import Database
from broker.store.reliability import ClusterRecord

PPM: Final = 1_000_000
WINDOW_DAYS: Final = 30


class Part(StrEnum):
    """What a score is made of."""

    KEPT = "kept"
    STARTS = "starts"
    PROMPT = "prompt"
    SPEED = "speed"


WEIGHTS: Final[Mapping[Part, int]] = {Part.KEPT: 50, Part.STARTS: 20, Part.PROMPT: 15, Part.SPEED: 15}


@dataclass(frozen=True, slots=True)
class PartScore:
    """One part: how much of how much went well. Of speed both are thousandths of a TFLOPS of one card of each model."""

    part: Part
    good: int
    of: int

    @property
    def ppm(self) -> int:
        """The share in millionths, rounded down, at most a whole."""
        return min(PPM, self.good * PPM // self.of)


@dataclass(frozen=True, slots=True)
class Score:
    """How reliable an owner or a cluster is; `cluster` is empty for all of an owner's together."""

    owner: str
    cluster: str
    parts: tuple[PartScore, ...]  # those of which anything is known
    score_ppm: int | None  # None: nothing is known


def score(owner: str, cluster: str, records: Iterable[ClusterRecord]) -> Score:
    """Return the score of these clusters together."""
    found = list(records)
    ended, lost, failed, started, prompt, measured, rated = (
        sum(getattr(record, name) for record in found)
        for name in ("attempts", "lost", "start_failed", "started", "started_promptly", "measured", "rated")
    )
    parts = tuple(
        PartScore(part, good, of)
        for part, good, of in (
            (Part.KEPT, ended - lost, ended),
            (Part.STARTS, started, started + failed),
            (Part.PROMPT, prompt, started),
            (Part.SPEED, measured, rated),
        )
        if of
    )
    weight = sum(WEIGHTS[each.part] for each in parts)
    return Score(owner, cluster, parts, sum(WEIGHTS[e.part] * e.ppm for e in parts) // weight if weight else None)


class Reliability:
    """Scores of owners and clusters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def scores(self, owner: str, cluster: str, *, now: datetime) -> Sequence[Score]:
        """Return the score of each owner, followed by those of its clusters; "" lets everything pass.

        Raises: ClusterNotFound.
        """
        async with self._database.hub() as tx:
            if cluster and not await nodes.cluster_exists(tx, cluster):
                raise ClusterNotFound(cluster=cluster)
            records = await reliability.records(tx, now - timedelta(days=WINDOW_DAYS), owner, cluster)
        found: list[Score] = []
        for name in sorted({record.owner for record in records}):
            own = [record for record in records if record.owner == name]
            if not cluster:
                found.append(score(name, "", own))
            found += [score(name, record.cluster, [record]) for record in own]
        return found
