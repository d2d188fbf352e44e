"""A job that waits for data only starts while the job that makes them still runs."""

from broker.client import Build, EventKind, JobSpec
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND

MAKES_DATA = ["/bin/sh", "-c", ': > "$XISUAN_DATA_READY"; exec sleep 1000']


def job(name: str, command: list[str], **changes: object) -> JobSpec:
    """A job of one card that may run for a minute."""
    builds = [Build(stack="cann", command=command)]
    return JobSpec(name=name, cards_per_task=1, walltime_seconds=60, builds=builds, **changes)


async def test_data_are_fetched_while_the_job_that_made_them_still_runs() -> None:
    """The one that wants the data has run to its end, the one that wants the end still waits; the audit agrees."""
    with running.exchange() as exchange:
        exchange.start_agent(ASCEND)
        await exchange.attached(ASCEND)
        async with exchange.client() as client:
            upstream = (await client.submit(job("makes", MAKES_DATA))).job_id
            end = (await client.submit(job("end", ["true"], after=[upstream]))).job_id
            data = (await client.submit(job("data", ["true"], after=[upstream], after_data_ready=True))).job_id

            await exchange.becomes(client, data, "succeeded")
            still, waits = await client.job(upstream), await client.job(end)
            await client.cancel(upstream)
            await exchange.becomes(client, end, "cancelled")
            kinds = [event.kind async for event in client.watch(idle_seconds_max=1) if event.job_id == upstream]

        shown = exchange.xisuan("job", data, "--city", "ganzhou").out
        await exchange.audit()

    assert still.state == "running"
    assert still.data_ready_at is not None
    assert (waits.state, waits.waiting_reason) == ("pending", "UPSTREAM_RUNS")
    assert EventKind.DATA_READY in kinds
    assert f"after the data of {upstream}" in shown
