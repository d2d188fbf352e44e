"""Between the wire and the domain: MeasureService, with all checks of measure_service.proto."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from broker.caller import Caller, Role
from broker.ids import JobId, job_text, lease_text
from broker.market.energy_report import EnergyReport, HubReport, Period, green_ppm, total
from broker.market.reliability import WEIGHTS, WINDOW_DAYS, Part, Score
from broker.rpc.convert import timestamp
from broker.rpc.convert_checks import Checks, shown
from broker.rpc.convert_enums import EnumMap
from broker.store.energy_counts import Drawn, LeaseEnergy, Sum
from broker.store.probes import ProbeRow
from broker.wire.v1 import measure_service_pb2 as pb

_PERIOD: Final = re.compile(r"(20[0-9]{2})(?:-(0[1-9]|1[0-2]))?")


MILLI_TFLOPS_MAX: Final = 10**9
PRECISION_CHARACTERS_MAX: Final = 16
PART: Final = EnumMap(pb.ReliabilityPart, Part, "RELIABILITY_PART")


@dataclass(frozen=True, slots=True)
class EnergyFilter:
    """Whose energy of when."""

    hub: str
    city: str
    period: Period


def energy_filter(request: pb.GetEnergyRequest, *, now: datetime) -> EnergyFilter:
    """Return whose energy of when is asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = EnergyFilter(
        hub=checks.slug_or_empty("hub", request.hub),
        city=checks.slug_or_empty("city", request.city),
        period=_period(checks, request.period, now),
    )
    checks.done()
    return found


def _period(checks: Checks, text: str, now: datetime) -> Period:
    if not text:
        return Period.month(now)
    match = _PERIOD.fullmatch(text)
    if match is None:
        checks.wrong("period", f'must be a month such as "2026-11" or a year such as "2026", not {shown(text)}')
        return Period.month(now)
    year, month = int(match[1]), match[2]
    if month is None:
        return Period(date(year, 1, 1), date(year + 1, 1, 1))
    after = date(year + 1, 1, 1) if month == "12" else date(year, int(month) + 1, 1)
    return Period(date(year, int(month), 1), after)


def energy_to_wire(report: EnergyReport) -> pb.GetEnergyResponse:
    """Return the energy of a period."""
    wire = pb.GetEnergyResponse(
        hubs=[_hub(hub, report) for hub in report.hubs],
        parts=map(_part, report.parts),
        period=str(report.period),
    )
    if report.counted is not None:
        since, until = report.counted
        wire.counted_since.CopyFrom(timestamp(since))
        wire.counted_until.CopyFrom(timestamp(until))
    return wire


def _hub(hub: HubReport, report: EnergyReport) -> pb.HubEnergy:
    lines, drawn = hub.lines, hub.drawn
    quota = hub.quota_joules if report.whole else 0
    return pb.HubEnergy(
        hub=lines.hub,
        drawn=_drawn(drawn) if report.whole else None,
        green_ppm=green_ppm(drawn),
        green_line_ppm=lines.green_line_ppm or None,
        pue_milli=drawn.meter_joules * 1000 // drawn.it_joules if drawn.it_joules else None,
        pue_line_milli=lines.pue_line_milli or None,
        green_hours=lines.green_hours,
        green_share_ppm=lines.green_share_ppm,
        quota_joules=quota or None,
        pace_joules=report.period.of_year(quota) if quota else None,
    )


def _part(part: Sum) -> pb.EnergyPart:
    return pb.EnergyPart(hub=part.hub, cluster=part.cluster, owner=part.owner, city=part.city, drawn=_drawn(part.drawn))


def _drawn(drawn: Drawn) -> pb.Drawn:
    return pb.Drawn(
        it_joules=drawn.it_joules,
        meter_joules=drawn.meter_joules,
        green_joules=drawn.green_joules,
        green_ppm=green_ppm(drawn),
    )


def job_energy_to_wire(attempts: Sequence[LeaseEnergy]) -> pb.GetJobEnergyResponse:
    """Return what a job has drawn."""
    return pb.GetJobEnergyResponse(
        attempts=[
            pb.AttemptEnergy(
                lease_id=lease_text(each.lease),
                hub=each.hub,
                cluster=each.cluster,
                offered_at=timestamp(each.offered_at),
                ended_at=None if each.ended_at is None else timestamp(each.ended_at),
                drawn=_drawn(each.drawn),
                final=each.final,
            )
            for each in attempts
        ],
        drawn=_drawn(total(each.drawn for each in attempts)),
        final=bool(attempts) and all(each.final for each in attempts),
    )


def reliability_filter(request: pb.ListReliabilityRequest) -> tuple[str, str]:
    """Return owner and cluster whose scores are asked for. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = checks.slug_or_empty("owner", request.owner), checks.slug_or_empty("cluster", request.cluster)
    checks.done()
    return found


def reliability_to_wire(scores: Sequence[Score]) -> pb.ListReliabilityResponse:
    """Return scores of owners and clusters."""
    return pb.ListReliabilityResponse(
        scores=[
            pb.ReliabilityScore(
                owner=each.owner,
                cluster=each.cluster,
                score_ppm=each.score_ppm,
                parts=[
                    pb.PartScore(part=PART.to_wire(p.part), good=p.good, of=p.of, ppm=p.ppm, weight=WEIGHTS[p.part])
                    for p in each.parts
                ],
            )
            for each in scores
        ],
        days=WINDOW_DAYS,
    )


def measured(request: pb.RecordProbeRequest) -> tuple[JobId, int, str]:
    """Return which probe has measured what, in which precision. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    found = (
        checks.job_id("job_id", request.job_id),
        checks.within("measured_milli_tflops", request.measured_milli_tflops, 1, MILLI_TFLOPS_MAX),
        checks.printable_ascii("precision", request.precision, PRECISION_CHARACTERS_MAX),
    )
    checks.done()
    return found


def probes_cluster(request: pb.ListProbesRequest) -> str:
    """Return the cluster whose probes are asked for, "" for all. Raise InvalidRequest."""
    checks = Checks()
    cluster = checks.slug_or_empty("cluster", request.cluster)
    checks.done()
    return cluster


def probes_to_wire(rows: Sequence[ProbeRow], caller: Caller) -> pb.ListProbesResponse:
    """Return probes; which jobs they were is not for cities, enterprises and owners: they are other cities'."""
    whole = caller.role not in (Role.CITY, Role.ENTERPRISE, Role.OWNER)
    return pb.ListProbesResponse(
        probes=[
            pb.Probe(
                cluster=row.cluster,
                owner=row.owner,
                node=row.node,
                model=row.model,
                cards=row.cards,
                measured_milli_tflops=row.measured,
                precision=row.precision,
                emulated=row.emulated,
                at=timestamp(row.at),
                job_id=job_text(row.job) if whole else "",
                rated_milli_tflops=row.rated,
                programme_milli_tflops=row.programme,
                model_measured_milli_tflops=row.of_the_model,
            )
            for row in rows
        ]
    )
