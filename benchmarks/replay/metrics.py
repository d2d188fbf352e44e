"""Figures of one replay. What is counted over time is counted from the first arrival to the last: the *horizon*.

waiting       from submission to the first start
slowdown      bounded: max(1, (end - submission) / max(time run, 10 s))
utilisation   cards in use over the cards that there are, until the horizon
worth         micro-yuan that the placements earned until the horizon: rate at the pool times hours that count; what a
              preemption lost does not
deadline      points of the first step that the job's end meets
lost          card-hours that ran and were lost to preemption
preempted     runs that ended so
promises      share of jobs promised a start that started by the earliest second ever promised
P90           share of jobs given a P90 that started by the first one they were given
quotes        kept: share of the accepted ones whose job started in its window; worth: what their placements earned
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.replay.engine import Log
from benchmarks.replay.trace import Floats
from benchmarks.replay.workload import Workload
from scheduler.fields import PRIORITIES
from scheduler.snapshot import Ints

BOUND_S: Final = 10
SIZES: Final = (("1", 1, 1), ("2_8", 2, 8), ("9_63", 9, 63), ("64_up", 64, 2**40))
"""Classes of gangs by cards: told, from, to."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Job by job. J jobs, R runs."""

    wait_s: Ints  # [J]
    end_s: Ints  # [J]
    slowdown: Floats  # [J]
    run_kept_s: Ints  # [R] seconds whose work was not lost
    lost_card_hours: float
    promises_broken: int


def outcome(load: Workload, log: Log) -> Outcome:
    """Return what the log says of each job; every job must have run."""
    job, start, end = (np.array(each, dtype=np.int64) for each in (log.job, log.start_s, log.ended_s))
    lasted, stopped = end - start, np.array(log.preempted, dtype=bool)
    every = load.trace.checkpoint_s[job]
    kept = np.where(stopped, np.where(every > 0, lasted // np.maximum(every, 1) * every, 0), lasted)
    first = np.full(load.jobs, np.iinfo(np.int64).max)
    np.minimum.at(first, job, start)
    last = np.full(load.jobs, -1)
    np.maximum.at(last, job, end)
    ran = np.zeros(load.jobs, dtype=np.int64)
    np.add.at(ran, job, kept)
    lost = ((lasted - kept) * load.trace.cards[job]).sum() / 3600
    submit = load.trace.submit_s
    slowdown = np.maximum(1.0, (last - submit) / np.maximum(ran, BOUND_S))
    broken = sum(1 for one, (by, _) in log.promised.items() if first[one] > by)
    return Outcome(first - submit, last, slowdown, kept, float(lost), broken)


def figures(load: Workload, log: Log, known: Outcome) -> dict[str, float]:
    """Return the figures by name; those that the policy never gave a reason for (promises, P90) are left out."""
    wait = known.wait_s
    found = {
        "slowdown_mean": float(known.slowdown.mean()),
        "wait_mean_s": float(wait.mean()),
        "wait_p50_s": float(np.percentile(wait, 50)),
        "wait_p99_s": float(np.percentile(wait, 99)),
    }
    for told, low, high in SIZES:
        chosen = (load.trace.cards >= low) & (load.trace.cards <= high)
        if chosen.any():
            found[f"wait_mean_s_{told}"] = float(wait[chosen].mean())
            found[f"wait_p99_s_{told}"] = float(np.percentile(wait[chosen], 99))
    urgent = load.priority == PRIORITIES.index("emergency")
    if urgent.any():
        found["wait_mean_s_emergency"] = float(wait[urgent].mean())
        found["wait_p99_s_emergency"] = float(np.percentile(wait[urgent], 99))
    found |= {
        "utilisation": utilisation(load, log),
        "worth": worth(load, log, known),
        "deadline_value": float(deadline_value(load, known.end_s)),
        "lost_card_hours": known.lost_card_hours,
    }
    if any(log.preempted):
        found["preempted"] = float(sum(log.preempted))
    if log.promised:
        found["promises"] = float(len(log.promised))
        found["promises_kept"] = 1 - known.promises_broken / len(log.promised)
    if log.expected:
        start = wait + load.trace.submit_s
        found["p90_calibration"] = sum(1 for job, by in log.expected.items() if start[job] <= by) / len(log.expected)
    return found | quote_figures(load, log, known)


def quote_figures(load: Workload, log: Log, known: Outcome) -> dict[str, float]:
    """Return the figures of quotes; none where nobody asked for one."""
    if not log.asked:
        return {}
    found = {"quotes_asked": float(len(log.asked)), "quotes_accepted": float(len(log.quoted))}
    if not log.quoted:
        return found
    start = known.wait_s + load.trace.submit_s
    jobs = np.array(list(log.quoted), dtype=np.int64)
    missed = sum(not each.asked_s <= start[job] <= each.starts_by_s for job, each in log.quoted.items())
    return found | {
        "quotes_kept": 1 - missed / jobs.size,
        "quotes_missed": float(missed),
        "quotes_credited": float(len(log.credits)),
        "quotes_wait_mean_s": float(known.wait_s[jobs].mean()),
        "quotes_worth": float(_earned(load, log, known)[np.isin(log.job, jobs)].sum()),
    }


def utilisation(load: Workload, log: Log) -> float:
    """Return cards in use over cards, until the horizon."""
    job, start, end = (np.array(each, dtype=np.int64) for each in (log.job, log.start_s, log.ended_s))
    horizon = max(load.trace.span_s, 1)
    inside = np.clip(np.minimum(end, horizon) - start, 0, None)
    return float((inside * load.trace.cards[job]).sum() / (horizon * load.world.cards))


def worth(load: Workload, log: Log, known: Outcome) -> float:
    """Return micro-yuan earned until the horizon."""
    return float(_earned(load, log, known).sum())


def _earned(load: Workload, log: Log, known: Outcome) -> Floats:
    """Return the same run by run, [R]."""
    job, pool, start = (np.array(each, dtype=np.int64) for each in (log.job, log.pool, log.start_s))
    inside = np.clip(np.minimum(known.run_kept_s, load.trace.span_s - start), 0, None)
    earned: Floats = load.worth_micro_yuan[job, pool] * (inside / 3600)
    return earned


def deadline_value(load: Workload, end_s: Ints) -> int:
    """Return the points of all jobs; who ends after its last step earns none."""
    trace = load.trace
    owner = np.repeat(np.arange(load.jobs), np.diff(trace.deadline_start))
    met = (end_s - trace.submit_s)[owner] <= trace.deadline_s
    first = np.full(load.jobs, -1)
    rows = np.flatnonzero(met)[::-1]
    first[owner[rows]] = rows  # the earliest step that is met is written last
    earned = first[first >= 0]
    return int(trace.deadline_value[earned].sum())
