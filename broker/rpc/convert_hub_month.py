"""Between the wire and the domain: months of hubs, and what parks enter of them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.market.park_figures import Entry, ParkFigure
from broker.papers.hub_month import HubMonth, HubPart, ParkFigures
from broker.papers.month import Month
from broker.papers.use import FIGURES
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import Checks
from broker.rpc.convert_enums import EnumMap
from broker.rpc.convert_papers import month_of
from broker.wire.v1 import hub_month_pb2 as pb
from broker.wire.v1 import papers_pb2
from broker.worlds.schema import PUE_MILLI_MAX

RACKS_MAX: Final = 10**9
HEAT_KILOWATT_HOURS_MAX: Final = 10**12
SOURCE_CHARACTERS_MAX: Final = 200
FIGURE: Final = EnumMap(pb.ParkFigure, ParkFigure, "PARK_FIGURE")


def wanted(request: pb.GetHubMonthRequest) -> tuple[str, Month]:
    """Return hub and month of the report that is asked for. Raise InvalidRequest."""
    checks = Checks()
    hub, month = checks.slug_or_empty("hub", request.hub), month_of(checks, request.month)
    checks.done()
    return hub, month


def entry(request: pb.SetParkFiguresRequest) -> Entry:
    """Return what is to be entered. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    hub, month = checks.slug("hub", request.hub), month_of(checks, request.month)
    given = {
        name: checks.within(name, getattr(request, name), low, high)
        for name, low, high in (
            ("racks", 0, RACKS_MAX),
            ("racks_used", 0, RACKS_MAX),
            ("pue_milli", 1000, PUE_MILLI_MAX),
            ("recovered_heat_kilowatt_hours", 0, HEAT_KILOWATT_HOURS_MAX),
        )
        if request.HasField(name)
    }
    count = checks.count("withdrawn", request.withdrawn, 0, len(ParkFigure))
    withdrawn = [FIGURE.read(checks, f"withdrawn[{i}]", number) for i, number in enumerate(request.withdrawn[:count])]
    if not given and not request.withdrawn:
        checks.wrong("racks", "nothing is given: set racks, racks_used, pue_milli or recovered_heat_kilowatt_hours")
    source = checks.printable("source", request.source, SOURCE_CHARACTERS_MAX)
    checks.done()
    return Entry(hub=hub, month=month, source=source, withdrawn=frozenset(withdrawn), **given)


def figures_filter(request: pb.ListParkFiguresRequest) -> tuple[str, Month | None]:
    """Return hub and month whose entries are asked for. Raise InvalidRequest."""
    checks = Checks()
    hub = checks.slug_or_empty("hub", request.hub)
    month = month_of(checks, request.month) if request.month else None
    checks.done()
    return hub, month


def figures_to_wire(figures: ParkFigures) -> pb.ParkFigures:
    """Return an entry; what is not known stays unset."""
    return pb.ParkFigures(**(asdict(figures) | {"set_at": timestamp(figures.set_at)}))


def month_to_wire(found: HubMonth) -> pb.GetHubMonthResponse:
    """Return a month of a hub."""
    rounds = asdict(found.rounds)
    return pb.GetHubMonthResponse(
        number=found.number,
        month=found.month,
        hub=found.hub,
        begins_at=timestamp(found.begins_at),
        ends_at=timestamp(found.ends_at),
        provisional_at=_when(found.provisional_at),
        energy_counted_until=_when(found.energy_counted_until),
        sha256=found.sha256(),
        total=pb.MonthTotal(**asdict(found.total)),
        use=[
            papers_pb2.UseRow(city=r.city, workload_class=r.workload_class, **{f: getattr(r, f) for f in FIGURES})
            for r in found.use
        ],
        titles=[pb.Title(**asdict(r)) for r in found.titles],
        days=[pb.DayUse(**asdict(r)) for r in found.days],
        money=[pb.DayMoney(**asdict(r)) for r in found.money],
        energy=[pb.DayEnergy(**asdict(r)) for r in found.energy],
        models=[pb.ModelMonth(**asdict(r)) for r in found.models],
        hubs=_hubs(found.hubs),
        programmes=[pb.ProgrammeMonth(**asdict(r)) for r in found.programmes],
        rounds=pb.MonthRounds(**(rounds | {"gaps": [pb.GapBucket(**each) for each in rounds["gaps"]]})),
    )


def _hubs(hubs: Sequence[HubPart]) -> list[pb.HubPart]:
    return [
        pb.HubPart(
            **(
                asdict(hub)
                | {
                    "months": [pb.YearEnergy(**asdict(each)) for each in hub.months],
                    "figures": [figures_to_wire(each) for each in hub.figures],
                }
            )
        )
        for hub in hubs
    ]


def _when(at: datetime | None) -> Timestamp | None:
    return None if at is None else timestamp(at)
