"""Vouchers from the command line, against a broker's real edge and database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.caller import Role
from broker.clock import ManualClock
from broker.market.evidence import Evidence
from broker.rpc.voucher_service import VoucherService
from broker.store.database import Database
from tests.cli.commands import Ended, xisuan
from tests.cli.served import GANZHOU_KEY, OPERATOR_KEY, served
from tests.conftest import Dsns
from tests.small_world import T0
from tests.voucher_world import PROGRAMME, open_office

LI = ("--officer", "Li Wei")
APPLY = (
    "apply", "qy-2026", "acme", "4000", "--contract", "合同 7", "--provider", "longdong", "--class", "training",
    "--scale-milli-pflops", "100", "--paper", "contract",
)  # fmt: skip


@pytest.fixture
async def home(database: Database, dsns: Dsns, tmp_path: Path) -> AsyncIterator[Path]:
    """A home folder with the keys of Ganzhou, the operator and the voucher office, and a programme of 10,000 yuan."""
    world = await open_office(database, dsns, document=million_times(PROGRAMME))
    clock = ManualClock(T0)
    service = VoucherService(world.office, world.vouchers, Evidence(world.database), clock)
    async with served(
        database, tmp_path, service, clock, [OPERATOR_KEY, GANZHOU_KEY, ("voucher-office", Role.VOUCHER_OFFICE, "")]
    ) as home:
        yield home


def million_times(document: str) -> str:
    """Return the document with yuan where it had micro-yuan."""
    for amount in ("10000", "6000", "1000"):
        document = document.replace(f"micro_yuan: {amount},", f"micro_yuan: {amount}000000,")
    return document


async def voucher(home: Path, *words: str) -> Ended:
    return await xisuan("voucher", *words, home=home)


async def test_a_voucher_goes_its_way(home: Path) -> None:
    applied = await voucher(home, *APPLY)
    again = await voucher(home, *APPLY)
    await voucher(home, "review", "application-1", *LI)
    tried = await voucher(home, "grant", "application-1", *LI, "--dry-run")
    made = await voucher(home, "grant", "application-1", *LI)
    shown = await voucher(home, "show", "qy-2026-1")
    papers = await voucher(home, "papers", "qy-2026-1", "invoice", *LI)
    listed = await voucher(home, "list", "--json")
    story = await voucher(home, "story", "--voucher", "qy-2026-1")
    forecast = await voucher(home, "forecast", "qy-2026")
    evidence = await voucher(home, "evidence", "qy-2026-1", "--into", str(home / "pack"))

    assert (applied.out.strip(), again.out.strip()) == ("application-1", "application-1 (made before)"), applied.err
    assert "qy-2026-1: ¥4,000.0000 would be granted" in tried.out
    assert "¥1,000.0000 at once, the rest with invoice" in made.out
    assert "30.00 % on domestic cards, 20.00 % on others" in shown.out
    assert papers.out.strip() == "qy-2026-1 is active"
    assert listed.data["vouchers"][0]["available_micro_yuan"] == "4000000000"
    assert [line.split("  ")[1].strip() for line in story.out.splitlines()[1:]] == [
        "applied", "review begun", "granted conditionally", "papers complete",
    ]  # fmt: skip
    assert "¥6,000.0000" in forecast.out
    assert "mean of the last" in forecast.out
    of_year = await voucher(home, "evidence", "--enterprise", "acme", "--year", "2026", "--into", str(home / "year"))
    neither = await voucher(home, "evidence", "--enterprise", "acme")
    assert len(evidence.out.splitlines()) == 4
    assert (home / "pack" / "qy-2026-1.pdf").read_bytes().startswith(b"%PDF-")
    assert len(of_year.out.splitlines()) == 5, of_year.err
    assert (home / "year" / "acme-2026.csv").read_text("utf-8-sig").splitlines()[-1].startswith("total,,,,4000000000,")
    assert "--enterprise with --year" in neither.err
    assert "granted_conditionally" in (home / "pack" / "qy-2026-1-story.csv").read_text()


async def test_programmes_and_enterprises_are_set_and_shown(home: Path) -> None:
    tried = await voucher(home, "programme", "apply", "bundled:qingyang", *LI, "--dry-run")
    made = await voucher(home, "programme", "apply", "bundled:qingyang", *LI)
    shown = await voucher(home, "programme", "show", "qingyang-2026")
    listed = await voucher(home, "programme", "list", "--office")
    of_city = await voucher(home, "programme", "list")
    enterprise = await voucher(
        home, "enterprise", "set", "nanjing", "jinling", "--title", "金陵", "--registration", "9132",
        "--plant", "hall 3", "--related", "longdong", *LI,
    )  # fmt: skip
    enterprises = await voucher(home, "enterprise", "list", "--office", "--json")

    assert "1 changes would be made" in tried.out
    assert "1 changes made" in made.out, made.err
    assert "doubtful" in shown.out
    assert "¥100,000,000.0000" in listed.out
    assert "left" not in of_city.out
    assert "jinling" in enterprise.out
    assert len(enterprises.data["enterprises"]) == 3


async def test_steps_of_a_voucher_and_refusals_say_the_way_out(home: Path) -> None:
    await voucher(home, *APPLY, "--paper", "invoice")
    await voucher(home, "review", "application-1", *LI)
    await voucher(home, "grant", "application-1", *LI, "--amount", "100")
    suspended = await voucher(home, "suspend", "qy-2026-1", *LI, "--note", "check")
    resumed = await voucher(home, "resume", "qy-2026-1", *LI)
    redeemed = await voucher(home, "redeem", "qy-2026-1", *LI)
    withdrawn = await voucher(home, "withdraw", "application-1")
    applications = await voucher(home, "applications", "--state", "granted", "--json")
    wrong = await voucher(home, *APPLY, "--class", "mining")
    amount = await voucher(home, "apply", "qy-2026", "acme", "1e5", *APPLY[4:])
    nobody = await voucher(home, "suspend", "qy-2026-9", *LI, "--json")

    assert suspended.out.strip() == "qy-2026-1 is suspended"
    assert resumed.out.strip() == "qy-2026-1 is active"
    assert (redeemed.code, withdrawn.code) == (1, 1)
    assert "is not possible then" in redeemed.err
    assert len(applications.data["applications"]) == 1
    assert (wrong.code, amount.code) == (2, 2)
    assert "must be one of training" in wrong.err
    assert nobody.error["reason"] == "VOUCHER_NOT_FOUND"
