"""What no replay may do to an accepted quote, checked again from the log alone, by the broker's rules written anew.

A quoted job starts in its window, in its pool, or is credited once; nobody else is. Nothing that comes later delays it:
in a replay nodes do not fail, so the earliest start that it was ever promised holds.
"""

from collections import Counter
from typing import Final

from benchmarks.replay.engine import Log, Quoted
from benchmarks.replay.workload import Workload

_PPM: Final = 10**6
_NEVER: Final = 2**62


def findings(load: Workload, log: Log) -> list[str]:
    """Return one sentence for each broken rule; nothing for a clean run, or one without quotes."""
    first: dict[int, tuple[int, int]] = {}
    for job, start, pool in zip(log.job, log.start_s, log.pool, strict=True):
        first[job] = min((start, pool), first.get(job, (start, pool)))
    credited = Counter(each.job for each in log.credits)
    found = [f"job {job} is credited and has no quote" for job in credited if job not in log.quoted]
    asked = Counter(log.asked)
    found += [f"job {job} asks {count} times for a quote" for job, count in asked.items() if count > 1]
    found += [f"job {job} accepts a quote that it never asked for" for job in log.quoted if job not in asked]
    for job, quoted in log.quoted.items():
        start_s, pool = first.get(job, (_NEVER, quoted.pool))
        in_window = quoted.asked_s <= start_s <= quoted.starts_by_s
        if not in_window and credited[job] != 1:
            found.append(f"job {job} missed its window until {quoted.starts_by_s}, credited {credited[job]} times")
        if in_window and credited[job]:
            found.append(f"job {job} is credited for a quote that was kept")
        promised = log.promised.get(job)
        if promised is None:
            found.append(f"job {job} has a quote and no promise")
        elif start_s > promised[0]:
            found.append(f"job {job} was promised {promised[0]} for its quote; later work delayed it to {start_s}")
        if pool != quoted.pool:
            found.append(f"job {job} runs in pool {pool}, its quote is for pool {quoted.pool}")
        found += _money(load, job, quoted)
    return found + _credits(log)


def _money(load: Workload, job: int, quoted: Quoted) -> list[str]:
    """The price is between ask and ceiling, and the total is the whole gang for the whole walltime, rounded down."""
    world = load.world
    found: list[str] = []
    model = int(world.pool_model[quoted.pool])
    card = int(world.milli_tflops[model]) * int(load.rate_ppm[job, model]) // _PPM
    most = int(load.ceiling_micro_yuan[job]) * card // _PPM
    if not int(world.ask_micro_yuan[quoted.pool]) <= quoted.micro_yuan_per_card_hour <= most:
        found.append(f"job {job} is quoted {quoted.micro_yuan_per_card_hour}, which is not from ask to ceiling {most}")
    seconds = int(load.trace.cards[job]) * int(load.walltime_s[job])
    if quoted.total_micro_yuan != quoted.micro_yuan_per_card_hour * seconds // 3600:
        found.append(f"job {job} is quoted {quoted.total_micro_yuan} in all, which is not its price times card-hours")
    if not int(load.trace.submit_s[job]) == quoted.asked_s <= quoted.starts_at_s <= quoted.starts_by_s:
        found.append(f"job {job} has a quote whose times are out of order: {quoted}")
    return found


def _credits(log: Log) -> list[str]:
    """A tenth of the total, rounded down: what the broker gives back where nothing else is set."""
    return [
        f"job {each.job} is credited {each.micro_yuan} of {log.quoted[each.job].total_micro_yuan}"
        for each in log.credits
        if each.job in log.quoted and each.micro_yuan != log.quoted[each.job].total_micro_yuan // 10
    ]
