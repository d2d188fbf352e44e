"""The table keeps minutes as the rules say: the same words in the same order leave the same row."""

import random

import pytest

from broker.ids import LeaseId
from broker.ledger.usage import NOTHING, Usage, merged, minutes
from broker.store import usage
from broker.store.database import Database
from broker.store.usage import UsageRow
from tests.small_world import T0, lay_out, placed, submitted


def a_word(luck: random.Random) -> Usage:
    """Something that an agent may tell: a few minutes, or an end."""
    told = minutes((m, m + luck.randint(1, 3)) for m in luck.sample(range(8), luck.randint(0, 3)))
    complete = luck.random() < 0.4
    cut = luck.randint(0, 59) if complete and told else 0
    return Usage(told, cut, luck.randint(0, 5), complete=complete)


@pytest.mark.parametrize("seed", range(4))
async def test_the_table_merges_as_the_rule_does(database: Database, seed: int) -> None:
    await lay_out(database)
    [job] = await submitted(database, "a")
    lease, luck = LeaseId(await placed(database, job)), random.Random(seed)  # a test's words

    for _ in range(40):
        known = NOTHING
        async with database.hub() as tx:
            await tx.execute(
                "UPDATE lease_usage SET minutes = '{}', cut_seconds = 0, joules = 0, complete = false, heard_at = NULL"
            )
            for _ in range(luck.randint(1, 5)):
                told = a_word(luck)
                await usage.put(tx, [UsageRow(lease, told)], T0)
                known = merged(known, told)

                assert (await usage.read(tx, [lease]))[lease] == known
