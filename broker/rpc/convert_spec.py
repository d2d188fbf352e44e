"""JobSpec from the wire: every limit of job.proto is checked here, and every default filled in."""

import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter, ge, le
from typing import Any, Final, NamedTuple

from msgspec import structs

from broker.ids import LABEL
from broker.job import Build, GangSize, IfLost, JobSpec, PriorityClass, Within, WorkloadClass
from broker.rpc import convert_when
from broker.rpc.convert_checks import Checks, shown, utf8_bytes
from broker.rpc.convert_enums import IF_LOST, PRIORITY, WITHIN, WORKLOAD
from broker.wire.v1 import job_pb2 as pb

NAME_CHARACTERS_MAX: Final = 128
TASKS_MAX: Final = 10_000
CARDS_PER_TASK_MAX: Final = 64
CPU_MILLI_PER_TASK_MAX: Final = 1_000_000
MEMORY_MIB_PER_TASK_MAX: Final = 16_777_216
WALLTIME_SECONDS_MAX: Final = 31_536_000
ROUND_TRIP_MICROS_MAX: Final = 10_000_000
CEILING_MICRO_YUAN_PER_PFLOPS_HOUR_MAX: Final = 10**12
CEILING_MICRO_YUAN_PER_JOB_MAX: Final = 10**15
ATTEMPTS_MAX: Final = 10
GRACE_SECONDS_MAX: Final = 3600
HUBS_MAX: Final = 32
BUILDS_MAX: Final = 16
MODELS_MAX: Final = 32
COMMAND_WORDS_MAX: Final = 256
COMMAND_BYTES_MAX: Final = 64 * 1024
VARIABLES_MAX: Final = 256
ENVIRONMENT_BYTES_MAX: Final = 128 * 1024
BUILDS_BYTES_MAX: Final = 256 * 1024
VARIABLE_NAME_CHARACTERS_MAX: Final = 255
SPEED_PPM_MAX: Final = 10_000_000
SPEED_PPM_REFERENCE: Final = 1_000_000
SHARE_MILLI_MAX: Final = 999
SIZES_MAX: Final = 16
GIB_MAX: Final = 2**20
TRANSFER_SECONDS_MAX: Final = 31_536_000
OWNERS_MAX: Final = 32
VOUCHERS_MAX: Final = 4

VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What the agent sets for a job: its own facts, and which cards it may see. A job that set them itself could reach for
# cards that it was not given. Every vendor's visible-devices variable ends alike; HIP and OpenCL know one more name.
AGENTS_OWN: Final = re.compile(r"XISUAN_.*|.*VISIBLE_DEVICES|GPU_DEVICE_ORDINAL", re.DOTALL)

# A message is no smaller than the texts in it: one of up to so many bytes is within every limit of theirs.
_SMALL_BYTES: Final = min(COMMAND_BYTES_MAX, ENVIRONMENT_BYTES_MAX, BUILDS_BYTES_MAX)
_ANYWHERE_IN_A_POOL: Final = (pb.WITHIN_UNSPECIFIED, pb.WITHIN_POOL)

_WITHIN: Final[Mapping[str, tuple[int, int]]] = {
    "tasks": (1, TASKS_MAX),
    "cards_per_task": (1, CARDS_PER_TASK_MAX),
    "cpu_milli_per_task": (0, CPU_MILLI_PER_TASK_MAX),
    "memory_mib_per_task": (0, MEMORY_MIB_PER_TASK_MAX),
    "walltime_seconds": (1, WALLTIME_SECONDS_MAX),
    "round_trip_micros_max": (0, ROUND_TRIP_MICROS_MAX),
    "ceiling_micro_yuan_per_pflops_hour": (0, CEILING_MICRO_YUAN_PER_PFLOPS_HOUR_MAX),
    "ceiling_micro_yuan_per_job": (0, CEILING_MICRO_YUAN_PER_JOB_MAX),
    "grace_seconds": (0, GRACE_SECONDS_MAX),
}
"""Fields that are numbers, with the least and the most that each may be."""


_numbers_of: Final = attrgetter(*_WITHIN)
_LOWEST, _HIGHEST = zip(*_WITHIN.values(), strict=True)

TERMS_KEPT_MAX: Final = 2000
_OWN: Final = frozenset(pb.JobSpec.DESCRIPTOR.fields_by_name[name] for name in ("name", "builds"))
_KNOWN: Final[dict[Hashable, JobSpec]] = {}
"""Jobs by what was said of them beside name and builds, with nothing wrong in it."""


class _BuildPath(NamedTuple):
    """How the fields of one build are named in what is wrong with them."""

    stack: str
    models: str
    command: str
    environment: str
    speed_ppm: str


_BUILD_PATHS: Final = [
    _BuildPath(*(f"spec.builds[{i}].{name}" for name in _BuildPath._fields)) for i in range(BUILDS_MAX)
]


def job_spec(wire: pb.JobSpec, *, now: datetime) -> JobSpec:
    """Return what the city asks for. Raise InvalidRequest that names every wrong field; see `read_spec`."""
    checks = Checks()
    spec = read_spec(checks, wire, now=now)
    checks.done()
    return spec


def read_spec(checks: Checks, wire: pb.JobSpec, *, now: datetime) -> JobSpec:
    """Return what the city asks for, complete, and valid if `checks` found nothing wrong.

    Args:
        checks: takes every wrong field, with paths such as "spec.builds[0].command".
        wire: the message, however hostile.
        now: aware UTC; times must not lie too far after it. That they have not passed is judged where repeated
            submissions are known: those are answered, whatever the time.
    """
    small = wire.ByteSize() <= _SMALL_BYTES
    name = checks.printable("spec.name", wire.name, NAME_CHARACTERS_MAX)
    terms = _terms(checks, wire, now)
    spec = structs.replace(terms, name=name, builds=_builds(checks, wire.builds, small=small))
    _each_stack_once(checks, spec.builds)
    if not small:
        _not_too_large(checks, spec.builds)
    return spec


def _terms(checks: Checks, wire: pb.JobSpec, now: datetime) -> JobSpec:
    """Return the job without name and builds. Of thousands that come together few differ in the rest: it is kept."""
    said = tuple([field for field in wire.ListFields() if field[0] not in _OWN])
    try:
        known = _KNOWN.get(said)
    except TypeError:  # lists and times: they are read each time
        return _read_terms(checks, wire, now)
    if known is None:
        known = _read_terms(checks, wire, now)
        if checks.none_wrong:
            if len(_KNOWN) >= TERMS_KEPT_MAX:
                _KNOWN.clear()
            _KNOWN[said] = known
    return known


def _read_terms(checks: Checks, wire: pb.JobSpec, now: datetime) -> JobSpec:
    return JobSpec(
        name="",
        builds=(),
        job_set=checks.slug_or_empty("spec.job_set", wire.job_set),
        **_numbers(checks, wire),
        priority=PRIORITY.read(checks, "spec.priority", wire.priority, PriorityClass.STANDARD),
        workload_class=WORKLOAD.read(checks, "spec.workload_class", wire.workload_class, WorkloadClass.OTHER),
        allowed_hubs=_names(checks, "spec.allowed_hubs", wire.allowed_hubs, HUBS_MAX),
        if_lost=IF_LOST.read(checks, "spec.if_lost", wire.if_lost, IfLost.HOLD),
        attempts_max=checks.within("spec.attempts_max", wire.attempts_max, 0, ATTEMPTS_MAX) or 1,
        # Parts that most leave out: without any of their fields, JobSpec's own defaults say what reading them would.
        **(_form(checks, wire) if _has_form(wire) else {}),
        **(_place(checks, wire) if _has_place(wire) else {}),
        enterprise=checks.slug_or_empty("spec.enterprise", wire.enterprise),
        vouchers=_vouchers(checks, wire.vouchers),
        **(convert_when.when(checks, wire, now) if convert_when.has_when(wire) else {}),
    )


def _numbers(checks: Checks, wire: pb.JobSpec) -> dict[str, Any]:
    """Return the numbers that stand alone; those of `_WITHIN` in one look, for nearly all jobs have them right."""
    values: tuple[int, ...] = _numbers_of(wire)
    if not (all(map(ge, values, _LOWEST)) and all(map(le, values, _HIGHEST))):
        limits = zip(_WITHIN.items(), values, strict=True)
        values = tuple([checks.within(f"spec.{name}", value, *within) for (name, within), value in limits])
    return dict(zip(_WITHIN, values, strict=True))


def _has_form(wire: pb.JobSpec) -> bool:
    return bool(
        wire.share_milli or wire.spread_speed_ppm or wire.smaller_sizes or wire.within not in _ANYWHERE_IN_A_POOL
    )


def _form(checks: Checks, wire: pb.JobSpec) -> dict[str, Any]:
    """Return what the gang may look like: shares, sizes, and how near to each other its nodes must be."""
    share = checks.within("spec.share_milli", wire.share_milli, 0, SHARE_MILLI_MAX)
    within = WITHIN.read(checks, "spec.within", wire.within, Within.POOL)
    spread = checks.within("spec.spread_speed_ppm", wire.spread_speed_ppm, 0, SPEED_PPM_REFERENCE)
    spread = spread or SPEED_PPM_REFERENCE
    if share and wire.cards_per_task > 1:
        checks.wrong("spec.cards_per_task", "must be 1 beside share_milli: a share is of one card")
    if share and within is not Within.POOL:
        checks.wrong("spec.within", "has no meaning for shares of cards: leave it out, or ask for whole cards")
    if spread != SPEED_PPM_REFERENCE and (share or within is not Within.POOL):
        checks.wrong("spec.spread_speed_ppm", "is for whole cards and WITHIN_POOL only: leave it out")
    return {
        "share_milli": share,
        "smaller_sizes": _sizes(checks, wire),
        "within": within,
        "spread_speed_ppm": spread,
    }


def _sizes(checks: Checks, wire: pb.JobSpec) -> tuple[GangSize, ...]:
    looked_at = checks.count("spec.smaller_sizes", wire.smaller_sizes, 0, SIZES_MAX)
    sizes: list[GangSize] = []
    above, full = wire.tasks, max(1, wire.tasks)
    for i in range(looked_at):
        size, path = wire.smaller_sizes[i], f"spec.smaller_sizes[{i}]"
        if not 1 <= size.tasks < above:
            checks.wrong(f"{path}.tasks", f"is {size.tasks}, must be at least 1 and less than the {above} before it")
        speed = checks.within(f"{path}.speed_ppm", size.speed_ppm, 0, SPEED_PPM_REFERENCE)
        sizes.append(GangSize(size.tasks, speed or max(1, size.tasks * SPEED_PPM_REFERENCE // full)))
        above = size.tasks
    return tuple(sizes)


def _has_place(wire: pb.JobSpec) -> bool:
    return bool(
        wire.input_gib
        or wire.output_gib
        or wire.staged_hubs
        or wire.transfer_seconds_max
        or wire.domestic_only
        or wire.allowed_owners
    )


def _place(checks: Checks, wire: pb.JobSpec) -> dict[str, Any]:
    """Return where it may run, and what has to be carried there and back."""
    seconds = checks.within("spec.transfer_seconds_max", wire.transfer_seconds_max, 0, TRANSFER_SECONDS_MAX)
    for name in ("staged_hubs", "transfer_seconds_max"):
        if getattr(wire, name) and not wire.input_gib:
            checks.wrong(f"spec.{name}", "is about the input, and there is none: give input_gib, or leave it out")
    return {
        "input_gib": checks.within("spec.input_gib", wire.input_gib, 0, GIB_MAX),
        "output_gib": checks.within("spec.output_gib", wire.output_gib, 0, GIB_MAX),
        "staged_hubs": _names(checks, "spec.staged_hubs", wire.staged_hubs, HUBS_MAX),
        "transfer_seconds_max": seconds,
        "domestic_only": wire.domestic_only,
        "allowed_owners": _names(checks, "spec.allowed_owners", wire.allowed_owners, OWNERS_MAX),
    }


def _builds(checks: Checks, builds: Sequence[pb.Build], *, small: bool) -> tuple[Build, ...]:
    checks.count("spec.builds", builds, 1, BUILDS_MAX)
    of_each = zip(_BUILD_PATHS, builds, strict=False)  # of more than there may be the first alone
    return tuple([_build(checks, path, build, small=small) for path, build in of_each])


def _build(checks: Checks, path: _BuildPath, wire: pb.Build, *, small: bool) -> Build:
    return Build(
        stack=checks.slug(path.stack, wire.stack),
        models=_names(checks, path.models, wire.models, MODELS_MAX),
        command=_command(checks, path.command, wire.command, small=small),
        environment=_environment(checks, path.environment, wire.environment, small=small),
        speed_ppm=checks.within(path.speed_ppm, wire.speed_ppm, 0, SPEED_PPM_MAX) or SPEED_PPM_REFERENCE,
    )


def _names(checks: Checks, path: str, names: Sequence[str], most: int) -> tuple[str, ...]:
    """Return names sorted and each once: order and repetition mean nothing, so they must not make bodies differ."""
    if not names:
        return ()
    looked_at = checks.count(path, names, 0, most)
    return tuple(sorted({checks.slug(f"{path}[{i}]", names[i]) for i in range(looked_at)}))


def _vouchers(checks: Checks, names: Sequence[str]) -> tuple[str, ...]:
    """Return the vouchers that pay, in the order in which they are drawn on: it means something."""
    if not names:
        return ()
    found = names[: checks.count("spec.vouchers", names, 0, VOUCHERS_MAX)]
    for i, name in enumerate(found):
        path = f"spec.vouchers[{i}]"
        if LABEL.fullmatch(name) is None:
            checks.wrong(path, f'must be the name of a voucher, such as "qingyang-2026-7", not {shown(name)}')
        elif name in found[:i]:
            checks.wrong(path, f"{shown(name)} is named twice")
    return tuple(found)


def _command(checks: Checks, path: str, words: Sequence[str], *, small: bool) -> tuple[str, ...]:
    command = tuple(words[: checks.count(path, words, 1, COMMAND_WORDS_MAX)])
    size = 0 if small else sum(map(utf8_bytes, command))
    if size > COMMAND_BYTES_MAX:
        checks.wrong(path, f"has {size} bytes, must have at most {COMMAND_BYTES_MAX}: ship long input as a file")
        return ()
    if command and not command[0]:
        checks.wrong(f"{path}[0]", "must name a program, is empty")
    if _passes_to_a_process("".join(command)):
        return command
    for i, word in enumerate(command):
        if not _passes_to_a_process(word):
            checks.wrong(f"{path}[{i}]", f"must be text without NUL, not {shown(word)}")
    return command


def _environment(checks: Checks, path: str, variables: Mapping[str, str], *, small: bool) -> dict[str, str]:
    if not variables:
        return {}
    if len(variables) > VARIABLES_MAX:
        checks.wrong(path, f"has {len(variables)} entries, must have at most {VARIABLES_MAX}")
        return {}
    environment = dict(sorted(variables.items()))
    size = 0 if small else sum(utf8_bytes(name) + utf8_bytes(value) for name, value in environment.items())
    if size > ENVIRONMENT_BYTES_MAX:
        checks.wrong(path, f"has {size} bytes, must have at most {ENVIRONMENT_BYTES_MAX}: ship large input as a file")
        return {}
    for name, value in environment.items():
        if len(name) > VARIABLE_NAME_CHARACTERS_MAX or VARIABLE_NAME.fullmatch(name) is None:
            checks.wrong(f"{path}[{shown(name)}]", "a name has letters, digits and '_' and does not start with a digit")
        elif AGENTS_OWN.fullmatch(name):
            checks.wrong(f"{path}[{shown(name)}]", "is set by the agent from the cards it gives: leave it out")
        if not _passes_to_a_process(value):
            checks.wrong(f"{path}[{shown(name)}]", f"must be text without NUL, not {shown(value)}")
    return environment


def _passes_to_a_process(text: str) -> bool:
    """Tell whether a process can be given it and the database can store it: no NUL, no lone surrogate."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _each_stack_once(checks: Checks, builds: Sequence[Build]) -> None:
    if len(builds) == 1:
        return
    first: dict[str, int] = {}
    for i, build in enumerate(builds):
        at = first.setdefault(build.stack, i)
        if at != i:
            checks.wrong(
                f"spec.builds[{i}].stack",
                f"{shown(build.stack)} is the stack of builds[{at}] already: give each stack one build",
            )


def _not_too_large(checks: Checks, builds: Sequence[Build]) -> None:
    """Check what all builds hold together: a million jobs of some megabytes each are more than anybody can keep."""
    size = sum(
        sum(map(utf8_bytes, build.command)) + sum(utf8_bytes(n) + utf8_bytes(v) for n, v in build.environment.items())
        for build in builds
    )
    if size > BUILDS_BYTES_MAX:
        why = f"commands and environments have {size} bytes together, must have at most {BUILDS_BYTES_MAX}"
        checks.wrong("spec.builds", f"{why}: ship large input as a file")
