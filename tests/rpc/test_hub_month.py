"""Months of hubs over a real socket and a real database: whole as they were sent, and every wrong field is named."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from broker.caller import Caller, Role
from broker.client.errors import StreamGap
from broker.client.hub_month import HubMonthClient
from broker.client.retry import RetryPolicy
from broker.errors import InvalidRequest
from broker.market.hub_months import HubMonths
from broker.market.park_figures import Entry, ParkFigure
from broker.papers.month import Month
from broker.rpc import convert_hub_month as convert
from broker.store.database import Database
from broker.wire.v1 import hub_month_pb2 as pb
from tests.papers.a_month import a_month
from tests.rpc.refusals import refusal
from tests.rpc.test_measure_service import Measured, open_measured
from tests.rpc.wire_strategies import messages

OPERATOR = Caller("key", Role.OPERATOR)
RIGHT: dict[str, Any] = {"hub": "qingyang", "month": "2026-03", "racks": 100, "racks_used": 65, "source": "survey"}


@pytest.fixture
async def measured(database: Database) -> AsyncIterator[Measured]:
    async with open_measured(database) as measured:
        yield measured


def client(measured: Measured, who: str = "operator") -> HubMonthClient:
    return HubMonthClient(f"127.0.0.1:{measured.port}", measured.keys[who], "", retry=RetryPolicy())


@pytest.mark.parametrize("who", ["operator", "auditor"])
async def test_a_month_comes_as_it_was_made(measured: Measured, who: str) -> None:
    """Figures that are not known and such as are 0 included: both texts have one hash."""
    await measured(pb.SetParkFiguresRequest(**RIGHT | {"racks_used": 0}))

    async with client(measured, who) as xisuan:
        found = await xisuan.month("2026-03", hub="qingyang")

    made = await HubMonths(measured.database).month(OPERATOR, Month(2026, 3), "qingyang", now=measured.clock.now())
    assert found == made
    [hub] = found.hubs
    assert (hub.figures[0].racks_used, hub.figures[0].pue_milli) == (0, None)
    assert found.total.leases == 0  # offered, and not started
    assert summed_energy(found) == hub.meter_joules > 0


def summed_energy(found: Any) -> int:
    return sum(day.meter_joules for day in found.energy)


def test_a_busy_month_goes_over_the_wire_and_is_small_enough() -> None:
    month = a_month(hub="")

    wire = convert.month_to_wire(month)

    assert wire.sha256 == month.sha256()
    assert wire.ByteSize() < 2**20
    from broker.client.hub_month import _whole

    assert _whole(pb.GetHubMonthResponse.FromString(wire.SerializeToString())) == month
    wire.total.jobs += 1
    with pytest.raises(StreamGap, match="another hash"):
        _whole(wire)


@pytest.mark.parametrize("who", ["city", "owner", "observer"])
async def test_money_of_everybody_is_for_operators_and_auditors(measured: Measured, who: str) -> None:
    assert (await refusal(measured(pb.GetHubMonthRequest(month="2026-03"), who))).reason == "ROLE_REFUSED"
    assert (await refusal(measured(pb.SetParkFiguresRequest(**RIGHT), who))).reason == "ROLE_REFUSED"


async def test_an_auditor_reads_entries_and_makes_none(measured: Measured) -> None:
    made = await measured(pb.SetParkFiguresRequest(**RIGHT))
    again = await measured(pb.SetParkFiguresRequest(**RIGHT))

    assert (made.unchanged, again.unchanged, again.figures) == (False, True, made.figures)
    assert (await refusal(measured(pb.SetParkFiguresRequest(**RIGHT), "auditor"))).reason == "ROLE_REFUSED"
    assert list((await measured(pb.ListParkFiguresRequest(), "auditor")).figures) == [made.figures]
    assert list((await measured(pb.ListParkFiguresRequest(month="2026-02"))).figures) == []


WRONG = {
    "a hub": (pb.GetHubMonthRequest(hub="Qing Yang", month="2026-03"), "hub"),
    "no month": (pb.GetHubMonthRequest(), "month"),
    "a month to come": (pb.GetHubMonthRequest(month="2026-04"), "month"),
    "no hub": (pb.SetParkFiguresRequest(**RIGHT | {"hub": ""}), "hub"),
    "the thirteenth": (pb.SetParkFiguresRequest(**RIGHT | {"month": "2026-13"}), "month"),
    "racks below zero": (pb.SetParkFiguresRequest(**RIGHT | {"racks": -1}), "racks"),
    "racks without end": (pb.SetParkFiguresRequest(**RIGHT | {"racks": 10**9 + 1}), "racks"),
    "more than all racks": (pb.SetParkFiguresRequest(**RIGHT | {"racks_used": 101}), "racks_used"),
    "a PUE below one": (pb.SetParkFiguresRequest(**RIGHT | {"pue_milli": 999}), "pue_milli"),
    "a PUE above four": (pb.SetParkFiguresRequest(**RIGHT | {"pue_milli": 4001}), "pue_milli"),
    "cold": (
        pb.SetParkFiguresRequest(**RIGHT | {"recovered_heat_kilowatt_hours": -1}), "recovered_heat_kilowatt_hours",
    ),
    "nothing": (pb.SetParkFiguresRequest(hub="qingyang", month="2026-03", source="s"), "racks"),
    "no source": (pb.SetParkFiguresRequest(**RIGHT | {"source": ""}), "source"),
    "a long source": (pb.SetParkFiguresRequest(**RIGHT | {"source": "x" * 201}), "source"),
    "a source of two lines": (pb.SetParkFiguresRequest(**RIGHT | {"source": "a\nb"}), "source"),
    "an unknown figure": (pb.SetParkFiguresRequest(**RIGHT | {"withdrawn": [9]}), "withdrawn[0]"),
    "too many figures": (pb.SetParkFiguresRequest(**RIGHT | {"withdrawn": [1] * 5}), "withdrawn"),
    "given and withdrawn": (pb.SetParkFiguresRequest(**RIGHT | {"withdrawn": [1]}), "withdrawn"),
    "a listed hub": (pb.ListParkFiguresRequest(hub="-"), "hub"),
    "a listed month": (pb.ListParkFiguresRequest(month="March"), "month"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_field_is_named(measured: Measured, name: str) -> None:
    request, field = WRONG[name]

    refused = await refusal(measured(request))

    assert (refused.reason, field in refused.fields) == ("INVALID_REQUEST", True)


async def test_an_unknown_hub_is_not_found(measured: Measured) -> None:
    for request in (
        pb.GetHubMonthRequest(hub="nowhere", month="2026-03"),
        pb.SetParkFiguresRequest(**RIGHT | {"hub": "nowhere"}),
        pb.ListParkFiguresRequest(hub="nowhere"),
    ):
        assert (await refusal(measured(request))).reason == "HUB_NOT_FOUND"


@given(messages(pb.GetHubMonthRequest), messages(pb.SetParkFiguresRequest), messages(pb.ListParkFiguresRequest))
def test_no_request_brings_anything_but_an_invalid_request(month: Message, entry: Message, listed: Message) -> None:
    for read, request in ((convert.wanted, month), (convert.entry, entry), (convert.figures_filter, listed)):
        with suppress(InvalidRequest):
            read(request)


@given(st.sets(st.sampled_from(ParkFigure)))
def test_what_is_withdrawn_is_read(figures: set[ParkFigure]) -> None:
    request = pb.SetParkFiguresRequest(
        hub="qingyang", month="2026-03", source="s", withdrawn=[convert.FIGURE.to_wire(f) for f in figures],
        recovered_heat_kilowatt_hours=0,
    )  # fmt: skip

    assert convert.entry(request) == Entry(
        "qingyang", Month(2026, 3), "s", recovered_heat_kilowatt_hours=0, withdrawn=figures
    )
