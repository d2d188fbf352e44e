"""MeasureService over a real socket and a real database: who sees what, and every wrong field."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest

from broker.caller import Role
from broker.clock import ManualClock
from broker.ids import job_text
from broker.job import Build
from broker.loops.energy import EnergyCount
from broker.market.identity import Identity
from broker.rooms import measures_of
from broker.rpc.server import build_server
from broker.store.database import Database
from broker.store.energy_counts import SETTLED
from broker.wire.v1 import measure_service_pb2 as pb
from broker.wire.v1.measure_service_pb2_grpc import MeasureServiceStub
from tests.rpc.refusals import refusal
from tests.small_world import T0, a_spec, lay_out, placed, submitted

CALLERS = {"operator": "", "observer": "", "auditor": "", "owner": "longdong", "city": "ganzhou"}
HOUR = 3600


@dataclass
class Measured:
    """The service, and a key for everyone."""

    database: Database
    clock: ManualClock
    stub: Any
    keys: dict[str, str]
    port: int

    async def __call__(self, request: Any, who: str = "operator") -> Any:
        """Make the unary call that takes this request."""
        name = type(request).__name__.removesuffix("Request")
        metadata = (("authorization", f"Bearer {self.keys[who]}"),)
        return await getattr(self.stub, name)(request, metadata=metadata, timeout=30)


@asynccontextmanager
async def open_measured(database: Database) -> AsyncIterator[Measured]:
    """The small world two hours later: Ganzhou drew on one card, Nanjing on two, and the second hour was green.

    A card draws 500 W, 600 W at the meter; the hub has a quota of 8,760 MWh a year, and lines.
    """
    await lay_out(database)
    async with database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET watts = 400, host_watts = 100")
        await tx.execute(
            "UPDATE hubs SET pue_milli = 1200, pue_line_milli = 1150, green_hours = '{17}', green_line_ppm = 800000,"
            " energy_kilowatt_hours_per_year = 8760000 WHERE hub = 'qingyang'"
        )
    [mine] = await submitted(database, "a")
    [theirs] = await submitted(database, "b", city="nanjing")
    await placed(database, mine)
    await placed(database, theirs, city="nanjing", cards=(1, 2))
    clock, identity = ManualClock(T0), Identity(database)
    keys = {r: (await identity.create(Role(r), subject, "test", T0)).text for r, subject in CALLERS.items()}
    clock.advance(seconds=2 * HOUR)
    await EnergyCount(database).run_once(clock.now() + SETTLED)
    service = measures_of(database, clock)
    server = build_server(
        [service], listen="127.0.0.1:0", identity=identity, calls_per_second_max=_unlimited, clock=clock
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Measured(database, clock, MeasureServiceStub(channel), keys, server.port)
    finally:
        await server.stop(0)


async def _unlimited(_: str) -> int:
    return 1_000_000


@pytest.fixture
async def measured(database: Database) -> AsyncIterator[Measured]:
    async with open_measured(database) as measured:
        yield measured


@pytest.mark.parametrize("who", ["operator", "observer", "auditor"])
async def test_who_sees_all_sees_a_hub_against_its_quota_and_lines(measured: Measured, who: str) -> None:
    found = await measured(pb.GetEnergyRequest(hub="qingyang"), who)

    [hub] = found.hubs
    seconds = 2 * HOUR - 1  # leases are offered a second after the start
    assert (found.period, hub.drawn.it_joules) == ("2026-03", 3 * 500 * seconds)
    assert hub.drawn.meter_joules == 3 * 600 * seconds
    assert hub.drawn.green_joules == 3 * 600 * HOUR
    assert hub.drawn.green_ppm == hub.green_ppm == HOUR * 10**6 // seconds
    assert (hub.green_line_ppm, hub.pue_milli, hub.pue_line_milli, list(hub.green_hours)) == (800_000, 1200, 1150, [17])
    assert hub.quota_joules == 8_760_000 * 3_600_000
    assert hub.pace_joules == hub.quota_joules * 31 // 365
    assert [(p.cluster, p.owner, p.city) for p in found.parts] == [
        ("longdong", "longdong", "ganzhou"),
        ("longdong", "longdong", "nanjing"),
    ]
    assert found.counted_until.ToDatetime(T0.tzinfo) == measured.clock.now()


async def test_a_city_sees_its_own_part_and_how_green_the_hub_is(measured: Measured) -> None:
    found = await measured(pb.GetEnergyRequest(hub="qingyang"), "city")

    [hub] = found.hubs
    assert (hub.HasField("drawn"), hub.HasField("quota_joules"), hub.HasField("pace_joules")) == (False, False, False)
    assert hub.green_ppm > 0
    assert [(p.city, p.drawn.it_joules) for p in found.parts] == [("ganzhou", 500 * (2 * HOUR - 1))]


async def test_an_owner_sees_what_its_clusters_have_drawn(measured: Measured) -> None:
    async with measured.database.hub() as tx:
        await tx.execute("UPDATE clusters SET owner = 'another'")

    none = await measured(pb.GetEnergyRequest(), "owner")
    async with measured.database.hub() as tx:
        await tx.execute("UPDATE clusters SET owner = 'longdong'")
    some = await measured(pb.GetEnergyRequest(city="nanjing"), "owner")

    assert (list(none.parts), [p.city for p in some.parts]) == ([], ["nanjing"])
    assert not any(hub.HasField("drawn") for hub in (*none.hubs, *some.hubs))


async def test_a_period_without_work_has_nothing(measured: Measured) -> None:
    before = await measured(pb.GetEnergyRequest(period="2026-02"))
    year = await measured(pb.GetEnergyRequest(period="2026", hub="qingyang"))
    december = await measured(pb.GetEnergyRequest(period="2025-12"))

    assert [(h.hub, h.drawn.it_joules, h.HasField("green_ppm")) for h in before.hubs] == [
        ("guian", 0, False),
        ("qingyang", 0, False),
    ]
    assert year.hubs[0].pace_joules == year.hubs[0].quota_joules
    assert (december.period, list(december.parts)) == ("2025-12", [])


async def test_a_job_has_its_certificate(measured: Measured) -> None:
    running = await measured(pb.GetJobEnergyRequest(job_id="job-1"), "city")
    foreign = await refusal(measured(pb.GetJobEnergyRequest(job_id="job-2"), "city"))
    async with measured.database.hub() as tx:
        end = T0 + timedelta(seconds=1 + HOUR)
        await tx.execute("UPDATE leases SET state = 'ended', ended_at = $1, end_reason = 'completed'", end)
    measured.clock.advance(seconds=60)
    await EnergyCount(measured.database).run_once(measured.clock.now() + SETTLED)
    over = await measured(pb.GetJobEnergyRequest(job_id="job-1"), "observer")

    assert (running.final, running.drawn.it_joules) == (False, 500 * (2 * HOUR - 1))
    assert foreign.reason == "JOB_NOT_FOUND"
    [attempt] = over.attempts
    assert (over.final, attempt.final, attempt.lease_id, attempt.hub) == (True, True, "lease-1", "qingyang")
    assert (over.drawn.it_joules, over.drawn.green_joules) == (500 * HOUR, 600)  # one second of a green hour


async def test_everybody_sees_how_reliable_owners_are(measured: Measured) -> None:
    async with measured.database.hub() as tx:
        await tx.execute("UPDATE leases SET state = 'active', started_at = offered_at WHERE city = 'ganzhou'")
        await tx.execute("UPDATE leases SET state = 'lost', lost_at = offered_at WHERE city = 'nanjing'")

    found = {who: await measured(pb.ListReliabilityRequest(owner="longdong"), who) for who in CALLERS}

    whole, cluster = found["city"].scores
    assert (whole.owner, whole.cluster, cluster.cluster, found["city"].days) == ("longdong", "", "longdong", 30)
    assert [(p.part, p.good, p.of, p.ppm) for p in whole.parts] == [
        (pb.RELIABILITY_PART_KEPT, 1, 2, 500_000),
        (pb.RELIABILITY_PART_STARTS, 1, 1, 1_000_000),
        (pb.RELIABILITY_PART_PROMPT, 1, 1, 1_000_000),
    ]
    assert whole.score_ppm == (50 * 500_000 + 35 * 1_000_000) // 85
    assert len({answer.SerializeToString() for answer in found.values()}) == 1
    assert (await refusal(measured(pb.ListReliabilityRequest(cluster="atlantis")))).reason == "CLUSTER_NOT_FOUND"


async def probed(measured: Measured, *, state: str = "succeeded", program: str = "xisuan-probe", first: int = 3) -> str:
    """A job of Ganzhou that ran a program on two cards of the first node, from `first` on."""
    spec = a_spec(cards_per_task=2, builds=(Build("cuda", ("no",)), Build("cann", (program,))))
    [job] = await submitted(measured.database, f"probe-{state}-{program}", spec=spec)
    await placed(measured.database, job, cards=(first, first + 1))
    async with measured.database.hub() as tx:
        await tx.execute(
            "UPDATE jobs SET state = $2, ended_at = $3, end_reason = 'completed' WHERE job_id = $1", job, state, T0
        )
    return job_text(job)


@pytest.mark.parametrize(("engine", "emulated"), [("local", True), ("slurm", False)])
async def test_a_probe_is_recorded_once_where_it_ran(measured: Measured, engine: str, emulated: bool) -> None:
    async with measured.database.hub() as tx:
        await tx.execute("UPDATE clusters SET engine = $1", engine)
        await tx.execute("UPDATE accelerator_models SET fp16_nameplate_milli_tflops = 400000")
    job = await probed(measured)

    for speed in (240_000, 999_999):
        await measured(pb.RecordProbeRequest(job_id=job, measured_milli_tflops=speed, precision="fp16"))
    [row] = (await measured(pb.ListProbesRequest(cluster="longdong"))).probes
    [seen] = (await measured(pb.ListProbesRequest(), "city")).probes
    scored = (await measured(pb.ListReliabilityRequest(cluster="longdong"))).scores[0]

    assert (row.cluster, row.owner, row.node, row.model, row.cards) == ("longdong", "longdong", "n1", "ascend-910b", 2)
    assert (row.measured_milli_tflops, row.rated_milli_tflops, row.programme_milli_tflops) == (
        240_000,
        400_000,
        320_000,
    )
    assert (row.emulated, row.precision, row.job_id, seen.job_id) == (emulated, "fp16", job, "")
    speed_parts = [(p.good, p.of) for p in scored.parts if p.part == pb.RELIABILITY_PART_SPEED]
    assert speed_parts == ([] if emulated else [(240_000, 400_000)])


async def test_only_a_probe_that_has_succeeded_is_recorded(measured: Measured) -> None:
    wrong = [await probed(measured, program="python"), await probed(measured, state="failed", first=5), "job-99"]

    refused = [
        await refusal(measured(pb.RecordProbeRequest(job_id=job, measured_milli_tflops=1, precision="fp16")))
        for job in wrong
    ]

    assert [(r.reason, list(r.fields)) for r in refused] == [
        ("INVALID_REQUEST", ["job_id"]),
        ("INVALID_REQUEST", ["job_id"]),
        ("JOB_NOT_FOUND", []),
    ]
    assert not (await measured(pb.ListProbesRequest())).probes


WRONG = {
    "a hub": (pb.GetEnergyRequest(hub="Qing Yang"), "hub"),
    "a city": (pb.GetEnergyRequest(city="-"), "city"),
    "no month": (pb.GetEnergyRequest(period="2026-13"), "period"),
    "no period": (pb.GetEnergyRequest(period="yesterday"), "period"),
    "a long period": (pb.GetEnergyRequest(period="2026-01\n"), "period"),
    "no speed": (pb.RecordProbeRequest(job_id="job-1", precision="fp16"), "measured_milli_tflops"),
    "a precision": (pb.RecordProbeRequest(job_id="job-1", measured_milli_tflops=1), "precision"),
    "a cluster of probes": (pb.ListProbesRequest(cluster="A"), "cluster"),
    "an owner": (pb.ListReliabilityRequest(owner="A"), "owner"),
    "a cluster": (pb.ListReliabilityRequest(cluster="A"), "cluster"),
    "no job": (pb.GetJobEnergyRequest(job_id="7"), "job_id"),
}


@pytest.mark.parametrize(("request_", "field"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_named(measured: Measured, request_: Any, field: str) -> None:
    refused = await refusal(measured(request_))

    assert (refused.code, list(refused.fields)) == ("INVALID_ARGUMENT", [field])


async def test_what_is_not_there_is_said(measured: Measured) -> None:
    assert (await refusal(measured(pb.GetEnergyRequest(hub="atlantis")))).reason == "HUB_NOT_FOUND"
    assert (await refusal(measured(pb.GetJobEnergyRequest(job_id="job-99")))).reason == "JOB_NOT_FOUND"
    assert (await refusal(measured(pb.GetEnergyRequest(city="nanjing"), "city"))).reason == "ROLE_REFUSED"
