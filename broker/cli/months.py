"""Commands about months of hubs: the report as one page, and what parks enter for it."""

import re
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.cli import reports
from broker.cli.errors import run, usage
from broker.cli.options import AsJson, DryRun, examples
from broker.cli.output import clock_time, message_data, milli, note, percent, print_json, show, table
from broker.cli.papers import MonthOption, deliver, month_or_now
from broker.cli.settings import month_client

if TYPE_CHECKING:
    from broker.papers.hub_month import HubMonth
    from broker.wire.v1 import hub_month_pb2

_PUE: Final = re.compile(r"[1-4](?:\.[0-9]{1,3})?")
_MWH: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")

app = typer.Typer(
    name="figures",
    help="What parks say of themselves, month by month: racks, measured PUE, recovered heat.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Hub = Annotated[str, typer.Argument(metavar="HUB", help="Name of the hub.")]


class Language(StrEnum):
    """Languages of the page."""

    ZH = "zh"
    EN = "en"


class Withdrawn(StrEnum):
    """Figures that can be taken back."""

    RACKS = "racks"
    RACKS_USED = "racks-used"
    PUE = "pue"
    RECOVERED_HEAT = "recovered-heat"


@reports.app.command(
    epilog=examples(
        "xisuan report month --hub qingyang --month 2026-10 --output qingyang-2026-10.html",
        "xisuan report month --hub qingyang --month 2026-10 --language zh --output qingyang-2026-10.html",
        "xisuan report month --month 2026-10 --json all-2026-10.json        (all hubs together)",
        "xisuan report month --hub qingyang --json - | sha256sum            (the hash that the page shows)",
    )
)
def month(
    ctx: typer.Context,
    month: MonthOption = "",
    hub: Annotated[str, typer.Option(metavar="HUB", help="Which hub [all together].")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the page there [HUB-MONTH.html].")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write canonical JSON there instead; - is stdout.")
    ] = None,
    language: Annotated[Language, typer.Option(help="Of the page.")] = Language.EN,
) -> None:
    """Write the month of a hub as one HTML page with plots, for operators and auditors.

    It shows use by sector, city and model, money, energy against quota and lines, racks, PUE and recovered heat as they
    were entered, vouchers, rounds, and where more cards would have paid by shadow prices. The page needs no network and
    prints on A4. With --json alone no page is written.
    """
    as_json = json_file is not None

    async def fetched() -> "HubMonth":
        async with month_client(ctx) as xisuan:
            return await xisuan.month(month_or_now(month), hub=hub)

    found = run(fetched(), as_json=as_json)
    if json_file is not None:
        deliver(found.text().encode(), None if str(json_file) == "-" else json_file, as_json=as_json)
    if output is not None or not as_json:
        from broker.papers.month_page import page

        place = output or Path(f"{found.hub or 'hubs'}-{found.month}.html")
        deliver(page(found, language.value).encode(), place, as_json=as_json)
        note(f"{place} is written")
    state = "its month is open" if found.provisional_at is not None else "its month is closed"
    note(f"{found.number}: {state}, sha256 {found.sha256()}")


@app.command(
    name="set",
    epilog=examples(
        "xisuan admin figures set qingyang --month 2026-10 --racks 31000 --racks-used 20770 --source 'park survey'",
        "xisuan admin figures set qingyang --month 2026-10 --pue 1.184 --heat-mwh 1250.5 --source 'meter log, 3 Nov'",
        "xisuan admin figures set qingyang --month 2026-10 --withdraw pue --source 'meter was broken'",
    ),
)
def set_figures(
    ctx: typer.Context,
    hub: Hub,
    source: Annotated[str, typer.Option(help="Where it is from; 1 to 200 characters.")],
    month: MonthOption = "",
    racks: Annotated[
        int | None, typer.Option(min=0, help="Standard racks of 2.5 kW that could be used in the month.")
    ] = None,
    racks_used: Annotated[int | None, typer.Option(min=0, help="Of these, with machines in them.")] = None,
    pue: Annotated[str | None, typer.Option(help="Measured PUE, the mean of the month, 1 to 4, such as 1.184.")] = None,
    heat_mwh: Annotated[
        str | None, typer.Option(metavar="MWH", help="Heat that others used, in MWh, such as 1250.5.")
    ] = None,
    withdraw: Annotated[
        list[Withdrawn] | None, typer.Option(help="A figure that was entered and is not known after all; repeatable.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Enter what a park says of itself in a month; what is not given stays as it was entered before.

    Each entry is a version of its own, kept for ever with its source, time and key. The same again adds nothing.
    """
    from broker.wire.v1 import hub_month_pb2 as pb

    heat = None if heat_mwh is None else _thousandths("--heat-mwh", heat_mwh, _MWH, "1250.5", as_json=as_json)
    request = pb.SetParkFiguresRequest(
        hub=hub,
        month=month_or_now(month),
        racks=racks,
        racks_used=racks_used,
        pue_milli=None if pue is None else _thousandths("--pue", pue, _PUE, "1.184", as_json=as_json),
        recovered_heat_kilowatt_hours=heat,
        withdrawn=[f"PARK_FIGURE_{each.name}" for each in withdraw or ()],
        source=source,
        dry_run=dry_run,
    )

    async def done() -> "hub_month_pb2.SetParkFiguresResponse":
        async with month_client(ctx) as xisuan:
            return await xisuan.enter(request)

    made = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(made)})
        return
    show(_figures_table([made.figures]))
    if made.unchanged:
        note(f"it was entered before, as version {made.figures.version}")
    else:
        note(f"{'would add' if dry_run else 'added'} version {made.figures.version} of {made.figures.month}")


@app.command(
    name="list",
    epilog=examples(
        "xisuan admin figures list                                 (the newest version of each hub and month)",
        "xisuan admin figures list qingyang --month 2026-10        (every version: who entered what, and when)",
    ),
)
def list_figures(
    ctx: typer.Context,
    hub: Annotated[str, typer.Argument(metavar="[HUB]", help="Only of this hub.")] = "",
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Every version of this month.")] = "",
    as_json: AsJson = False,
) -> None:
    """List what parks have said of themselves, newest first."""

    async def listed() -> "list[hub_month_pb2.ParkFigures]":
        async with month_client(ctx) as xisuan:
            return list(await xisuan.entries(hub=hub, month=month))

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"figures": [message_data(one) for one in found]})
    else:
        show(_figures_table(found) if found else "nothing is entered")


def _thousandths(option: str, text: str, form: re.Pattern[str], example: str, *, as_json: bool) -> int:
    if form.fullmatch(text) is None:
        usage(f"{option} {text!r} is no such number: write for example {example}", as_json=as_json)
    return int(Decimal(text) * 1000)


def _figures_table(found: "list[hub_month_pb2.ParkFigures]") -> object:
    from broker.client.results import moment

    rows = [
        (
            one.hub,
            one.month,
            one.version,
            f"{one.racks:,}" if one.HasField("racks") else "",
            f"{one.racks_used:,}" if one.HasField("racks_used") else "",
            percent(10**6 * one.racks_used // one.racks) if one.racks and one.HasField("racks_used") else "",
            milli(one.pue_milli) if one.HasField("pue_milli") else "",
            milli(one.recovered_heat_kilowatt_hours) if one.HasField("recovered_heat_kilowatt_hours") else "",
            clock_time(moment(one.set_at)),
            one.set_by,
            one.source,
        )
        for one in found
    ]
    head = ["hub", "month", "version>", "racks>", "used>", "rate>", "PUE>", "heat MWh>", "entered", "by", "source"]
    return table(head, rows)
