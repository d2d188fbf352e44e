"""A model of one lease's charges beside the real step: in whatever order things are told, both agree to the micro-yuan.

The model keeps a set of minutes and multiplies. A crash between reading and writing is a step whose outcome is thrown
away: nothing of it happened, and the next one does the same.
"""

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.ids import HoldId, LeaseId
from broker.ledger.charging import Charged as ChargedSoFar
from broker.ledger.charging import ChargedLease, Step, step
from broker.ledger.holds import Hold, HoldState, Part, released
from broker.ledger.transactions import TransactionKind
from broker.ledger.usage import NOTHING, Usage, merged, minutes
from tests.small_world import T0

PER_CARD_HOUR, MILLI_CARDS, FEE_PPM = 3_333_333, 1_700, 12_345
WALLTIME_SECONDS = 50 * 60 + 20
WINDOW = timedelta(hours=1)
INTERVAL = timedelta(minutes=10)


def cost(seconds: int) -> int:
    return PER_CARD_HOUR * MILLI_CARDS * seconds // 3_600_000


class ALease(RuleBasedStateMachine):
    """Usage told in any order, ends, stops for others, looks, crashes, and the end of the settlement window."""

    @initialize(voucher=st.integers(0, cost(WALLTIME_SECONDS) - 1))
    def offered(self, voucher: int) -> None:
        parts = [Part("voucher/ganzhou/7", voucher), Part("city/ganzhou", cost(WALLTIME_SECONDS) - voucher)]
        until = T0 + timedelta(seconds=WALLTIME_SECONDS) + WINDOW
        self.hold = Hold(HoldId(1), "ganzhou", "lease-7", HoldState.OPEN, until, tuple(p for p in parts if p.held))
        self.now = T0
        self.lease = ChargedLease(
            lease=LeaseId(7),
            owner="longdong",
            per_card_hour=PER_CARD_HOUR,
            milli_cards=MILLI_CARDS,
            seconds_max=WALLTIME_SECONDS,
            started_at=T0,
            ended_at=None,
            active=True,
            unused=False,
            proved=True,
            agent_meters=True,
            usage=NOTHING,
            charged=ChargedSoFar(),
        )
        self.known: set[int] = set()
        self.end: int | None = None  # the first minute behind the end, once that is told
        self.cut = 0
        self.balances: dict[str, int] = {}
        self.keys: set[str] = set()
        self.captured_minutes = 0
        self.window_over = False

    # --- what happens --------------------------------------------------------------------------------------------

    @rule(told=st.sets(st.integers(0, 50), max_size=12))
    def told(self, told: set[int]) -> None:
        news = minutes((m, m + 1) for m in told)
        self.lease = replace(self.lease, usage=merged(self.lease.usage, Usage(news)))
        self.known |= {m for m in told if self.end is None or m < self.end}

    @rule(end=st.integers(1, 51), cut=st.integers(0, 59), gaps=st.sets(st.integers(0, 50), max_size=3))
    def told_of_the_end(self, end: int, cut: int, gaps: set[int]) -> None:
        told = set(range(end)) - gaps | {end - 1}
        news = Usage(minutes((m, m + 1) for m in told), cut, complete=True)
        if self.end is None:
            self.cut = cut if end - 1 > max(self.known, default=-1) else 0
            self.known |= told
            self.end = max(self.known) + 1
        else:
            self.known |= {m for m in told if m < self.end}
        self.lease = replace(self.lease, usage=merged(self.lease.usage, news))

    @precondition(lambda self: self.lease.ended_at is None)
    @rule(lost_card_seconds=st.integers(0, 4000))
    def ended(self, lost_card_seconds: int) -> None:
        self.lease = replace(self.lease, ended_at=self.now, active=False, lost_card_seconds=lost_card_seconds)

    @rule(seconds=st.integers(1, 3000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def window_ends(self) -> None:
        if self.hold.state is HoldState.OPEN and self.now > self.hold.settles_until:
            self.hold, _ = released(self.hold, "1", self.now, expire=True)

    @rule()
    def looked_at(self) -> None:
        done, before = self._step(), self.lease.charged
        for transaction in done.transactions:
            assert transaction.request_key not in self.keys
            self.keys.add(transaction.request_key)
            for posting in transaction.postings:
                place = f"{posting.account} {posting.pocket}"
                self.balances[place] = self.balances.get(place, 0) + posting.micro_yuan
        assert done.late == (bool(done.minutes) and before.end)
        self.captured_minutes += done.minutes
        self.hold = done.hold
        self.lease = replace(self.lease, usage=done.usage, charged=done.charged)
        assert done.charged.micro_yuan == cost(self._seconds())
        assert self._step().transactions == ()  # a second look does nothing

    @rule()
    def looked_at_by_one_that_dies(self) -> None:
        self._step()

    def _step(self) -> Step:
        return step(self.lease, self.hold, self.now, interval=INTERVAL, fee_ppm=FEE_PPM)

    def _seconds(self) -> int:
        return min(60 * len(self.known) - self.cut, WALLTIME_SECONDS)

    # --- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def known_minutes_agree(self) -> None:
        if hasattr(self, "lease"):
            assert self.lease.usage.minutes == minutes((m, m + 1) for m in self.known)
            assert self.lease.usage.seconds(WALLTIME_SECONDS) == self._seconds()

    @invariant()
    def nobody_is_charged_twice_or_for_what_is_not_known(self) -> None:
        if hasattr(self, "lease"):
            charged = self.lease.charged
            assert charged.micro_yuan == cost(charged.seconds) <= cost(self._seconds())
            assert charged.minutes == self.captured_minutes <= len(self.known)

    @invariant()
    def money_adds_up(self) -> None:
        """The owner and the exchange get the charge, the payer gives what the hold has, the platform the rest."""
        if not hasattr(self, "lease"):
            return
        charged = self.lease.charged
        got = {place: sum_ for place, sum_ in self.balances.items() if place.startswith(("owner/", "fee "))}
        assert sum(got.values()) == charged.micro_yuan
        assert sum(self.balances.values()) == 0
        assert self.hold.held == cost(WALLTIME_SECONDS)
        assert self.hold.captured <= charged.micro_yuan
        lost = charged.micro_yuan - self.hold.captured
        assert self.balances.get("platform_loss available", 0) == -lost - charged.credited
        assert charged.credited <= self.hold.captured
        if self.hold.state is not HoldState.OPEN:
            assert self.hold.open == 0


TestALease = ALease.TestCase
TestALease.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_only_these_kinds_of_transactions_are_made() -> None:
    """What a look does is a capture, a credit note and a release, in this order."""
    machine = ALease()
    machine.offered(0)
    machine.told_of_the_end(10, 0, set())
    machine.ended(60)

    kinds = [each.kind for each in machine._step().transactions]

    assert kinds == [TransactionKind.CAPTURE, TransactionKind.CREDIT_NOTE, TransactionKind.RELEASE]
