"""Commands for operators: quotas of hubs, cities and enterprises."""

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, DryRun, examples
from broker.cli.output import message_data, milli, print_json, print_message, show, table
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2


class Place(TypedDict):
    """Where a quota stands in the tree."""

    hub: str
    city: str
    enterprise: str


_AMOUNT: Final = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,3})?")
_LEVELS_MAX: Final = 3

app = typer.Typer(
    name="quota",
    help="Quotas of hubs, cities and enterprises: what is served first, and how far above it they may go.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Quota = Annotated[
    str, typer.Argument(metavar="QUOTA", help='"hub", "hub/city" or "hub/city/enterprise", such as qingyang/ganzhou.')
]
Guaranteed = Annotated[str, typer.Option(metavar="P", help="FP16 PFLOPS, served before anybody's market worth.")]
Borrow = Annotated[str, typer.Option(metavar="P", help='How much more it may use, or "unlimited".')]
Lend = Annotated[str, typer.Option(metavar="P", help='How much of the guaranteed others may use meanwhile, or "all".')]


@app.command(
    name="set",
    epilog=examples(
        "xisuan admin quota set qingyang --guaranteed 100 --borrow 0        (the hub hands out 100 P and no more)",
        "xisuan admin quota set qingyang/ganzhou --guaranteed 12            (may use more while others leave it)",
        "xisuan admin quota set qingyang/ganzhou/acme --guaranteed 4 --borrow 2 --lend 0.5",
    ),
)
def set_quota(
    ctx: typer.Context,
    quota: Quota,
    guaranteed: Guaranteed,
    borrow: Borrow = "unlimited",
    lend: Lend = "all",
    as_json: AsJson = False,
) -> None:
    """Set a quota, as a whole: FP16 PFLOPS as the programme counts them, of everything that is leased at once.

    Quotas form a tree. A hub needs one before its cities, a city before its enterprises, and the guarantees right
    below a quota add up to its own at most. Work counts to the nearest quota and to those above it.

    Up to its guarantee a quota is served before anybody else's worth. Beyond it, work borrows what others leave,
    while worth decides who; what nobody may lend stays free for its owner. Nothing that runs is ever ended by it.
    """
    amounts = quota_amounts(quota, guaranteed, borrow, lend, as_json=as_json)

    async def done() -> "admin_service_pb2.QuotaUse":
        from broker.wire.v1 import admin_service_pb2 as pb

        async with admin_client(ctx) as xisuan:
            return await xisuan.set_quota(pb.Quota(**amounts))

    use = run(done(), as_json=as_json)
    if as_json:
        print_message(use)
    else:
        show(_table([use]))


@app.command(name="list", epilog=examples("xisuan admin quota list", "xisuan admin quota list --hub qingyang --json"))
def list_quotas(
    ctx: typer.Context,
    hub: Annotated[str, typer.Option(help="Only this hub.")] = "",
    as_json: AsJson = False,
) -> None:
    """List quotas with what is used, borrowed and lent of them now, in FP16 PFLOPS."""

    async def listed() -> "list[admin_service_pb2.QuotaUse]":
        async with admin_client(ctx) as xisuan:
            return await xisuan.quotas(hub=hub)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"quotas": [message_data(one) for one in found]})
    elif found:
        show(_table(found))
    else:
        show("no quotas are set: everybody may use everything")


@app.command(
    epilog=examples(
        "xisuan admin quota remove qingyang/ganzhou --dry-run", "xisuan admin quota remove qingyang/ganzhou"
    )
)
def remove(ctx: typer.Context, quota: Quota, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove a quota that has none below it: its work counts to the one above from then on, and runs on."""
    place = _place(quota, as_json=as_json)

    async def done() -> "admin_service_pb2.QuotaUse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.remove_quota(**place, dry_run=dry_run)

    use = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(use)})
    else:
        show(f"{quota} {'would be' if dry_run else 'is'} removed; it stood so:", _table([use]))


class Amounts(Place):
    """A quota as the wire takes it; None: no limit."""

    guaranteed_milli_pflops: int
    borrow_milli_pflops: int | None
    lend_milli_pflops: int | None


def quota_amounts(quota: str, guaranteed: str, borrow: str, lend: str, *, as_json: bool) -> Amounts:
    """Return what the arguments of a quota say; end the command where they say nothing."""
    return {
        **_place(quota, as_json=as_json),
        "guaranteed_milli_pflops": _milli_pflops("--guaranteed", guaranteed, as_json=as_json),
        "borrow_milli_pflops": None if borrow == "unlimited" else _milli_pflops("--borrow", borrow, as_json=as_json),
        "lend_milli_pflops": None if lend == "all" else _milli_pflops("--lend", lend, as_json=as_json),
    }


def _place(quota: str, *, as_json: bool) -> Place:
    parts = quota.split("/")
    if len(parts) > _LEVELS_MAX or not all(parts):
        usage(f"{quota!r} names no quota: write hub, hub/city or hub/city/enterprise", as_json=as_json)
    hub, city, enterprise = (*parts, "", "")[:_LEVELS_MAX]
    return {"hub": hub, "city": city, "enterprise": enterprise}


def _milli_pflops(option: str, text: str, *, as_json: bool) -> int:
    if _AMOUNT.fullmatch(text) is None:
        usage(f'{option} {text!r} is no amount: write FP16 PFLOPS, such as "12" or "0.5"', as_json=as_json)
    return int(Decimal(text) * 1000)


def _table(found: "list[admin_service_pb2.QuotaUse]") -> Any:
    rows = [
        (
            "/".join(filter(None, (one.quota.hub, one.quota.city, one.quota.enterprise))),
            milli(one.quota.guaranteed_milli_pflops),
            milli(one.quota.borrow_milli_pflops) if one.quota.HasField("borrow_milli_pflops") else "unlimited",
            milli(one.quota.lend_milli_pflops) if one.quota.HasField("lend_milli_pflops") else "all",
            milli(one.used_milli_pflops),
            milli(one.borrowed_milli_pflops),
            milli(one.lent_milli_pflops),
        )
        for one in found
    ]
    return table(["quota", "guaranteed P>", "may borrow P>", "may lend P>", "used P>", "borrowed P>", "lent P>"], rows)
