"""Months of hubs, and what parks enter. A month comes whole, and its hash is that of what came."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from broker.client.connection import KeyedConnection
from broker.client.errors import StreamGap
from broker.papers.hub_month import (
    DayEnergy,
    DayMoney,
    DayUse,
    GapBucket,
    HubMonth,
    HubPart,
    ModelMonth,
    ParkFigures,
    ProgrammeMonth,
    Rounds,
    Title,
    Total,
    YearEnergy,
)
from broker.papers.use import UseRow
from broker.wire.v1 import hub_month_pb2 as pb

CALL_SECONDS_MAX: Final = 600.0
"""A month of a national hub has millions of leases, and all are read."""

T = TypeVar("T")


class HubMonthClient(KeyedConnection):
    """Calls the broker about months of hubs, as an operator or an auditor; entries are for operators."""

    async def month(self, month: str, *, hub: str = "") -> HubMonth:
        """Return a month ("2026-10") of a hub; "" is all together.

        Raises: StreamGap: what came is not what was sent.
        """
        request = pb.GetHubMonthRequest(hub=hub, month=month)
        return _whole(await self.unary("MeasureService/GetHubMonth", request, pb.GetHubMonthResponse))

    async def enter(self, request: pb.SetParkFiguresRequest) -> pb.SetParkFiguresResponse:
        """Enter what a park says of itself in a month; the same again changes nothing, so it is tried again safely."""
        return await self.unary("MeasureService/SetParkFigures", request, pb.SetParkFiguresResponse)

    async def entries(self, *, hub: str = "", month: str = "") -> Sequence[pb.ParkFigures]:
        """Return every version of a month, or the newest of each; "" is every hub."""
        request = pb.ListParkFiguresRequest(hub=hub, month=month)
        return (await self.unary("MeasureService/ListParkFigures", request, pb.ListParkFiguresResponse)).figures


def _whole(came: pb.GetHubMonthResponse) -> HubMonth:
    found = HubMonth(
        month=came.month,
        hub=came.hub,
        begins_at=_moment(came.begins_at),
        ends_at=_moment(came.ends_at),
        provisional_at=_moment(came.provisional_at) if came.HasField("provisional_at") else None,
        energy_counted_until=_moment(came.energy_counted_until) if came.HasField("energy_counted_until") else None,
        total=_row(Total, came.total),
        use=tuple(_row(UseRow, each) for each in came.use),
        titles=tuple(_row(Title, each) for each in came.titles),
        days=tuple(_row(DayUse, each) for each in came.days),
        money=tuple(_row(DayMoney, each) for each in came.money),
        energy=tuple(_row(DayEnergy, each) for each in came.energy),
        models=tuple(_row(ModelMonth, each) for each in came.models),
        hubs=tuple(_hub(each) for each in came.hubs),
        programmes=tuple(_row(ProgrammeMonth, each) for each in came.programmes),
        rounds=_row(Rounds, came.rounds, gaps=tuple(_row(GapBucket, each) for each in came.rounds.gaps)),
    )
    if found.sha256() != came.sha256:
        raise StreamGap(f"{came.number} came with another hash than its own: its broker is of another version")
    return found


def _hub(came: pb.HubPart) -> HubPart:
    return _row(
        HubPart,
        came,
        months=tuple(_row(YearEnergy, each) for each in came.months),
        figures=tuple(_row(ParkFigures, each, set_at=_moment(each.set_at)) for each in came.figures),
    )


def _row(kind: type[T], came: Message, **given: Any) -> T:
    """Return a row whose fields are called as on the wire; what has presence there and is unset is None."""
    optional = {f.name for f in came.DESCRIPTOR.fields if f.has_presence}
    names = (f.name for f in fields(kind) if f.name not in given)  # type: ignore[arg-type]
    read = {n: None if n in optional and not came.HasField(n) else getattr(came, n) for n in names}
    return kind(**read, **given)


def _moment(at: Any) -> datetime:
    found: datetime = at.ToDatetime(UTC)
    return found
