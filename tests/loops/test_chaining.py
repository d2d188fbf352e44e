"""The audit chain: every committed transaction gets a place in it, once, whoever is at work."""

import asyncio

import pytest

from broker.ledger.chain import START, link
from broker.loops.chaining import Chaining
from broker.store import holds
from broker.store.database import Database
from tests.books import Books, a_hold, open_books
from tests.conftest import Dsns
from tests.small_world import T0


@pytest.fixture
async def books(database: Database, dsns: Dsns) -> Books:
    return await open_books(database, dsns)


async def test_the_chain_grows_in_batches_and_each_hash_covers_the_one_before(books: Books, database: Database) -> None:
    await books.hold(100)
    chained = await Chaining(database, batch_transactions=2).run_once(T0)

    entries = await books.ledger.chain(0, 100)
    hashes = [START]
    for entry in entries:
        hashes.append(link(hashes[-1], entry.text))

    assert chained == len(entries) == 5
    assert [e.position for e in entries] == [1, 2, 3, 4, 5]
    assert [e.sha256 for e in entries] == hashes[1:]
    assert await books.ledger.chain(3, 100) == entries[3:]
    assert await Chaining(database).run_once(T0) == 0


async def test_who_commits_later_comes_later_whatever_his_number(books: Books, database: Database) -> None:
    """A number is given before the commit: the chain does not wait for those that are on their way."""
    async with database.hub() as tx:
        [slow] = await holds.place(tx, [a_hold(1, "slow")], T0)
        assert isinstance(slow, holds.Held)
        async with database.hub() as other:
            await other.execute("SET LOCAL lock_timeout = '10s'")
            await Chaining(database).run_once(T0)
    await Chaining(database).run_once(T0)

    last = (await books.ledger.chain(0, 100))[-1]

    assert f'"transaction":{slow.hold}' in last.text
    assert await books.findings() == []


async def test_two_loops_at_once_make_one_chain(books: Books, database: Database) -> None:
    for n in range(20):
        await books.hold(1, request_key=f"h-{n}")

    await asyncio.gather(*(Chaining(database, batch_transactions=3).run_once(T0) for _ in range(4)))
    await Chaining(database).run_once(T0)

    assert [e.position for e in await books.ledger.chain(0, 100)] == list(range(1, 25))
    assert await books.findings() == []
