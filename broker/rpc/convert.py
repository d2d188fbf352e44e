"""Between the wire and the domain: requests of JobService in (all checks of its proto), jobs and events out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from broker.ids import JobId, job_text, lease_text
from broker.job import (
    Build,
    Ending,
    Event,
    ExpectedStart,
    GreenPreference,
    Job,
    JobSpec,
    LeasePrice,
    NodeCards,
    Placement,
    PriorityClass,
    Promised,
    Within,
)
from broker.lifecycle import JobState
from broker.market.logs import LogStream
from broker.market.verdicts import Explanation
from broker.policy.keys import SignedPolicy
from broker.rpc.convert_checks import REQUEST_KEY_CHARACTERS_MAX, Checks, job_id
from broker.rpc.convert_enums import (
    END_REASON,
    GREEN,
    IF_LOST,
    JOB_EVENT,
    JOB_STATE,
    LOG_STREAM,
    PRIORITY,
    WITHIN,
    WORKLOAD,
)
from broker.rpc.convert_spec import TASKS_MAX, job_spec, read_spec
from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb

M = TypeVar("M", bound=Message)

__all__ = [
    "REQUEST_KEY_CHARACTERS_MAX",
    "JobFilter",
    "LogSelection",
    "Submission",
    "build_to_wire",
    "chunks",
    "city_or_empty",
    "ending_to_wire",
    "event_to_wire",
    "explanation_to_wire",
    "job_filter",
    "job_id",
    "job_set",
    "job_spec",
    "job_to_wire",
    "log_selection",
    "new_priority",
    "node_cards_to_wire",
    "placement_to_wire",
    "promised_to_wire",
    "spec_to_wire",
    "submission",
    "timestamp",
]

STATES_MAX: Final = 32
ATTEMPT_MAX: Final = 2**31 - 1
OFFSET_MAX: Final = 2**63 - 1


class Submission(Struct, frozen=True, gc=False):
    """One job to submit, valid and complete."""

    request_key: str
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; empty filters let everything pass."""

    states: frozenset[JobState]
    job_set: str
    city: str


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which output to read, from which byte on."""

    job: JobId
    attempt: int  # 0: the last one
    task: int
    stream: LogStream
    offset: int
    follow: bool


def city_or_empty(text: str) -> str:
    """Return the city that a request names, empty when it names none. Raise InvalidRequest."""
    checks = Checks()
    checks.slug_or_empty("city", text)
    checks.done()
    return text


def submission(request: spb.SubmitJobRequest, *, now: datetime) -> Submission:
    """Return what is submitted. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    checks.printable_ascii("request_key", request.request_key, REQUEST_KEY_CHARACTERS_MAX)
    if not request.HasField("spec"):
        checks.wrong("spec", "is missing: say what to run")
        checks.done()
    spec = read_spec(checks, request.spec, now=now)
    if request.request_key in spec.after_request_keys:
        checks.wrong("spec.after_request_keys", "name this job itself: leave its own key out")
    checks.done()
    return Submission(request.request_key, spec)


def job_filter(request: spb.ListJobsRequest) -> JobFilter:
    """Return which jobs to list. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    states = checks.count("states", request.states, 0, STATES_MAX)
    found = JobFilter(
        states=frozenset(JOB_STATE.read(checks, f"states[{i}]", request.states[i]) for i in range(states)),
        job_set=checks.slug_or_empty("job_set", request.job_set),
        city=checks.slug_or_empty("city", request.city),
    )
    checks.done()
    return found


def job_set(request: spb.CancelJobSetRequest) -> str:
    """Return the set to cancel. Raise InvalidRequest when it names none."""
    checks = Checks()
    checks.slug("job_set", request.job_set)
    checks.done()
    return request.job_set


def new_priority(request: spb.UpdateJobRequest) -> tuple[JobId, PriorityClass]:
    """Return the job and its new class. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = checks.job_id("job_id", request.job_id), PRIORITY.read(checks, "priority", request.priority)
    checks.done()
    return found


def log_selection(request: spb.ReadLogsRequest) -> LogSelection:
    """Return which output to read. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = LogSelection(
        job=checks.job_id("job_id", request.job_id),
        attempt=checks.within("attempt", request.attempt, 0, ATTEMPT_MAX),
        task=checks.within("task", request.task, 0, TASKS_MAX - 1),
        stream=LOG_STREAM.read(checks, "stream", request.stream, LogStream.STDOUT),
        offset=checks.within("offset", request.offset, 0, OFFSET_MAX),
        follow=request.follow,
    )
    checks.done()
    return found


def policy_to_wire(policy: SignedPolicy) -> pb.SignedPolicy:
    """Return a signed placement policy."""
    return pb.SignedPolicy(statement=policy.statement, signature=policy.signature)


def job_to_wire(job: Job, now: datetime, policy: SignedPolicy | None = None) -> pb.Job:
    """Return the job as cities see it, with the signed policy of its placement when it is given.

    Of its expected start what lies behind `now` is left out.
    """
    wire = pb.Job(
        job_id=job_text(job.job),
        city=job.city,
        spec=spec_to_wire(job.spec),
        state=JOB_STATE.to_wire(job.state),
        attempt=job.attempt,
        cancel_requested=job.cancel_requested_at is not None,
        submitted_at=timestamp(job.submitted_at),
        waiting_reason=job.waiting_reason,
        preemptions=job.preemptions,
    )
    if job.placement is not None:
        wire.placement.CopyFrom(placement_to_wire(job.placement))
    if job.ending is not None:
        wire.end.CopyFrom(ending_to_wire(job.ending))
    if job.started_at is not None:
        wire.started_at.CopyFrom(timestamp(job.started_at))
    if job.ended_at is not None:
        wire.ended_at.CopyFrom(timestamp(job.ended_at))
    if policy is not None:
        wire.policy.CopyFrom(policy_to_wire(policy))
    if job.stop_ordered_at is not None:
        wire.stop_ordered_at.CopyFrom(timestamp(job.stop_ordered_at))
    if job.data_ready_at is not None:
        wire.data_ready_at.CopyFrom(timestamp(job.data_ready_at))
    if job.promised is not None:
        wire.promised.CopyFrom(promised_to_wire(job.promised))
    ahead = None if job.expected_start is None else job.expected_start.ahead(now)
    if ahead is not None:
        wire.expected_start.CopyFrom(expected_start_to_wire(ahead))
    return wire


def expected_start_to_wire(expected: ExpectedStart) -> pb.ExpectedStart:
    """Return when a waiting job is likely to start."""
    p50_at = None if expected.p50_at is None else timestamp(expected.p50_at)
    return pb.ExpectedStart(p50_at=p50_at, p90_at=timestamp(expected.p90_at))


def promised_to_wire(promised: Promised) -> pb.Promised:
    """Return a start that is promised."""
    return pb.Promised(
        starts_at=timestamp(promised.starts_at),
        first_starts_at=timestamp(promised.first_starts_at),
        cluster=promised.cluster,
        pool=promised.pool,
    )


def spec_to_wire(spec: JobSpec) -> pb.JobSpec:
    """Return the spec with its defaults filled in; `job_spec` makes an equal spec of it."""
    return pb.JobSpec(
        name=spec.name,
        job_set=spec.job_set,
        tasks=spec.tasks,
        cards_per_task=spec.cards_per_task,
        cpu_milli_per_task=spec.cpu_milli_per_task,
        memory_mib_per_task=spec.memory_mib_per_task,
        walltime_seconds=spec.walltime_seconds,
        priority=PRIORITY.to_wire(spec.priority),
        workload_class=WORKLOAD.to_wire(spec.workload_class),
        builds=[build_to_wire(build) for build in spec.builds],
        allowed_hubs=spec.allowed_hubs,
        round_trip_micros_max=spec.round_trip_micros_max,
        ceiling_micro_yuan_per_pflops_hour=spec.ceiling_micro_yuan_per_pflops_hour,
        ceiling_micro_yuan_per_job=spec.ceiling_micro_yuan_per_job,
        start_by=None if spec.start_by is None else timestamp(spec.start_by),
        if_lost=IF_LOST.to_wire(spec.if_lost),
        attempts_max=spec.attempts_max,
        grace_seconds=spec.grace_seconds,
        share_milli=spec.share_milli,
        smaller_sizes=[pb.GangSize(tasks=s.tasks, speed_ppm=s.speed_ppm) for s in spec.smaller_sizes],
        within=WITHIN.to_wire(spec.within),
        spread_speed_ppm=spec.spread_speed_ppm if spec.within is Within.POOL else 0,
        input_gib=spec.input_gib,
        output_gib=spec.output_gib,
        staged_hubs=spec.staged_hubs,
        transfer_seconds_max=spec.transfer_seconds_max,
        domestic_only=spec.domestic_only,
        allowed_owners=spec.allowed_owners,
        enterprise=spec.enterprise,
        earliest_start=None if spec.earliest_start is None else timestamp(spec.earliest_start),
        finish_by=None if spec.finish_by is None else timestamp(spec.finish_by),
        after=map(job_text, spec.after),
        after_request_keys=spec.after_request_keys,
        after_any_end=spec.after_any_end,
        after_data_ready=spec.after_data_ready,
        preemptible=spec.preemptible,
        checkpoint_interval_seconds=spec.checkpoint_interval_seconds,
        vouchers=spec.vouchers,
        green=pb.GREEN_PREFERENCE_UNSPECIFIED if spec.green is GreenPreference.NONE else GREEN.to_wire(spec.green),
    )


def build_to_wire(build: Build) -> pb.Build:
    """Return one way to run a job."""
    return pb.Build(
        stack=build.stack,
        models=build.models,
        command=build.command,
        environment=build.environment,
        speed_ppm=build.speed_ppm,
    )


def placement_to_wire(placement: Placement) -> pb.Placement:
    """Return the named cards of one attempt."""
    return pb.Placement(
        lease_id=lease_text(placement.lease),
        epoch=placement.epoch,
        cluster=placement.cluster,
        pool=placement.pool,
        model=placement.model,
        build=placement.build,
        nodes=map(node_cards_to_wire, placement.nodes),
        tasks=placement.tasks,
        price=None if placement.price is None else _price(placement.price),
    )


def _price(price: LeasePrice) -> pb.LeasePrice:
    return pb.LeasePrice(
        ask_micro_yuan_per_card_hour=price.ask_micro_yuan_per_card_hour,
        scarcity_micro_yuan_per_card_hour=price.scarcity_micro_yuan_per_card_hour,
        rate_card_version=price.rate_card_version,
    )


def node_cards_to_wire(held: NodeCards) -> pb.NodeCards:
    """Return the cards that one lease holds on one node."""
    return pb.NodeCards(node=held.node, cards=held.cards, tasks=held.tasks, share_milli=held.share_milli)


def ending_to_wire(ending: Ending) -> pb.End:
    """Return how something ended."""
    return pb.End(
        reason=END_REASON.to_wire(ending.reason),
        exit_code=ending.exit_code,
        signal=ending.signal,
        detail=ending.detail,
    )


def event_to_wire(event: Event) -> spb.JobEvent:
    """Return one event of a city's stream."""
    return spb.JobEvent(
        cursor=event.cursor,
        job_id=job_text(event.job),
        kind=JOB_EVENT.to_wire(event.kind),
        at=timestamp(event.at),
        attempt=event.attempt,
        placement=None if event.placement is None else placement_to_wire(event.placement),
        end=None if event.ending is None else ending_to_wire(event.ending),
    )


def explanation_to_wire(explanation: Explanation, now: datetime) -> spb.ExplainJobResponse:
    """Return why a job waits, pool by pool."""
    return spb.ExplainJobResponse(
        job=job_to_wire(explanation.job, now),
        verdicts=[
            spb.PoolVerdict(
                cluster=v.cluster,
                pool=v.pool,
                hub=v.hub,
                model=v.model,
                reason=v.reason,
                build=v.build,
                cards_short=v.cards_short,
                clearing_micro_yuan_per_pflops_hour=v.clearing_micro_yuan_per_pflops_hour,
                detail=v.detail,
            )
            for v in explanation.verdicts
        ],
        round=explanation.round,
        summary=explanation.summary,
        changes=[
            spb.JobChange(
                lever=c.lever,
                effect=c.effect,
                before=c.before,
                after=c.after,
                name=c.name,
                extra_micro_yuan_per_hour=c.extra_micro_yuan_per_hour,
                cluster=c.cluster,
                pool=c.pool,
                instead_of_jobs=c.instead_of_jobs,
                detail=c.detail,
                starts_at=None if c.starts_at is None else timestamp(c.starts_at),
            )
            for c in explanation.changes
        ],
        worth=_worth_to_wire(explanation),
        earliest=_earliest_to_wire(explanation),
    )


def _earliest_to_wire(explanation: Explanation) -> spb.EarliestStart | None:
    """Return when a job could start as it is, where that was asked for."""
    found = explanation.earliest
    if found is None:
        return None
    at = None if found.starts_at is None else timestamp(found.starts_at)
    return spb.EarliestStart(starts_at=at, cluster=found.cluster, pool=found.pool, detail=found.detail)


def _worth_to_wire(explanation: Explanation) -> spb.WorthSplit | None:
    """Return what a placed job is worth; prices of all kinds of cards are one figure, so are CPU and memory."""
    split = explanation.worth
    if split is None:
        return None
    cost = split.cost
    return spb.WorthSplit(
        pays_micro_yuan_per_hour=split.gross,
        asks_micro_yuan_per_hour=split.asks,
        energy_micro_yuan_per_hour=split.energy,
        transfer_micro_yuan_per_hour=split.transfer,
        weight_percent=split.weight_percent,
        worth_micro_yuan_per_hour=split.worth,
        cards_price_micro_yuan_per_hour=cost.blocks + cost.slices + cost.domains,
        host_price_micro_yuan_per_hour=cost.cpu + cost.memory,
        power_price_micro_yuan_per_hour=cost.power,
        quota_price_micro_yuan_per_hour=cost.quota,
    )


def timestamp(at: datetime) -> Timestamp:
    """Return an aware time as it is written on the wire."""
    wire = Timestamp()
    wire.FromDatetime(at)
    return wire


def chunks(messages: Iterable[M], bytes_max: int) -> Iterator[list[M]]:
    """Return the messages in lists of at most that many bytes on the wire; a larger message gets a list of its own."""
    chunk: list[M] = []
    size = 0
    for message in messages:
        more = message.ByteSize()
        if chunk and size + more > bytes_max:
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += more
    if chunk:
        yield chunk
