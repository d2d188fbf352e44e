"""Job files: YAML or JSON by a published schema (`job.schema.json`), one job or a list under `jobs:`.

    jobs:
      - name: 训练 demo
        cards_per_task: 8
        walltime: 2h30m            # or walltime_seconds: 9000
        memory_per_task: 64GiB     # or memory_mib_per_task: 65536
        builds:
          - stack: cann
            command: [python, train.py]

Every field of `JobSpec` may be given. Where a unit can be read in one way only, people may write it their way:
`walltime`, `grace`, `transfer_max` and `checkpoint_interval` ("2h30m"), `memory_per_task` ("64GiB"), `input` and
`output` ("2TiB"), `cpus_per_task` ("8", 0.5), `spread_speed` (0.8), `round_trip_max` ("20ms").

`python -m broker.client.job_file` prints the schema.
"""

import difflib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from broker.client import units, yaml_text
from broker.client.errors import BadJobFile, FieldProblem
from broker.client.spec import Build, GangSize, JobSpec

JOBS_MAX: Final = 50_000
"""Jobs in one file."""

PROBLEMS_MAX: Final = 20
"""Problems that are told at once."""

_Read = Callable[[str], int]

_SLUG: Final = "must be a slug: 1 to 63 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"
_PATTERNS: Final[Mapping[Any, str]] = {
    "after": "must be the id of a job, such as job-42",
    "after_request_keys": "must be a request key: 1 to 128 printable ASCII characters",
}
"""Field → what its texts must be, where they are no slugs."""

HUMAN_UNITS: Final[Mapping[str, tuple[str, _Read, str]]] = {
    "walltime": ("walltime_seconds", units.seconds, "Longest run time, such as 2h30m."),
    "grace": ("grace_seconds", units.seconds, "Time between TERM and KILL, such as 30s."),
    "memory_per_task": ("memory_mib_per_task", units.mib, "Memory for each task, such as 64GiB."),
    "cpus_per_task": ("cpu_milli_per_task", units.cpu_milli, "Cores for each task, such as 8 or 0.5."),
    "round_trip_max": (
        "round_trip_micros_max",
        units.micros,
        "Longest acceptable round trip to the hub, such as 20ms.",
    ),
    "spread_speed": ("spread_speed_ppm", units.ppm, "Speed when it spans fabric domains, such as 0.8 of full speed."),
    "input": ("input_gib", units.gib, "Data that must be at the hub before it starts, such as 500GiB."),
    "output": ("output_gib", units.gib, "Data that come back when it has ended, such as 20GiB."),
    "transfer_max": (
        "transfer_seconds_max",
        units.seconds,
        "Longest acceptable time for the input to reach the hub, such as 2h.",
    ),
    "checkpoint_interval": (
        "checkpoint_interval_seconds",
        units.seconds,
        "Seconds of work at most that a stop without grace costs, such as 15m.",
    ),
}
"""Key for people → (field of JobSpec, how to read it, description)."""

_PLAIN_NUMBERS: Final = frozenset({"cpus_per_task", "spread_speed"})
"""Keys for people whose amounts need no unit."""


def load(path: Path) -> list[JobSpec]:
    """Return the jobs in a file. Raise BadJobFile that names every wrong place and the way out."""
    try:
        with path.open("rb") as file:
            text = file.read(yaml_text.BYTES_MAX + 1)
    except OSError as error:
        raise BadJobFile(f"cannot read {path}: {error.strerror}") from error
    return parse(text, name=str(path), json_only=path.suffix == ".json")


def parse(text: bytes, *, name: str = "the job file", json_only: bool = False) -> list[JobSpec]:
    """Return the jobs in a document. Raise BadJobFile that names every wrong place and the way out."""
    try:
        data = yaml_text.parse(text, json_only=json_only)
    except yaml_text.BadText as error:
        raise BadJobFile(f"{name}: {error}") from error
    problems: list[FieldProblem] = []
    jobs: list[JobSpec] = []
    for place, entry in _entries(data, problems):
        jobs += _job(entry, place, problems)
        if len(problems) >= PROBLEMS_MAX:
            break
    if problems:
        raise BadJobFile(f"{name} is not valid", fields=problems[:PROBLEMS_MAX])
    return jobs


def job_of(values: Mapping[str, Any], *, name: str = "the job") -> JobSpec:
    """Return the job that one entry of a job file describes. Raise BadJobFile that names every wrong field."""
    problems: list[FieldProblem] = []
    found = _job(values, "", problems)
    if problems:
        raise BadJobFile(f"{name} is not valid", fields=problems[:PROBLEMS_MAX])
    return found[0]


def _entries(data: Any, problems: list[FieldProblem]) -> list[tuple[str, Any]]:
    """Return (place, entry) for each job: the document is one job, or has a list under `jobs`."""
    if not isinstance(data, dict):
        problems.append(FieldProblem("document", "must be one job, or a mapping with a list under `jobs:`"))
        return []
    if "jobs" not in data:
        return [("", data)]
    problems += [
        FieldProblem(str(key)[:80], "cannot stand beside `jobs`: move it into each job")
        for key in data
        if key != "jobs"
    ]
    entries = data["jobs"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= JOBS_MAX:
        problems.append(FieldProblem("jobs", f"must be a list of 1 to {JOBS_MAX} jobs"))
        return []
    return [(f"jobs[{i}].", entry) for i, entry in enumerate(entries)]


def _job(entry: Any, place: str, problems: list[FieldProblem]) -> list[JobSpec]:
    """Return the job of one entry, or nothing and tell the problems."""
    if not isinstance(entry, Mapping):
        problems.append(FieldProblem(place.rstrip(".") or "document", "must be a mapping of fields, see the schema"))
        return []
    values, told = dict(entry), set()
    for key, (field, read, _) in HUMAN_UNITS.items():
        if key in values:
            wrong = _fold(values, key, field, read)
            if wrong:
                problems.append(FieldProblem(place + key, wrong))
                told.add((field,))
    try:
        job = JobSpec.model_validate(values)
    except ValidationError as error:
        found = [dict(e) for e in error.errors(include_url=False)]
        problems += [_problem(e, place) for e in found if e["loc"] not in told]
        return []
    return [] if told else [job]


def _fold(values: dict[str, Any], key: str, field: str, read: _Read) -> str:
    """Replace a key for people by the field that it stands for; return what is wrong with it, if anything."""
    given = values.pop(key)
    if field in values:
        return f"says the same as {field}: give one of them"
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not isinstance(given, str) and not (number and key in _PLAIN_NUMBERS):
        return f"{given!r} has no unit: write it in quotes with its unit"[:200]
    try:
        values[field] = read(str(given))
    except ValueError as error:
        return str(error)
    return ""


def _problem(error: Mapping[str, Any], place: str) -> FieldProblem:
    loc: tuple[Any, ...] = error["loc"]
    field = place + _path(loc)
    if error["type"] == "extra_forbidden":
        return FieldProblem(field, _unknown_key(str(loc[-1]), str(loc[0]) if len(loc) > 1 else ""))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_type" and isinstance(error["input"], int | float):
        message = f'must be a text: write it in quotes, "{error["input"]}"'
    elif error["type"] == "string_pattern_mismatch":
        message = _PATTERNS.get(loc[0], _SLUG)
    elif error["type"] == "missing" and loc == ("walltime_seconds",):
        message = 'is missing: give walltime, such as "2h30m", or walltime_seconds'
    elif error["type"] == "missing":
        message = "is missing"
    return FieldProblem(field, message)


def _unknown_key(key: str, inside: str) -> str:
    """Say what could have been meant; `inside` is the job's field that the key stands in, empty for the job itself."""
    within = {"builds": list(Build.model_fields), "smaller_sizes": list(GangSize.model_fields)}
    known = within.get(inside, [*JobSpec.model_fields, *HUMAN_UNITS])
    near = difflib.get_close_matches(key, known, n=1)
    return f"is no field; did you mean {near[0]}?" if near else f"is no field; there are {', '.join(sorted(known))}"


def _path(loc: tuple[Any, ...]) -> str:
    """Return ("builds", 0, "stack") as "builds[0].stack"; names of pydantic's own branches are left out."""
    told = ""
    for part in loc:
        if isinstance(part, int):
            told += f"[{part}]"
        elif part.isidentifier():
            told += f".{part}" if told else part
        elif not part.startswith(("constrained", "function-")):
            told += f"[{part[:80]!a}]"
    return told or "job"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a job file."""
    job = JobSpec.model_json_schema(ref_template="#/$defs/{model}")
    job["description"] = job["description"].split("\n")[0]
    definitions = job.pop("$defs")
    for key, (field, _, description) in HUMAN_UNITS.items():
        kinds = ["string", "number"] if key in _PLAIN_NUMBERS else "string"
        job["properties"][key] = {"type": kinds, "description": f"{description} Instead of {field}.", "title": key}
        either: dict[str, Any] = {"not": {"required": [key, field]}}
        if field in job["required"]:
            job["required"].remove(field)
            either = {"oneOf": [{"required": [key]}, {"required": [field]}]}
        job.setdefault("allOf", []).append(either)
    definitions["Job"] = job
    several = {
        "type": "object",
        "additionalProperties": False,
        "required": ["jobs"],
        "properties": {
            "jobs": {"type": "array", "minItems": 1, "maxItems": JOBS_MAX, "items": {"$ref": "#/$defs/Job"}}
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Xisuan job file",
        "description": "One job, or several under `jobs`.",
        "anyOf": [{"$ref": "#/$defs/Job"}, several],
        "$defs": definitions,
    }


def schema_text() -> str:
    """Return the schema as it is published in `job.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
