"""A model of the books beside the real ones, driven by hypothesis: whatever is asked in whatever order, both agree.

The model counts with sums of its own. After every step the database's balances are the model's; at the end the audit
finds nothing, and the chain covers everything.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from broker.errors import (
    CaptureBeyondHold,
    HoldEnded,
    InsufficientCredit,
    PostingConflict,
    SettlementOver,
)
from broker.ids import HoldId
from broker.ledger.holds import HoldDraft, Source
from broker.ledger.transactions import Move
from broker.loops.chaining import Chaining
from broker.loops.hold_expiry import HoldExpiry
from broker.store.database import Database
from broker.store.holds import Held
from broker.store.ledger import Posted
from tests.books import Books, a_capture
from tests.conftest import Dsns
from tests.small_world import OPERATOR, T0, lay_out

AMOUNTS = st.integers(1, 300)
EXAMPLES, STEPS = 15, 25


@dataclass
class ModelHold:
    """A hold as the model has it: what each account gave and what was captured of the whole."""

    hold: HoldId
    parts: dict[str, int]
    until: datetime
    captured: int = 0
    ended: bool = False

    @property
    def held(self) -> int:
        return sum(self.parts.values())

    def falls(self) -> dict[str, int]:
        """What the parts have paid: the voucher its proportion rounded down, then the others in their order."""
        left, paid = self.captured, {}
        for account, held in self.parts.items():
            paid[account] = left * held // self.held if account.startswith("voucher") else min(left, held)
            left -= paid[account]
        return paid


@dataclass
class World:
    """What outlives one example: the loop, the database, and a counter that keeps examples apart."""

    runner: asyncio.Runner
    dsns: Dsns
    database: Database
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)


class Money(RuleBasedStateMachine):
    """Deposits, holds, captures, releases, expiry, retries, and many at once, on accounts of one example."""

    world: World  # given by the test
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        number = next(self.world.numbers)
        self.city = f"c{number}"
        self.voucher, self.acme, self.prepaid = (
            f"voucher/{self.city}/7",
            f"enterprise/{self.city}/acme",
            f"city/{self.city}",
        )
        self.budget = f"budget/qingyang/{number}"
        self.books, self.now = Books(self.world.database, self.world.dsns), T0
        self.available = dict.fromkeys((self.voucher, self.acme, self.prepaid), 0)
        self.open: list[ModelHold] = []
        self.paid, self.lost = 0, 0
        self.requests: list[tuple[str, Any, Any]] = []  # what can be sent again: kind, request, answer
        self.keys = itertools.count()
        self.before = self.world.run(self._others())
        self.world.run(self._lay_out())

    async def _lay_out(self) -> None:
        async with self.world.database.hub() as tx:
            await tx.execute("INSERT INTO cities VALUES ($1::text, $1::text, 1, 1, 1, 1)", self.city)
        for account in (self.acme, self.prepaid, self.budget):
            await self._deposit(Move(self.key(), account, 1, "to open it"))
        await self._send("grant", Move(self.key(), self.voucher, 1, "to open it", payer=self.budget))
        self.available = dict.fromkeys(self.available, 1)

    async def _others(self) -> dict[str, int]:
        """What the accounts of everybody had before this example."""
        return {name: money[0] for name, money in (await self.books.balances()).items() if "/c" not in name}

    def key(self) -> str:
        return f"{self.city}-{next(self.keys)}"

    async def _deposit(self, move: Move) -> Any:
        return await self.books.ledger.deposit(OPERATOR, move, now=self.now)

    async def _send(self, kind: str, request: Any) -> Any:
        ledger = self.books.ledger
        if kind == "deposit":
            return await self._deposit(request)
        if kind == "grant":
            return await ledger.grant(request, now=self.now)
        if kind == "hold":
            return await self.books.intake.place(request, now=self.now)
        if kind == "capture":
            return await ledger.capture(request, now=self.now)
        return await ledger.release(request[0], request[1], now=self.now)

    def send(self, kind: str, request: Any) -> Any:
        answer = self.world.run(self._send(kind, request))
        self.requests.append((kind, request, answer))
        return answer

    @rule(to_city=st.booleans(), micro_yuan=AMOUNTS)
    def deposit(self, *, to_city: bool, micro_yuan: int) -> None:
        account = self.prepaid if to_city else self.acme
        self.send("deposit", Move(self.key(), account, micro_yuan, "bank slip"))
        self.available[account] += micro_yuan

    @rule(micro_yuan=AMOUNTS)
    def grant(self, micro_yuan: int) -> None:
        self.world.run(self._deposit(Move(self.key(), self.budget, micro_yuan, "bank slip")))
        self.send("grant", Move(self.key(), self.voucher, micro_yuan, "grant", payer=self.budget))
        self.available[self.voucher] += micro_yuan

    def draft(self, micro_yuan: int, ratio: int, minutes: int = 60) -> HoldDraft:
        sources = (Source(self.voucher, ratio), Source(self.acme), Source(self.prepaid))
        return HoldDraft(self.key(), self.city, "lease-1", micro_yuan, sources, self.now + timedelta(minutes=minutes))

    def placed(self, held: Held, draft: HoldDraft) -> ModelHold:
        found = ModelHold(held.hold, {p.account: p.held for p in held.parts}, draft.settles_until)
        for account, micro_yuan in found.parts.items():
            self.available[account] -= micro_yuan
        self.open.append(found)
        return found

    @rule(target=holds, micro_yuan=AMOUNTS, ratio=st.integers(1, 1_000_000), minutes=st.integers(1, 90))
    def hold(self, micro_yuan: int, ratio: int, minutes: int) -> ModelHold | None:
        there = self.available
        by_voucher = min(there[self.voucher], micro_yuan * ratio // 1_000_000)
        by_acme = min(there[self.acme], micro_yuan - by_voucher)
        by_city = micro_yuan - by_voucher - by_acme
        draft = self.draft(micro_yuan, ratio, minutes)
        if by_city > there[self.prepaid]:
            with pytest.raises(InsufficientCredit):
                self.world.run(self._send("hold", draft))
            return None
        wanted = {self.voucher: by_voucher, self.acme: by_acme, self.prepaid: by_city}
        found = self.placed(self.send("hold", draft), draft)
        assert found.parts == {account: m for account, m in wanted.items() if m}
        return found

    @rule(amounts=st.lists(AMOUNTS, min_size=2, max_size=8), wholly=st.booleans())
    def many_holds_at_once(self, amounts: list[int], *, wholly: bool) -> None:
        """Two brokers at once: whoever is refused, it would not fit into what is left either."""
        drafts = [replace(self.draft(m, 1_000_000), sources=(Source(self.voucher),)) for m in amounts]
        intakes = (self.books.intake, Books(self.world.database, self.world.dsns).intake)

        async def fight() -> list[Any]:
            work = (intakes[0 if wholly else i % 2].place(d, now=self.now) for i, d in enumerate(drafts))
            return await asyncio.gather(*work, return_exceptions=True)

        outcomes = self.world.run(fight())
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if isinstance(outcome, Held):
                self.placed(outcome, draft)
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if not isinstance(outcome, Held):
                assert isinstance(outcome, InsufficientCredit)
                assert draft.micro_yuan > self.available[self.voucher]

    @rule(hold=holds, micro_yuan=AMOUNTS, fee=st.integers(0, 100_000), to_loss=st.booleans())
    def capture(self, hold: ModelHold | None, micro_yuan: int, fee: int, *, to_loss: bool) -> None:
        if hold is None:
            return
        late = self.now > hold.until
        covered = 0 if hold.ended or late else min(micro_yuan, hold.held - hold.captured)
        owner = "owner/longdong"
        wanted = a_capture(hold.hold, micro_yuan, self.key(), owner=owner, fee_ppm=fee, excess_to_loss=to_loss)
        if covered < micro_yuan and not to_loss:
            error = HoldEnded if hold.ended else SettlementOver if late else CaptureBeyondHold
            with pytest.raises(error):
                self.world.run(self._send("capture", wanted))
            return
        posted: Posted = self.send("capture", wanted)
        hold.captured += covered
        hold.ended = hold.ended or hold.captured == hold.held
        self.paid, self.lost = self.paid + micro_yuan, self.lost + micro_yuan - covered
        assert posted.sum_of("platform_loss") == covered - micro_yuan
        assert posted.sum_of(owner) + posted.sum_of("fee") == micro_yuan

    @rule(hold=holds)
    def release(self, hold: ModelHold | None) -> None:
        if hold is None:
            return
        request = (hold.hold, self.key())
        if hold.ended:
            with pytest.raises(HoldEnded):
                self.world.run(self._send("release", request))
            return
        self.send("release", request)
        self._give_back(hold)

    @rule(minutes=st.integers(1, 60))
    def time_passes_and_holds_expire(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        expired = self.world.run(HoldExpiry(self.world.database, batch_holds=2).run_once(self.now))
        due = [h for h in self.open if not h.ended and h.until < self.now]
        assert expired >= len(due)  # those of other examples are expired as well
        for hold in due:
            self._give_back(hold)

    def _give_back(self, hold: ModelHold) -> None:
        for account, paid in hold.falls().items():
            self.available[account] += hold.parts[account] - paid
        hold.ended = True

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        if not self.requests:
            return
        kind, request, answer = data.draw(st.sampled_from(self.requests))
        again = self.world.run(self._send(kind, request))
        number = "hold" if kind == "hold" else "transaction"
        assert (again.duplicate, getattr(again, number)) == (True, getattr(answer, number))

    @rule(data=st.data())
    def send_something_else_with_the_same_key(self, data: st.DataObject) -> None:
        found = [(k, r) for k, r, _ in self.requests if k != "release"]
        if not found:
            return
        kind, request = data.draw(st.sampled_from(found))
        with pytest.raises(PostingConflict):
            self.world.run(self._send(kind, replace(request, micro_yuan=request.micro_yuan + 1)))

    @invariant()
    def the_books_say_the_same(self) -> None:
        balances = self.world.run(self.books.balances())
        for account, available in self.available.items():
            held = sum(h.parts[account] - h.falls()[account] for h in self.open if not h.ended and account in h.parts)
            assert balances.get(account, (0, 0)) == (available, held)
            assert available >= 0
        assert sum(available + held for available, held in balances.values()) == 0
        earned = sum(balances.get(n, (0, 0))[0] - self.before.get(n, 0) for n in ("owner/longdong", "fee"))
        assert earned == self.paid
        assert self.before.get("platform_loss", 0) - balances.get("platform_loss", (0, 0))[0] == self.lost

    def teardown(self) -> None:
        self.world.run(Chaining(self.world.database, batch_transactions=7).run_once(self.now))
        assert self.world.run(self.books.findings()) == []


def test_the_books_agree_with_a_model(dsns: Dsns) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(Database.connect(dsns.city, dsns.hub))
        try:
            runner.run(lay_out(database))
            money = type("MoneyOfThisTest", (Money,), {"world": World(runner, dsns, database)})
            run_state_machine_as_test(
                money,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    phases=[Phase.generate],  # what was found depends on what is in the tables: it cannot be replayed
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())
