"""Commands for operators: power and energy of hubs."""

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, examples
from broker.cli.output import milli, print_message, show, table, yuan
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2

_PUE: Final = re.compile(r"[0-9](?:\.[0-9]{1,3})?")
_YUAN: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")

app = typer.Typer(
    name="power",
    help="Power and energy of hubs: caps, PUE, the year's energy quota and its pace.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Hub = Annotated[str, typer.Argument(metavar="HUB", help="Name of the hub.")]


@app.command(
    name="set",
    epilog=examples(
        "xisuan admin power set qingyang --cap-kw 300000 --pue 1.2",
        "xisuan admin power set qingyang --energy-kwh 2100000000 --price 0.4",
        "xisuan admin power set qingyang --meter-kwh 1350000000     (what the park's meter says of this year)",
        "xisuan admin power set guian --cap-kw 0                    (no cap any more)",
    ),
)
def set_power(
    ctx: typer.Context,
    hub: Hub,
    cap_kw: Annotated[int | None, typer.Option(min=0, help="Most power at the hub's meter, in kW; 0: no cap.")] = None,
    pue: Annotated[
        str | None, typer.Option(help="Power usage effectiveness, 1 to 4, such as 1.2; 0: not known.")
    ] = None,
    energy_kwh: Annotated[
        int | None, typer.Option(min=0, help="Energy quota of a calendar year (UTC+8), in kWh; 0: none.")
    ] = None,
    price: Annotated[str | None, typer.Option(metavar="YUAN", help="Price of one kWh, such as 0.4; 0: none.")] = None,
    meter_kwh: Annotated[
        int | None, typer.Option(min=0, help="What the meter says that this year has used so far, in kWh.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set power and energy of a hub; what is not given stays.

    A card that is leased draws its model's watts and its share of the host's, times the PUE. No work is placed beyond
    the cap. The year's energy quota enters as a pace: what is left of it, spread over the rest of the year. Work that
    runs is never ended by it; energy is paid for out of a job's worth.
    """
    asked = {
        "power_kilowatts_max": cap_kw,
        "pue_milli": None if pue is None else int(_number("--pue", pue, _PUE, "1.2", as_json=as_json) * 1000),
        "energy_kilowatt_hours_per_year": energy_kwh,
        "micro_yuan_per_kilowatt_hour": None
        if price is None
        else int(_number("--price", price, _YUAN, "0.4", as_json=as_json) * 1_000_000),
        "used_kilowatt_hours": meter_kwh,
    }
    if all(value is None for value in asked.values()):
        usage("give at least one of --cap-kw, --pue, --energy-kwh, --price, --meter-kwh", as_json=as_json)

    async def done() -> "admin_service_pb2.HubPower":
        async with admin_client(ctx) as xisuan:
            return await xisuan.set_hub_power(hub, **asked)

    _tell(run(done(), as_json=as_json), as_json=as_json)


@app.command(name="show", epilog=examples("xisuan admin power show qingyang", "xisuan admin power show guian --json"))
def show_power(ctx: typer.Context, hub: Hub, as_json: AsJson = False) -> None:
    """Show power and energy of a hub: what is set, what is used, and the pace that keeps within the year's quota."""

    async def fetched() -> "admin_service_pb2.HubPower":
        async with admin_client(ctx) as xisuan:
            return await xisuan.hub_power(hub)

    _tell(run(fetched(), as_json=as_json), as_json=as_json)


def _number(option: str, text: str, form: re.Pattern[str], example: str, *, as_json: bool) -> Decimal:
    if form.fullmatch(text) is None:
        usage(f"{option} {text!r} is no such number: write for example {example}", as_json=as_json)
    return Decimal(text)


def _tell(power: "admin_service_pb2.HubPower", *, as_json: bool) -> None:
    if as_json:
        print_message(power)
        return
    rows: list[tuple[str, str]] = [
        ("hub", power.hub),
        ("cap", f"{power.power_kilowatts_max:,} kW" if power.power_kilowatts_max else "none"),
        ("PUE", milli(power.pue_milli) if power.pue_milli else "not known"),
        ("price of energy", f"{yuan(power.micro_yuan_per_kilowatt_hour)} for one kWh"),
        ("used now", _kilowatts(power.used_watts)),
        ("pace", _kilowatts(power.pace_watts) if power.HasField("pace_watts") else "no energy quota"),
        ("free for new work", _kilowatts(power.free_watts) if power.HasField("free_watts") else "no limit"),
    ]
    if power.energy_kilowatt_hours_per_year:
        rows += [
            (f"energy quota of {power.year}", f"{power.energy_kilowatt_hours_per_year:,} kWh"),
            ("used so far", f"{power.used_kilowatt_hours:,} kWh"),
            ("running work still uses", f"{power.committed_kilowatt_hours:,} kWh"),
            ("left", f"{power.left_kilowatt_hours:,} kWh"),
        ]
    show(table(["", ">"], rows))


def _kilowatts(watts: int) -> str:
    return f"{milli(watts)} kW"
