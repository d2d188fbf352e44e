"""`--help` teaches."""

import json
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from broker.cli.main import app
from tests.cli.commands import commands

COMMANDS = dict(commands())

WANTED = """
    serve, agent, migrate, submit, jobs, job, watch, logs, explain, cancel, update, clusters, nodes, cluster attach,
    rounds list, rounds show, rounds replay, admin keys create, admin keys generate, admin keys list,
    admin keys revoke, admin cordon, admin drain,
    admin uncordon, admin leases, admin write-off, admin audit, admin quota set, admin quota list,
    admin quota remove, admin power set, admin power show, admin figures set, admin figures list,
    world list, world show, world check, world apply, demo,
    policy verify, policy keygen, version, window create, window list, window cancel, admin preview close,
    admin preview pause, admin preview quota, admin pause, admin resume, admin pauses,
    admin promises, admin defragment, rates set, rates list, prices,
    capacity, quote, accept, book, quotes, ledger accounts, ledger balance, ledger postings, ledger deposit,
    ledger verify, ledger export, ledger holds, ledger billing, ledger credit, ledger credits, report use, report month,
    invoice, statement, usage, energy,
    reliability, probes, admin probe,
    voucher programme apply, voucher programme list, voucher programme show, voucher enterprise set,
    voucher enterprise list, voucher apply, voucher withdraw, voucher applications, voucher review, voucher grant,
    voucher list, voucher show, voucher papers, voucher suspend, voucher resume, voucher redeem, voucher story,
    voucher forecast, voucher evidence,
    backup make, backup restore
"""

HEAVY = {"grpc", "google.protobuf", "pydantic", "yaml", "rich.table", "asyncpg", "numpy", "ortools", "structlog"}


def test_every_command_is_there() -> None:
    assert set(COMMANDS) == {" ".join(name.split()) for name in WANTED.split(",")}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does_and_shows_an_example(name: str) -> None:
    told = CliRunner().invoke(app, [*name.split(), "--help"])

    assert told.exit_code == 0
    assert re.search(r"Examples:\n +xisuan ", told.output), told.output
    assert COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_name_commands_and_options_that_exist(name: str) -> None:
    """An example that does not work teaches the wrong thing."""
    for line in COMMANDS[name].epilog.splitlines():
        words = line.strip().partition(" -- ")[0].split("   ")[0].split("|")[0].split()
        if words[:1] != ["xisuan"]:
            continue
        called = max((c for c in COMMANDS if words[1:][: len(c.split())] == c.split()), key=len, default=None)
        assert called is not None, line
        known = {option for parameter in COMMANDS[called].params for option in getattr(parameter, "opts", ())}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_means(name: str) -> None:
    silent = [p.name for p in COMMANDS[name].params if not getattr(p, "help", None)]

    assert silent == []


def test_commands_that_print_results_can_print_json() -> None:
    """Programs read what people read; only what runs until it is stopped, or is a show, has no JSON."""
    without = [name for name, c in COMMANDS.items() if not any("--json" in getattr(p, "opts", ()) for p in c.params)]

    assert sorted(without) == ["agent", "demo", "serve"]


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, json\nfrom broker.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    began = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    taken = time.monotonic() - began

    assert HEAVY & set(json.loads(out.splitlines()[-1])) == set()
    assert taken < 5.0  # 0.25 s on an idle machine


def test_without_arguments_it_shows_its_commands() -> None:
    told = CliRunner().invoke(app, [])

    assert "submit" in told.output
    assert told.exit_code == 2
