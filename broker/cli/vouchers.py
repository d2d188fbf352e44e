"""Commands about vouchers: a city applies, the office reviews and grants, all look."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import voucher_programmes, voucher_tables
from broker.cli.errors import run, usage
from broker.cli.options import AsJson, AsOperator, City, DryRun, aware_time, examples
from broker.cli.output import clock_time, message_data, print_json, print_message, show, yuan
from broker.cli.settings import voucher_client
from broker.cli.voucher_options import ApplicationArgument, AsOffice, Note, Officer, PaperOption, VoucherArgument

if TYPE_CHECKING:
    from broker.wire.v1 import voucher_service_pb2

app = typer.Typer(
    name="voucher",
    help="Computing vouchers: programmes, applications, grants, and the story of each.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(voucher_programmes.programme)
app.add_typer(voucher_programmes.enterprise)


class Side(StrEnum):
    """Who claims a contract."""

    DEMAND = "demand"
    SUPPLY = "supply"


class State(StrEnum):
    """States of applications."""

    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@app.command(
    epilog=examples(
        "xisuan voucher apply qingyang-2026 acme 250000 --contract HT-2026-7 --provider longdong \\",
        "    --class training --scale-milli-pflops 2500000 --paper contract",
        "xisuan voucher programme show qingyang-2026          (which papers, classes and scale it asks for)",
    )
)
def apply(
    ctx: typer.Context,
    programme: Annotated[str, typer.Argument(metavar="PROGRAMME", help="Which programme.")],
    enterprise: Annotated[str, typer.Argument(metavar="ENTERPRISE", help="For which enterprise of your city.")],
    amount: Annotated[str, typer.Argument(metavar="YUAN", help="How much, such as 250000 or 1000.50.")],
    contract: Annotated[str, typer.Option(help="Number of the contract; each is subsidised once.")],
    provider: Annotated[str, typer.Option(metavar="OWNER", help="Owner of clusters with whom the contract is.")],
    classes: Annotated[list[str], typer.Option("--class", help="What it is for, such as training; repeat it.")],
    papers: PaperOption = None,
    scale_milli_pflops: Annotated[int, typer.Option(min=0, help="Scale of the contract, FP16 P in thousandths.")] = 0,
    side: Annotated[Side, typer.Option(help="Who claims it.")] = Side.DEMAND,
    key: Annotated[str, typer.Option(help="Makes a retry harmless [programme, provider and contract].")] = "",
    city: City = "",
    as_json: AsJson = False,
) -> None:
    """Apply for a voucher, with the key of a city or the enterprise itself. The same application is made once."""
    from broker.wire.v1 import job_pb2
    from broker.wire.v1 import voucher_service_pb2 as pb

    known = [name.removeprefix("WORKLOAD_CLASS_").lower() for name, number in job_pb2.WorkloadClass.items() if number]
    strange = [one for one in classes if one.replace("-", "_") not in known]
    if strange:
        usage(f"--class {strange[0][:80]!r} must be one of {', '.join(known)}", as_json=as_json)
    request = pb.ApplyForVoucherRequest(
        request_key=key or _key(programme, provider, contract),
        enterprise=enterprise,
        programme=programme,
        side=f"CLAIM_SIDE_{side.value.upper()}",
        provider=provider,
        contract=contract,
        micro_yuan=_micro_yuan(amount, as_json=as_json),
        scale_milli_pflops=scale_milli_pflops,
        workload_classes=[f"WORKLOAD_CLASS_{one.replace('-', '_').upper()}" for one in classes],
        papers=papers or (),
    )

    async def done() -> "voucher_service_pb2.ApplyForVoucherResponse":
        async with voucher_client(ctx, city) as xisuan:
            return await xisuan.apply(request)

    made = run(done(), as_json=as_json)
    if as_json:
        print_message(made)
    else:
        show(made.application.application_id + (" (made before)" if made.duplicate else ""))


@app.command(epilog=examples("xisuan voucher withdraw application-7 --note 'contract cancelled'"))
def withdraw(
    ctx: typer.Context, application: ApplicationArgument, note: Note = "", city: City = "", as_json: AsJson = False
) -> None:
    """Take an application back that nobody has decided on; its contract may be claimed again."""

    async def done() -> "voucher_service_pb2.Application":
        async with voucher_client(ctx, city) as xisuan:
            return await xisuan.withdraw(application, note=note)

    _told_application(run(done(), as_json=as_json), as_json=as_json)


@app.command(
    epilog=examples(
        "xisuan voucher applications                       (those of your city)",
        "xisuan voucher applications --office --state submitted",
    )
)
def applications(
    ctx: typer.Context,
    programme: Annotated[str, typer.Option(help="Only for this programme.")] = "",
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    city: City = "",
    office: AsOffice = False,
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List applications."""

    async def listed() -> "list[voucher_service_pb2.Application]":
        async with voucher_client(ctx, city, office=office, operator=operator) as xisuan:
            named = city if office or operator else ""
            wanted = state.value if state else ""
            return [one async for one in xisuan.applications(city=named, programme=programme, state=wanted)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"applications": [message_data(one) for one in found]})
    else:
        show(voucher_tables.applications(found) if found else "no applications")


@app.command(
    epilog=examples(
        "xisuan voucher review application-7 --officer 'Li Wei'",
        "xisuan voucher review application-7 --officer 'Li Wei' --refuse --note 'plant not in the hub'",
    )
)
def review(
    ctx: typer.Context,
    application: ApplicationArgument,
    officer: Officer,
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse what is in review.")] = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Begin the review of an application, or refuse it (voucher office)."""

    async def done() -> "voucher_service_pb2.Application":
        async with voucher_client(ctx, office=True) as xisuan:
            return await xisuan.review(application, refuse=refuse, officer=officer, note=note)

    _told_application(run(done(), as_json=as_json), as_json=as_json)


@app.command(
    epilog=examples(
        "xisuan voucher grant application-7 --officer 'Li Wei' --dry-run",
        "xisuan voucher grant application-7 --officer 'Li Wei' --amount 200000 --paper power-use",
        "xisuan voucher grant application-7 --officer 'Li Wei' --papers-due 2026-12-31T18:00+08:00",
    )
)
def grant(
    ctx: typer.Context,
    application: ApplicationArgument,
    officer: Officer,
    amount: Annotated[str, typer.Option(metavar="YUAN", help="How much [what was applied for].")] = "",
    papers: PaperOption = None,
    papers_due: Annotated[str, typer.Option(metavar="TIME", help="When missing papers are due.")] = "",
    note: Note = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Grant what is in review: a voucher with money out of the budget, or nothing (voucher office).

    While papers are missing the voucher works up to the programme's limit, until they are due.
    """
    from broker.wire.v1 import voucher_service_pb2 as pb

    request = pb.GrantVoucherRequest(
        application_id=application,
        micro_yuan=_micro_yuan(amount, as_json=as_json) if amount else 0,
        papers=papers or (),
        officer=officer,
        note=note,
        dry_run=dry_run,
    )
    if papers_due:
        request.papers_due.FromDatetime(aware_time("--papers-due", papers_due, as_json=as_json))

    async def done() -> "voucher_service_pb2.GrantVoucherResponse":
        async with voucher_client(ctx, office=True) as xisuan:
            return await xisuan.grant(request)

    made = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(made)})
        return
    show(f"{made.voucher}: {yuan(made.micro_yuan)}" + (" would be granted" if dry_run else " granted"))
    if made.papers_missing:
        due = clock_time(voucher_tables.moment_of(made.papers_due))
        show(f"{yuan(made.at_once_micro_yuan)} at once, the rest with {', '.join(made.papers_missing)}, due {due}")
    show(f"the budget then has {yuan(made.budget_left_micro_yuan)}")


@app.command(
    name="list", epilog=examples("xisuan voucher list", "xisuan voucher list --office --programme guizhou-2026")
)
def list_vouchers(
    ctx: typer.Context,
    programme: Annotated[str, typer.Option(help="Only of this programme.")] = "",
    enterprise: Annotated[str, typer.Option(help="Only of this enterprise.")] = "",
    city: City = "",
    office: AsOffice = False,
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List vouchers as they stand."""

    async def listed() -> "list[voucher_service_pb2.Voucher]":
        async with voucher_client(ctx, city, office=office, operator=operator) as xisuan:
            named = city if office or operator else ""
            return [one async for one in xisuan.vouchers(city=named, enterprise=enterprise, programme=programme)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"vouchers": [message_data(one) for one in found]})
    else:
        show(voucher_tables.vouchers(found) if found else "no vouchers")


@app.command(
    name="show", epilog=examples("xisuan voucher show qingyang-2026-7", "xisuan voucher show guizhou-2026-3 --json")
)
def show_voucher(
    ctx: typer.Context,
    voucher: VoucherArgument,
    city: City = "",
    office: AsOffice = False,
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Show a voucher: what it pays, for what, until when, and what is left."""

    async def fetched() -> "voucher_service_pb2.Voucher":
        async with voucher_client(ctx, city, office=office, operator=operator) as xisuan:
            return await xisuan.voucher(voucher)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
    else:
        show(voucher_tables.voucher(found))


@app.command(epilog=examples("xisuan voucher papers qingyang-2026-7 power-use proof-of-service --officer 'Li Wei'"))
def papers(
    ctx: typer.Context,
    voucher: VoucherArgument,
    delivered: Annotated[list[str], typer.Argument(metavar="PAPER...", help="Which of those that are missing.")],
    officer: Officer,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Note that missing papers are there; with the last one the voucher is whole (voucher office)."""

    async def done() -> "voucher_service_pb2.Voucher":
        async with voucher_client(ctx, office=True) as xisuan:
            return await xisuan.deliver_papers(voucher, delivered, officer=officer, note=note)

    _told_voucher(run(done(), as_json=as_json), as_json=as_json)


@app.command(epilog=examples("xisuan voucher suspend qingyang-2026-7 --officer 'Li Wei' --note 'random check'"))
def suspend(
    ctx: typer.Context, voucher: VoucherArgument, officer: Officer, note: Note = "", as_json: AsJson = False
) -> None:
    """Let a voucher pay for nothing new; what runs goes on, and what is held is paid (voucher office)."""
    _change(ctx, voucher, "suspended", officer, note, as_json=as_json)


@app.command(epilog=examples("xisuan voucher resume qingyang-2026-7 --officer 'Li Wei' --note 'check passed'"))
def resume(
    ctx: typer.Context, voucher: VoucherArgument, officer: Officer, note: Note = "", as_json: AsJson = False
) -> None:
    """Let a suspended voucher pay again, when no papers are missing (voucher office)."""
    _change(ctx, voucher, "resumed", officer, note, as_json=as_json)


@app.command(epilog=examples("xisuan voucher redeem qingyang-2026-7 --officer 'Li Wei' --note 'evidence in file 12'"))
def redeem(
    ctx: typer.Context, voucher: VoucherArgument, officer: Officer, note: Note = "", as_json: AsJson = False
) -> None:
    """Close a voucher that is used up or expired, for good (voucher office)."""
    _change(ctx, voucher, "redeemed", officer, note, as_json=as_json)


@app.command(
    epilog=examples(
        "xisuan voucher story --voucher qingyang-2026-7",
        "xisuan voucher story --office --enterprise acme --of-city ganzhou",
        "xisuan voucher story --application application-7 --json",
    )
)
def story(
    ctx: typer.Context,
    voucher: Annotated[str, typer.Option(help="Of this voucher and its application.")] = "",
    application: Annotated[str, typer.Option(help="Of this application, such as application-7.")] = "",
    enterprise: Annotated[str, typer.Option(help="Of this enterprise.")] = "",
    programme: Annotated[str, typer.Option(help="Of this programme.")] = "",
    of_city: Annotated[str, typer.Option(help="Of this city.")] = "",
    city: City = "",
    office: AsOffice = False,
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Tell who did what and when, oldest first."""
    from broker.wire.v1 import voucher_service_pb2 as pb

    of = pb.ListStoryRequest(
        city=of_city, enterprise=enterprise, application_id=application, voucher=voucher, programme=programme
    )

    async def listed() -> "list[voucher_service_pb2.StoryStep]":
        async with voucher_client(ctx, city, office=office, operator=operator) as xisuan:
            return [one async for one in xisuan.story(of)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"steps": [message_data(one) for one in found]})
    else:
        show(voucher_tables.story(found) if found else "nothing happened")


@app.command(epilog=examples("xisuan voucher forecast qingyang-2026", "xisuan voucher forecast qingyang-2026 --json"))
def forecast(
    ctx: typer.Context,
    programme: Annotated[str, typer.Argument(metavar="PROGRAMME", help="Which programme.")],
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Say how fast a programme's money goes, and on which day it runs out (voucher office, auditors, operators)."""

    async def fetched() -> "voucher_service_pb2.GetForecastResponse":
        async with voucher_client(ctx, office=not operator, operator=operator) as xisuan:
            return await xisuan.forecast(programme)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
    else:
        show(voucher_tables.forecast(found), f"({found.method})")


@app.command(
    epilog=examples(
        "xisuan voucher evidence qingyang-2026-7 --into evidence",
        "xisuan voucher evidence --enterprise acme --year 2026 --into acme-2026",
        "xisuan voucher evidence qingyang-2026-7 --json",
    )
)
def evidence(
    ctx: typer.Context,
    voucher: Annotated[str, typer.Argument(metavar="[VOUCHER]", help="The voucher, such as qingyang-2026-7.")] = "",
    enterprise: Annotated[
        str, typer.Option(metavar="NAME", help="Instead of a voucher: all that this enterprise has of a year.")
    ] = "",
    year: Annotated[
        int, typer.Option(metavar="YYYY", min=0, max=2099, help="Of the programmes, with --enterprise.")
    ] = 0,
    city: Annotated[str, typer.Option(metavar="CITY", help="Of the enterprise, where several have one so named.")] = "",
    into: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write the files to.")] = Path("."),
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Write the evidence of a voucher as JSON, CSV and PDF: use by lease, power, policies, story; --json prints it."""
    if bool(voucher) == bool(enterprise) or bool(enterprise) != bool(year):
        usage("name a voucher, or --enterprise with --year", as_json=as_json)
    if as_json and enterprise:
        usage("--json prints one voucher: of an enterprise, write the files --into a folder", as_json=as_json)

    async def fetched() -> "list[voucher_service_pb2.EvidenceFile]":
        async with voucher_client(ctx, office=not operator, operator=operator) as xisuan:
            return await xisuan.evidence(voucher, enterprise=enterprise, city=city, year=year)

    found = run(fetched(), as_json=as_json)
    if as_json:
        show(found[0].content.decode().rstrip())
        return
    try:
        into.mkdir(parents=True, exist_ok=True)
        for file in found:
            (into / Path(file.name).name).write_bytes(file.content)
    except OSError as error:
        usage(f"{into} cannot be written: {error}", as_json=as_json)
    show(*(str(into / Path(file.name).name) for file in found))


def _change(ctx: typer.Context, voucher: str, event: str, officer: str, note: str, *, as_json: bool) -> None:
    async def done() -> "voucher_service_pb2.Voucher":
        async with voucher_client(ctx, office=True) as xisuan:
            return await xisuan.change(voucher, event, officer=officer, note=note)

    _told_voucher(run(done(), as_json=as_json), as_json=as_json)


def _told_voucher(found: Any, *, as_json: bool) -> None:
    if as_json:
        print_message(found)
    else:
        show(f"{found.voucher} is {voucher_tables.voucher_state(found)}")


def _told_application(found: Any, *, as_json: bool) -> None:
    if as_json:
        print_message(found)
    else:
        show(f"{found.application_id} is {voucher_tables.application_state(found)}")


def _micro_yuan(amount: str, *, as_json: bool) -> int:
    return voucher_programmes.micro_yuan(amount, as_json=as_json)


def _key(programme: str, provider: str, contract: str) -> str:
    """Return the request key of an application: contracts may be written in any script, keys may not."""
    from hashlib import sha256

    return sha256("\n".join((programme, provider, contract)).encode("utf-8", "surrogatepass")).hexdigest()[:32]
