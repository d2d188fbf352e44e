"""Quotes in the replay: kept beside everything else, credited where cards fail, and an audit that notices."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.replay import engine
from benchmarks.replay.audit import findings
from benchmarks.replay.engine import Credit, Log, State
from benchmarks.replay.exchange import Exchange
from benchmarks.replay.metrics import outcome, quote_figures
from benchmarks.replay.public import read_trace
from benchmarks.replay.quoting import VALID_S, Quotes, drawn
from benchmarks.replay.workload import Workload, in_world
from benchmarks.replay.world import read_world
from scheduler.policy import Policy
from tests.benchmarks.test_replay import starts, workload

OURS = Policy(seed=1, lease_end_margin_seconds=0)

# a holds all 4 cards until 1,000; b, c and d want them too; c asks for a quote, within the hour that 600 s allow
QUEUE = "0,1000,4,1000\n1,600,4,600\n2,600,4,600\n3,600,4,600\n"
QUOTED = 2


def exchange(load: Workload, *asking: int) -> Exchange:
    """Return our policy on a small world; these jobs ask for a quote."""
    return Exchange(load, OURS, 10, Quotes(load, OURS, asking))


def replayed(folder: Path) -> tuple[Workload, Log]:
    """Return the queue and what became of it with one quote."""
    load = workload(folder, QUEUE)
    return load, engine.replay(load, exchange(load, QUOTED))


def test_an_accepted_quote_is_kept_beside_what_waits(tmp_path: Path) -> None:
    """It is sure of the earliest time that is promised to nobody, and starts then."""
    load, log = replayed(tmp_path)

    quoted = log.quoted[QUOTED]
    assert quoted.asked_s == 2
    assert quoted.starts_at_s in (1000, 1600)  # b may have been promised 1,000 before it came
    assert starts(log)[QUOTED] == quoted.starts_at_s <= quoted.starts_by_s
    assert quoted.total_micro_yuan == quoted.micro_yuan_per_card_hour * 4 * 600 // 3600
    assert log.credits == []
    assert findings(load, log, 0) == []


def test_a_quote_takes_the_place_of_no_promise_of_rounds(tmp_path: Path) -> None:
    """With one place for promises of rounds the quote and one more gang are promised a start."""
    load = workload(tmp_path, QUEUE)
    policy = replace(OURS, promises_max=1)
    log = engine.replay(load, Exchange(load, policy, 10, Quotes(load, policy, [QUOTED])))

    assert len(log.promised) >= 2
    assert QUOTED in log.promised
    assert findings(load, log, 0) == []


def test_who_gets_no_start_in_time_waits_like_others(tmp_path: Path) -> None:
    """The cards are taken for longer than the window is open: asked, not accepted, and the job runs all the same."""
    load = workload(tmp_path, "0,5000,4,5000\n1,600,4,600\n")
    log = engine.replay(load, exchange(load, 1))

    assert (log.asked, log.quoted) == ([1], {})
    assert starts(log) == {0: 0, 1: 5000}
    assert quote_figures(load, log, outcome(load, log)) == {"quotes_asked": 1, "quotes_accepted": 0}
    assert findings(load, log, 0) == []


def test_a_quote_that_cards_fail_is_credited_once(tmp_path: Path) -> None:
    """What holds its cards does not end: a tenth of the price is given back when the window closes, and never again."""
    load = workload(tmp_path, "0,100,4,100\n1,100,4,100\n")
    policy = replace(OURS, lease_end_margin_seconds=30)
    ours, state = Exchange(load, policy, 10, Quotes(load, policy, [1])), _state(load)

    assert [each.job for each in ours.decide(0, [0], [], state).starts] == [0]
    state.free[:] = 0
    [quoted] = ours.decide(1, [1], [], state).quoted
    assert (quoted.starts_at_s, quoted.starts_by_s) == (130, 1 + VALID_S + 30)
    late = [ours.decide(at, [], [], state).credits for at in (quoted.starts_by_s, quoted.starts_by_s + 1, 1000)]

    assert late == [[], [Credit(1, quoted.total_micro_yuan // 10)], []]


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda log: replace(log, credits=[Credit(QUOTED, 1)]), "credited for a quote that was kept"),
        (lambda log: replace(log, credits=[Credit(1, 1)]), "is credited and has no quote"),
        (
            lambda log: _with_quote(log, starts_at_s=900, starts_by_s=950),
            "missed its window until 950, credited 0 times",
        ),
        (lambda log: _with_quote(log, starts_at_s=1700, starts_by_s=1650), "out of order"),
        (lambda log: _with_quote(log, total_micro_yuan=5), "which is not its price times card-hours"),
        (lambda log: _with_quote(log, micro_yuan_per_card_hour=5), "which is not from ask to ceiling"),
        (lambda log: replace(log, promised=log.promised | {QUOTED: (990, 2)}), "later work delayed it"),
        (lambda log: replace(log, promised={}), "a quote and no promise"),
        (lambda log: replace(log, asked=[]), "never asked for"),
        (lambda log: replace(log, asked=[QUOTED, QUOTED]), "asks 2 times"),
    ],
)
def test_the_audit_finds_what_is_planted(tmp_path: Path, plant: Callable[[Log], Log], words: str) -> None:
    """Each fault is told in words."""
    load, log = replayed(tmp_path)
    planted = plant(log)

    assert any(words in one for one in findings(load, planted, outcome(load, planted).promises_broken))


def test_a_miss_is_credited_a_tenth(tmp_path: Path) -> None:
    """One credit of that amount clears the audit; another amount, or a second credit, does not."""
    load, log = replayed(tmp_path)
    missed = _with_quote(log, starts_at_s=900, starts_by_s=950)
    tenth = Credit(QUOTED, missed.quoted[QUOTED].total_micro_yuan // 10)

    assert findings(load, replace(missed, credits=[tenth]), 0) == []
    assert "credited 2 times" in findings(load, replace(missed, credits=[tenth, tenth]), 0)[0]
    assert "is credited 3 of" in findings(load, replace(missed, credits=[Credit(QUOTED, 3)]), 0)[0]
    told = quote_figures(load, replace(missed, credits=[tenth]), outcome(load, missed))
    assert (told["quotes_kept"], told["quotes_missed"], told["quotes_credited"]) == (0, 1, 1)


def test_who_asks_is_drawn_by_the_seed() -> None:
    """About so many of a hundred; the same for a seed."""
    with resources.as_file(resources.files("broker.demo") / "philly_day.csv.gz") as bundled:
        load = in_world(read_trace(bundled), read_world("philly-day"), seed=3)

    one, again, other = (drawn(load, 30, seed).tolist() for seed in (1, 1, 2))
    assert one == again != other
    assert 0.2 < len(one) / load.jobs < 0.4
    assert drawn(load, 0, 1).size == 0
    assert drawn(load, 100, 1).size == load.jobs


def test_quotes_of_the_bundled_day_are_kept(tmp_path: Path) -> None:
    """Real jobs on a full cluster, a third of them with quotes: every one starts in its window, audited."""
    file = tmp_path / "replay.json"
    told = CliRunner().invoke(
        app, ["replay", "--limit", "60", "--load", "3", "--policy", "xisuan", "--quotes", "33", "--json", str(file)]
    )

    assert told.exit_code == 0, told.output
    written = json.loads(file.read_text())
    assert written["audit"] == {"violations": 0}
    assert written["figures"]["xisuan.quotes_accepted"] > 5
    assert written["figures"]["xisuan.quotes_kept"] == 1
    assert written["figures"]["xisuan.quotes_missed"] == written["figures"]["xisuan.quotes_credited"] == 0


def test_only_ours_quotes() -> None:
    """Without it in the list the option is refused."""
    told = CliRunner().invoke(app, ["replay", "--limit", "5", "--policy", "easy", "--quotes", "10"])

    assert told.exit_code == 2
    assert "--quotes" in told.output


def _state(load: Workload) -> State:
    """Return a world in which nothing runs."""
    never = (np.full(load.jobs, engine.NEVER) for _ in range(3))
    return State(load.world.node_cards.copy(), *never)


def _with_quote(log: Log, **changes: int) -> Log:
    return replace(log, quoted={QUOTED: replace(log.quoted[QUOTED], **changes)})
