"""The commands backup make and backup restore: a hub's database and keys, saved and put back."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from broker.cli.errors import ExitCode, complain, usage
from broker.cli.options import AsJson, examples
from broker.cli.output import note, print_json, show
from broker.cli.settings import home_of

app = typer.Typer(
    name="backup",
    help="Save database and keys, and put them back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Home = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for data, keys and profile.")]
Dsn = Annotated[
    str,
    typer.Option(
        envvar="XISUAN_BACKUP_DSN", help="PostgreSQL, as a login that sees every row, or @FILE [the embedded one]."
    ),
]


@app.command(
    epilog=examples(
        "xisuan backup make /srv/backups --keep 14",
        "xisuan backup make /srv/backups --dsn @/etc/xisuan/backup-dsn",
    )
)
def make(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where backups lie; each is a folder in it.")],
    keep: Annotated[int, typer.Option(min=0, help="So many stay, the newest; 0 deletes none.")] = 0,
    home: Home = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Make a backup while everything goes on: the database as of one moment, and the keys of the home."""
    from broker import backup
    from broker.clock import SystemClock
    from broker.errors import InvalidRequest
    from broker.postgres import EmbeddedPostgresError

    try:
        where, manifest = backup.make(
            folder.absolute(), (home or home_of(ctx)).absolute(), _dsn(dsn), SystemClock().now(), keep=keep
        )
    except InvalidRequest as error:
        usage(str(error), as_json=as_json)
    except EmbeddedPostgresError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        print_json({"backup": str(where), "migration": manifest.migration, "rows": dict(manifest.rows)})
    else:
        note(
            f"{sum(manifest.rows.values()):,} rows of {len(manifest.rows)} main tables, {manifest.rows['jobs']:,} jobs"
        )
        show(str(where))


@app.command(
    epilog=examples(
        "xisuan backup restore /srv/backups/xisuan-20261126T024000Z --home /var/lib/xisuan-new",
        "xisuan backup restore /srv/backups/xisuan-20261126T024000Z --dsn @owner-dsn     (an empty database)",
    )
)
def restore(
    ctx: typer.Context,
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="The folder of one backup.")],
    home: Home = None,
    dsn: Dsn = "",
    as_json: AsJson = False,
) -> None:
    """Put a backup into a home without a database, or an empty database, and check that nothing is missing.

    Numbers of jobs and leases go on a million higher: those given out since the backup never mean anything else.
    """
    from broker.backup import put_back
    from broker.errors import InvalidRequest
    from broker.postgres import EmbeddedPostgresError

    place = (home or home_of(ctx)).absolute()
    try:
        manifest = put_back(backup.absolute(), place, _dsn(dsn))
    except InvalidRequest as error:
        usage(str(error), as_json=as_json)
    except EmbeddedPostgresError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        print_json({"made_at": manifest.made_at, "migration": manifest.migration, "rows": dict(manifest.rows)})
    else:
        note(f"as of {manifest.made_at}: {manifest.rows['jobs']:,} jobs; now check it with `xisuan admin audit`")


def _dsn(given: str) -> str:
    from broker.dsn import read_dsn

    return read_dsn(given)


def _refuse(error: Exception, *, as_json: bool) -> NoReturn:
    complain(str(error), reason=type(error).__name__, code="FAILED_PRECONDITION", as_json=as_json)
    raise typer.Exit(ExitCode.REFUSED)
