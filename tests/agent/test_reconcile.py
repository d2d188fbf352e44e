"""What is against what should be: pure, so every rule is shown by a table or a property."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.agent.orders import Desired, LeaseKey, LeaseSeen, Order, Phase, Refusal, Stop, TaskPlace
from broker.agent.reconcile import (
    STALE_EPOCH,
    Action,
    LoseLease,
    RefuseLease,
    SettleLease,
    StartLease,
    StopLease,
    reconcile,
)
from broker.ids import JobId, LeaseId


def order(lease: int = 1, epoch: int = 1, job: int = 1) -> Order:
    return Order(
        key=LeaseKey(LeaseId(lease), epoch),
        job=JobId(job),
        city="ganzhou",
        name="test",
        stack="cann",
        command=("true",),
        environment={},
        tasks=(TaskPlace("lab-1", (0,)),),
        walltime_seconds=60,
        grace_seconds=5,
        renewed=False,
    )


def lease(lease: int = 1, epoch: int = 1, job: int | None = 1, phase: Phase = Phase.RUNNING) -> LeaseSeen:
    return LeaseSeen(LeaseKey(LeaseId(lease), epoch), None if job is None else JobId(job), phase)


def compare(seen: list[LeaseSeen], desired: Desired, epochs: dict[int, int] | None = None) -> list[Action]:
    return reconcile(seen, desired, lambda job: (epochs or {}).get(job, 0))


def test_what_is_ordered_is_started() -> None:
    assert compare([], Desired(start=(order(),))) == [StartLease(order())]


@pytest.mark.parametrize("phase", Phase)
def test_what_has_a_trace_is_not_started_again(phase: Phase) -> None:
    assert compare([lease(phase=phase)], Desired(start=(order(),))) == []


@pytest.mark.parametrize(("epoch", "starts"), [(2, False), (3, False), (4, True)])
def test_only_a_later_attempt_than_ever_seen_starts(epoch: int, starts: bool) -> None:
    """An equal epoch was started too, and its trace is gone: unanswered, it would be ordered for ever."""
    wanted = order(epoch=epoch)

    expected = StartLease(wanted) if starts else LoseLease(wanted.key, wanted.job)
    assert compare([], Desired(start=(wanted,)), {1: 3}) == [expected]


def test_an_order_whose_time_has_passed_waits_while_another_attempt_lives() -> None:
    """Only when nothing of the job lives here is it safe to say that nothing of it does."""
    passed, later = order(lease=1, epoch=1), lease(lease=2, epoch=2)

    assert compare([later], Desired(start=(passed,)), {1: 2}) == []
    assert compare([replace(later, phase=Phase.ENDED)], Desired(start=(passed,)), {1: 2}) == [
        LoseLease(passed.key, passed.job)
    ]


def test_of_two_attempts_only_the_later_one_starts() -> None:
    first, second = order(lease=1, epoch=1), order(lease=2, epoch=2)

    lost = LoseLease(first.key, first.job)
    assert compare([], Desired(start=(second, first))) == [StartLease(second), lost]
    assert compare([], Desired(start=(first, second))) == [StartLease(second), lost]


def test_an_older_attempt_that_lives_is_ended_first() -> None:
    """No job runs twice at the same time; the order waits, and is repeated until it was carried out."""
    old, new = lease(lease=1, epoch=1), order(lease=2, epoch=2)

    first = compare([old], Desired(start=(new,)))
    meanwhile = compare([replace(old, stopping=True)], Desired(start=(new,)))
    after = compare([replace(old, phase=Phase.ENDED)], Desired(start=(new,)))

    assert first == [StopLease(old.key, 0, STALE_EPOCH)]
    assert meanwhile == []
    assert after == [StartLease(new)]


def test_what_should_end_is_told_once() -> None:
    stop = Stop(lease().key, 7, "CANCELLED")

    assert compare([lease()], Desired(stop=(stop,))) == [StopLease(stop.key, 7, "CANCELLED")]
    assert compare([replace(lease(), stopping=True)], Desired(stop=(stop,))) == []
    assert compare([lease(phase=Phase.ENDED)], Desired(stop=(stop,))) == []


def test_what_should_end_and_was_never_seen_is_answered_and_never_started() -> None:
    stop = Stop(order().key, 0, "CANCELLED")

    assert compare([], Desired(start=(order(),), stop=(stop,))) == [StopLease(stop.key, 0, "CANCELLED")]


def test_only_what_has_ended_is_settled() -> None:
    """The broker cannot have recorded an end that has not come; whatever it says, the cards are not free."""
    settled = frozenset({lease().key})

    assert compare([lease()], Desired(settled=settled)) == []
    assert compare([lease(phase=Phase.ENDED)], Desired(settled=settled)) == [SettleLease(lease().key)]


def test_what_is_not_mentioned_goes_on() -> None:
    assert compare([lease(1), lease(2, job=2), lease(3, job=3, phase=Phase.ENDED)], Desired()) == []


def test_an_order_without_sense_is_refused_like_a_start() -> None:
    refusal = Refusal(order().key, JobId(1), "walltime_seconds: 0")

    assert compare([], Desired(refused=(refusal,))) == [RefuseLease(refusal)]
    assert compare([lease(phase=Phase.ENDED)], Desired(refused=(refusal,))) == []


def test_ends_come_before_starts() -> None:
    """They free the cards that a start may need."""
    stop = Stop(lease(1).key, 0, "CANCELLED")
    wanted = Desired(start=(order(9, job=9),), stop=(stop,), settled=frozenset({lease(2).key}))

    actions = compare([lease(1), lease(2, job=2, phase=Phase.ENDED)], wanted)

    assert [type(action) for action in actions] == [SettleLease, StopLease, StartLease]


class Model:
    """The simplest engine: it does what it is told at once, and things end when told."""

    def __init__(self, leases: list[LeaseSeen], epochs: dict[int, int]) -> None:
        self.leases = {one.key: one for one in leases}
        self.epochs = dict(epochs)
        for one in leases:
            self._remember(one.job, one.key.epoch)

    def do(self, action: Action) -> None:
        match action:
            case StartLease(wanted):
                assert wanted.key.epoch > self.epochs.get(wanted.job, 0)
                assert not [
                    one for one in self.leases.values() if one.job == wanted.job and one.phase is not Phase.ENDED
                ]
                self._add(LeaseSeen(wanted.key, wanted.job, Phase.STARTING))
            case RefuseLease(refusal):
                self._add(LeaseSeen(refusal.key, refusal.job, Phase.ENDED))
            case LoseLease(key, job):
                self._add(LeaseSeen(key, job, Phase.ENDED))
            case StopLease(key):
                known = self.leases.get(key, LeaseSeen(key, None, Phase.ENDED))
                self.leases[key] = replace(known, stopping=True)
            case SettleLease(key):
                assert self.leases.pop(key).phase is Phase.ENDED

    def compare(self, desired: Desired) -> list[Action]:
        return reconcile(self.leases.values(), desired, lambda job: self.epochs.get(job, 0))

    def _add(self, one: LeaseSeen) -> None:
        assert one.key not in self.leases
        self.leases[one.key] = one
        self._remember(one.job, one.key.epoch)

    def _remember(self, job: int | None, epoch: int) -> None:
        if job is not None:
            self.epochs[job] = max(epoch, self.epochs.get(job, 0))


few = st.integers(1, 4)
keys = st.builds(LeaseKey, few.map(LeaseId), few)
leases = st.lists(
    st.builds(LeaseSeen, keys, st.one_of(st.none(), few.map(JobId)), st.sampled_from(Phase), stopping=st.booleans()),
    max_size=5,
    unique_by=lambda one: one.key,
)
desires = st.builds(
    Desired,
    start=st.lists(st.builds(order, few, few, few), max_size=4).map(tuple),
    refused=st.lists(st.builds(Refusal, keys, few.map(JobId), st.just("why")), max_size=2).map(tuple),
    stop=st.lists(st.builds(Stop, keys, few, st.just("CANCELLED")), max_size=3, unique_by=lambda one: one.key).map(
        tuple
    ),
    settled=st.frozensets(keys, max_size=3),
)


@given(leases, desires, st.dictionaries(few, few))
def test_doing_it_leaves_nothing_to_do(seen: list[LeaseSeen], desired: Desired, epochs: dict[int, int]) -> None:
    """Whatever the two sides say, and however they contradict themselves: a second comparison does nothing."""
    model = Model(seen, epochs)

    for action in model.compare(desired):
        model.do(action)

    assert model.compare(desired) == []


@given(leases, st.lists(desires, max_size=6), st.dictionaries(few, few))
def test_no_lease_ever_starts_twice(seen: list[LeaseSeen], words: list[Desired], epochs: dict[int, int]) -> None:
    """Over any history of messages, late and repeated ones too; the model checks the fence at every start."""
    model = Model(seen, epochs)
    started: list[LeaseKey] = []

    for desired in words:
        for action in model.compare(desired):
            model.do(action)
            if isinstance(action, StartLease):
                started.append(action.order.key)
        for key, one in list(model.leases.items()):  # whatever was told to end, ends before the next word
            if one.stopping:
                model.leases[key] = replace(one, phase=Phase.ENDED)

    assert len(started) == len(set(started))
