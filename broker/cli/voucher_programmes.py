"""Commands about voucher programmes and enterprises."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import voucher_tables
from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, DryRun, examples
from broker.cli.output import message_data, print_json, print_message, show
from broker.cli.settings import voucher_client
from broker.cli.voucher_options import AsOffice, Officer

if TYPE_CHECKING:
    from broker.wire.v1 import voucher_service_pb2

programme = typer.Typer(
    name="programme", help="Programmes: budgets and rules.", no_args_is_help=True, rich_markup_mode=None
)
enterprise = typer.Typer(
    name="enterprise", help="Enterprises of cities, as registered.", no_args_is_help=True, rich_markup_mode=None
)


class ApplicantType(StrEnum):
    """Kinds of applicants."""

    COMPANY = "company"
    UNIVERSITY = "university"
    INSTITUTE = "institute"
    SOLE_TRADER = "sole_trader"


@programme.command(
    name="apply",
    epilog=examples(
        "xisuan voucher programme apply bundled:qingyang --officer 'Li Wei' --dry-run",
        "xisuan voucher programme apply programmes.yaml --officer 'Li Wei'",
        "",
        "sources: {order: {text: 'order 7 of the Data Bureau', date: 2026-01-01}}",
        "programmes:",
        "  - programme: qingyang-2026",
        "    title: {zh: 庆阳算力券, en: Qingyang computing vouchers}",
        "    hub: qingyang",
        "    year: 2026",
        "    budget: {micro_yuan: 100000000000000, source: order}",
        "    ratios: {domestic_ppm: 300000, other_ppm: 200000, source: order}",
        "    workload_classes: {names: [training, research], source: order}",
        "    validity: {days: 365, source: order}",
        "    papers: {names: [contract], source: order}",
        "    claims: {sides: [demand], source: order}",
        "    applicants: {types: [company], source: order}",
    ),
)
def apply_programmes(
    ctx: typer.Context,
    document: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help='YAML or JSON, "-" for standard input, or "bundled:" and the name of an example such as qingyang.',
        ),
    ],
    officer: Officer,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Set voucher programmes, and pay their budgets in (voucher office). The same again changes nothing.

    A budget may only grow. Vouchers that are granted keep their terms.
    """
    text = document if document.startswith("bundled:") else _text(document, as_json=as_json)

    async def done() -> list[str]:
        async with voucher_client(ctx, office=True) as xisuan:
            return await xisuan.set_programmes(text, officer=officer, dry_run=dry_run)

    changes = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, "changes": changes})
        return
    show(*changes)
    show(f"{len(changes)} changes" + (" would be made" if dry_run else " made") if changes else "nothing differs")


@programme.command(
    name="list", epilog=examples("xisuan voucher programme list", "xisuan voucher programme list --operator")
)
def list_programmes(
    ctx: typer.Context, city: City = "", office: AsOffice = False, operator: AsOperator = False, as_json: AsJson = False
) -> None:
    """List programmes; what is left of their budgets is told to the voucher office, auditors and operators."""
    found = _programmes(ctx, "", city, office=office, operator=operator, as_json=as_json)
    if as_json:
        print_json({"programmes": [message_data(one) for one in found]})
    else:
        told = office or operator
        show(voucher_tables.programmes(found, left=told) if found else "no programmes")


@programme.command(name="show", epilog=examples("xisuan voucher programme show qingyang-2026"))
def show_programme(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PROGRAMME", help="Which programme.")],
    city: City = "",
    office: AsOffice = False,
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show the rules of a programme, each with its source."""
    [found] = _programmes(ctx, name, city, office=office, operator=operator, as_json=as_json)
    if as_json:
        print_message(found)
    else:
        show(voucher_tables.rules(found))


@enterprise.command(
    name="set",
    epilog=examples(
        "xisuan voucher enterprise set ganzhou acme --title '阿克梅 Acme' --registration 91620000MA7 \\",
        "    --plant 'Xifeng park, hall 3' --type company --related longdong --officer 'Li Wei'",
    ),
)
def set_enterprise(
    ctx: typer.Context,
    city: Annotated[str, typer.Argument(metavar="CITY", help="Whose enterprise it is.")],
    name: Annotated[str, typer.Argument(metavar="ENTERPRISE", help="Its name, a slug; jobs name it so.")],
    title: Annotated[str, typer.Option(help="Its name for people.")],
    registration: Annotated[str, typer.Option(help="Number in the commercial register; stands for one enterprise.")],
    plant: Annotated[str, typer.Option(help="Its plant or site; stands for one enterprise.")],
    officer: Officer,
    kind: Annotated[ApplicantType, typer.Option("--type", help="What it is.")] = ApplicantType.COMPANY,
    related: Annotated[
        list[str] | None, typer.Option("--related", metavar="OWNER", help="Owner whom its vouchers may not pay.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register an enterprise of a city, or change it as a whole (voucher office)."""
    from broker.wire.v1 import voucher_service_pb2 as pb

    wanted = pb.Enterprise(
        city=city,
        enterprise=name,
        title=title,
        registration=registration,
        plant=plant,
        applicant_type=f"APPLICANT_TYPE_{kind.value.upper()}",
        related_owners=related or (),
    )

    async def done() -> "voucher_service_pb2.Enterprise":
        async with voucher_client(ctx, office=True) as xisuan:
            return await xisuan.set_enterprise(wanted, officer=officer)

    made = run(done(), as_json=as_json)
    if as_json:
        print_message(made)
    else:
        show(voucher_tables.enterprises([made]))


@enterprise.command(
    name="list", epilog=examples("xisuan voucher enterprise list", "xisuan voucher enterprise list --office --json")
)
def list_enterprises(
    ctx: typer.Context, city: City = "", office: AsOffice = False, operator: AsOperator = False, as_json: AsJson = False
) -> None:
    """List registered enterprises, with the owners to whom they are related."""

    async def listed() -> "list[voucher_service_pb2.Enterprise]":
        async with voucher_client(ctx, city, office=office, operator=operator) as xisuan:
            return [one async for one in xisuan.enterprises(city if office or operator else "")]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"enterprises": [message_data(one) for one in found]})
    else:
        show(voucher_tables.enterprises(found) if found else "no enterprises")


def micro_yuan(amount: str, *, as_json: bool) -> int:
    """Return an amount that a command was given. Ends the program when it is none."""
    from broker.client.units import micro_yuan as read

    try:
        return read(amount)
    except ValueError as error:
        usage(str(error), as_json=as_json)


def _programmes(
    ctx: typer.Context, name: str, city: str, *, office: bool, operator: bool, as_json: bool
) -> "list[voucher_service_pb2.Programme]":
    async def listed() -> "list[voucher_service_pb2.Programme]":
        async with voucher_client(ctx, city, office=office, operator=operator) as xisuan:
            return await xisuan.programmes(name)

    return run(listed(), as_json=as_json)


def _text(file: str, *, as_json: bool) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        usage(f"cannot read {file[:200]}: {error}", as_json=as_json)
