"""Many jobs in one call, over calls that break."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from broker.client import Build, JobSpec, NotAllowed, NotPossibleNow, Unavailable
from broker.client.bulk import MESSAGE_BYTES_MAX, WINDOW
from tests.client.scripted_broker import AWAY, IMPATIENT, ScriptedBroker, client_of, hello, trouble


async def test_every_item_gets_its_answer_in_order() -> None:
    broker = ScriptedBroker()

    async with client_of(broker) as client:
        got = [answer async for answer in client.submit_many((hello(str(n)) for n in range(1234)), batch=100)]

    assert [answer.index for answer in got] == list(range(1234))
    assert [answer.job_id for answer in got] == [f"job-{n + 1}" for n in range(1234)]
    assert not any(answer.duplicate or answer.error for answer in got)
    assert [len(message.items) for message in broker.called("message")] == [100] * 12 + [34]


async def test_a_refused_item_does_not_stop_the_others() -> None:
    broker = ScriptedBroker()

    async with client_of(broker) as client:
        names = ["a", "refuse", "c"]
        got = [answer async for answer in client.submit_many([hello(name) for name in names])]

    assert [bool(answer.job_id) for answer in got] == [True, False, True]
    assert isinstance(got[1].error, NotPossibleNow)
    assert got[1].error.reason == "NO_POOL_CAN_HOLD"


@pytest.mark.parametrize("silent", [False, True])
async def test_nothing_is_lost_or_doubled_when_calls_break(silent: bool) -> None:
    """Each broken call has stored messages whose answers were lost: they are sent again under their keys."""
    broker = ScriptedBroker(silent_break=silent)
    broker.break_after.extend([1, 3, 2, 5])

    async with client_of(broker) as client:
        got = [answer async for answer in client.submit_many((hello(str(n)) for n in range(500)), batch=20)]

    assert len(broker.keys) == 500
    assert [answer.index for answer in got] == list(range(500))
    assert len({answer.job_id for answer in got}) == 500
    assert not any(answer.duplicate for answer in got)  # we invented the keys: to the caller nothing was there before
    assert not broker.break_after


async def test_a_run_that_died_can_be_repeated_under_its_own_keys() -> None:
    broker = ScriptedBroker()
    items = [(f"run-7-{n}", hello(str(n))) for n in range(60)]

    async with client_of(broker) as client:
        async for answer in client.submit_many(items, batch=10):
            if answer.index == 25:
                break  # the program died here
        again = [answer async for answer in client.submit_many(items, batch=10)]

    assert len(broker.keys) == 60
    assert all(answer.duplicate for answer in again[:26])
    assert [answer.request_key for answer in again] == [key for key, _ in items]


async def test_the_window_bounds_what_is_in_flight() -> None:
    """However fast the source is, it is never read far ahead of the answers: memory stays bounded."""
    answered, lead = 0, 0

    async def source() -> AsyncIterator[JobSpec]:
        nonlocal lead
        for number in range(1000):
            lead = max(lead, number + 1 - answered)
            yield hello(str(number))

    async with client_of(ScriptedBroker()) as client:
        async for _ in client.submit_many(source(), batch=10):
            answered += 1

    assert 10 <= lead <= (WINDOW + 2) * 10


async def test_a_message_stays_within_its_size() -> None:
    """The contract allows 4 MiB in a message: large jobs make smaller batches."""
    build = Build(stack="cann", command=["run"], environment={"BLOB": "x" * 100_000})
    large = JobSpec(name="large", cards_per_task=1, walltime_seconds=60, builds=[build])
    broker = ScriptedBroker()

    async with client_of(broker) as client:
        got = [answer async for answer in client.submit_many([large] * 100, batch=1000)]

    assert len(got) == 100
    assert len(broker.called("message")) == 3
    assert all(message.ByteSize() <= MESSAGE_BYTES_MAX for message in broker.called("message"))


async def test_a_slow_source_gets_answers_for_what_it_has_given() -> None:
    """Answers do not wait for the window to fill."""
    broker = ScriptedBroker()
    answered: list[int] = []
    come = asyncio.Event()

    async def slowly() -> AsyncIterator[JobSpec]:
        for number in range(3):
            yield hello(str(number))
        async with asyncio.timeout(5):
            await come.wait()
        yield hello("last")

    async with client_of(broker) as client:
        async for answer in client.submit_many(slowly(), batch=2):
            answered.append(answer.index)
            if answered == [0, 1]:
                come.set()

    assert answered == [0, 1, 2, 3]


async def test_a_call_that_is_refused_as_a_whole_says_why() -> None:
    """grpc forgets the status of a call that ends while it sends; the client asks for it."""
    broker = ScriptedBroker()
    forbidden = trouble(grpc.StatusCode.PERMISSION_DENIED, "not with this key")
    broker.troubles.extend([forbidden] * 10)
    build = Build(stack="cann", command=["x" * 2000])
    large = JobSpec(name="large", cards_per_task=1, walltime_seconds=60, builds=[build])

    async with client_of(broker) as client:
        with pytest.raises(NotAllowed, match="not with this key"):
            async for _ in client.submit_many([large] * 3000):
                pass

    assert not broker.keys


async def test_it_gives_up_when_the_broker_stays_away() -> None:
    broker = ScriptedBroker()
    broker.troubles.append(AWAY)

    async with client_of(broker, IMPATIENT) as client:
        with pytest.raises(Unavailable):
            async for _ in client.submit_many([hello()]):
                pass


async def test_an_error_of_the_source_reaches_the_caller() -> None:
    def broken() -> list[JobSpec]:
        raise RuntimeError("the file ended")

    async def source() -> AsyncIterator[JobSpec]:
        yield hello()
        broken()

    async with client_of(ScriptedBroker()) as client:
        with pytest.raises(RuntimeError, match="the file ended"):
            async for _ in client.submit_many(source(), batch=1):
                pass


async def test_nothing_to_submit_is_no_error() -> None:
    async with client_of(ScriptedBroker()) as client:
        assert [answer async for answer in client.submit_many([])] == []


@pytest.mark.parametrize("batch", [0, 1001])
async def test_a_batch_beyond_the_contract_is_refused(batch: int) -> None:
    async with client_of(ScriptedBroker()) as client:
        with pytest.raises(ValueError, match="between 1 and 1000"):
            async for _ in client.submit_many([hello()], batch=batch):
                pass
