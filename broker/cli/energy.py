"""The command about energy: what hubs and cities have drawn, how green it was, and what one job has drawn."""

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, examples
from broker.cli.output import clock_time, milli, percent, print_message, show, table
from broker.cli.settings import measure_client

if TYPE_CHECKING:
    from broker.wire.v1 import measure_service_pb2

JOULES_PER_KILOWATT_HOUR = 3_600_000


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        epilog=examples(
            "xisuan energy",
            "xisuan energy --operator --hub qingyang --month 2026-11",
            "xisuan energy --operator --month 2026                (the whole year)",
            "xisuan energy --job job-7                            (what it drew, and its green share)",
        )
    )(energy)


def energy(
    ctx: typer.Context,
    hub: Annotated[str, typer.Option(metavar="HUB", help="Only this hub.")] = "",
    month: Annotated[
        str, typer.Option(metavar="MONTH", help="A month such as 2026-11 or a year such as 2026 (UTC+8) [this month].")
    ] = "",
    job: Annotated[str, typer.Option(metavar="JOB", help="What this job has drawn, attempt by attempt.")] = "",
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show the energy that was drawn, against quota and policy lines, and how much of it was green.

    Energy is counted from leases: watts of cards and hosts from the offer to the end, times the PUE at the meter. Green
    is all of a hub's green hours, and of the others the share that its world file states. A city sees its own part.
    """
    if job:
        if hub or month:
            usage("--job is about one job: leave out --hub and --month", as_json=as_json)
        _job(ctx, job, city, operator=operator, as_json=as_json)
        return

    async def fetched() -> "measure_service_pb2.GetEnergyResponse":
        async with measure_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.energy(hub=hub, city=city if operator else "", period=month)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
        return
    from broker.client.results import moment

    until = f", counted up to {clock_time(moment(found.counted_until))}" if found.HasField("counted_until") else ""
    show(f"energy of {found.period}{until}", "", _hubs(found), "", _parts(found))


def _hubs(found: "measure_service_pb2.GetEnergyResponse") -> object:
    rows = [
        (
            one.hub,
            _kwh(one.drawn.it_joules) if one.HasField("drawn") else "",
            _kwh(one.drawn.meter_joules) if one.HasField("drawn") else "",
            _kwh(one.pace_joules) if one.HasField("pace_joules") else "",
            _kwh(one.quota_joules) if one.HasField("quota_joules") else "",
            milli(one.pue_milli) if one.HasField("pue_milli") else "",
            f"≤ {milli(one.pue_line_milli)}" if one.HasField("pue_line_milli") else "",
            percent(one.green_ppm) if one.HasField("green_ppm") else "",
            f"≥ {percent(one.green_line_ppm)}" if one.HasField("green_line_ppm") else "",
            _missed(one),
        )
        for one in found.hubs
    ]
    columns = ["hub", "IT kWh>", "meter kWh>", "pace kWh>", "year's quota>", "PUE>", "line>", "green>", "line>", ""]
    return table(columns, rows)


def _missed(one: "measure_service_pb2.HubEnergy") -> str:
    said = []
    if one.HasField("pue_line_milli") and one.HasField("pue_milli") and one.pue_milli > one.pue_line_milli:
        said.append("PUE above its line")
    if one.HasField("green_line_ppm") and one.HasField("green_ppm") and one.green_ppm < one.green_line_ppm:
        said.append("less green than its line")
    if one.HasField("pace_joules") and one.drawn.meter_joules > one.pace_joules:
        said.append("ahead of its pace")
    return ", ".join(said)


def _parts(found: "measure_service_pb2.GetEnergyResponse") -> object:
    if not found.parts:
        return "nothing was drawn"
    rows = [(one.hub, one.cluster, one.city, *_figures(one.drawn)) for one in found.parts]
    return table(["hub", "cluster", "city", "IT kWh>", "meter kWh>", "green kWh>", "green>"], rows)


def _job(ctx: typer.Context, job: str, city: str, *, operator: bool, as_json: bool) -> None:
    async def fetched() -> "measure_service_pb2.GetJobEnergyResponse":
        async with measure_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.job_energy(job)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
        return
    rows = [
        (one.lease_id, one.hub, one.cluster, *_figures(one.drawn), "final" if one.final else "so far")
        for one in found.attempts
    ]
    rows.append(("together", "", "", *_figures(found.drawn), "final" if found.final else "so far"))
    show(table(["attempt", "hub", "cluster", "IT kWh>", "meter kWh>", "green kWh>", "green>", ""], rows))


def _figures(drawn: "measure_service_pb2.Drawn") -> tuple[str, ...]:
    green = percent(drawn.green_ppm) if drawn.HasField("green_ppm") else ""
    return (_kwh(drawn.it_joules), _kwh(drawn.meter_joules), _kwh(drawn.green_joules), green)


def _kwh(joules: int) -> str:
    return milli(joules * 1000 // JOULES_PER_KILOWATT_HOUR)
