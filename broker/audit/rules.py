"""What must never happen, one function for each rule. Data in, findings out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from broker.audit import charges, energy, ledger, limits, papers, promised, quoted, turns, usage, vouchers
from broker.audit.facts import EventFact, Facts, JobFact, LeaseFact, RunFact

WHOLE_MILLI: Final = 1000
"""A whole card, in thousandths."""

FINAL: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})
PLACED: Final = frozenset({"leased", "running"})
PARTIAL_STARTS: Final = frozenset(
    {"start_failed", "vanished", "cancelled", "signal", "lost", "written_off", "preempted"}
)
"""Ends after which a gang may have started only some of its tasks: those were ended, the others were never let run."""

# What may follow what in the story of one job; written down here a second time on purpose.
STORY: Final = {
    "": {"submitted"},
    "waiting": {"leased", "cancelled", "expired", "updated"},
    "placed": {
        "started",
        "succeeded",
        "failed",
        "cancelled",
        "cancel_requested",
        "stop_ordered",
        "data_ready",
        "lost",
        "found",
        "requeued",
    },
    "final": set[str](),
}
LEADS_TO: Final = {
    "submitted": "waiting",
    "updated": "waiting",
    "requeued": "waiting",
    "leased": "placed",
    "started": "placed",
    "lost": "placed",
    "found": "placed",
    "cancel_requested": "placed",
    "stop_ordered": "placed",
    "data_ready": "placed",
    "succeeded": "final",
    "failed": "final",
    "cancelled": "final",
    "expired": "final",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must never happen, and did."""

    rule: str
    detail: str


def no_card_promised_twice(facts: Facts) -> Iterator[str]:
    """Leases that overlap in time have at most 1000 thousandths of a card together."""
    spans = defaultdict(list)
    for lease in facts.leases:
        for node, cards, _ in lease.nodes:
            for card, times in Counter(cards).items():
                spans[lease.cluster, node, card].append(_Span(lease.offered_at, lease.ended_at, lease, times))
    for (cluster, node, card), held in spans.items():
        for together in _together(sorted(held, key=lambda span: (span.start, span.lease.lease))):
            milli = sum(span.lease.milli * span.times for span in together)
            if milli > WHOLE_MILLI:
                yield f"card {card} of {cluster}/{node} is promised for {milli} of 1000 milli at the same time: " + (
                    " and ".join(f"lease-{span.lease.lease}" for span in together)
                )


def held_cards_are_those_of_live_leases(facts: Facts) -> Iterator[str]:
    """Cards, or shares of them, are held exactly as long as a lease lives: none leaks, none is free too early."""
    live = {
        (lease.cluster, node, card, lease.lease, lease.milli * times)
        for lease in facts.leases
        if lease.state != "ended"
        for node, cards, _ in lease.nodes
        for card, times in Counter(cards).items()
    }
    for cluster, node, card, holder, milli in sorted(facts.held - live):
        yield f"{milli} milli of card {card} of {cluster}/{node} are held for lease-{holder}, which has no such right"
    for cluster, node, card, holder, milli in sorted(live - facts.held):
        yield f"{milli} milli of card {card} of {cluster}/{node} are not held although lease-{holder} lives"


def no_card_used_twice(facts: Facts) -> Iterator[str]:
    """The engines never ran tasks on one card that may use more than 1000 thousandths of it together."""
    spans = defaultdict(list)
    for run in facts.runs:
        for card in run.cards:
            spans[run.cluster, run.node, run.boot, card].append(run)
    for (cluster, node, _, card), runs in spans.items():
        for together in _ran_together(runs):
            milli = sum(run.milli for run in together)
            if milli > WHOLE_MILLI:
                leases = " and ".join(f"lease-{lease}" for lease in sorted({run.lease for run in together}))
                yield f"card {card} of {cluster}/{node} ran {leases} at once, for {milli} of 1000 milli"


def gangs_are_whole(facts: Facts) -> Iterator[str]:
    """A lease holds all tasks and cards of one of its job's sizes; an engine starts all or ends those it started."""
    started: dict[int, set[int]] = defaultdict(set)
    for run in facts.runs:
        started[run.lease].add(run.task)
    for lease in facts.leases:
        job = facts.jobs.get(lease.job)
        if job is None:
            continue
        tasks = sum(tasks for _, _, tasks in lease.nodes)
        cards = sum(len(cards) for _, cards, _ in lease.nodes)
        if tasks not in (job.tasks, *job.smaller) or cards != tasks * job.cards_per_task:
            yield f"lease-{lease.lease} holds {tasks} tasks and {cards} cards of job-{job.job} ({_asked(job)})"
        found = len(started[lease.lease])
        partly = 0 < found < tasks and lease.end_reason not in PARTIAL_STARTS
        if partly or found > tasks:
            yield f"lease-{lease.lease} started {found} of {tasks} tasks"


def no_job_is_lost(facts: Facts) -> Iterator[str]:
    """Every job that a client was told is stored is stored, and every placed job has a live lease."""
    for missing in sorted((facts.acknowledged or frozenset()) - set(facts.jobs)):
        yield f"job-{missing} was acknowledged and is not stored"
    live = Counter(lease.job for lease in facts.leases if lease.state != "ended")
    for job in facts.jobs.values():
        if job.state in PLACED and live[job.job] != 1:
            yield f"job-{job.job} is {job.state} and has {live[job.job]} live leases"
        if job.state not in PLACED and live[job.job]:
            yield f"job-{job.job} is {job.state} and has a live lease"


def no_job_runs_twice(facts: Facts) -> Iterator[str]:
    """Two attempts of a job never ran at the same time, and no attempt started a task twice."""
    by_job = defaultdict(list)
    once = Counter[tuple[str, int, int, int]]()
    for run in facts.runs:
        by_job[run.job, run.boot].append(run)
        once[run.cluster, run.lease, run.epoch, run.task] += 1
    for (job, _), runs in by_job.items():
        for first, second in _overlaps(runs):
            if first.lease != second.lease:
                yield f"job-{job} ran as lease-{first.lease} and lease-{second.lease} at once"
    for (_, lease_id, epoch, task), times in once.items():
        if times > 1:
            yield f"task {task} of lease-{lease_id} (epoch {epoch}) was started {times} times"


def no_lease_without_owner(facts: Facts) -> Iterator[str]:
    """A lease belongs to a job of the same city, with an epoch that the job has given."""
    for lease in facts.leases:
        job = facts.jobs.get(lease.job)
        if job is None:
            yield f"lease-{lease.lease} belongs to no job"
        elif job.city != lease.city or not 1 <= lease.epoch <= job.attempt:
            yield f"lease-{lease.lease} ({lease.city}, epoch {lease.epoch}) does not fit job-{job.job} of {job.city}"


def no_engine_job_without_lease(facts: Facts) -> Iterator[str]:
    """Whatever an engine ran was leased, there and then, and nothing of an ended lease is still running."""
    leases = {(lease.lease, lease.epoch): lease for lease in facts.leases}
    for run in facts.runs:
        lease = leases.get((run.lease, run.epoch))
        named = f"task {run.task} of lease-{run.lease} (epoch {run.epoch}) on {run.cluster}/{run.node}"
        if lease is None or lease.job != run.job or lease.cluster != run.cluster:
            yield f"{named} ran without a lease"
            continue
        cards = {node: set(cards) for node, cards, _ in lease.nodes}
        if not set(run.cards) <= cards.get(run.node, set()):
            yield f"{named} used cards {sorted(run.cards)} that its lease does not name"
        elif run.milli > lease.milli:
            yield f"{named} had {run.milli} milli of its card, its lease has {lease.milli} for each task"
        if run.ended_ns is None and lease.state == "ended" and run.alive:
            yield f"{named} still runs although the lease has ended"
    for part in facts.unreadable:
        yield f"the engine's record cannot be read: {part}"


def events_are_gap_free(facts: Facts) -> Iterator[str]:
    """Numbers of a city run 1, 2, 3, ..., and watching clients got each of them once, in order."""
    by_city = defaultdict(list)
    for event in facts.events:
        by_city[event.city].append(event.cursor)
    for city in sorted(set(by_city) | set(facts.cursors)):
        cursors, last = by_city[city], facts.cursors.get(city, 0)
        if cursors != list(range(1, len(cursors) + 1)) or len(cursors) != last:
            yield f"events of {city}: {len(cursors)} stored, {last} numbered, not 1, 2, 3, ... without gap"
    stored = {(e.city, e.cursor): e for e in facts.events}
    next_cursor: dict[str, int] = {}
    for event in facts.seen:
        due = next_cursor.get(event.city, 1)
        if event.cursor != due:
            yield f"a client of {event.city} got event {event.cursor} when {due} was due"
        elif stored.get((event.city, event.cursor)) != event:
            yield f"a client of {event.city} got another event {event.cursor} than the stored one"
        next_cursor[event.city] = event.cursor + 1


def every_story_makes_sense(facts: Facts) -> Iterator[str]:
    """The events of each job follow each other as they may, and end where the job is."""
    stories = defaultdict(list)
    for event in facts.events:
        stories[event.job].append(event)
    for job in facts.jobs.values():
        story = stories.pop(job.job, [])
        problem = _wrong_story(story, job) if not facts.unnumbered_events else _wrong_step(story)[0]
        if problem:
            yield f"job-{job.job}: {problem} ({' '.join(e.kind for e in story)})"
    for job_id in sorted(stories):
        yield f"events tell of job-{job_id}, which is not stored"


def no_city_sees_another(facts: Facts) -> Iterator[str]:
    """With a city's role, a query that forgets its WHERE shows nothing foreign."""
    for table, rows in facts.foreign_rows.items():
        if rows:
            yield f"a city's role can read {rows} foreign rows of {table}"


def no_plan_beats_its_bound(facts: Facts) -> Iterator[str]:
    """A committed round's objective is at most its proven bound."""
    for number in facts.rounds_out_of_bound:
        yield f"round {number} has an objective above its bound"


RULES: Final[tuple[Callable[[Facts], Iterator[str]], ...]] = (
    no_card_promised_twice,
    held_cards_are_those_of_live_leases,
    no_card_used_twice,
    gangs_are_whole,
    no_job_is_lost,
    no_job_runs_twice,
    no_lease_without_owner,
    no_engine_job_without_lease,
    events_are_gap_free,
    every_story_makes_sense,
    no_city_sees_another,
    no_plan_beats_its_bound,
    *limits.RULES,
    *ledger.RULES,
    *turns.RULES,
    *promised.RULES,
    *charges.RULES,
    *usage.RULES,
    *energy.RULES,
    *quoted.RULES,
    *vouchers.RULES,
    *papers.RULES,
)


def findings(facts: Facts) -> list[Finding]:
    """Return everything that must never happen and did; an empty list is a clean audit."""
    return [Finding(rule.__name__, detail) for rule in RULES for detail in rule(facts)]


class _Span(NamedTuple):
    """A lease's right to a card: from when, until when (None: now), and how many of its tasks share the card."""

    start: datetime
    end: datetime | None
    lease: LeaseFact
    times: int


def _together(spans: Iterable[_Span]) -> Iterator[list[_Span]]:
    """Yield for each span, in the order of their starts, those that are open when it starts, itself last."""
    live: list[_Span] = []
    for span in spans:
        live = [other for other in live if other.end is None or other.end > span.start] + [span]
        yield live


def _ran_together(runs: Iterable[RunFact]) -> Iterator[list[RunFact]]:
    """Yield for each run, in the order of their starts, those that ran when it started, itself last.

    A run without an end counts up to now only if it still lives.
    """
    live: list[RunFact] = []
    known = [run for run in runs if run.ended_ns is not None or run.alive]
    for run in sorted(known, key=lambda run: run.started_ns):
        live = [other for other in live if other.ended_ns is None or other.ended_ns > run.started_ns] + [run]
        yield live


def _overlaps(runs: Iterable[RunFact]) -> Iterator[tuple[RunFact, RunFact]]:
    """Yield pairs of runs that ran at the same time."""
    for together in _ran_together(runs):
        yield from ((other, together[-1]) for other in together[:-1])


def _wrong_step(story: list[EventFact]) -> tuple[str, str]:
    """Return the first event that may not stand where it does (or ""), and where the story ends."""
    where = ""
    for event in story:
        if event.kind not in STORY[where]:
            return f"event {event.cursor} is {event.kind} when it is {where or 'not there yet'}", where
        where = LEADS_TO[event.kind]
    return "", where


def _wrong_story(story: list[EventFact], job: JobFact) -> str:
    problem, where = _wrong_step(story)
    if problem:
        return problem
    expected = "final" if job.state in FINAL else "placed" if job.state in PLACED else "waiting"
    if where != expected:
        return f"its events end {where or 'nowhere'} and it is {job.state}"
    if job.state in FINAL and story[-1].kind != job.state:
        return f"its last event is {story[-1].kind} and it is {job.state}"
    return ""


def _asked(job: JobFact) -> str:
    sizes = " or ".join(map(str, (job.tasks, *job.smaller)))
    return f"{sizes} tasks of {job.cards_per_task} cards"
