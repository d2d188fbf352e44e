"""What jobs pay at most, for the planner: the ceiling per PFLOPS-hour, lowered by that of the whole job.

A city may say what one run of a job may cost. The planner knows prices by the hour, so the ceiling per PFLOPS-hour is
lowered here, and nowhere else, to what the job's whole walltime allows: with its full size on the fastest cards that
one of its builds could have. Whatever it runs on then, no run of the whole walltime costs more.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from broker.store.snapshots import ModelRow, WorldView

SECONDS_PER_HOUR: Final = 3600
MILLI: Final = 1000
PPM: Final = 10**6


def of_jobs(view: WorldView) -> Iterator[int]:
    """Yield the ceiling of each waiting job, micro-yuan per PFLOPS-hour, at least 0."""
    speeds: dict[int, int] = {}
    for job in view.waiting:
        own = job.ceiling_micro_yuan_per_pflops_hour
        if job.ceiling_micro_yuan_per_job is None:
            yield own
            continue
        if job.shape_id not in speeds:
            speeds[job.shape_id] = fastest_micro_pflops(view.shapes[job.shape_id], view.models)
        yield min(own, lowered(job.ceiling_micro_yuan_per_job, speeds[job.shape_id], job.walltime_seconds, own))


def lowered(ceiling_micro_yuan_per_job: int, micro_pflops: int, walltime_seconds: int, own: int) -> int:
    """Return the ceiling per PFLOPS-hour at which so much for so long costs no more than that, rounded down.

    `own`: is returned when nothing counts, as then nothing is paid for.
    """
    if not micro_pflops:
        return own
    return ceiling_micro_yuan_per_job * SECONDS_PER_HOUR * PPM // (micro_pflops * walltime_seconds)


def fastest_micro_pflops(requirement: Mapping[str, Any], models: Sequence[ModelRow]) -> int:
    """Return what the programme counts of the full size on the fastest of its models, with that build's speed.

    In millionths of a PFLOPS, rounded up. `requirement`: see `JobSpec.requirement`.
    """
    card: int = max(
        (
            model.programme * build["speed_ppm"]
            for model in models
            for build in requirement["builds"]
            if model.stack == build["stack"] and (not build["models"] or model.model in build["models"])
        ),
        default=0,
    )
    milli_cards: int = requirement["tasks"] * (
        requirement.get("share_milli", 0) or requirement["cards_per_task"] * MILLI
    )
    # a card is in thousandths of a TFLOPS, which are millionths of a PFLOPS
    return -(-card * milli_cards // (PPM * MILLI))


def raised(ceiling_micro_yuan_per_pflops_hour: int, micro_pflops: int, walltime_seconds: int) -> int:
    """Return the least ceiling of a whole job that `lowered` makes this ceiling per PFLOPS-hour of."""
    return -(-ceiling_micro_yuan_per_pflops_hour * micro_pflops * walltime_seconds // (SECONDS_PER_HOUR * PPM))
