"""What a city asks for, in plain Python. Field meanings and limits are those of `broker/wire/v1/job.proto`."""

import unicodedata
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from broker.ids import JOB, LABEL, SLUG
from broker.wire.v1 import job_pb2

SPEED_REFERENCE_PPM: Final = 1_000_000
"""Speed of a build that is as fast as the job's reference."""


class PriorityClass(StrEnum):
    """How urgent a job is. A higher class is served first and pays for it."""

    DEFERRABLE = "deferrable"
    STANDARD = "standard"
    URGENT = "urgent"
    EMERGENCY = "emergency"


class WorkloadClass(StrEnum):
    """What kind of work a job is; voucher programmes and sector reports are by these classes."""

    TRAINING = "training"
    INFERENCE = "inference"
    SPEECH = "speech"
    IMAGE = "image"
    AUTONOMOUS_DRIVING = "autonomous_driving"
    RESEARCH = "research"
    AGRICULTURE = "agriculture"
    INDUSTRY = "industry"
    LOW_ALTITUDE = "low_altitude"
    OTHER = "other"


class IfLost(StrEnum):
    """What happens when the agent that runs a job falls silent: wait for it, or start again elsewhere."""

    HOLD = "hold"
    RESTART = "restart"


class Within(StrEnum):
    """Where all nodes of a gang must be: anywhere in one pool, in one fabric domain of it, or on one node."""

    POOL = "pool"
    DOMAIN = "domain"
    NODE = "node"


class GreenPreference(StrEnum):
    """Whether it waits for hours in which a hub's energy is green, and cards ask less."""

    NONE = "none"
    PREFER = "prefer"


def _printable(text: str) -> str:
    wrong = next((c for c in text if not c.isprintable() or unicodedata.category(c) == "Cs"), None)
    if wrong is not None:
        raise ValueError(f"must be printable, but holds {wrong!a}")
    return text


def _passable(text: str) -> str:
    """Refuse what no process can be given: a zero byte, or half of a surrogate pair (JSON can write one)."""
    if "\0" in text:
        raise ValueError("must hold no zero byte")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode, but holds half of a surrogate pair") from None
    return text


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of the years that a calendar has") from None


def _between(low: int, high: int) -> Any:
    return Field(ge=low, le=high, strict=True)  # strict: neither "8" nor true nor 8.0 is a count


Passable = Annotated[str, AfterValidator(_passable)]
Slug = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]
Label = Annotated[str, StringConstraints(pattern=f"^{LABEL.pattern}$")]

Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
JobName = Annotated[str, StringConstraints(pattern=f"^{JOB.pattern}$")]
RequestKey = Annotated[str, StringConstraints(pattern="^[ -~]{1,128}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Build(_Model):
    """One way to run a job: a program for one software stack. The allocator picks build, pool and cards together."""

    stack: Slug
    """Software stack as the catalogue names it: cuda, cann, neuware, dtk, musa, maca, xpu, topsrider, corex, ..."""
    command: Annotated[list[Passable], Field(min_length=1, max_length=256)]
    """Program and arguments; run without a shell. 64 KiB together."""
    models: Annotated[list[Slug], Field(max_length=32)] = []
    """Accelerator models it can run on; empty means every model of the stack."""
    environment: Annotated[dict[Passable, Passable], Field(max_length=256)] = {}
    """Environment variables, 128 KiB together; XISUAN_* and visible-devices variables are set by the agent."""
    speed_ppm: Annotated[int, _between(1, 10_000_000)] = SPEED_REFERENCE_PPM
    """How fast it is against the job's reference, in millionths: 500000 takes twice as long."""

    def to_wire(self) -> job_pb2.Build:
        """Return it as the broker wants it."""
        return job_pb2.Build(
            stack=self.stack,
            models=self.models,
            command=self.command,
            environment=self.environment,
            speed_ppm=self.speed_ppm,
        )


class GangSize(_Model):
    """A smaller size that would do for an elastic job."""

    tasks: Annotated[int, _between(1, 9_999)]
    """Tasks; less than the job's, and than those of the size before."""
    speed_ppm: Annotated[int, _between(0, 1_000_000)] = 0
    """Speed of the whole gang with them, in millionths of the full gang's; 0 means in proportion to the tasks."""

    def to_wire(self) -> job_pb2.GangSize:
        """Return it as the broker wants it."""
        return job_pb2.GangSize(tasks=self.tasks, speed_ppm=self.speed_ppm)


class JobSpec(_Model):
    """What a city asks for: a gang of tasks that start together or not at all, and the builds it can run as.

    Raises: pydantic.ValidationError (a ValueError): on construction, naming each wrong field.
    """

    name: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
    """A name for people; need not be unique."""
    cards_per_task: Annotated[int, _between(1, 64)]
    """Whole cards for each task; all cards of one task are on one node. 1 where `share_milli` is given."""
    walltime_seconds: Annotated[int, _between(1, 31_536_000)]
    """Longest run time; the agent kills what runs longer."""
    builds: Annotated[list[Build], Field(min_length=1, max_length=16)]
    """Builds in order of preference among equals; each stack at most once. All commands and environments: 256 KiB."""
    tasks: Annotated[int, _between(1, 10_000)] = 1
    """Tasks of the gang."""
    job_set: Annotated[str, StringConstraints(pattern=f"^({SLUG.pattern})?$")] = ""
    """Group of jobs that can be listed and cancelled together; a slug or empty."""
    cpu_milli_per_task: Annotated[int, _between(0, 1_000_000)] = 0
    """CPU for each task, in thousandths of a core."""
    memory_mib_per_task: Annotated[int, _between(0, 16_777_216)] = 0
    """Memory for each task in MiB."""
    priority: PriorityClass = PriorityClass.STANDARD
    """How urgent it is; emergency is for operators only."""
    workload_class: WorkloadClass = WorkloadClass.OTHER
    """What kind of work it is."""
    allowed_hubs: Annotated[list[Slug], Field(max_length=32)] = []
    """Hubs where it may run; empty means every hub."""
    round_trip_micros_max: Annotated[int, _between(0, 10_000_000)] = 0
    """Longest acceptable round trip between the city and the hub in microseconds; 0 means no limit."""
    ceiling_micro_yuan_per_pflops_hour: Annotated[int, _between(0, 10**12)] = 0
    """The most the city pays for one FP16 PFLOPS for one hour, in micro-yuan; 0 means the city's standard ceiling."""
    start_by: Moment | None = None
    """A standing order: it waits for its price until then, and expires; a time with its zone, within 366 days."""
    if_lost: IfLost = IfLost.HOLD
    """What happens when its agent falls silent."""
    attempts_max: Annotated[int, _between(1, 10)] = 1
    """How often it may be started when it fails by itself."""
    grace_seconds: Annotated[int, _between(0, 3600)] = 0
    """Time between the first signal (TERM) and the kill when it is cancelled or at its walltime."""
    share_milli: Annotated[int, _between(0, 999)] = 0
    """Share of one card for each task, in thousandths, rounded up to the model's next slice; 0 means whole cards."""
    smaller_sizes: Annotated[list[GangSize], Field(max_length=16)] = []
    """Smaller sizes that would do when the full gang finds no room, in descending order of tasks."""
    within: Within = Within.POOL
    """Where all nodes of the gang must be."""
    spread_speed_ppm: Annotated[int, _between(0, 1_000_000)] = 0
    """Speed when it spans fabric domains, in millionths; 0 means full speed. With `within: pool` only."""
    input_gib: Annotated[int, _between(0, 1_048_576)] = 0
    """Data that must be at the hub before it starts, in GiB."""
    output_gib: Annotated[int, _between(0, 1_048_576)] = 0
    """Data that come back from the hub when it has ended, in GiB."""
    staged_hubs: Annotated[list[Slug], Field(max_length=32)] = []
    """Hubs where the input is already; it moves nowhere then."""
    transfer_seconds_max: Annotated[int, _between(0, 31_536_000)] = 0
    """Longest acceptable time for the input to reach the hub; 0 means no limit."""
    domestic_only: Annotated[bool, Field(strict=True)] = False
    """Only accelerator models of domestic origin."""
    allowed_owners: Annotated[list[Slug], Field(max_length=32)] = []
    """Owners of clusters on which it may run; empty means every owner."""
    enterprise: Annotated[str, StringConstraints(pattern=f"^({SLUG.pattern})?$")] = ""
    """Enterprise of the city that it runs for: it counts to that enterprise's quota where there is one."""
    earliest_start: Moment | None = None
    """It does not start before then; a time with its zone, within 366 days. One that has passed means at once."""
    finish_by: Moment | None = None
    """It is of no use after that: it expires when it can no longer end by then; within 732 days."""
    after: Annotated[list[JobName], Field(max_length=64)] = []
    """Jobs of the same city that must have succeeded before it starts; when one ends otherwise, it is cancelled."""
    after_request_keys: Annotated[list[RequestKey], Field(max_length=64)] = []
    """The same, by the request keys of jobs that were submitted before, or stand before it in the same call."""
    after_any_end: Annotated[bool, Field(strict=True)] = False
    """It starts after those jobs however they ended."""
    after_data_ready: Annotated[bool, Field(strict=True)] = False
    """It starts as soon as each of those jobs has told that its data are ready, or has succeeded."""
    preemptible: Annotated[bool, Field(strict=True)] = False
    """It may be stopped for other work, with `grace_seconds` for a last checkpoint, and waits again then."""
    checkpoint_interval_seconds: Annotated[int, _between(0, 31_536_000)] = 0
    """Seconds of work at most that a stop without grace costs; 0 means all of it. For preemptible jobs."""
    ceiling_micro_yuan_per_job: Annotated[int, _between(0, 10**15)] = 0
    """The most the city pays for one run of the whole job, in micro-yuan; 0 means no such ceiling."""
    vouchers: Annotated[list[Label], Field(max_length=4)] = []
    """Vouchers of the city that pay first, in this order, as far as their rules let them."""
    green: GreenPreference = GreenPreference.NONE
    """Whether it waits for green hours that ask less; only as far as its times allow."""

    def to_wire(self) -> job_pb2.JobSpec:
        """Return it as the broker wants it."""
        return job_pb2.JobSpec(
            name=self.name,
            job_set=self.job_set,
            tasks=self.tasks,
            cards_per_task=self.cards_per_task,
            cpu_milli_per_task=self.cpu_milli_per_task,
            memory_mib_per_task=self.memory_mib_per_task,
            walltime_seconds=self.walltime_seconds,
            priority=f"PRIORITY_CLASS_{self.priority.name}",
            workload_class=f"WORKLOAD_CLASS_{self.workload_class.name}",
            builds=[build.to_wire() for build in self.builds],
            allowed_hubs=self.allowed_hubs,
            round_trip_micros_max=self.round_trip_micros_max,
            ceiling_micro_yuan_per_pflops_hour=self.ceiling_micro_yuan_per_pflops_hour,
            if_lost=f"IF_LOST_{self.if_lost.name}",
            attempts_max=self.attempts_max,
            grace_seconds=self.grace_seconds,
            share_milli=self.share_milli,
            smaller_sizes=[size.to_wire() for size in self.smaller_sizes],
            within=f"WITHIN_{self.within.name}",
            spread_speed_ppm=self.spread_speed_ppm,
            input_gib=self.input_gib,
            output_gib=self.output_gib,
            staged_hubs=self.staged_hubs,
            transfer_seconds_max=self.transfer_seconds_max,
            domestic_only=self.domestic_only,
            allowed_owners=self.allowed_owners,
            enterprise=self.enterprise,
            start_by=timestamp(self.start_by),
            earliest_start=timestamp(self.earliest_start),
            finish_by=timestamp(self.finish_by),
            after=self.after,
            after_request_keys=self.after_request_keys,
            after_any_end=self.after_any_end,
            after_data_ready=self.after_data_ready,
            preemptible=self.preemptible,
            checkpoint_interval_seconds=self.checkpoint_interval_seconds,
            ceiling_micro_yuan_per_job=self.ceiling_micro_yuan_per_job,
            vouchers=self.vouchers,
            green=None if self.green is GreenPreference.NONE else f"GREEN_PREFERENCE_{self.green.name}",
        )


def timestamp(at: datetime | None) -> Timestamp | None:
    """Return an aware time as it is written on the wire; None stays unset."""
    if at is None:
        return None
    wire = Timestamp()
    wire.FromDatetime(at)
    return wire
