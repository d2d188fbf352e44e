"""The command admin audit: what must never happen, checked from outside."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import ExitCode, complain, usage
from broker.cli.options import AsJson
from broker.cli.output import print_json, show, table
from broker.cli.settings import home_of

if TYPE_CHECKING:
    from broker.audit.facts import Facts
    from broker.audit.rules import Finding


def audit(
    ctx: typer.Context,
    dsn: Annotated[
        str, typer.Option(envvar="XISUAN_DSN", help="PostgreSQL, as a user who may SET ROLE [the embedded one].")
    ] = "",
    records: Annotated[
        list[str] | None,
        typer.Option(metavar="CLUSTER=DIR", help="State folder of an agent, for its engine's own record."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check what must never happen: no card twice, no job lost or run twice, no event skipped, no gang in part.

    Promised starts too: nobody else has their cards then, and of each it is told what became of it.

    Compares the broker's tables with the engines' own records of what ran. Ends with 1 if anything is found.
    """
    from broker.audit.main import run as audited
    from broker.postgres import EmbeddedPostgresError

    home = home_of(ctx)
    folders = _folders(records, home, as_json=as_json)
    try:
        with logins(dsn, home, as_json=as_json) as (hub, city):
            facts, found = asyncio.run(audited(hub, city, folders))
    except (OSError, EmbeddedPostgresError) as error:
        complain(f"the database cannot be read: {error}", reason="DATABASE_UNAVAILABLE", code="UNAVAILABLE")
        raise typer.Exit(ExitCode.UNAVAILABLE) from None
    _tell(facts, found, folders, as_json=as_json)
    if found:
        raise typer.Exit(ExitCode.REFUSED)


def _tell(facts: "Facts", found: "list[Finding]", folders: dict[str, Path], *, as_json: bool) -> None:
    looked_at = {
        "jobs": len(facts.jobs),
        "leases": len(facts.leases),
        "events": len(facts.events),
        "promises": len(facts.promised.promises),
        "tasks_recorded": len(facts.runs),
        "records_of": sorted(folders),
    }
    if as_json:
        print_json({"findings": [{"rule": f.rule, "detail": f.detail} for f in found], "looked_at": looked_at})
        return
    if found:
        show(table(["rule", "what"], [(one.rule, one.detail) for one in found]))
    sums = ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in looked_at.items() if isinstance(n, int))
    show(f"looked at {sums}: " + (f"{len(found)} findings" if found else "nothing is wrong"))
    if not folders:
        show("no engine's record was read: name the agents' state folders with --records CLUSTER=DIR")


def _folders(records: list[str] | None, home: Path, *, as_json: bool) -> dict[str, Path]:
    """Return the state folders by cluster: those named, else those of the agents that were attached here."""
    if records is None:
        return {config.stem: folder for config in sorted(home.glob("agents/*.yaml")) if (folder := _state(config))}
    folders = {}
    for text in records:
        cluster, _, place = text.partition("=")
        if not place or not Path(place).is_dir():
            usage(f"--records {text[:200]!r} must be CLUSTER=DIR with a folder that exists", as_json=as_json)
        folders[cluster] = Path(place)
    return folders


def _state(config: Path) -> Path | None:
    folder = config.with_suffix("")
    return folder if folder.is_dir() else None


@contextlib.contextmanager
def logins(dsn: str, home: Path, *, as_json: bool) -> Iterator[tuple[str, str]]:
    """Yield the logins of the hub's and the city's role."""
    from broker import postgres

    if dsn:
        from broker.dsn import read_dsn
        from broker.errors import InvalidRequest

        try:
            given = read_dsn(dsn)
        except InvalidRequest as error:
            usage(str(error), as_json=as_json)
        yield given, given
        return
    folder = home / "postgres"
    if not folder.is_dir():
        usage(f"there is no embedded database in {home}: give --home or --dsn", as_json=as_json)
    with postgres.using(folder) as server:
        yield server.dsn_hub, server.dsn_city
