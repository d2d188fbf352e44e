"""Everything that was used is told until the broker knows it, and nothing is told for ever."""

import json
from pathlib import Path

import pytest

from broker.agent.engines.lease_folder import LeaseFolder, ending
from broker.agent.engines.spec import empty_spec
from broker.agent.metering import Meter
from broker.agent.orders import EndReason, LeaseKey, UsageAnswer, Used
from broker.ids import JobId, LeaseId

SECOND = 10**9
MINUTE = 60 * SECOND
ONE, TWO = LeaseKey(LeaseId(1), 1), LeaseKey(LeaseId(2), 1)


def a_meter() -> Meter:
    meter = Meter()
    meter.begin(300.0)
    return meter


def test_what_runs_is_told_at_the_interval_and_only_what_is_news() -> None:
    meter, running = a_meter(), [Used(ONE, 1000, 5)]

    assert meter.due(running, 0) == running
    assert not meter.is_due([], 299 * SECOND)
    assert meter.due(running, 299 * SECOND) == []
    assert meter.is_due([], 300 * SECOND)
    assert meter.due(running, 300 * SECOND) == running  # not answered: told again
    meter.answered([UsageAnswer(ONE, 5)])
    assert meter.due(running, 600 * SECOND) == []
    assert meter.due([Used(ONE, 1000, 6)], 900 * SECOND) == [Used(ONE, 1000, 6)]


def test_an_end_is_told_until_the_broker_knows_it() -> None:
    """Before everything that runs, and the lease is not forgotten before."""
    meter, ended = a_meter(), Used(ONE, 1000, 5, 7, complete=True)
    used = [Used(TWO, 1000, 1), ended]

    assert meter.due(used, 0) == [ended, used[0]]
    assert meter.is_due([ONE], 1)
    assert meter.due(used, 1) == [ended]
    assert not meter.is_settled(ONE)
    assert meter.answered([UsageAnswer(ONE, 5, complete=True)]) == []
    assert meter.is_settled(ONE)
    assert (meter.is_due([ONE], 2), meter.due(used, 2)) == (False, [])


def test_what_is_refused_is_not_told_again() -> None:
    meter, ended = a_meter(), Used(ONE, 1000, 5, complete=True)
    refusal = UsageAnswer(ONE, refused="OTHER_CARDS")

    assert meter.answered([refusal]) == [refusal]
    assert meter.due([ended], 0) == []
    assert meter.is_settled(ONE)


def test_a_broker_of_an_older_release_is_told_nothing() -> None:
    meter = Meter()
    meter.begin(0)

    assert (meter.is_due([ONE], 0), meter.due([Used(ONE, 1, 1)], 0), meter.is_settled(ONE)) == (False, [], True)


def test_a_new_stream_is_told_everything_at_once() -> None:
    meter, running = a_meter(), [Used(ONE, 1000, 5)]
    meter.due(running, 0)

    meter.begin(300.0)

    assert meter.due(running, 1) == running


def a_lease(folder: Path) -> LeaseFolder:
    spec = empty_spec(ONE, JobId(1)) | {"tasks": [{"node": "n", "cards": [0, 1]}], "milli": 1000}
    return LeaseFolder.create(folder, ONE, spec)


def test_minutes_are_counted_by_the_supervisors_record(tmp_path: Path) -> None:
    """By boot time, which nobody sets; what was told is kept, and no record takes it back."""
    lease = a_lease(tmp_path)
    assert lease.used(0) is None

    (lease.path / "running.json").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00", "boot_ns": 100 * SECOND}))

    assert lease.used(100 * SECOND + 2 * MINUTE + 59 * SECOND) == Used(ONE, 2000, 2)
    assert lease.used(100 * SECOND) == Used(ONE, 2000, 2)
    end = ending(EndReason.COMPLETED, "", started=lease.started())
    lease.write_end(end | {"ended": {"at": "2026-01-01T00:02:10+00:00", "boot_ns": 230 * SECOND + 5}})
    assert lease.used(10**15) == Used(ONE, 2000, 3, cut_seconds=49, complete=True)  # the second that was begun counts


@pytest.mark.parametrize(("ran_ns", "seconds"), [(0, 0), (1, 1), (SECOND, 1), (SECOND + 1, 2), (MINUTE, 60)])
def test_work_that_ends_at_once_is_not_free(tmp_path: Path, ran_ns: int, seconds: int) -> None:
    lease = a_lease(tmp_path)
    (lease.path / "running.json").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00", "boot_ns": 7}))
    end = ending(EndReason.COMPLETED, "", started=lease.started())
    lease.write_end(end | {"ended": {"at": "2026-01-01T00:00:00+00:00", "boot_ns": 7 + ran_ns}})

    used = lease.used(10**15)

    assert used is not None
    assert used.minutes * 60 - used.cut_seconds == seconds


def test_of_an_end_that_nobody_saw_only_what_was_told_is_proved(tmp_path: Path) -> None:
    lease = a_lease(tmp_path)
    (lease.path / "running.json").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00", "boot_ns": 0}))
    lease.used(3 * MINUTE)

    lease.write_end(ending(EndReason.VANISHED, "the machine was restarted", started=lease.started()))

    assert lease.used(10**15) == Used(ONE, 2000, 3, complete=True)
