"""Evidence of a voucher: lease by lease what was paid and drawn, with the story; figures checked by hand."""

import csv
import io
import json

import pytest

from broker.caller import Caller, Role
from broker.errors import RoleRefused, VoucherNotFound
from broker.ledger.holds import Capture
from broker.market.evidence import Evidence
from broker.store.database import Database
from broker.vouchers.paying import Refused
from tests.conftest import Dsns
from tests.small_world import NANJING, T0, placed, submitted
from tests.voucher_world import AUDITOR, open_office

OWNER = Caller("key-owner", Role.OWNER, "longdong")


async def test_a_pack_says_by_lease_what_was_paid_and_drawn(database: Database, dsns: Dsns) -> None:
    world = await open_office(database, dsns)
    made = await world.granted(contract="=C-1")
    [job] = await submitted(database, "a")
    lease = await placed(database, job, cards=(0, 1))
    hold = await world.hold(made.voucher, 1000)
    assert not isinstance(hold, Refused)
    for key, minutes in (("c-1", 60), ("c-2", 30)):
        posted = await world.ledger.capture(Capture(key, hold, "owner/longdong", 10 * minutes), now=T0)
        async with database.hub() as tx:
            await tx.execute(
                "INSERT INTO lease_captures VALUES ($1, $2, $3, false)", posted.transaction, lease, minutes
            )

    whole, use, story, drawn = await Evidence(database).of_voucher(AUDITOR, made.voucher)
    async with database.hub() as tx:  # what is corrected later holds from then on
        await tx.execute("UPDATE accelerator_models SET fp16_programme_milli_tflops = 999000, watts = 999")
        await tx.execute("UPDATE hubs SET pue_milli = 1999")
    again = await Evidence(database).of_voucher(AUDITOR, made.voucher)

    said = json.loads(whole.content)
    [row] = said["use"]
    assert (row["lease"], row["owner"], row["milli_cards"], row["minutes"]) == (f"lease-{lease}", "longdong", 2000, 90)
    assert said["totals"] == {
        "minutes": 90,
        "micro_yuan": 900,
        "milli_pflops_hours": 2 * 320 * 90 // 60,  # 2 cards of 0.32 P for an hour and a half
        "joules": 2 * 400 * 90 * 60,
    }
    assert [step["event"] for step in said["story"]] == ["applied", "review_begun", "granted"]
    assert [r["micro_yuan"] for r in csv.DictReader(io.StringIO(use.content.decode("utf-8-sig")))] == ["900"]
    assert story.content.decode("utf-8-sig").startswith("at,event,officer,key_id,note\r\n")
    assert drawn.name == f"{made.voucher}.pdf"
    assert drawn.content.startswith(b"%PDF-")
    assert (whole, use, story, drawn) == again


async def test_an_enterprise_has_the_evidence_of_a_year_in_one_pack(database: Database, dsns: Dsns) -> None:
    world = await open_office(database, dsns)
    first = await world.granted(micro_yuan=100)
    second = await world.granted(request_key="b", contract="C-2", micro_yuan=50)
    evidence = Evidence(database)

    table, *files = await evidence.of_enterprise(AUDITOR, "", "acme", 2026)
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))

    assert table.name == "acme-2026.csv"
    assert [row["voucher"] for row in rows] == [first.voucher, second.voucher, "total"]
    assert [int(row["granted_micro_yuan"]) for row in rows] == [100, 50, 150]
    assert [file.name for file in files if file.name.endswith(".json")] == [
        f"{first.voucher}.json", f"{second.voucher}.json",
    ]  # fmt: skip
    for city, name, year in (("nanjing", "acme", 2026), ("ganzhou", "acme", 2027), ("", "other", 2026)):
        with pytest.raises(VoucherNotFound):
            await evidence.of_enterprise(AUDITOR, city, name, year)
    with pytest.raises(RoleRefused):
        await evidence.of_enterprise(OWNER, "ganzhou", "acme", 2026)
    with pytest.raises(VoucherNotFound):
        await evidence.of_enterprise(NANJING, "ganzhou", "acme", 2026)


async def test_evidence_is_for_those_who_check_and_whose_voucher_it_is(database: Database, dsns: Dsns) -> None:
    await open_office(database, dsns)

    with pytest.raises(RoleRefused):
        await Evidence(database).of_voucher(OWNER, "qy-2026-1")
    with pytest.raises(VoucherNotFound):
        await Evidence(database).of_voucher(AUDITOR, "qy-2026-1")
