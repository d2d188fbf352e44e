"""Thousands of jobs in one call, through the real client, counted in the database."""

import random
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from benchmarks.submit import specs
from broker import postgres
from broker.client import JobSpec
from tests.e2e import exchange as running
from tests.e2e.exchange import Exchange

pytestmark = pytest.mark.e2e

JOBS = 5_000


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """A broker without agents: everything waits."""
    with running.exchange() as made:
        yield made


async def stored(exchange: Exchange) -> int:
    """Count the jobs in the table itself."""
    with postgres.using(exchange.home / "postgres") as server:
        connection = await asyncpg.connect(server.dsn_hub)
        try:
            count: int = await connection.fetchval("SELECT count(*) FROM jobs")
            return count
        finally:
            await connection.close()


async def test_thousands_of_jobs_go_through_one_call_and_each_has_its_answer(exchange: Exchange) -> None:
    """A repetition with the same keys stores nothing and answers with the same jobs; a bad item harms no other."""
    keyed = [(f"load-{number}", spec) for number, spec in enumerate(specs(JOBS, random.Random(1)))]

    async def with_a_bad_one() -> AsyncIterator[tuple[str, JobSpec]]:
        for number, item in enumerate(keyed):
            if number == JOBS // 2:
                wrong = item[1].builds[0].model_copy(update={"stack": "abacus"})
                yield "bad", item[1].model_copy(update={"builds": [wrong]})
            yield item

    async with exchange.client() as city:
        answers = [answer async for answer in city.submit_many(with_a_bad_one())]
        again = [answer async for answer in city.submit_many(keyed)]

    refused = answers.pop(JOBS // 2)
    assert refused.error is not None
    assert refused.error.fields[0].field == "spec.builds[0].stack"
    assert not [answer for answer in answers if answer.error or answer.duplicate]
    assert [answer.job_id for answer in answers] == [answer.job_id for answer in again]
    assert all(answer.duplicate for answer in again)
    assert len({answer.job_id for answer in answers}) == await stored(exchange) == JOBS
    await exchange.audit(acknowledged=[answer.job_id for answer in answers])
