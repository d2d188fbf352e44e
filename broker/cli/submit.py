"""The command submit: one job from options, or many from a file."""
# ruff: noqa: ARG001 - the options that describe the job are read from the context, all together

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from broker.cli import bulk
from broker.cli.errors import ExitCode, fail, run, usage
from broker.cli.jobs import Priority, Within
from broker.cli.options import AsJson, AsOperator, City, DryRun, examples
from broker.cli.output import duration, message_data, milli, print_json, show, table
from broker.cli.settings import city_client

if TYPE_CHECKING:
    from broker.client import JobSpec
    from broker.client.bulk import Item

_SHOWN: Final = 20

Owners: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Owner on whose clusters it may run; may be repeated.")
]
AfterDataReady: TypeAlias = Annotated[
    bool, typer.Option("--after-data-ready", help="As soon as those jobs tell that their data are ready.")
]
Vouchers: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Voucher of the city that pays first, such as qingyang-2026-7; may be repeated."),
]
Green: TypeAlias = Annotated[
    str, typer.Option(help="prefer: it waits for green hours that ask less, if its times allow.")
]
Upstreams: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Job that must have succeeded first; may be repeated.")
]
Smaller: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="TASKS[:SPEED]", help="Smaller gang that would do, such as 4 or 4:0.6; may be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "xisuan submit --stack cann --cards 8 --walltime 2h30m -- python train.py",
            "xisuan submit --stack cuda --model a800 --tasks 16 --cards 8 --memory 512GiB --follow -- ./train.sh",
            "xisuan submit --stack cann --share 250 --tasks 4 -- python serve.py      4 tasks of a quarter card each",
            "xisuan submit --stack cann --tasks 8 --cards 8 --smaller 4 --smaller 2:0.3 --within domain -- ./train.sh",
            "xisuan submit --stack cann --input 2TiB --staged-hub qingyang --transfer-max 6h -- ./train.sh",
            "xisuan submit --stack cann --after job-41 --finish-by 2026-12-01T08:00+08:00 -- ./report.sh",
            "xisuan submit --file jobs.yaml --follow",
            "xisuan submit --file jobs.yaml --repeat 50000 --key load-test-7      safe to run again if it breaks",
            "A file holds one job or a list under `jobs:`; `xisuan submit --schema` prints its JSON Schema.",
        )
    )(submit)


def submit(
    ctx: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-F", help="Job file (YAML or JSON).")] = None,
    repeat: Annotated[int, typer.Option(min=1, max=10_000_000, help="Submit everything so many times.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait until every job is final.")] = False,
    key: Annotated[
        str, typer.Option(help="Request key (a prefix of keys for many): the same again submits nothing twice.")
    ] = "",
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Jobs in one message.")] = 500,
    dry_run: DryRun = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of job files and end.")] = False,
    name: Annotated[str, typer.Option(help="Name for people [the command's first word].")] = "",
    stack: Annotated[str, typer.Option(help="Software stack: cuda, cann, neuware, dtk, musa, ...")] = "",
    model: Annotated[list[str] | None, typer.Option(help="Accelerator model it can run on; may be repeated.")] = None,
    env: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Environment; may be repeated.")] = None,
    tasks: Annotated[int | None, typer.Option(help="Tasks of the gang [1].")] = None,
    cards: Annotated[int | None, typer.Option("--cards", "--cards-per-task", help="Cards for each task [1].")] = None,
    share: Annotated[int | None, typer.Option(help="Instead: so many thousandths of one card for each task.")] = None,
    smaller: Smaller = None,
    within: Annotated[Within | None, typer.Option(help="Where the whole gang must be [pool].")] = None,
    spread_speed: Annotated[str, typer.Option(help="Speed when it spans fabric domains, such as 0.8 [1].")] = "",
    cpus: Annotated[str, typer.Option("--cpus", "--cpus-per-task", help="Cores for each task, such as 8.")] = "",
    memory: Annotated[str, typer.Option("--memory", "--memory-per-task", help="For each task, such as 64GiB.")] = "",
    walltime: Annotated[str, typer.Option(help="Longest run time, such as 2h30m [1h].")] = "",
    grace: Annotated[str, typer.Option(help="From TERM to KILL, such as 30s.")] = "",
    job_set: Annotated[str, typer.Option(help="Group to list and cancel together.")] = "",
    priority: Annotated[Priority | None, typer.Option(help="How urgent it is [standard].")] = None,
    workload_class: Annotated[str, typer.Option("--class", "--workload-class", help="training, inference, ...")] = "",
    hub: Annotated[list[str] | None, typer.Option(help="Hub where it may run; may be repeated.")] = None,
    owner: Owners = None,
    domestic_only: Annotated[bool, typer.Option("--domestic-only", help="Only models of domestic origin.")] = False,
    input_data: Annotated[str, typer.Option("--input", help="Data that must be at the hub first, as 500GiB.")] = "",
    output_data: Annotated[str, typer.Option("--output", help="Data that come back, such as 20GiB.")] = "",
    staged_hub: Annotated[list[str] | None, typer.Option(help="Hub that has the input; may be repeated.")] = None,
    transfer_max: Annotated[str, typer.Option(help="Longest time for the input to arrive, such as 2h.")] = "",
    enterprise: Annotated[str, typer.Option(help="Enterprise that it runs for; with its own key itself.")] = "",
    voucher: Vouchers = None,
    round_trip_max: Annotated[str, typer.Option(help="Longest round trip to the hub, such as 20ms.")] = "",
    ceiling: Annotated[int | None, typer.Option(help="Most to pay, micro-yuan per FP16 PFLOPS-hour.")] = None,
    job_ceiling: Annotated[int | None, typer.Option(help="Most to pay for one run of the job, micro-yuan.")] = None,
    start_by: Annotated[str, typer.Option(help="Waits, for its price too, until 2026-12-01T08:00+08:00.")] = "",
    earliest_start: Annotated[str, typer.Option(help="Does not start before, such as 2026-12-01T22:00+08:00.")] = "",
    finish_by: Annotated[str, typer.Option(help="Of no use after that: expires if it cannot end by then.")] = "",
    after: Upstreams = None,
    after_key: Annotated[list[str] | None, typer.Option(help="The same by its request key; may be repeated.")] = None,
    after_any_end: Annotated[bool, typer.Option("--after-any-end", help="However those jobs have ended.")] = False,
    after_data_ready: AfterDataReady = False,
    green: Green = "",
    preemptible: Annotated[bool, typer.Option("--preemptible", help="It may be stopped for other work.")] = False,
    checkpoint_interval: Annotated[str, typer.Option(help="Work at most that a stop costs, such as 15m [all].")] = "",
    if_lost: Annotated[str, typer.Option(help="When its agent falls silent: hold or restart.")] = "",
    attempts: Annotated[int | None, typer.Option("--attempts", help="Starts if it fails by itself [1].")] = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Submit one job from options, or many from a file."""
    if schema:
        from broker.client import job_file

        print(job_file.schema_text(), end="")
        return
    specs = specs_of(file, described_by(ctx.params, as_json=as_json), as_json=as_json)
    if dry_run:
        _show_plan(specs, repeat, as_json=as_json)
        return
    if not run(_submitted(ctx, specs), as_json=as_json):
        raise typer.Exit(ExitCode.REFUSED)


async def _submitted(ctx: typer.Context, specs: "list[JobSpec]") -> bool:
    """Submit the jobs as the options say, and return whether everything went well."""
    given = ctx.params
    repeat, key, follow, as_json = given["repeat"], given["key"], given["follow"], given["as_json"]
    async with city_client(ctx, given["city"], operator=given["operator"]) as xisuan:
        if given["file"] is None and repeat == 1:
            return await bulk.submit_one(xisuan, specs[0], key=key, follow=follow, as_json=as_json)
        many = bulk.Many(_items(specs, repeat, key), len(specs) * repeat, given["batch"])
        return await bulk.submit_many(xisuan, many, follow=follow, as_json=as_json)


_FIELDS: Final[Mapping[str, str]] = {
    "name": "name",
    "tasks": "tasks",
    "cards": "cards_per_task",
    "share": "share_milli",
    "within": "within",
    "spread_speed": "spread_speed",
    "owner": "allowed_owners",
    "domestic_only": "domestic_only",
    "input_data": "input",
    "output_data": "output",
    "staged_hub": "staged_hubs",
    "transfer_max": "transfer_max",
    "enterprise": "enterprise",
    "voucher": "vouchers",
    "cpus": "cpus_per_task",
    "memory": "memory_per_task",
    "walltime": "walltime",
    "grace": "grace",
    "job_set": "job_set",
    "priority": "priority",
    "workload_class": "workload_class",
    "hub": "allowed_hubs",
    "round_trip_max": "round_trip_max",
    "ceiling": "ceiling_micro_yuan_per_pflops_hour",
    "job_ceiling": "ceiling_micro_yuan_per_job",
    "start_by": "start_by",
    "if_lost": "if_lost",
    "attempts": "attempts_max",
    "earliest_start": "earliest_start",
    "finish_by": "finish_by",
    "after": "after",
    "after_key": "after_request_keys",
    "after_any_end": "after_any_end",
    "after_data_ready": "after_data_ready",
    "green": "green",
    "preemptible": "preemptible",
    "checkpoint_interval": "checkpoint_interval",
}
"""Option → field of a job file."""


def described_by(given: Mapping[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Return the job that options of these names describe as a job file would, empty when none was used."""
    build = {
        "stack": given["stack"],
        "models": given["model"],
        "command": given["command"],
        "environment": _pairs(given.get("env") or (), as_json=as_json),
    }
    job = {field: given.get(option) for option, field in _FIELDS.items()} | {
        "builds": [_without_blanks(build)],
        "smaller_sizes": [_size(text, as_json=as_json) for text in given.get("smaller") or ()],
    }
    if job["builds"] == [{}]:
        del job["builds"]
    return _without_blanks(job)


def _size(text: str, *, as_json: bool) -> dict[str, int]:
    """Return the smaller gang that "4" or "4:0.6" describes. Ends the program when it describes none."""
    from broker.client import units

    tasks, colon, speed = text.partition(":")
    if not tasks.isdecimal() or not tasks.isascii():
        usage(f"--smaller {text[:80]!r} must be TASKS or TASKS:SPEED, such as 4 or 4:0.6", as_json=as_json)
    try:
        return {"tasks": int(tasks[:9])} | ({"speed_ppm": units.ppm(speed)} if colon else {})
    except ValueError as error:
        usage(f"--smaller: {error}", as_json=as_json)


def specs_of(file: Path | None, described: dict[str, Any], *, as_json: bool) -> "list[JobSpec]":
    """Return the jobs of the file or of the options. Ends the program when they are not valid."""
    from broker.client import BadJobFile, job_file

    if file is not None and described:
        names = ", ".join(sorted(described))
        usage(f"with --file the job is described in the file: leave out {names}", as_json=as_json)
    if file is None and not described:
        usage("say what to run: --stack STACK -- COMMAND..., or --file FILE (see --help)", as_json=as_json)
    try:
        if file is not None:
            return job_file.load(file)
        first_word = (described.get("builds", [{}])[0].get("command") or [""])[0]
        defaults = {"name": Path(first_word).name[:128] or "job", "cards_per_task": 1, "walltime": "1h"}
        return [job_file.job_of(defaults | described, name="the job")]
    except BadJobFile as error:
        fail(error, as_json=as_json)


def _items(specs: "list[JobSpec]", repeat: int, key: str) -> "Iterator[Item]":
    """Yield the jobs with their keys: `KEY-1`, `KEY-2`, ... in an order that a second run repeats."""
    repeated = itertools.chain.from_iterable(itertools.repeat(specs, repeat))
    if not key:
        return repeated
    return ((f"{key}-{number}", spec) for number, spec in enumerate(repeated, 1))


def _show_plan(specs: "list[JobSpec]", repeat: int, *, as_json: bool) -> None:
    """Print what would be submitted, with defaults filled in."""
    if as_json:
        print_json({"repeat": repeat, "jobs": [message_data(spec.to_wire()) for spec in specs]})
        return
    columns = ["name", "set", "tasks>", "cards each>", "walltime>", "stacks", "command"]
    rows = [
        (
            spec.name,
            spec.job_set,
            spec.tasks,
            milli(spec.share_milli or spec.cards_per_task * 1000),
            duration(spec.walltime_seconds),
            ", ".join(build.stack for build in spec.builds),
            " ".join(spec.builds[0].command),
        )
        for spec in specs[:_SHOWN]
    ]
    show(table(columns, rows), f"{len(specs) * repeat:,} jobs would be submitted; nothing was sent")


def _pairs(given: Iterable[str], *, as_json: bool) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            usage(f"--env {text[:80]!r} must be NAME=VALUE", as_json=as_json)
        pairs[name] = value
    return pairs


def _without_blanks(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, ()) and value is not False}
