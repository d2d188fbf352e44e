"""`python -m benchmarks`: every benchmark is a command; `--json FILE` writes its figures for programs."""

import signal

import typer

from benchmarks import allocate, console, explain, ledger, metering, placer, standard, submit
from benchmarks.curves import command as curves
from benchmarks.load import command as load
from benchmarks.openb import command as openb
from benchmarks.real_rivals import command as rivals
from benchmarks.replay import command as replay

app = typer.Typer(
    name="benchmarks",
    help="Measure Xisuan. Each benchmark starts what it needs and ends with the audit; findings make it void.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def choose() -> None:
    """Take the options before the benchmark's name (there are none yet)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped, as after Ctrl-C


app.command(name="allocate")(allocate.main)
app.command(name="placer")(placer.main)
app.command(name="console")(console.main)
app.command(name="curves")(curves.main)
app.command(name="explain")(explain.main)
app.command(name="submit")(submit.main)
app.command(name="load")(load.main)
app.command(name="ledger")(ledger.main)
app.command(name="metering")(metering.main)
app.command(name="openb")(openb.main)
app.command(name="standard")(standard.main)
app.command(name="replay")(replay.main)
app.command(name="rivals")(rivals.main)

if __name__ == "__main__":
    app()
