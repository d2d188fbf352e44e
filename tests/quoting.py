"""A table at which quotes are asked for and accepted: real rounds, real money, one node of eight cards."""

from datetime import datetime, timedelta
from typing import Any

from broker.audit import limits, promised, quoted, tables
from broker.caller import Caller, Role
from broker.ids import JobId
from broker.ledger.transactions import Move
from broker.loops.quotes import QuoteKeeping
from broker.market.catalogue import Catalogues
from broker.market.explain import LastRound
from broker.market.jobs import Jobs
from broker.market.ledger import Ledger
from broker.market.quote_ends import QuoteEnds, QuoteFees
from broker.market.quotes import AcceptedQuote, QuoteRules, Quotes, StartWindow
from broker.store import promises, quotes
from broker.store.promises import PromiseRow
from broker.store.quotes import Quote
from tests.cluster_world import ClusterWorld, inventory, spec
from tests.conftest import Dsns
from tests.market.test_promises import PROMISING, Promising
from tests.market.test_rounds import RICH
from tests.small_world import OPERATOR

GANZHOU = Caller("key-ganzhou", Role.CITY, "ganzhou")
NANJING = Caller("key-nanjing", Role.CITY, "nanjing")
ASK = 3600
ANY_TIME = StartWindow()

RATES = """
    INSERT INTO rate_cards (cluster, model, version, valid_from, asks_micro_yuan_per_card_hour,
                            green_asks_micro_yuan_per_card_hour, source, set_at)
    VALUES ('east', 'ascend-910b', 1, 'epoch', $1, '{}', 'test', 'epoch')
"""


class Quoting(Promising):
    """Rounds that promise starts, and quotes beside them."""

    planned_by = PROMISING

    async def open(self, *nodes: str, asks: list[int] | None = None) -> "Quoting":
        self.session = await self.world.attach("east", "one", inventory(*(nodes or ("n1",))))
        self.reports, self.up, self.wakes = 0, [], 0
        async with self.world.database.hub() as tx:
            await tx.execute(RATES, asks or [ASK] * 24)
        self.jobs = Jobs(
            self.world.database,
            Catalogues(self.world.database, fresh_seconds=0.0),
            wake=lambda: None,
            stop_wanted=lambda _: None,
        )
        self.quotes = Quotes(
            self.world.database,
            self.jobs,
            self.planned_by,
            QuoteRules(),
            last_round=self.last_round,
            wake=self._woken_by_a_quote,
        )
        return self

    def _woken_by_a_quote(self) -> None:
        self.wakes += 1

    async def last_round(self) -> LastRound | None:
        return self.remembered[-1] if self.remembered else None

    async def ask(
        self, caller: Caller = GANZHOU, *, window: StartWindow = ANY_TIME, most: int = 0, **changes: Any
    ) -> list[Quote]:
        wanted = spec(**{"ceiling_micro_yuan_per_pflops_hour": RICH, "cards_per_task": 8, "grace_seconds": 0} | changes)
        return await self.quotes.ask(caller, "", wanted, window, most, self.world.now)

    async def accept(self, quote: Quote, key: str = "book-1", caller: Caller = GANZHOU) -> AcceptedQuote:
        return await self.quotes.accept(caller, quote.quote, key, self.world.now)

    async def booked(self, *, window: StartWindow = ANY_TIME, key: str = "book-1", **changes: Any) -> Quote:
        """Ask, and accept the best option."""
        return (await self.accept((await self.ask(window=window, **changes))[0], key)).quote

    async def ends_of_quotes(self, **fees: int) -> int:
        """Let the loop look at accepted quotes."""
        return await QuoteKeeping(self.world.database, QuoteEnds(self.world.database, QuoteFees(**fees))).run_once(
            self.world.now
        )

    async def quote(self, quote: Quote) -> Quote:
        async with self.world.database.hub() as tx:
            return await quotes.get(tx, quote.quote)

    async def prepaid(self, micro_yuan: int, city: str = "ganzhou") -> None:
        """Let a city pay in advance, and give it so much."""
        async with self.world.database.hub() as tx:
            await tx.execute("UPDATE cities SET billing = 'prepaid' WHERE city = $1", city)
        move = Move(f"first-{city}", f"city/{city}", micro_yuan, "test")
        await Ledger(self.world.database).deposit(OPERATOR, move, now=self.world.now)

    async def money(self, account: str = "city/ganzhou") -> tuple[int, int]:
        """Return what is available and what is held."""
        found = await Ledger(self.world.database).account(OPERATOR, account)
        return found.available, found.held

    async def promise(self, job: JobId | None) -> PromiseRow:
        assert job is not None
        async with self.world.database.hub() as tx:
            return next(row for row in await promises.read(tx) if row.job == job)

    async def counts(self) -> tuple[int, int, int]:
        """Return how many jobs, promises and ledger transactions there are."""
        row = await self.world.row(
            "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM promises), "
            "(SELECT count(*) FROM ledger_transactions)"
        )
        return tuple(row.values())


def ahead(now: datetime, seconds: int, for_seconds: int = 3600) -> StartWindow:
    """Return a window that begins so much later."""
    begin = now + timedelta(seconds=seconds)
    return StartWindow(begin, begin + timedelta(seconds=for_seconds))


async def lay(world: ClusterWorld, *nodes: str, asks: list[int] | None = None) -> Quoting:
    return await Quoting(await world.lay()).open(*nodes, asks=asks)


async def broken(dsns: Dsns) -> list[str]:
    """Return what the audit finds wrong with promises, quotes and limits."""
    facts, rules = await tables.read(dsns.hub, dsns.city), (*promised.RULES, *quoted.RULES, *limits.RULES)
    return [f"{rule.__name__}: {found}" for rule in rules for found in rule(facts)]
