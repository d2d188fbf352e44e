"""Commands about money: accounts, balances, postings, deposits, and the books as a whole."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from broker.cli.audit import logins
from broker.cli.errors import ExitCode, complain, run, usage
from broker.cli.options import AsJson, AsOperator, City, DryRun, examples
from broker.cli.output import (
    clock_time,
    message_data,
    newest,
    note,
    print_json,
    print_message,
    show,
    show_if_cut,
    table,
    word,
    yuan,
)
from broker.cli.settings import account_client, home_of

if TYPE_CHECKING:
    from broker.wire.v1 import account_service_pb2

app = typer.Typer(
    name="ledger",
    help="Money: accounts, balances, postings, and proof that the books are right.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

POSTINGS_SHOWN = 50

AccountArgument = Annotated[
    str,
    typer.Argument(
        metavar="ACCOUNT",
        help='Such as "city/ganzhou", "enterprise/ganzhou/acme", "voucher/ganzhou/7", "owner/longdong", "fee".',
    ),
]


class Kind(StrEnum):
    """Kinds of accounts."""

    CITY = "city"
    ENTERPRISE = "enterprise"
    VOUCHER = "voucher"
    BUDGET = "budget"
    OWNER = "owner"
    FEE = "fee"
    PLATFORM_LOSS = "platform_loss"
    EXTERNAL = "external"


@app.command(
    epilog=examples(
        "xisuan ledger accounts                          (those of your city)",
        "xisuan ledger accounts --operator --kind voucher",
        "xisuan ledger accounts --json                   (XISUAN_API_KEY may be an auditor's or an owner's)",
    )
)
def accounts(
    ctx: typer.Context,
    kind: Annotated[Kind | None, typer.Option(help="Only this kind.")] = None,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List the accounts that you may see, with what is available and what is held for work to come."""

    async def listed() -> "list[account_service_pb2.Account]":
        async with account_client(ctx, city, operator=operator) as xisuan:
            named = city if operator else ""
            return [one async for one in xisuan.accounts(city=named, kind=kind.value if kind else "")]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"accounts": [message_data(one) for one in found]})
    else:
        show(_accounts_table(found) if found else "no accounts")


@app.command(
    epilog=examples("xisuan ledger balance city/ganzhou", "xisuan ledger balance platform_loss --operator --json")
)
def balance(
    ctx: typer.Context, account: AccountArgument, city: City = "", operator: AsOperator = False, as_json: AsJson = False
) -> None:
    """Show where an account stands."""

    async def fetched() -> "account_service_pb2.Account":
        async with account_client(ctx, city, operator=operator) as xisuan:
            return await xisuan.account(account)

    found = run(fetched(), as_json=as_json)
    if as_json:
        print_message(found)
    else:
        show(_accounts_table([found]))


@app.command(
    epilog=examples("xisuan ledger postings city/ganzhou", "xisuan ledger postings owner/longdong --operator --limit 0")
)
def postings(
    ctx: typer.Context,
    account: AccountArgument,
    limit: Annotated[int, typer.Option(min=0, help="Most postings to show; 0 shows all.")] = POSTINGS_SHOWN,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """List what came to an account and what left it, newest first."""

    async def listed() -> "list[account_service_pb2.Posting]":
        async with account_client(ctx, city, operator=operator) as xisuan:
            return await newest(xisuan.postings(account, page_size=min(limit or 500, 500)), limit)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"postings": [message_data(one) for one in found]})
        return
    show(_postings_table(found))
    show_if_cut(len(found), limit)


@app.command(
    epilog=examples(
        "xisuan ledger deposit city/ganzhou 250000 --reference 'bank slip 4711' --dry-run",
        "xisuan ledger deposit enterprise/ganzhou/acme 1000.50 --reference 'bank slip 4712'",
        "xisuan ledger deposit budget/qingyang/2026 100000000 --reference 'programme of 2026' --key programme-2026",
    )
)
def deposit(
    ctx: typer.Context,
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="YUAN", help="How much, such as 250000 or 1000.50.")],
    reference: Annotated[str, typer.Option(help="What for, such as the number of a bank slip.")],
    key: Annotated[str, typer.Option(help="Makes a retry harmless: the same key books once [the reference].")] = "",
    currency: Annotated[str, typer.Option(help="Only yuan can be booked.")] = "CNY",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Book money that came from outside to a city, an enterprise or a budget (for operators).

    The account is opened at its first deposit. The same deposit sent again is booked once.
    """
    from broker.client.units import micro_yuan

    try:
        wanted = micro_yuan(amount)
    except ValueError as error:
        usage(str(error), as_json=as_json)

    async def done() -> "account_service_pb2.DepositResponse":
        async with account_client(ctx, "", operator=True) as xisuan:
            return await xisuan.deposit(
                account, wanted, request_key=key or reference, reference=reference, currency=currency, dry_run=dry_run
            )

    made = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(made)})
        return
    if made.duplicate:
        note(f"it was booked before, as {made.transaction_id}")
    elif dry_run:
        note(f"would book {yuan(wanted)}" + (" and open the account" if made.opened else "") + "; it would stand so:")
    else:
        note(f"booked {yuan(wanted)} as {made.transaction_id}" + (" in a new account" if made.opened else ""))
    show(_accounts_table([made.account]))


@app.command(
    epilog=examples(
        "xisuan ledger verify",
        "xisuan ledger verify --dsn postgresql://auditor@db/xisuan --json",
        "xisuan ledger verify --file books.jsonl        (what `xisuan ledger export` wrote; no database needed)",
    )
)
def verify(
    ctx: typer.Context,
    dsn: Annotated[
        str, typer.Option(envvar="XISUAN_DSN", help="PostgreSQL, as a user who may SET ROLE [the embedded one].")
    ] = "",
    file: Annotated[Path | None, typer.Option(help="An export to check instead of a database.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the books: transactions balance, balances are sums of postings, holds add up, the chain is unbroken.

    It reads with SQL and arithmetic of its own, and ends with 1 if anything is found.
    """
    if file is not None:
        _verify_file(file, as_json=as_json)
        return
    from broker.audit.main import run_on_books
    from broker.postgres import EmbeddedPostgresError

    try:
        with logins(dsn, home_of(ctx), as_json=as_json) as (hub, _):
            facts, findings = asyncio.run(run_on_books(hub))
    except (OSError, EmbeddedPostgresError) as error:
        complain(f"the database cannot be read: {error}", reason="DATABASE_UNAVAILABLE", code="UNAVAILABLE")
        raise typer.Exit(ExitCode.UNAVAILABLE) from None
    found = [(one.rule, one.detail) for one in findings]
    _tell(found, {"transactions": facts.transactions, "accounts": len(facts.balances)}, as_json=as_json)


@app.command(
    epilog=examples(
        "xisuan ledger export > books.jsonl",
        "xisuan ledger export --output books.jsonl",
        "xisuan ledger export --after 1200      (what came since; XISUAN_API_KEY may be an auditor's)",
    )
)
def export(
    ctx: typer.Context,
    output: Annotated[Path | None, typer.Option(help="Write there instead of to stdout.")] = None,
    after: Annotated[int, typer.Option(min=0, metavar="POSITION", help="Only what comes after this position.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="It is JSON lines in any case.")] = False,
) -> None:
    """Write the audit chain as JSON lines: position, hash, and the text that the hash covers.

    For operators and auditors. The hash is SHA-256 of the hash before (32 bytes, zeros at the begin) and the text.
    """

    async def written(into: IO[str]) -> int:
        count = 0
        async with account_client(ctx, "", operator=True) as xisuan:
            async for entry in xisuan.chain(after_position=after):
                into.write(_line(entry))
                count += 1
        return count

    with _opened(output, as_json=as_json) as into:
        count = run(written(into), as_json=as_json)
    note(f"{count:,} transactions")


def _line(entry: "account_service_pb2.ChainEntry") -> str:
    import json

    line = {"position": entry.position, "sha256": entry.sha256.hex(), "text": entry.text}
    return json.dumps(line, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def _opened(output: Path | None, *, as_json: bool) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    try:
        file = output.open("w", encoding="utf-8")
    except OSError as error:
        usage(f"{output} cannot be written: {error}", as_json=as_json)
    with file:
        yield file


def _verify_file(file: Path, *, as_json: bool) -> None:
    from broker.audit.ledger_file import check_lines

    try:
        with file.open(encoding="utf-8") as lines:
            checked = check_lines(lines)
    except (OSError, UnicodeDecodeError) as error:
        usage(f"{file} cannot be read: {error}", as_json=as_json)
    found = [("exported_chain", problem) for problem in checked.problems]
    _tell(found, {"transactions": checked.transactions, "last_sha256": checked.last_sha256}, as_json=as_json)


def _tell(found: list[tuple[str, str]], looked_at: dict[str, int | str], *, as_json: bool) -> None:
    if as_json:
        print_json({"findings": [{"rule": r, "detail": d} for r, d in found], "looked_at": looked_at})
    else:
        if found:
            show(table(["rule", "what"], found))
        told = ", ".join(
            f"{n:,} {what}" if isinstance(n, int) else f"{what.replace('_', ' ')} {n}" for what, n in looked_at.items()
        )
        show(f"looked at {told}: " + (f"{len(found)} findings" if found else "nothing is wrong"))
    if found:
        raise typer.Exit(ExitCode.REFUSED)


def _accounts_table(found: "list[account_service_pb2.Account]") -> object:
    from broker.client.results import moment

    rows = [
        (
            one.account,
            yuan(one.available_micro_yuan),
            yuan(one.held_micro_yuan),
            clock_time(moment(one.opened_at)),
            clock_time(moment(one.closed_at)) if one.HasField("closed_at") else "",
        )
        for one in found
    ]
    return table(["account", "available>", "held>", "opened", "closed"], rows)


def _postings_table(found: "list[account_service_pb2.Posting]") -> object:
    from broker.client.results import moment
    from broker.wire.v1 import account_service_pb2 as pb

    rows = [
        (
            one.transaction_id,
            clock_time(moment(one.at)),
            word(pb.TransactionKind, one.kind, "TRANSACTION_KIND_").replace("_", " "),
            one.reference,
            one.hold_id,
            word(pb.Pocket, one.pocket, "POCKET_"),
            yuan(one.micro_yuan),
        )
        for one in found
    ]
    return table(["transaction", "at", "what", "reference", "hold", "pocket", "yuan>"], rows)
