"""What agents tell of the use of leases, over a real socket: taken, answered, or refused with a stable reason."""

from typing import Any

import pytest

from broker import metrics
from broker.errors import InvalidRequest
from broker.ids import lease_text
from broker.ledger.usage import Usage
from broker.rpc import convert_cluster as convert
from broker.store import usage as store_usage
from broker.store.leases import LeaseRef
from broker.wire.v1 import cluster_service_pb2 as pb
from tests.cluster_world import START
from tests.rpc.test_cluster_service import Site, seen, site, wire_time

__all__ = ["site"]


def used(ref: LeaseRef, *ranges: tuple[int, int], **changes: Any) -> pb.UsageReport:
    minutes = [pb.MinuteRange(first=first, last=last) for first, last in ranges]
    right = {"lease_id": lease_text(ref.lease), "epoch": ref.epoch, "minutes": minutes, "milli_cards": 1000}
    return pb.UsageReport(**right | changes)


def refusals(why: str) -> float:
    return metrics.REGISTRY.get_sample_value("broker_usage_refused_total", {"why": why}) or 0.0


async def known(site: Site, ref: LeaseRef) -> Usage | None:
    async with site.world.database.hub() as tx:
        return (await store_usage.read(tx, [ref.lease])).get(ref.lease)


async def test_usage_is_taken_once_and_answered(site: Site) -> None:
    """Terms in the welcome; duplicates and disorder count once; the end makes it complete."""
    agent = site.dial()
    welcome = await agent.attach(meters_usage=True)
    _, ref = await site.world.placed()
    await agent.report(seen(ref, "RUNNING", started_at=wire_time(START)))
    site.clock.advance(seconds=300)
    running = seen(ref, "RUNNING", started_at=wire_time(START))

    [first] = (await agent.report(running, usage=[used(ref, (1, 2))])).usage_settled
    again = (await agent.report(running, usage=[used(ref, (0, 1), (2, 2))])).usage_settled
    ended = await agent.report(
        seen(ref, "ENDED", "COMPLETED"), usage=[used(ref, (0, 4), cut_seconds=20, joules=7, complete=True)]
    )
    silent = await agent.report(seen(ref, "ENDED", "COMPLETED"))

    assert welcome.usage_interval_millis == 300_000
    assert (first.lease.lease_id, first.minutes_end, first.complete, first.refused) == ("lease-1", 3, False, "")
    assert [one.minutes_end for one in again] == [3]
    assert [(one.minutes_end, one.complete) for one in ended.usage_settled] == [(5, True)]
    assert [one.lease_id for one in ended.settled] == ["lease-1"]
    assert list(silent.usage_settled) == []
    assert await known(site, ref) == Usage(((0, 5),), 20, 7, complete=True)
    assert (await site.world.row("SELECT agent_meters FROM clusters WHERE cluster = 'east'"))["agent_meters"]


async def test_usage_that_cannot_be_is_refused_and_nothing_of_it_counts(site: Site) -> None:
    """The agent is told why, a metric counts it, and what else is in the report is taken."""
    agent = site.dial()
    await agent.attach(meters_usage=True)
    _, ref = await site.world.placed()
    _, waiting = await site.world.placed()
    lease = seen(ref, "RUNNING", started_at=wire_time(START))
    wrong = {
        "AHEAD_OF_CLOCK": used(ref, (0, 5)),
        "BEYOND_WALLTIME": used(ref, (0, 100)),
        "OTHER_CARDS": used(ref, (0, 0), milli_cards=8000),
        "OTHER_EPOCH": used(ref, (0, 0), epoch=2),
        "NOT_STARTED": used(waiting, (0, 0)),
        "UNKNOWN_LEASE": used(LeaseRef(99, 1), (0, 0)),  # type: ignore[arg-type]
    }

    for why, report in wrong.items():
        before = refusals(why)
        [answer] = (await agent.report(lease, usage=[report])).usage_settled
        assert (answer.refused, answer.complete) == (why, False)
        assert refusals(why) == before + 1

    assert await known(site, ref) is None
    [taken, refused] = (await agent.report(lease, usage=[used(ref, (0, 0)), wrong["NOT_STARTED"]])).usage_settled
    assert (taken.refused, refused.refused) == ("", "NOT_STARTED")


async def test_another_clusters_lease_is_unknown(site: Site) -> None:
    east, west = site.dial(), site.dial("west")
    await east.attach()
    await west.attach("west", "two")
    _, ref = await site.world.placed()
    await east.report(seen(ref, "RUNNING", started_at=wire_time(START)))

    [answer] = (await west.report(usage=[used(ref, (0, 0))])).usage_settled

    assert answer.refused == "UNKNOWN_LEASE"


ONE = LeaseRef(1, 1)  # type: ignore[arg-type]
WRONG = [
    (used(ONE), "report.usage[0].minutes"),
    (used(ONE, (3, 2)), "report.usage[0].minutes[0].first"),
    (used(ONE, (0, 1_000_001)), "report.usage[0].minutes[0].last"),
    (used(ONE, *[(0, 0)] * 65), "report.usage[0].minutes"),
    (used(ONE, (0, 0), cut_seconds=5), "report.usage[0].cut_seconds"),
    (used(ONE, (0, 0), cut_seconds=60, complete=True), "report.usage[0].cut_seconds"),
    (used(ONE, (0, 0), joules=10**15 + 1), "report.usage[0].joules"),
    (used(ONE, (0, 0), epoch=0), "report.usage[0].epoch"),
    (used(ONE, (0, 0), lease_id="job-1"), "report.usage[0].lease_id"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG)
def test_wrong_usage_is_refused_by_the_name_of_its_field(wrong: pb.UsageReport, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        convert.Reports().read(pb.Report(sequence=1, usage=[wrong]))

    assert [problem.field for problem in refused.value.fields] == [field]


def test_a_lease_is_named_once() -> None:
    with pytest.raises(InvalidRequest, match="named twice"):
        convert.Reports().read(pb.Report(sequence=1, usage=[used(ONE, (0, 0)), used(ONE, (1, 1))]))
