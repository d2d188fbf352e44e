"""The page of job files: their fields, and the life of a job."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

import broker.lifecycle
from broker.client.job_file import HUMAN_UNITS
from broker.client.spec import Build, GangSize, JobSpec
from broker.lifecycle import JOB, JOB_FINAL, LEASE, EndReason, JobEvent, JobState, LeaseEvent, LeaseState
from broker.reference import markdown as md

EXAMPLE: Final = """\
```yaml
jobs:
  - name: train
    tasks: 2
    cards_per_task: 8
    walltime: 2h30m
    memory_per_task: 256GiB
    builds:                     # the allocator picks build, pool and cards together
      - {stack: cann, command: [python, train.py]}
      - {stack: cuda, models: [a800, h20], command: [torchrun, train.py], speed_ppm: 1200000}
    smaller_sizes: [{tasks: 1}] # shrink before wait
    within: domain              # all nodes under one leaf switch, or in one super-node
    input: 500GiB
    staged_hubs: [qingyang]     # the data are there already
  - name: serve
    tasks: 4
    cards_per_task: 1
    share_milli: 250            # a quarter of a card for each task
    walltime: 8h
    builds: [{stack: cann, command: [python, serve.py]}]
  - name: report
    cards_per_task: 1
    walltime: 30m
    after: [job-41]             # starts when that one has succeeded
    finish_by: 2026-12-01T08:00:00+08:00
    preemptible: true
    checkpoint_interval: 10m
    builds: [{stack: cann, command: [python, report.py]}]
```"""
INTRODUCTION: Final = f"""\
`xisuan submit --file FILE` takes one job, or a list under `jobs:`, as YAML or JSON. Unknown keys are refused with a
suggestion. The JSON Schema is [`broker/client/job.schema.json`](../client/job.schema.json).

{EXAMPLE}"""


def page() -> str:
    """Return the page."""
    lines = md.generated("Jobs", "`broker/client/spec.py` and `broker/lifecycle.py`", INTRODUCTION)
    lines += ["## Fields", "", *_fields(JobSpec), "Written for people, instead of the field with the exact unit:", ""]
    humans = [(md.code(key), md.code(field), md.prose(meaning)) for key, (field, _, meaning) in HUMAN_UNITS.items()]
    lines += md.table(["key", "instead of", "meaning"], humans)
    lines += ["Each entry of `builds`:", "", *_fields(Build)]
    lines += ["Each entry of `smaller_sizes`:", "", *_fields(GangSize)]
    lines += ["## The life of a job", "", *_states(JobState), "### Events", ""]
    lines += _moves(JOB, JobEvent, f"Final are {', '.join(f'`{s}`' for s in JobState if s in JOB_FINAL)}.")
    lines += ["## The life of a lease", "", "One attempt's right to named cards. Silence frees nothing.", ""]
    lines += [*_states(LeaseState), "### Events", "", *_moves(LEASE, LeaseEvent, "")]
    return md.text([*lines, "## How a job or an attempt ends", "", *_states(EndReason)])


def _fields(model: type[BaseModel]) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        if not field.description:
            raise ValueError(f"{model.__name__}.{name} has no description")
        default = "required" if field.is_required() else _default(field.default)
        rows.append((md.code(name), default, md.range_of(field), md.prose(field.description)))
    return md.table(["field", "default", "range", "meaning"], rows)


def _default(value: object) -> str:
    return "none" if value in (None, "", [], {}) else md.code(value)


def _states(kind: type[Any]) -> list[str]:
    comments = md.enum_comments(kind, Path(broker.lifecycle.__file__), lenient=True)
    rows = [(md.code(member.value), md.prose(comments[member.name])) for member in kind]
    return md.table(["name", "meaning"], rows)


def _moves(moves: Any, events: type[Any], final: str) -> list[str]:
    """Return which event leads where from each state; what is not listed is refused."""
    rows = [
        (
            md.code(event.value),
            ", ".join(f"{a} → {b}" for (a, e), b in moves.items() if e is event) or "comes into being",
        )
        for event in events
    ]
    return [*md.table(["event", "from → to"], rows), f"{final} What is not listed is refused.".strip(), ""]
