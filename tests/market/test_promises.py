"""Promised starts: made by a round, kept by its commit, moved by nothing that comes later; every end of one is told."""

import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.audit import promised, tables
from broker.clock import ManualClock
from broker.ids import JobId, RoundId, job_text
from broker.job import Ending
from broker.lifecycle import EndReason, Held, JobState, PromiseCause, PromiseFate
from broker.market.explain import Explain, stored
from broker.market.lead import NotLeader
from broker.market.promising import Kept, Leased, kept
from broker.market.snapshot import Prepared
from broker.market.verdicts import Explanation
from broker.market.windows import Windows
from broker.store import promises, rounds
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.store.promises import PromiseEntry, PromiseRow
from broker.store.windows import WindowDraft
from scheduler.changes import Effect
from scheduler.decided import Decided
from scheduler.levers import Lever
from scheduler.reasons import Reason
from tests.cluster_world import ClusterWorld, ended, inventory, running
from tests.conftest import Dsns
from tests.market.test_rounds import POLICY, RICH, Table
from tests.small_world import OPERATOR

MARGIN = 60
PROMISING = replace(POLICY, promises_max=2, lease_end_margin_seconds=MARGIN)


class Promising(Table):
    """A table whose rounds promise starts, over one node of eight cards; its agent reports on `session`."""

    planned_by = PROMISING

    async def open(self) -> "Promising":
        self.session = await self.world.attach("east", "one", inventory("n1"))
        self.reports = 0
        self.up: list[LeaseRef] = []
        return self

    async def start(self, **changes: object) -> JobId:
        """Submit a job, let a round place it, and let it run."""
        job = await self.submit(**changes)
        assert (await self.round()).placed == 1
        self.world.advance(1)
        await self.runs(job)
        return job

    async def runs(self, job: JobId) -> None:
        row = await self.world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1 ORDER BY epoch DESC", job)
        self.up.append(LeaseRef(row["lease_id"], row["epoch"]))
        await self.told()

    async def ends(self, job: JobId) -> None:
        row = await self.world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", job)
        ref = LeaseRef(row["lease_id"], row["epoch"])
        self.up.remove(ref)
        await self.told(ended(ref, Ending(EndReason.COMPLETED)))

    async def told(self, *also: object) -> None:
        self.reports += 1
        await self.world.report(self.session, self.reports, *map(running, self.up), *also)  # type: ignore[arg-type]

    async def rows(self) -> dict[JobId, PromiseRow]:
        async with self.world.database.hub() as tx:
            return {row.job: row for row in await promises.read(tx)}

    async def history(self, job: JobId) -> list[tuple[PromiseFate, PromiseCause | None]]:
        async with self.world.database.hub() as tx:
            return [(entry.fate, entry.cause) for entry in await promises.history(tx, job)]

    async def blocked(self) -> tuple[JobId, JobId]:
        """A job on four of eight cards for ten minutes, and a gang that wants all eight."""
        small = await self.start(cards_per_task=4, walltime_seconds=600, grace_seconds=0)
        poor = RICH // 100
        gang = await self.submit(cards_per_task=8, walltime_seconds=600, ceiling_micro_yuan_per_pflops_hour=poor)
        assert (await self.round()).placed == 0
        return small, gang

    def seconds(self, row: PromiseRow) -> int:
        return row.start_s - int(self.world.now.timestamp())


@pytest.fixture
async def table(database: Database, dsns: Dsns) -> AsyncIterator[Promising]:
    """Whatever happened at the table, the audit's rules about promises find nothing in the end."""
    yield await Promising(await ClusterWorld(database).lay()).open()
    assert await promises_broken(dsns) == []


async def promises_broken(dsns: Dsns) -> list[str]:
    """Return what the audit finds wrong with promises."""
    facts = await tables.read(dsns.hub, dsns.city)
    return [f"{rule.__name__}: {found}" for rule in promised.RULES for found in rule(facts)]


async def test_a_blocked_gang_is_promised_the_end_of_what_runs(table: Promising) -> None:
    _, gang = await table.blocked()

    row = (await table.rows())[gang]
    job = await table.world.job(gang)

    assert table.seconds(row) == 600 + MARGIN // 2
    assert (row.nodes, row.end_s - row.start_s, row.first_start_s) == ((("n1", 1),), 600 + MARGIN, row.start_s)
    assert job.waiting_reason == Held.PROMISED
    assert job.promised is not None
    assert job.promised.starts_at == job.promised.first_starts_at == table.world.now + timedelta(seconds=630)
    assert await table.history(gang) == [(PromiseFate.MADE, None)]
    report = await table.reader.get(None)
    assert report is not None
    assert report.refused_by_reason == {Held.PROMISED: 1}
    assert await table.reader.refusals(report.round, 9) == [(job_text(gang), Held.PROMISED)]


async def test_a_promise_and_the_reason_to_wait_for_it_are_seen_together(
    table: Promising, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other reasons are told after the commit: somebody looks before that, or the broker dies between them."""

    async def ends_here(*_: object) -> None:
        return

    monkeypatch.setattr(table.rounds, "_tell_reasons", ends_here)
    _, gang = await table.blocked()

    job = await table.world.job(gang)
    assert job.promised is not None
    assert job.waiting_reason == Held.PROMISED


async def test_a_stream_of_later_small_jobs_does_not_starve_a_promised_gang(table: Promising) -> None:
    """Every minute another rich job of one card for three minutes: what ends before starts, and the gang in time."""
    small, gang = await table.blocked()
    by = (await table.rows())[gang].start_s
    mine: dict[JobId, int] = {}
    while await table.world.state_of(gang) is JobState.PENDING:
        now = int(table.world.now.timestamp())
        assert now <= by
        for job in [job for job, end in mine.items() if end <= now]:
            await table.ends(job)
            del mine[job]
        if now >= by - MARGIN and small:
            await table.ends(small)
            small = JobId(0)
        await table.submit(walltime_seconds=180, grace_seconds=0)
        await table.round()
        for row in await fresh(table, set(mine) | {gang}):
            await table.runs(row)
            mine[row] = now + 180
        table.world.advance(60)

    assert (await table.rows()).keys().isdisjoint({gang})
    assert await table.history(gang) == [(PromiseFate.MADE, None), (PromiseFate.KEPT, None)]
    assert len(mine) == 0
    await table.world.check()


async def fresh(table: Promising, known: set[JobId]) -> list[JobId]:
    async with table.world.database.hub() as tx:
        found = await tx.fetch("SELECT job_id FROM jobs WHERE state = 'leased' ORDER BY job_id")
    return [JobId(r["job_id"]) for r in found if r["job_id"] not in known]


async def test_a_long_job_that_comes_later_does_not_take_promised_cards(table: Promising) -> None:
    _, gang = await table.blocked()
    long = await table.submit(walltime_seconds=900)
    short = await table.submit(walltime_seconds=300)

    await table.round()

    assert await table.world.state_of(long) is JobState.PENDING
    assert await table.world.state_of(short) is JobState.LEASED
    assert table.seconds((await table.rows())[gang]) == 630


async def test_a_promised_gang_starts_as_soon_as_it_can(table: Promising) -> None:
    small, gang = await table.blocked()
    table.world.advance(60)
    await table.ends(small)

    assert (await table.round()).placed == 1
    assert await table.world.state_of(gang) is JobState.LEASED
    assert (await table.world.job(gang)).promised is None
    assert await table.history(gang) == [(PromiseFate.MADE, None), (PromiseFate.KEPT, None)]


async def test_a_start_long_after_its_time_is_late(table: Promising) -> None:
    """No broker was there when it was due."""
    small, gang = await table.blocked()
    await table.ends(small)
    table.world.advance(630 + 31)

    await table.round()

    assert await table.history(gang) == [(PromiseFate.MADE, None), (PromiseFate.LATE, None)]


async def test_a_window_moves_a_promise_and_it_is_told(table: Promising) -> None:
    """The promised time lies inside: it moves behind, and both times are shown."""
    _, gang = await table.blocked()
    first = (await table.rows())[gang]
    begin = table.world.now + timedelta(seconds=700)
    draft = WindowDraft("east", "", (), begin, begin + timedelta(hours=1), "firmware")
    await Windows(table.world.database, wake=lambda: None).create(OPERATOR, draft, now=table.world.now)

    await table.round()

    row, job = (await table.rows())[gang], await table.world.job(gang)
    assert row.start_s == int((begin + timedelta(hours=1)).timestamp())
    assert row.first_start_s == first.start_s
    assert job.promised is not None
    assert job.promised.first_starts_at < job.promised.starts_at
    assert await table.history(gang) == [(PromiseFate.MADE, None), (PromiseFate.MOVED, PromiseCause.NODES_GONE)]


async def test_a_promise_whose_nodes_are_closed_for_good_is_broken_and_its_job_waits_like_others(
    table: Promising,
) -> None:
    _, gang = await table.blocked()
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned'")

    await table.round()

    assert await table.rows() == {}
    assert await table.history(gang) == [(PromiseFate.MADE, None), (PromiseFate.BROKEN, PromiseCause.NODES_GONE)]
    assert (await table.world.job(gang)).waiting_reason == Reason.POOL_CLOSED


async def test_a_promise_in_a_pool_that_has_no_nodes_any_more_is_broken(table: Promising) -> None:
    small, gang = await table.blocked()
    await table.ends(small)
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET present = false")

    await table.round()

    assert await table.rows() == {}
    assert (await table.history(gang))[1] == (PromiseFate.BROKEN, PromiseCause.NODES_GONE)


async def test_a_promise_goes_with_its_job(table: Promising) -> None:
    _, gang = await table.blocked()
    await table.world.cancel(gang)
    await table.submit(cards_per_task=8)

    await table.round()

    assert gang not in await table.rows()
    assert (await table.history(gang))[1] == (PromiseFate.GONE, None)


async def test_a_promised_gang_that_is_handed_back_keeps_its_promise(table: Promising) -> None:
    """Its node is cordoned while the round plans its start; the next round says what becomes of it."""
    small, gang = await table.blocked()
    before = await table.rows()
    await table.ends(small)
    lead = await table.lead()
    prepared, decided = await table.planned()
    async with table.world.database.hub() as tx:
        await tx.execute("UPDATE nodes SET mode = 'cordoned'")

    done = await table.commit(lead, prepared, decided)

    assert (done.placed, done.stale) == (0, 1)
    assert await table.rows() == before
    assert (await table.world.job(gang)).waiting_reason == Held.PROMISED
    assert await table.history(gang) == [(PromiseFate.MADE, None)]
    await table.round()
    assert (await table.history(gang))[1] == (PromiseFate.BROKEN, PromiseCause.NODES_GONE)


async def test_what_is_promised_to_others_makes_way_for_a_promise_that_is_kept_because_its_gang_was_handed_back(
    table: Promising,
) -> None:
    """It was to start early on the other node, and what it had been promised there was promised on; it is not now."""
    table.session = await table.world.attach("east", "one", inventory("n1", "n2"))
    first = await table.start(cards_per_task=8, walltime_seconds=600, grace_seconds=0)
    second = await table.start(cards_per_task=8, walltime_seconds=1200, grace_seconds=0)
    poor = RICH // 100
    gang = await table.submit(cards_per_task=8, walltime_seconds=900, ceiling_micro_yuan_per_pflops_hour=poor)
    await table.round()
    before = (await table.rows())[gang]
    await table.ends(second)
    other = await table.submit(cards_per_task=8, walltime_seconds=900, ceiling_micro_yuan_per_pflops_hour=poor - 1)
    lead = await table.lead()
    prepared, decided = await table.planned()
    async with table.world.database.hub() as tx:
        free = "UPDATE nodes SET mode = 'cordoned' WHERE node <> $1"
        await tx.execute(free, before.nodes[0][0])

    done = await table.commit(lead, prepared, decided)

    assert (done.placed, done.stale) == (0, 1)
    assert {each.job_id for each in decided.promises} == {job_text(other)}
    rows = await table.rows()
    assert rows[gang] == before
    assert other not in rows or rows[other].nodes != before.nodes or rows[other].start_s >= before.end_s
    await table.ends(first)


async def test_who_lost_the_lead_promises_nothing(table: Promising) -> None:
    await table.start(cards_per_task=4)
    await table.submit(cards_per_task=8)
    lead = await table.lead()
    prepared, decided = await table.planned()
    table.world.advance(6)
    await table.lead("new")

    with pytest.raises(NotLeader):
        await table.commit(lead, prepared, decided)

    assert decided.made
    assert await table.rows() == {}


async def test_a_round_with_promises_replays_bit_for_bit(table: Promising) -> None:
    """Horizon and decision are kept with it, and are read as they were written."""
    from broker.cli.rounds import replayed
    from broker.client import RoundRecord

    await table.blocked()
    await table.submit(walltime_seconds=300)
    done = await table.round()
    record = await table.reader.record(done.round)
    assert record is not None
    assert record.horizon
    assert record.decision

    result = replayed(RoundRecord(record.snapshot, record.plan, record.policy_json, record.horizon, record.decision))

    assert (result["same"], result["violations"]) == (True, [])
    assert (result["placed"], result["stored_placed"], result["promises"]) == (1, 1, 1)
    other = json.loads(record.decision) | {"promises": []}
    forged = json.dumps(other, sort_keys=True, separators=(",", ":")).encode()
    changed = RoundRecord(record.snapshot, record.plan, record.policy_json, record.horizon, forged)
    assert not replayed(changed)["same"]


# What was leased beside the round while it was planned


async def test_a_new_promise_stands_beside_what_was_leased_meanwhile(table: Promising) -> None:
    """Half an hour on one card: the gang is promised the end of that, and nobody ever heard of an earlier time."""
    await table.start(cards_per_task=4, walltime_seconds=600, grace_seconds=0)
    gang = await table.submit(cards_per_task=8, walltime_seconds=600)
    await table.submit(walltime_seconds=1800)
    prepared, decided = await table.planned()
    (fast,) = decided.placements
    only_gang = replace(decided, placements=())

    found = kept_of(table, prepared, only_gang, [(prepared.snapshot, fast)])

    assert [row.job for row in found.rows] == [gang]
    assert table.seconds(found.rows[0]) == 1800 + MARGIN
    assert found.rows[0].first_start_s == found.rows[0].start_s
    assert found.entries == (PromiseEntry(gang, PromiseFate.MADE, None, found.rows[0].start_s),)


@pytest.mark.parametrize(("spare_seconds", "made"), [(0, 1), (-1, 0)])
async def test_a_new_promise_is_not_put_beyond_the_deadline_of_its_job(
    table: Promising, spare_seconds: int, made: int
) -> None:
    """It would end just by then; the margin for which its nodes are kept after that is no longer its own."""
    await table.start(cards_per_task=4, walltime_seconds=600, grace_seconds=0)
    end = table.world.now + timedelta(seconds=1800 + MARGIN + 600 + spare_seconds)
    await table.submit(cards_per_task=8, walltime_seconds=600, finish_by=end)
    await table.submit(walltime_seconds=1800)
    prepared, decided = await table.planned()
    (fast,) = decided.placements

    found = kept_of(table, prepared, replace(decided, placements=()), [(prepared.snapshot, fast)])

    assert len(found.rows) == made


@pytest.mark.parametrize(("promises_max", "promised"), [(1, Reason.RESERVED), (2, Held.PROMISED)])
async def test_what_is_promised_is_offered_for_the_time_before_only(
    table: Promising, promises_max: int, promised: str
) -> None:
    """Four cards are free, and promised to a gang from 630 s on: a shorter walltime helps, no price does."""
    table.planned_by = replace(PROMISING, promises_max=promises_max)
    await table.blocked()
    long = await table.submit(walltime_seconds=900)
    await table.round()
    assert (await table.world.job(long)).waiting_reason == promised

    found = await Explain(table.world.database, PROMISING, ManualClock(table.world.now))(OPERATOR, long)

    assert [verdict.reason for verdict in found.verdicts] == [Reason.RESERVED]
    now = [offer for offer in found.changes if offer.effect is Effect.STARTS_NOW]
    assert [offer.lever for offer in now] == [Lever.WALLTIME]
    assert 0 < now[0].after <= 630 - MARGIN


async def test_what_was_planned_is_known_again_to_the_last_integer(table: Promising) -> None:
    """Explanations plan the last round again: on the world without the promised and with its zones, here and read."""
    await table.blocked()
    await table.submit(walltime_seconds=900)
    done = await table.round()
    last = table.remembered[-1]
    assert any(" until " in name for name in last.world.pool_names)
    assert last.world.input_hash() == last.plan.snapshot_hash

    async with table.world.database.hub() as tx:
        record = await rounds.record(tx, done.round)
    assert record is not None
    read = stored(done.round, record)

    assert read.plan == last.plan
    assert read.world.input_hash() == last.plan.snapshot_hash


def kept_of(table: Promising, prepared: Prepared, decided: Decided, leased: Leased) -> Kept:
    return kept(
        prepared, decided, (), leased, margin_seconds=MARGIN, round_id=RoundId(1), at=table.world.now
    )  # fmt: skip


async def test_a_promise_that_was_put_where_a_lease_is_now_moves_and_it_is_told(table: Promising) -> None:
    """It stood in two hours, was brought forward by the round, and its node was leased meanwhile."""
    _, gang = await table.blocked()
    async with table.world.database.hub() as tx:
        row = (await promises.read(tx))[0]
        await promises.keep(tx, [replace(row, start_s=row.start_s + 900, end_s=row.end_s + 900)])
        later = PromiseEntry(gang, PromiseFate.MOVED, row.start_s, row.start_s + 900, PromiseCause.NODES_GONE)
        await promises.tell(tx, row.round, [later], table.world.now)
    await table.submit(walltime_seconds=300)
    prepared, decided = await table.planned()
    (fast,) = decided.placements
    late = replace(prepared.snapshot, job_walltime_seconds=prepared.snapshot.job_walltime_seconds * 0 + 3600)
    soon = replace(prepared.snapshot, job_walltime_seconds=prepared.snapshot.job_walltime_seconds * 0 + 1000)

    moved = kept_of(table, prepared, decided, [(late, fast)])
    still = kept_of(table, prepared, decided, [(soon, fast)])

    assert [table.seconds(row) for row in moved.rows] == [3600 + MARGIN]
    assert [(e.fate, e.cause) for e in moved.entries] == [(PromiseFate.MOVED, PromiseCause.NODES_GONE)]
    assert [table.seconds(row) for row in still.rows] == [1000 + MARGIN]
    assert still.entries == ()
    assert [entry.job for entry in moved.entries] == [gang]


# What would start a job by a time


def explained_by(table: Promising, job: JobId, seconds: int) -> Awaitable[Explanation]:
    now = table.world.now
    return Explain(table.world.database, PROMISING, ManualClock(now))(OPERATOR, job, now + timedelta(seconds=seconds))


async def test_a_blocked_gang_hears_when_it_could_start_and_with_what_it_could_sooner(table: Promising) -> None:
    """Four of eight cards are free, the others when the lease has ended and its margin."""
    await table.start(cards_per_task=4, walltime_seconds=600, grace_seconds=0)
    gang = await table.submit(tasks=2, cards_per_task=4, walltime_seconds=600)

    soon, late = await explained_by(table, gang, 300), await explained_by(table, gang, 900)

    end = table.world.now + timedelta(seconds=630)
    assert soon.earliest is not None
    assert (soon.earliest.starts_at, soon.earliest.cluster, soon.earliest.pool) == (end, "east", "main")
    assert soon.earliest.detail == (
        f"as it is, it could start by {end.isoformat(timespec='seconds')} in east/main if nobody else came"
    )
    assert [(each.lever, each.effect, each.after) for each in soon.changes] == [(Lever.TASKS, Effect.STARTS_BY, 1)]
    assert soon.changes[0].starts_at == table.world.now
    assert (late.earliest, late.changes) == (soon.earliest, ())


async def test_a_walltime_that_ends_before_a_promise_is_offered_as_it_would_be_asked_for(table: Promising) -> None:
    """The long job comes after a promised gang; a grace of a minute is half a minute more than the margin has room for.

    It may begin now and must end, margin and all, when the gang is promised to start.
    """
    _, gang = await table.blocked()
    long = await table.submit(cards_per_task=2, walltime_seconds=900, grace_seconds=60)

    told = await explained_by(table, long, 300)

    row = (await table.rows())[gang]
    assert told.earliest is not None
    assert told.earliest.starts_at == datetime.fromtimestamp(row.end_s, UTC)
    (offer,) = [each for each in told.changes if each.lever == Lever.WALLTIME]
    assert offer.before == 900
    longest = await table.submit(cards_per_task=2, walltime_seconds=offer.after, grace_seconds=60)
    longer = await table.submit(cards_per_task=2, walltime_seconds=offer.after + 1, grace_seconds=60)
    assert await in_time(table, longest, 300)
    assert not await in_time(table, longer, 300)


async def in_time(table: Promising, job: JobId, seconds: int) -> bool:
    found = (await explained_by(table, job, seconds)).earliest
    return bool(found and found.starts_at and found.starts_at <= table.world.now + timedelta(seconds=seconds))


async def test_a_promised_gang_hears_of_a_start_that_its_own_promise_does_not_delay(table: Promising) -> None:
    small, gang = await table.blocked()
    await table.ends(small)

    told = await explained_by(table, gang, 60)

    assert told.earliest is not None
    assert (told.earliest.starts_at, told.changes) == (table.world.now, ())


async def test_a_share_is_told_what_starts_it_now_and_held_jobs_nothing(table: Promising) -> None:
    share = await table.submit(share_milli=500, cards_per_task=1)
    first = await table.submit()
    after = await table.submit(after=(first,))
    later = await table.submit(earliest_start=table.world.now + timedelta(seconds=600))

    assert (await explained_by(table, share, 60)).earliest is None
    assert (await explained_by(table, after, 60)).earliest is None
    not_yet = (await explained_by(table, later, 60)).earliest
    assert not_yet is not None
    assert not_yet.starts_at == table.world.now + timedelta(seconds=600)
