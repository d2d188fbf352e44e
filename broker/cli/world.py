"""Commands about worlds: which there are, what the broker has, checking and applying a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, DryRun, examples
from broker.cli.output import milli, print_json, print_message, show, table, yuan
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2
    from broker.worlds.schema import World

FILE_BYTES_MAX: Final = 1024 * 1024

app = typer.Typer(
    name="world",
    help="Hubs, accelerator models, clusters and cities: see them, change them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Source = Annotated[str, typer.Argument(metavar="WORLD", help="Name of a bundled world, or a YAML or JSON file.")]


@app.command(name="list", epilog=examples("xisuan world list"))
def list_worlds(as_json: AsJson = False) -> None:
    """List the worlds that come with the program."""
    from broker.worlds.loader import BUNDLED_WORLDS, bundled, load

    rows = []
    for name in BUNDLED_WORLDS:
        world = load(bundled(name))
        rows.append((name, len(world.hubs), len(world.clusters), len(world.accelerator_models), len(world.cities)))
    columns = ["world", "hubs>", "clusters>", "models>", "cities>"]
    if as_json:
        print_json({"worlds": [dict(zip((c.rstrip(">") for c in columns), row, strict=True)) for row in rows]})
    else:
        show(table(columns, rows))


@app.command(name="show", epilog=examples("xisuan world show", "xisuan world show --json | jq '.cities[].city'"))
def show_world(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what the broker knows: hubs with their capacity over time, accelerator models, cities."""

    async def fetched() -> "admin_service_pb2.GetCatalogueResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.catalogue()

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
        return
    show(_hubs(found), "", _capacity(found), "", _models(found), "", _cities(found))


@app.command(epilog=examples("xisuan world check my-world.yaml", "xisuan world check qingyang"))
def check(source: Source, as_json: AsJson = False) -> None:
    """Check a world without a broker: every wrong field is named with the way out."""
    world = _checked(source, _document(source, as_json=as_json), as_json=as_json)
    counts = {
        "hubs": len(world.hubs),
        "clusters": len(world.clusters),
        "accelerator_models": len(world.accelerator_models),
        "cities": len(world.cities),
    }
    if as_json:
        print_json({"valid": True, **counts})
    else:
        show(f"{source} is valid: " + ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in counts.items()))


@app.command(epilog=examples("xisuan world apply my-world.yaml --dry-run", "xisuan world apply qingyang"))
def apply(ctx: typer.Context, source: Source, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take over a world: the broker compares it with what it has and changes the difference."""
    document = _document(source, as_json=as_json)
    _checked(source, document, as_json=as_json)

    async def applied() -> list[str]:
        async with admin_client(ctx) as xisuan:
            return await xisuan.apply_world(document, dry_run=dry_run)

    changes = run(applied(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, "changes": changes})
        return
    show(*changes)
    show(f"{len(changes)} changes" + (" would be made" if dry_run else " made") if changes else "nothing differs")


def _document(source: str, *, as_json: bool) -> str:
    """Return the text of a file or a bundled world. Ends the program when there is neither."""
    from broker.worlds.loader import BUNDLED_WORLDS, bundled

    if source in BUNDLED_WORLDS:
        return bundled(source)
    try:
        with Path(source).open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            usage(f"{source} is larger than {FILE_BYTES_MAX} bytes, the most that a broker takes", as_json=as_json)
        return raw.decode()
    except FileNotFoundError:
        names = " or ".join(BUNDLED_WORLDS)
        usage(f"{source!r} is neither a bundled world ({names}) nor a file", as_json=as_json)
    except (OSError, UnicodeDecodeError) as error:
        usage(f"cannot read {source}: {error}", as_json=as_json)


def _checked(source: str, document: str, *, as_json: bool) -> "World":
    from broker.errors import InvalidRequest
    from broker.worlds.loader import load

    try:
        return load(document)
    except InvalidRequest as error:
        fields = [(problem.field, problem.description) for problem in error.fields]
        usage(f"{source} is not a valid world", fields=fields, as_json=as_json)


def _hubs(found: "admin_service_pb2.GetCatalogueResponse") -> object:
    rows = [
        (
            one.hub,
            one.title,
            f"{one.power_kilowatts_max:,}" if one.power_kilowatts_max else "",
            milli(one.pue_milli),
            f"{one.energy_kilowatt_hours_per_year // 1000:,}" if one.energy_kilowatt_hours_per_year else "",
            yuan(one.micro_yuan_per_kilowatt_hour) if one.micro_yuan_per_kilowatt_hour else "",
        )
        for one in found.hubs
    ]
    return table(["hub", "title", "power kW>", "PUE>", "MWh a year>", "for one kWh>"], rows)


def _capacity(found: "admin_service_pb2.GetCatalogueResponse") -> object:
    rows = [
        (
            hub.hub,
            one.date,
            milli(one.fp16_milli_pflops) if one.fp16_milli_pflops else "",
            f"{one.cards:,}" if one.cards else "",
            f"{one.racks:,}" if one.racks else "",
            " ".join(mark for mark, on in (("planned", one.planned), ("doubtful", one.doubtful)) if on),
            one.source,
        )
        for hub in found.hubs
        for one in hub.capacity
    ]
    return table(["hub", "date", "FP16 P>", "cards>", "racks>", "", "source"], rows)


def _models(found: "admin_service_pb2.GetCatalogueResponse") -> object:
    rows = [
        (
            one.model,
            one.vendor,
            one.stack,
            one.origin,
            *(
                milli(figure) if figure else "?"
                for figure in (
                    one.fp16_nameplate_milli_tflops,
                    one.fp16_programme_milli_tflops,
                    one.fp16_measured_milli_tflops,
                )
            ),
            one.memory_mib // 1024 or "?",
            one.watts or "?",
            one.host_watts or "?",
            "/".join(map(str, one.slices_milli)),
            one.shares_per_card_max or "",
        )
        for one in found.models
    ]
    columns = ["model", "vendor", "stack", "origin", "nameplate T>", "programme T>", "measured T>", "GiB>", "W>"]
    return table([*columns, "host W>", "shares, thousandths", "a card>"], rows)


def _cities(found: "admin_service_pb2.GetCatalogueResponse") -> object:
    rows = [
        (
            one.city,
            one.title,
            f"{one.weight_ppm / 1e6:g}",
            f"{one.pending_jobs_max:,}",
            f"{one.calls_per_second_max:,}",
            yuan(one.ceiling_micro_yuan_per_pflops_hour),
            ", ".join(f"{trip.hub} {milli(trip.micros)} ms" for trip in one.round_trips),
            ", ".join(
                f"{w.hub} {w.mib_per_second or '?'} MiB/s {yuan(w.micro_yuan_per_gib)}/GiB" for w in one.transfers
            ),
        )
        for one in found.cities
    ]
    columns = ["city", "title", "weight>", "waiting max>", "calls/s max>", "ceiling/PFLOPS·h>", "round trips", "data"]
    return table(columns, rows)
