"""Commands about probes: how fast cards really are, measured by a job."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, ClusterName, examples
from broker.cli.output import clock_time, message_data, milli, print_json, show, table
from broker.cli.settings import admin_client, city_client, measure_client

if TYPE_CHECKING:
    from broker.client import JobSpec
    from broker.wire.v1 import admin_service_pb2, measure_service_pb2

WALLTIME_SECONDS = 900
OUTPUT_BYTES_MAX = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command that everybody may use."""
    app.command(epilog=examples("xisuan probes", "xisuan probes --cluster qingyang-a --operator --json"))(probes)


def register_admin(app: typer.Typer) -> None:
    """Add the command of operators."""
    app.command(
        epilog=examples(
            "xisuan admin probe qingyang-a --city ganzhou",
            "xisuan admin probe qingyang-a --city ganzhou --model ascend-910b --wait 60",
        )
    )(probe)


def probes(
    ctx: typer.Context,
    cluster: Annotated[str, typer.Option(metavar="CLUSTER", help="Only this cluster.")] = "",
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show what probes have measured of one card, beside what its model is rated at, counted as, and known for.

    What an engine with emulated cards measures says nothing about cards, and is marked.
    """

    async def listed() -> "list[measure_service_pb2.Probe]":
        async with measure_client(ctx, city, operator=operator) as xisuan:
            return list((await xisuan.probes(cluster=cluster)).probes)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"probes": [message_data(one) for one in found]})
        return
    from broker.client.results import moment

    rows = [
        (
            one.cluster,
            one.node,
            one.model,
            *(
                milli(figure) if figure else "?"
                for figure in (
                    one.rated_milli_tflops,
                    one.programme_milli_tflops,
                    one.model_measured_milli_tflops,
                    one.measured_milli_tflops,
                )
            ),
            one.precision,
            "emulated" if one.emulated else "",
            clock_time(moment(one.at)),
        )
        for one in found
    ]
    columns = ["cluster", "node", "model", "rated>", "programme>", "measured elsewhere>", "here>", "", "", "when"]
    show(table(columns, rows) if rows else "nothing was measured: xisuan admin probe CLUSTER --city CITY")


def probe(
    ctx: typer.Context,
    cluster: ClusterName,
    model: Annotated[str, typer.Option(metavar="MODEL", help="Which model, when it has several.")] = "",
    city: Annotated[str, typer.Option(metavar="CITY", help="City whose job it is; needed.")] = "",
    wait: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long to wait for its end.")] = 900.0,
    as_json: AsJson = False,
) -> None:
    """Measure one card of a cluster: submit a probe, wait for it, and record what it says.

    Worth doing when a cluster has come, and after repairs. What runs is the agent's `probe_command`. The job may run on
    any of the owner's clusters in the hub that has the model: recorded is where it did.
    """
    if not city:
        usage("--city is needed: a probe is a job of some city", as_json=as_json)

    from broker.client import NotPossibleNow

    async def measured() -> "measure_service_pb2.Probe":
        async with admin_client(ctx) as admin:
            spec = _spec(await admin.clusters(), (await admin.catalogue()).models, cluster, model, as_json=as_json)
        async with city_client(ctx, city, operator=True) as jobs:
            job_id = (await jobs.submit(spec)).job_id
            ended = await jobs.wait(job_id, timeout_seconds=wait)
            output = b"".join([piece async for piece in jobs.logs(job_id)]) if ended.state == "succeeded" else b""
        said = _result(output)
        if said is None:
            raise NotPossibleNow(
                f"{job_id} is {ended.state} and printed no result: see `xisuan job {job_id}`", reason="NO_RESULT"
            )
        async with measure_client(ctx, operator=True) as xisuan:
            await xisuan.record_probe(job_id, said["milli_tflops"], said["precision"])
            return next(one for one in (await xisuan.probes()).probes if one.job_id == job_id)

    found = run(measured(), as_json=as_json)
    if as_json:
        print_json(message_data(found))
        return
    what = "emulated cards: this is its processors" if found.emulated else f"rated {milli(found.rated_milli_tflops)}"
    show(
        f"{found.cluster}/{found.node}, {found.model}: {milli(found.measured_milli_tflops)} TFLOPS {found.precision}"
        f" of one card ({what})"
    )


def _spec(
    clusters: "Iterable[admin_service_pb2.Cluster]",
    models: "Iterable[admin_service_pb2.AcceleratorModel]",
    name: str,
    model: str,
    *,
    as_json: bool,
) -> "JobSpec":
    from broker.client import Build, JobSpec, PriorityClass

    found = next((one for one in clusters if one.cluster == name), None)
    if found is None:
        usage(f"there is no cluster {name}: see `xisuan clusters`", as_json=as_json)
    has = sorted({pool.model for pool in found.pools})
    if (model and model not in has) or (not model and len(has) != 1):
        usage(f"--model must be one that {name} has: {', '.join(has) or 'it has none yet'}", as_json=as_json)
    wanted = model or has[0]
    stack = next(one.stack for one in models if one.model == wanted)
    return JobSpec(
        name=f"probe {name}",
        cards_per_task=1,
        walltime_seconds=WALLTIME_SECONDS,
        priority=PriorityClass.URGENT,
        allowed_hubs=[found.hub],
        allowed_owners=[found.owner],
        builds=[Build(stack=stack, models=[wanted], command=["xisuan-probe"])],
    )


def _result(output: bytes) -> dict[str, Any] | None:
    """Return what a probe says in the last line that is a result; None: nothing that makes sense."""
    for line in reversed(output[-OUTPUT_BYTES_MAX:].decode(errors="replace").splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("xisuan_probe") == 1:
            speed, precision = said.get("milli_tflops"), said.get("precision")
            if isinstance(speed, int) and not isinstance(speed, bool) and speed > 0 and isinstance(precision, str):
                return {"milli_tflops": speed, "precision": precision}
    return None
