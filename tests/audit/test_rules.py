"""Each rule finds what was planted for it, and a clean world has no findings."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from broker.audit.charges import Charge
from broker.audit.energy import Counted, EnergyFacts
from broker.audit.facts import EventFact, Facts, JobFact, LeaseFact, RunFact
from broker.audit.ledger import RULES as OF_THE_BOOKS
from broker.audit.limits import Draw, HubCap, LimitFacts, PauseSpan, Placed, QuotaLimit, Share
from broker.audit.papers import RULES as OF_PAPERS
from broker.audit.promised import ClaimFact, FateFact, PromisedFacts, PromiseFact
from broker.audit.quoted import RULES as OF_QUOTES
from broker.audit.rules import RULES, findings
from broker.audit.turns import Turn
from broker.audit.usage import RULES as OF_USE
from broker.audit.vouchers import RULES as OF_VOUCHERS

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def run(lease: int, job: int, task: int, card: int, start: int, end: int | None, *, alive: bool = False) -> RunFact:
    return RunFact("west", lease, 1, job, "n1", (card,), task, start * 10**9, end and end * 10**9, alive, "boot")


def energy(facts: Facts, **changes: Decimal) -> Facts:
    """Return the facts with ten card-seconds counted, half of them green, changed as wanted."""
    month = Counted(date(2026, 11, 1), "west", "ganzhou", Decimal(10), Decimal(5), Decimal(10))
    return replace(facts, energy=EnergyFacts((replace(month, **changes),)))


def clean() -> Facts:
    """Return a small world: job 1 ran whole on two cards and succeeded, job 2 runs, job 3 waits."""
    return Facts(
        jobs={
            1: JobFact(1, "ganzhou", "succeeded", 1, 2, 1),
            2: JobFact(2, "nanjing", "running", 1, 1, 1),
            3: JobFact(3, "nanjing", "pending", 0, 1, 1),
        },
        leases=(
            LeaseFact(10, 1, "ganzhou", "west", 1, "ended", after(0), after(9), "completed", (("n1", (0, 1), 2),)),
            LeaseFact(11, 2, "nanjing", "west", 1, "active", after(9), None, "", (("n1", (0,), 1),)),
        ),
        held=frozenset({("west", "n1", 0, 11, 1000)}),
        events=(
            EventFact("ganzhou", 1, 1, "submitted", 0),
            EventFact("ganzhou", 2, 1, "leased", 1),
            EventFact("ganzhou", 3, 1, "started", 1),
            EventFact("ganzhou", 4, 1, "succeeded", 1),
            EventFact("nanjing", 1, 2, "submitted", 0),
            EventFact("nanjing", 2, 3, "submitted", 0),
            EventFact("nanjing", 3, 2, "leased", 1),
            EventFact("nanjing", 4, 2, "started", 1),
        ),
        cursors={"ganzhou": 4, "nanjing": 4},
        unnumbered_events=0,
        foreign_rows={"jobs": 0, "events": 0},
        rounds_out_of_bound=(),
        runs=(run(10, 1, 0, 0, 1, 8), run(10, 1, 1, 1, 1, 8), run(11, 2, 0, 0, 10, None, alive=True)),
        acknowledged=frozenset({1, 2, 3}),
        seen=(EventFact("nanjing", 1, 2, "submitted", 0), EventFact("nanjing", 2, 3, "submitted", 0)),
    )


def lease(facts: Facts, index: int, **change: object) -> Facts:
    leases = list(facts.leases)
    leases[index] = replace(leases[index], **change)  # type: ignore[arg-type]
    return replace(facts, leases=tuple(leases))


def job(facts: Facts, number: int, **change: object) -> Facts:
    return replace(facts, jobs={**facts.jobs, number: replace(facts.jobs[number], **change)})  # type: ignore[arg-type]


def runs(facts: Facts, *more: RunFact) -> Facts:
    return replace(facts, runs=(*facts.runs, *more))


def shared(facts: Facts, first: int = 500, second: int = 500) -> Facts:
    """Add jobs 4 and 5, each of one task that has a share of card 7, at the same time."""
    jobs = {n: JobFact(n, "ganzhou", "running", 1, 1, 1) for n in (4, 5)}
    leases = tuple(
        LeaseFact(n, n, "ganzhou", "west", 1, "active", after(9), None, "", (("n1", (7,), 1),), milli)
        for n, milli in ((4, first), (5, second))
    )
    ran = tuple(replace(run(n, n, 0, 7, 10, None, alive=True), milli=m) for n, m in ((4, first), (5, second)))
    events = tuple(
        EventFact("ganzhou", 5 + 3 * i + k, 4 + i, kind, min(k, 1))
        for i in range(2)
        for k, kind in enumerate(("submitted", "leased", "started"))
    )
    return replace(
        facts,
        jobs=dict(facts.jobs) | jobs,
        leases=(*facts.leases, *leases),
        held=facts.held | {("west", "n1", 7, 4, first), ("west", "n1", 7, 5, second)},
        runs=(*facts.runs, *ran),
        events=(*facts.events[:4], *events, *facts.events[4:]),
        cursors={**facts.cursors, "ganzhou": 10},
    )


SHARE = Share("qingyang", "job-3", True, 400_000, after(60), after(90), after(9))
DRAW = Draw(11, "qingyang", "qingyang/nanjing/", 400_000, 320_000, after(9), None)

TURN = Turn(11, 2, after(9), "job-1", after(9), True)


PROMISE = PromiseFact(3, "nanjing", 0, 1, (("n1", 1),), 1, after(60), after(90), after(50), None)
MADE, MOVED = FateFact(3, 5, "made", None, after(50)), FateFact(3, 6, "moved", after(50), after(60))
KEPT = FateFact(1, 5, "kept", after(1), after(0))
PROMISED = PromisedFacts(
    promises=(PROMISE,),
    history=(FateFact(1, 4, "made", None, after(1)), MADE, KEPT, MOVED),
    claims=(ClaimFact(1, "n1", 11, (0,), after(99)),),
    node_cards={(1, "n1"): 2},
    starts=frozenset({(1, 5), (2, 6)}),
    settled_at=after(70),
)


def promised(facts: Facts, **change: object) -> Facts:
    """Add job 3's promise of a card beside lease 11, moved once, and job 1's, which was kept; then change that."""
    return replace(facts, promised=replace(PROMISED, **change))  # type: ignore[arg-type]


def promise(facts: Facts, **change: object) -> Facts:
    return promised(facts, promises=(replace(PROMISE, **change),))  # type: ignore[arg-type]


def told(facts: Facts, *history: FateFact) -> Facts:
    return promised(facts, history=history)


OF_1 = PROMISED.history[0], KEPT

PLANTED: list[tuple[str, Callable[[Facts], Facts]]] = [
    ("no_card_promised_twice", lambda f: lease(f, 1, offered_at=after(5))),
    ("no_card_promised_twice", lambda f: lease(f, 0, ended_at=None)),
    ("no_card_promised_twice", lambda f: shared(f, 500, 501)),
    ("no_card_used_twice", lambda f: shared(f, 500, 501)),
    ("no_engine_job_without_lease", lambda f: lease(shared(f), 3, milli=250)),
    ("held_cards_are_those_of_live_leases", lambda f: lease(shared(f), 3, milli=250)),
    ("gangs_are_whole", lambda f: lease(shared(f), 3, nodes=(("n1", (7, 7), 2),), milli=250)),
    ("held_cards_are_those_of_live_leases", lambda f: replace(f, held=f.held | {("west", "n1", 1, 10, 1000)})),
    ("held_cards_are_those_of_live_leases", lambda f: replace(f, held=frozenset())),
    ("no_card_used_twice", lambda f: runs(f, run(11, 2, 0, 1, 7, 9))),
    ("no_card_used_twice", lambda f: runs(f, run(10, 1, 0, 0, 11, 12))),
    ("gangs_are_whole", lambda f: lease(f, 0, nodes=(("n1", (0,), 1),))),
    ("gangs_are_whole", lambda f: lease(f, 0, nodes=(("n1", (0, 1, 2), 2),))),
    ("gangs_are_whole", lambda f: replace(f, runs=(f.runs[0], f.runs[2]))),
    ("no_job_is_lost", lambda f: replace(f, acknowledged=frozenset({1, 2, 3, 4}))),
    ("no_job_is_lost", lambda f: lease(f, 1, state="ended", ended_at=after(99), end_reason="signal")),
    ("no_job_is_lost", lambda f: job(f, 2, state="pending")),
    ("no_job_runs_twice", lambda f: runs(f, replace(run(12, 2, 0, 7, 11, 12), epoch=2))),
    ("no_job_runs_twice", lambda f: runs(f, run(10, 1, 1, 1, 20, 21))),
    ("no_lease_without_owner", lambda f: replace(f, jobs={1: f.jobs[1], 3: f.jobs[3]})),
    ("no_lease_without_owner", lambda f: job(f, 2, city="ganzhou")),
    ("no_lease_without_owner", lambda f: lease(f, 1, epoch=2)),
    ("no_engine_job_without_lease", lambda f: runs(f, run(99, 3, 0, 5, 1, 2))),
    ("no_engine_job_without_lease", lambda f: runs(f, replace(run(11, 2, 0, 0, 1, 2), epoch=7))),
    ("no_engine_job_without_lease", lambda f: runs(f, replace(run(10, 1, 0, 0, 1, 2), cards=(5,)))),
    ("no_engine_job_without_lease", lambda f: runs(f, run(10, 1, 1, 1, 1, None, alive=True))),
    ("no_engine_job_without_lease", lambda f: replace(f, unreadable=("west line 3: not JSON",))),
    ("events_are_gap_free", lambda f: replace(f, events=f.events[1:])),
    ("events_are_gap_free", lambda f: replace(f, cursors={"ganzhou": 4, "nanjing": 5})),
    ("events_are_gap_free", lambda f: replace(f, seen=f.seen[1:])),
    ("events_are_gap_free", lambda f: replace(f, seen=(replace(f.seen[0], kind="failed"),))),
    ("events_are_gap_free", lambda f: replace(f, seen=(f.seen[0], f.seen[0]))),
    ("every_story_makes_sense", lambda f: replace(f, events=(*f.events[:3], replace(f.events[3], kind="leased")))),
    ("every_story_makes_sense", lambda f: job(f, 3, state="cancelled")),
    ("every_story_makes_sense", lambda f: job(f, 1, state="failed")),
    ("every_story_makes_sense", lambda f: replace(f, jobs={1: f.jobs[1], 2: f.jobs[2]})),
    ("no_city_sees_another", lambda f: replace(f, foreign_rows={"jobs": 1, "events": 0})),
    (
        "no_hub_over_its_power_cap",
        lambda f: replace(f, limits=LimitFacts(caps=(HubCap("qingyang", 439, 1100, NOON),), draws=(DRAW,))),
    ),
    (
        "no_promised_power_is_somebody_elses",
        lambda f: replace(f, limits=LimitFacts(caps=(HubCap("qingyang", 439, 1100, NOON),), shares=(SHARE,))),
    ),
    (
        "no_quota_over_its_limit",
        lambda f: replace(f, limits=LimitFacts(quotas=(QuotaLimit("qingyang/nanjing", 319_999, NOON),), draws=(DRAW,))),
    ),
    (
        "nothing_starts_where_it_is_paused",
        lambda f: replace(
            f,
            limits=LimitFacts(
                pauses=(PauseSpan("queue", "ganzhou", NOON, None),),
                placed=(Placed(10, "ganzhou", "east", after(5), False),),
            ),
        ),
    ),
    ("no_job_before_its_turn", lambda f: replace(f, turns=(replace(TURN, came_at=after(10)),))),
    ("no_job_before_its_turn", lambda f: replace(f, turns=(replace(TURN, came_at=None),))),
    ("no_job_before_its_turn", lambda f: replace(f, turns=(replace(TURN, as_wanted=False),))),
    ("no_lease_above_its_ceiling", lambda f: replace(f, charges=(Charge(10, 1, 2, 1000, 1, None, 1, 1, 1, 1, 1),))),
    ("energy_is_what_leases_drew", lambda f: energy(f, counted=Decimal(9))),
    ("energy_is_what_leases_drew", lambda f: energy(f, green=Decimal(11))),
    ("energy_is_what_leases_drew", lambda f: replace(f, energy=EnergyFacts((), (11,)))),
    ("no_plan_beats_its_bound", lambda f: replace(f, rounds_out_of_bound=(5,))),
    ("no_promised_card_is_somebody_elses", lambda f: promised(f, node_cards={(1, "n1"): 1})),
    ("no_promised_card_is_somebody_elses", lambda f: promise(f, nodes=(("n1", 2),))),
    (
        "no_promised_card_is_somebody_elses",
        lambda f: promised(f, promises=(PROMISE, replace(PROMISE, job=9, starts_at=after(59)))),
    ),
    ("every_promise_is_of_a_job_that_waits", lambda f: promise(f, job=9)),
    ("every_promise_is_of_a_job_that_waits", lambda f: promise(f, city="ganzhou")),
    ("every_promise_is_of_a_job_that_waits", lambda f: promise(f, attempt=1)),
    ("every_promise_is_of_a_job_that_waits", lambda f: promise(f, left_at=after(69))),
    ("every_promise_is_of_a_job_that_waits", lambda f: job(promised(f), 3, state="cancelled")),
    ("promised_gangs_are_whole", lambda f: promise(f, nodes=(("n1", 2),))),
    ("promised_gangs_are_whole", lambda f: promise(f, cards_per_task=2)),
    ("every_promise_is_accounted_for", lambda f: told(f, *OF_1)),
    ("every_promise_is_accounted_for", lambda f: told(f, *OF_1, MOVED)),
    ("every_promise_is_accounted_for", lambda f: told(f, *OF_1, MADE, MADE)),
    ("every_promise_is_accounted_for", lambda f: told(f, *OF_1, MADE, replace(MOVED, promised_at=after(51)))),
    ("every_promise_is_accounted_for", lambda f: told(f, *OF_1, MADE, replace(MOVED, starts_at=after(50)))),
    ("every_promise_is_accounted_for", lambda f: told(f, *OF_1, MADE, FateFact(3, 6, "gone", after(50), None))),
    ("every_promise_is_accounted_for", lambda f: told(f, OF_1[0], replace(KEPT, round=6), MADE, MOVED)),
    ("every_promise_is_accounted_for", lambda f: told(f, OF_1[0], MADE, MOVED)),
    ("every_promise_is_accounted_for", lambda f: promise(f, starts_at=after(61))),
    ("every_promise_is_accounted_for", lambda f: promise(f, first_starts_at=after(49))),
]


def test_a_clean_world_has_no_findings() -> None:
    assert findings(clean()) == []


def test_what_was_placed_in_its_turn_is_no_finding() -> None:
    assert findings(replace(clean(), turns=(TURN,))) == []


def test_promises_that_are_kept_have_no_findings() -> None:
    """One that was brought forward neither, nor one whose job was cancelled when the last round had begun."""
    assert findings(promised(clean())) == []
    assert findings(promise(clean(), starts_at=after(55))) == []
    assert findings(job(promise(clean(), left_at=after(70)), 3, state="cancelled"))[0].rule == "every_story_makes_sense"
    assert findings(promised(clean(), node_cards={})) == []  # the node is gone: the next round moves the promise


def test_shares_that_add_up_to_a_card_have_no_findings() -> None:
    assert findings(shared(clean(), 250, 750)) == []


def test_a_gang_may_run_with_a_smaller_size_of_its_job() -> None:
    """Only with one that the job names."""
    facts = job(clean(), 1, tasks=8)

    assert {finding.rule for finding in findings(facts)} == {"gangs_are_whole"}
    assert findings(job(facts, 1, smaller=(4, 2))) == []


@pytest.mark.parametrize(("rule", "plant"), PLANTED, ids=[f"{r}-{i}" for i, (r, _) in enumerate(PLANTED)])
def test_what_is_planted_is_found(rule: str, plant: Callable[[Facts], Facts]) -> None:
    assert rule in {finding.rule for finding in findings(plant(clean()))}


def test_every_rule_has_a_planted_violation() -> None:
    """A rule that nothing can break is no rule."""
    elsewhere = {*OF_THE_BOOKS, *OF_USE, *OF_QUOTES, *OF_VOUCHERS, *OF_PAPERS}
    assert {rule.__name__ for rule in set(RULES) - elsewhere} == {rule for rule, _ in PLANTED}


def test_a_gang_that_could_not_start_whole_may_have_started_in_part_and_ended() -> None:
    facts = lease(clean(), 0, end_reason="start_failed")
    facts = job(replace(facts, runs=(facts.runs[0], facts.runs[2])), 1, state="failed")
    facts = replace(facts, events=(*facts.events[:3], replace(facts.events[3], kind="failed"), *facts.events[4:]))

    assert findings(facts) == []


def test_a_run_whose_end_is_unknown_and_whose_process_is_gone_overlaps_nothing() -> None:
    """A power cut leaves records without an end; only a process that lives can hold a card."""
    facts = clean()
    cut_off = replace(facts.runs[0], ended_ns=None)

    assert findings(replace(facts, runs=(cut_off, *facts.runs[1:]))) == []
