"""Commands that run something: serve, agent, migrate, demo; and version."""

import contextlib
import platform
from collections.abc import Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import ExitCode, complain, usage
from broker.cli.options import AsJson, DryRun, examples
from broker.cli.output import note, print_json, show, table
from broker.cli.settings import home_of
from broker.log_lines import LogStyle, open_log

if TYPE_CHECKING:
    from broker.config import Settings

Home = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for data, keys and profile.")]
Dsn = Annotated[
    str, typer.Option(envvar="XISUAN_DSN", help="PostgreSQL to use, as a user who may SET ROLE [an embedded one].")
]


class Scenario(StrEnum):
    """What `demo` plays."""

    DAY = "day"
    VOUCHER_RUSH = "voucher-rush"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "xisuan serve                                       everything on this machine, keys in the home folder",
            "xisuan serve --world my-world.yaml --dsn postgresql://xisuan@db/xisuan",
            "xisuan serve --listen 0.0.0.0:7443 --tls-cert cert.pem --tls-key key.pem",
            "xisuan serve --console 127.0.0.1:7480              with pages for a browser, see the log for the address",
            "xisuan serve --set call_processes=2                calls in two processes of their own, for more cores",
            "xisuan serve --settings                            what else can be set, with --set NAME=VALUE",
        )
    )(serve)
    app.command(epilog=examples("xisuan agent --config ~/.local/share/xisuan/agents/lab.yaml"))(agent)
    app.command(epilog=examples("xisuan migrate --dry-run", "xisuan migrate --dsn postgresql://owner@db/xisuan"))(
        migrate
    )
    app.command(
        epilog=examples(
            "xisuan demo                            434 jobs of a real trace; prices, vouchers, audit, an invoice",
            "xisuan demo --seconds 60 --chaos       the same, while broker, agent and database are killed",
            "xisuan demo --keep                     leaves everything running, to look around with other commands",
            "xisuan demo --scenario voucher-rush    200 enterprises fight for the last million yuan of a budget",
            "xisuan demo --scenario voucher-rush --enterprises 40 --seed 7",
        )
    )(demo)
    app.command(name="version", epilog=examples("xisuan version --json"))(show_version)


def serve(
    ctx: typer.Context,
    home: Home = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of the API.")] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address of /metrics; empty turns it off.")
    ] = None,
    console: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address of the console for browsers [off].")
    ] = None,
    dsn: Dsn = "",
    world: Annotated[str | None, typer.Option(help="World to apply at the first start: laptop, or a file.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM); needed beyond loopback.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    round_interval_seconds: Annotated[
        float | None, typer.Option(help="Shortest time between the starts of two rounds.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; may be repeated.")
    ] = None,
    settings: Annotated[bool, typer.Option("--settings", help="Print every setting and end.")] = False,
    log: Annotated[LogStyle, typer.Option(help="How log lines look.")] = LogStyle.CONSOLE,
) -> None:
    """Run a broker until it is told to stop. The first start makes the database, the world and the keys."""
    if settings:
        _show_settings()
        return
    given: dict[str, Any] = {
        "home": (home or home_of(ctx)).absolute(),
        "listen": listen,
        "metrics_listen": metrics_listen,
        "console_listen": console,
        "dsn": dsn or None,
        "world": world,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "round_interval_seconds": round_interval_seconds,
    }
    chosen = _settings({name: value for name, value in given.items() if value is not None} | _pairs(more or []))
    open_log(log)
    from broker import bootstrap

    with _start_failures():
        bootstrap.serve(
            chosen, lambda endpoint: note(f"serving at {endpoint}; keys are in {chosen.home / 'keys'}"), log
        )


def agent(
    config: Annotated[Path, typer.Option(metavar="FILE", help="Configuration, as `xisuan cluster attach` writes it.")],
) -> None:
    """Run the agent of a cluster until it is told to stop; jobs run on, and the next agent takes them over."""
    from broker.agent.main import main

    raise typer.Exit(main(config))


def migrate(
    ctx: typer.Context, home: Home = None, dsn: Dsn = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Bring the database's tables up to date; they only ever move forward. `serve` does it by itself."""
    chosen = _settings({"home": (home or home_of(ctx)).absolute(), "dsn": dsn}, as_json=as_json)
    from broker import bootstrap

    with _start_failures(as_json=as_json):
        names = bootstrap.migrate(chosen, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "migrations": names})
    elif names:
        show(f"{'would apply' if dry_run else 'applied'}:", *names)
    else:
        show("the tables are up to date")


def demo(
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Time that the day of the trace takes.")] = 35.0,
    jobs: Annotated[int, typer.Option(min=0, help="Jobs of the trace to play; 0 plays all of the day.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 1,
    chaos: Annotated[bool, typer.Option("--chaos", help="Kill broker, an agent and PostgreSQL in the middle.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to keep everything [temporary].")] = None,
    scenario: Annotated[Scenario, typer.Option(help="What is played: see below.")] = Scenario.DAY,
    enterprises: Annotated[
        int, typer.Option(min=2, max=1000, help="How many fight in voucher-rush, for 5,000 yuan each.")
    ] = 200,
) -> None:
    """Watch the exchange at work with real processes and emulated money. Ends with 1 if anything is wrong.

    "day" plays a day of a real trace, time compressed, for cities that pay in advance and by voucher; prices and
    vouchers are seen to move, and an audit, a city's invoice and the voucher budget end it. "voucher-rush" lets many
    enterprises apply at once, each over a connection of its own, until the budget is gone: who comes too late is
    refused. Then all submit jobs, whose holds draw on the vouchers, and the books prove that not a fen too much went.
    --seconds, --jobs and --chaos are of "day", --enterprises is of "voucher-rush".
    """
    from broker.demo.main import run
    from broker.demo.options import DemoOptions
    from broker.demo.options import Scenario as Played

    place = folder.absolute() if folder else None
    raise typer.Exit(run(DemoOptions(seconds, jobs, seed, chaos, keep, place, Played(scenario.value), enterprises)))


def show_version(as_json: AsJson = False) -> None:
    """Show the versions of the program and of what its plans depend on."""
    versions = {"xisuan": _version("xisuan"), "python": platform.python_version()}
    versions |= {name: _version(name) for name in ("ortools", "numpy", "grpcio", "protobuf", "asyncpg")}
    if as_json:
        print_json(versions)
    else:
        show(table(["", ""], versions.items()))


def _settings(values: dict[str, Any], *, as_json: bool = False) -> "Settings":
    from broker.config import Settings
    from broker.errors import InvalidRequest

    try:
        return Settings.of(values)
    except InvalidRequest as error:
        fields = [(problem.field, problem.description) for problem in error.fields]
        usage("these settings cannot be used (`xisuan serve --settings` lists all)", fields=fields, as_json=as_json)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            usage(f"--set {text[:80]!r} must be NAME=VALUE; `xisuan serve --settings` lists the names")
        pairs[name] = value
    return pairs


def _show_settings() -> None:
    from broker.config import Settings

    rows = [
        (name, field.get_default(call_default_factory=True), field.description)
        for name, field in Settings.model_fields.items()
    ]
    show(table(["setting", "default", "meaning"], rows))


@contextlib.contextmanager
def _start_failures(*, as_json: bool = False) -> Iterator[None]:
    """Tell errors that say by themselves why the program cannot start, without a traceback."""
    from broker.calls.keeper import CannotStart
    from broker.errors import BrokerError
    from broker.postgres import EmbeddedPostgresError
    from broker.rpc.tls import CannotListen
    from broker.store.database import RoleUnusable
    from broker.store.migrate import MigrationError

    try:
        yield
    except BrokerError as error:
        fields = [(problem.field, problem.description) for problem in error.fields]
        complain(str(error), reason=error.reason, code=error.code, fields=fields, as_json=as_json)
    except (EmbeddedPostgresError, CannotListen, CannotStart, RoleUnusable, MigrationError) as error:
        complain(str(error), reason=type(error).__name__, code="FAILED_PRECONDITION", as_json=as_json)
    else:
        return
    raise typer.Exit(ExitCode.REFUSED)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
