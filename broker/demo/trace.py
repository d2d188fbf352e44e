"""From the trace's rows to timed submissions. Pure: rows and a seed in, submissions out."""

import csv
import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from broker.demo.work import command

NODE_CARDS: Final = 8
RUN_SECONDS_MIN, RUN_SECONDS_MAX = 0.4, 8.0
"""Shortest and longest run after compression: what is beyond would end the demo before it began, or never."""

WALLTIME_FACTORS: Final = (1.5, 2.0, 4.0, 8.0)
"""People ask for more time than they need; the planner sees only what they ask for."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One job of the trace."""

    submit_seconds: int
    duration_seconds: int
    gpus: int
    virtual_cluster: str


@dataclass(frozen=True, slots=True)
class Submission:
    """One job of the demo: when, for whom, what."""

    at_seconds: float  # after the start of the replay
    city: str
    name: str
    tasks: int
    cards_per_task: int
    run_seconds: float
    walltime_seconds: int
    command: tuple[str, ...]
    stacks: tuple[str, ...]
    workload_class: str
    priority: str
    fails: bool  # exits with 3 instead of 0, as some jobs of every real cluster do


def load() -> list[TraceRow]:
    """Return the bundled day, by submit time."""
    packed = resources.files("broker.demo").joinpath("philly_day.csv.gz").read_bytes()
    rows = csv.DictReader(gzip.decompress(packed).decode().splitlines())
    return [TraceRow(int(r["submit_s"]), int(r["duration_s"]), int(r["num_gpus"]), r["vc"]) for r in rows]


def submissions(
    rows: Sequence[TraceRow], *, cities: Sequence[str], stacks: Sequence[str], replay_seconds: float, seed: int
) -> list[Submission]:
    """Return what the demo submits, in order of time.

    The whole span of the rows is compressed to `replay_seconds`, arrivals and durations alike; a compressed duration is
    kept between RUN_SECONDS_MIN and RUN_SECONDS_MAX. Each virtual cluster of the trace becomes one city, the busiest
    ones are spread over several.
    """
    luck = random.Random(seed)  # noqa: S311 - a demo, not a secret
    first, last = rows[0].submit_seconds, rows[-1].submit_seconds
    speed = max(1.0, (last - first) / replay_seconds)
    clusters = sorted({row.virtual_cluster for row in rows})
    made = []
    for number, row in enumerate(rows):
        run = min(max(row.duration_seconds / speed, RUN_SECONDS_MIN), RUN_SECONDS_MAX)
        tasks, cards = _gang(row.gpus, luck)
        home = clusters.index(row.virtual_cluster) + luck.randrange(2) * len(clusters)
        fails = luck.random() < 0.03
        made.append(
            Submission(
                at_seconds=(row.submit_seconds - first) / speed,
                city=cities[home % len(cities)],
                name=f"philly-{row.virtual_cluster}-{number}",
                tasks=tasks,
                cards_per_task=cards,
                run_seconds=run,
                walltime_seconds=max(2, round(run * luck.choice(WALLTIME_FACTORS) + 2)),
                command=command(run, exit_code=3 if fails else 0),
                stacks=_builds(tasks * cards, stacks, luck),
                workload_class=luck.choice(("training", "speech", "image", "autonomous_driving", "research")),
                priority=luck.choices(("deferrable", "standard", "urgent"), (1, 8, 1))[0],
                fails=fails,
            )
        )
    return made


def _builds(gang_cards: int, stacks: Sequence[str], luck: random.Random) -> tuple[str, ...]:
    """Return the stacks that the job can run on. Who needs more than a node's cards has built for every stack."""
    count = luck.choice((1, 2, len(stacks)))
    return tuple(luck.sample(list(stacks), len(stacks) if gang_cards > NODE_CARDS else count))


def _gang(gpus: int, luck: random.Random) -> tuple[int, int]:
    """Return tasks and cards of each: one process for a node's cards, or one for each card, as people do both."""
    if gpus > NODE_CARDS:
        return gpus // NODE_CARDS, NODE_CARDS
    return (gpus, 1) if luck.random() < 0.5 else (1, gpus)
