"""The fast lane's mix: the queue, and what was leased at once and so never stood in it."""

from broker.market.recent import Recent
from scheduler.mix import UsualTask
from tests.scheduler.planning_worlds import snapshot

CARD = UsualTask(1_000, 1, 1000, ())
PAIR = CARD._replace(cards=2)


def test_without_a_queue_and_without_leases_there_is_no_mix() -> None:
    assert Recent().mix(snapshot(jobs=0)) is None


def test_the_queue_and_what_was_leased_count_alike() -> None:
    recent = Recent()
    arrivals = snapshot(jobs=3, shape_cards_per_task=[2])

    recent.leased(arrivals, ["job-0", "job-2"])
    mix = recent.mix(snapshot(jobs=2))

    assert mix is not None
    assert dict(mix.typical) == {CARD: 0.5, PAIR: 0.5}


def test_the_oldest_are_forgotten() -> None:
    recent = Recent(entries_kept=1)

    recent.leased(snapshot(jobs=1, shape_cards_per_task=[2]), ["job-0"])
    recent.leased(snapshot(jobs=1), ["job-0"])
    mix = recent.mix(snapshot(jobs=0))

    assert mix is not None
    assert dict(mix.typical) == {CARD: 1.0}
