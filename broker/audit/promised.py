"""Promised starts in the tables: nobody else has their cards then, and of each it is told what became of it.

A promise is as the last round left it: what happened since, such as a lease that overruns or a job that was cancelled a
moment ago, is for the next round to tell. So a lease counts for as long as it was given, and no longer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts

GOES_ON: Final = frozenset({"made", "moved"})
"""Fates after which a start is promised."""
STARTED: Final = frozenset({"kept", "late"})


@dataclass(frozen=True, slots=True)
class PromiseFact:
    """A row of promises, with what the job has done since."""

    job: int
    city: str
    attempt: int
    pool: int
    nodes: tuple[tuple[str, int], ...]  # names and tasks
    cards_per_task: int
    starts_at: datetime
    ends_at: datetime
    first_starts_at: datetime
    left_at: datetime | None  # when the job ended, or was placed, after it was promised; None: it has not


@dataclass(frozen=True, slots=True)
class FateFact:
    """A row of promise_history."""

    job: int
    round: int | None  # None: no round did, a quote was accepted
    fate: str
    promised_at: datetime | None
    starts_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimFact:
    """Cards of a node that a live lease has until its walltime is over, counted from when it was given."""

    pool: int
    node: str
    lease: int
    cards: tuple[int, ...]
    until: datetime


@dataclass(frozen=True, slots=True)
class PromisedFacts:
    """What the rules about promises look at."""

    promises: tuple[PromiseFact, ...] = ()
    history: tuple[FateFact, ...] = ()  # in the order in which it was told
    claims: tuple[ClaimFact, ...] = ()  # but for leases that are ordered to stop
    node_cards: dict[tuple[int, str], int] = field(default_factory=dict)  # of those that are there
    starts: frozenset[tuple[int, int]] = frozenset()  # job and round of each lease
    settled_at: datetime | None = None  # a round that began later has been committed; None: fewer than two were


PROMISES: Final = """
    SELECT p.job_id, p.city, p.attempt, p.pool_id, p.nodes, p.tasks, p.cards_per_task, p.starts_at, p.ends_at,
           p.first_starts_at,
           least(j.ended_at, (SELECT min(l.offered_at) FROM leases l WHERE l.job_id = p.job_id AND l.epoch > p.attempt))
               AS left_at
      FROM promises p LEFT JOIN jobs j USING (job_id) ORDER BY p.starts_at, p.job_id
"""
HISTORY: Final = "SELECT job_id, round_id, fate, promised_at, starts_at FROM promise_history ORDER BY entry_id"
CLAIMS: Final = """
    SELECT l.pool_id, n.node, l.lease_id, ln.cards, l.offered_at + j.walltime_seconds * interval '1 s'
      FROM leases l JOIN lease_nodes ln USING (lease_id) JOIN nodes n USING (node_id) JOIN jobs j USING (job_id)
     WHERE l.state <> 'ended' AND l.stop_ordered_at IS NULL
     ORDER BY l.lease_id, n.node
"""
NODES: Final = "SELECT pool_id, node, cards FROM nodes WHERE present"
STARTS: Final = "SELECT job_id, round_id FROM leases"
SETTLED: Final = "SELECT at FROM rounds WHERE outcome = 'committed' ORDER BY round_id DESC OFFSET 1 LIMIT 1"


async def read(hub: Any) -> PromisedFacts:
    """Return what the tables say; `hub` is a connection that sees all cities."""
    return PromisedFacts(
        promises=tuple(_promise(r) for r in await hub.fetch(PROMISES)),
        history=tuple(FateFact(*r.values()) for r in await hub.fetch(HISTORY)),
        claims=tuple(
            ClaimFact(pool, node, lease, tuple(cards), until)
            for pool, node, lease, cards, until in (r.values() for r in await hub.fetch(CLAIMS))
        ),
        node_cards={(pool, node): cards for pool, node, cards in (r.values() for r in await hub.fetch(NODES))},
        starts=frozenset(tuple(r.values()) for r in await hub.fetch(STARTS)),
        settled_at=await hub.fetchval(SETTLED),
    )


def _promise(r: Any) -> PromiseFact:
    values = dict(r)
    values["nodes"] = tuple(zip(values["nodes"], values.pop("tasks"), strict=True))
    return PromiseFact(job=values.pop("job_id"), pool=values.pop("pool_id"), **values)


def no_promised_card_is_somebody_elses(facts: "Facts") -> Iterator[str]:
    """When a promise starts, promises and leases together have no more cards of a node than there are."""
    known = facts.promised
    there: dict[tuple[int, str], list[tuple[PromiseFact, int]]] = defaultdict(list)
    for promise in known.promises:
        for node, tasks in promise.nodes:
            there[promise.pool, node].append((promise, tasks * promise.cards_per_task))
    claims: dict[tuple[int, str], list[ClaimFact]] = defaultdict(list)
    for claim in known.claims:
        claims[claim.pool, claim.node].append(claim)
    for place in sorted(there.keys() & known.node_cards.keys()):
        for promise, _ in there[place]:
            at = promise.starts_at
            beside = [(each, cards) for each, cards in there[place] if each.starts_at <= at < each.ends_at]
            leased = [claim for claim in claims[place] if claim.until > at]
            taken = sum(cards for _, cards in beside) + len({card for claim in leased for card in claim.cards})
            if taken > known.node_cards[place]:
                whose = [f"job-{each.job}" for each, _ in beside] + [f"lease-{claim.lease}" for claim in leased]
                yield (
                    f"{taken} of {known.node_cards[place]} cards of node {place[1]} are promised or leased at "
                    f"{at.isoformat()}: {' and '.join(whose)}"
                )


def every_promise_is_of_a_job_that_waits(facts: "Facts") -> Iterator[str]:
    """A promise goes with the wait that it was made for: the round after that clears it."""
    for promise in facts.promised.promises:
        job, settled = facts.jobs.get(promise.job), facts.promised.settled_at
        if job is None:
            yield f"a start is promised to job-{promise.job}, which is not stored"
        elif promise.city != job.city:
            yield f"the start promised to job-{promise.job} is of {promise.city}, the job of {job.city}"
        elif promise.left_at is None and (job.state != "pending" or job.attempt != promise.attempt):
            yield f"a start is promised to attempt {promise.attempt} of job-{promise.job}: {_standing(job)}"
        elif promise.left_at is not None and settled is not None and promise.left_at < settled:
            yield f"a start is still promised to job-{promise.job}, which has not waited for it for whole rounds"


def promised_gangs_are_whole(facts: "Facts") -> Iterator[str]:
    """A promise holds all tasks and cards of one of its job's sizes."""
    for promise in facts.promised.promises:
        job, tasks = facts.jobs.get(promise.job), sum(count for _, count in promise.nodes)
        if job is not None and (tasks not in (job.tasks, *job.smaller) or promise.cards_per_task != job.cards_per_task):
            yield f"job-{promise.job} is promised {tasks} tasks of {promise.cards_per_task} cards, and did not ask so"


def every_promise_is_accounted_for(facts: "Facts") -> Iterator[str]:
    """The history of each job's promises begins with one that is made, and ends as the promises stand.

    Each step speaks of the start that was promised before it, or of an earlier one: being brought forward is not told.
    """
    stands = {promise.job: promise for promise in facts.promised.promises}
    stories: dict[int, list[FateFact]] = defaultdict(list)
    for entry in facts.promised.history:
        stories[entry.job].append(entry)
    for job in sorted(stands.keys() | stories.keys()):
        problem = _wrong_step(stories[job], facts.promised.starts) or _wrong_end(stories[job], stands.get(job))
        if problem:
            yield f"promises of job-{job}: {problem} ({' '.join(entry.fate for entry in stories[job])})"


def _wrong_step(story: Iterable[FateFact], starts: frozenset[tuple[int, int]]) -> str:
    """Return what is wrong with the first entry that may not stand where it does; empty: nothing is."""
    promised: datetime | None = None
    for entry in story:
        if (entry.fate == "made") != (promised is None):
            return f"round {entry.round} tells {entry.fate} when {'nothing' if promised is None else 'one'} is promised"
        if entry.fate != "made" and (entry.promised_at is None or promised is None or entry.promised_at > promised):
            return f"round {entry.round} speaks of a start at {entry.promised_at} that was promised for {promised}"
        if entry.fate == "moved" and entry.promised_at and entry.starts_at and entry.starts_at <= entry.promised_at:
            return f"round {entry.round} moves it from {entry.promised_at} to {entry.starts_at}, no later"
        if entry.fate in STARTED and (entry.job, entry.round) not in starts:
            return f"round {entry.round} is said to have started it, and leased it nothing"
        promised = entry.starts_at if entry.fate in GOES_ON else None
    return ""


def _wrong_end(story: list[FateFact], stands: PromiseFact | None) -> str:
    """Return what does not agree between how the story ends and the promise that stands, if one does."""
    last = story[-1] if story else None
    goes_on = last is not None and last.fate in GOES_ON
    if stands is None or last is None or not goes_on:
        return (
            ""
            if goes_on == (stands is not None)
            else f"it ends {last.fate if last else 'nowhere'}, and "
            + ("a start stands" if stands else "no start stands")
        )
    if last.starts_at is not None and stands.starts_at > last.starts_at:
        return f"the start stands at {stands.starts_at.isoformat()}, later than was told"
    first = next(entry.starts_at for entry in reversed(story) if entry.fate == "made")
    return "" if stands.first_starts_at == first else "the start that was promised first is not the one that was told"


def _standing(job: Any) -> str:
    return f"it is {job.state}, in attempt {job.attempt}"


RULES: Final = (
    no_promised_card_is_somebody_elses,
    every_promise_is_of_a_job_that_waits,
    promised_gangs_are_whole,
    every_promise_is_accounted_for,
)
