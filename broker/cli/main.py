"""The command `xisuan`: the options before the command, and the commands by group."""

import os
from typing import Annotated

import typer

from broker.cli import (
    admin,
    backup,
    clusters,
    energy,
    jobs,
    ledger,
    logs,
    papers,
    policy,
    prices,
    probes,
    quotes,
    rates,
    reliability,
    reports,
    rounds,
    service,
    submit,
    uses,
    vouchers,
    watch,
    windows,
    world,
)
from broker.cli.options import examples
from broker.cli.settings import Globals

app = typer.Typer(
    name="xisuan",
    help="A compute exchange: cities submit jobs, clusters run them, and the scheduler proves how good every round is.",
    epilog=examples(
        "xisuan serve                                            start a broker on this machine",
        "xisuan submit --stack cann --cards 1 -- echo hello      run something",
        "xisuan watch                                            see what happens",
        "xisuan explain job-7                                    why does it wait?",
        "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 broker unavailable.",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: fast, and examples can be copied
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    ctx: typer.Context,
    endpoint: Annotated[
        str, typer.Option(envvar="XISUAN_ENDPOINT", metavar="HOST:PORT", help="Where the broker listens.")
    ] = "",
    api_key: Annotated[
        str, typer.Option(help="Key to use (better in XISUAN_API_KEY or a key file: others can see arguments).")
    ] = "",
    tls_ca: Annotated[
        str, typer.Option(envvar="XISUAN_TLS_CA", metavar="FILE", help="Certificates to trust (PEM).")
    ] = "",
    home: Annotated[
        str,
        typer.Option(
            envvar="XISUAN_HOME", metavar="DIR", help="Folder for data, keys and profile [~/.local/share/xisuan]."
        ),
    ] = "",
    patience_seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to try again while the broker is away.")
    ] = 5.0,
) -> None:
    """Take the options before the command."""
    ctx.obj = Globals(endpoint, api_key, tls_ca, home, patience_seconds)


for group in (
    *(submit, jobs, logs, watch, clusters, prices, quotes, uses, papers, energy, reliability, probes),
    service,
):
    group.register(app)
app.add_typer(rounds.app)
app.add_typer(admin.app)
app.add_typer(world.app)
app.add_typer(windows.app)
app.add_typer(policy.app)
app.add_typer(rates.app)
app.add_typer(ledger.app)
app.add_typer(vouchers.app)
app.add_typer(backup.app)
app.add_typer(reports.app)


def main() -> None:
    """Run the command line; the entry point of the distribution."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else a broker's restart writes into the reader's table
    app()


if __name__ == "__main__":
    main()
