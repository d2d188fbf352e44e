"""MeasureService: who, what, one use case, answer. Roles are checked by the table of the identity interceptor."""
# ruff: noqa: ARG002 - gRPC hands request and context to every method

from broker.clock import Clock
from broker.market.energy_report import EnergyReports
from broker.market.hub_months import HubMonths
from broker.market.park_figures import ParkEntries
from broker.market.probes import Probes
from broker.market.reliability import Reliability
from broker.rpc import convert_hub_month
from broker.rpc import convert_measure as convert
from broker.rpc.convert_checks import job_id
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.wire.v1 import hub_month_pb2
from broker.wire.v1 import measure_service_pb2 as pb
from broker.wire.v1.measure_service_pb2_grpc import MeasureServiceServicer


class MeasureService(MeasureServiceServicer):
    """What is measured of hubs, clusters and owners.

    Args:
        energy: what was drawn.
        reliability: scores of owners and clusters.
        probes: what was measured of cards.
        months: months of hubs.
        entries: what parks say of themselves.
        clock: the edge's clock.
    """

    def __init__(
        self,
        energy: EnergyReports,
        reliability: Reliability,
        probes: Probes,
        clock: Clock,
        *,
        months: HubMonths,
        entries: ParkEntries,
    ) -> None:
        self._energy = energy
        self._reliability = reliability
        self._probes = probes
        self._months = months
        self._entries = entries
        self._clock = clock

    async def GetEnergy(self, request: pb.GetEnergyRequest, context: Context) -> pb.GetEnergyResponse:
        """Return the energy of a month or year."""
        wanted = convert.energy_filter(request, now=self._clock.now())
        return convert.energy_to_wire(
            await self._energy.report(caller_of(context), wanted.hub, wanted.city, wanted.period)
        )

    async def GetJobEnergy(self, request: pb.GetJobEnergyRequest, context: Context) -> pb.GetJobEnergyResponse:
        """Return what a job has drawn."""
        job = job_id("job_id", request.job_id)
        return convert.job_energy_to_wire(await self._energy.of_job(caller_of(context), job, now=self._clock.now()))

    async def ListReliability(self, request: pb.ListReliabilityRequest, context: Context) -> pb.ListReliabilityResponse:
        """Return scores of owners and clusters."""
        owner, cluster = convert.reliability_filter(request)
        return convert.reliability_to_wire(await self._reliability.scores(owner, cluster, now=self._clock.now()))

    async def RecordProbe(self, request: pb.RecordProbeRequest, context: Context) -> pb.RecordProbeResponse:
        """Record what a probe has measured."""
        measured = convert.measured(request)
        await self._probes.record(caller_of(context), *measured, now=self._clock.now())
        return pb.RecordProbeResponse()

    async def ListProbes(self, request: pb.ListProbesRequest, context: Context) -> pb.ListProbesResponse:
        """Return what was measured of cards."""
        found = await self._probes.latest(convert.probes_cluster(request))
        return convert.probes_to_wire(found, caller_of(context))

    async def GetHubMonth(
        self, request: hub_month_pb2.GetHubMonthRequest, context: Context
    ) -> hub_month_pb2.GetHubMonthResponse:
        """Return a month of a hub, or of all."""
        hub, month = convert_hub_month.wanted(request)
        return convert_hub_month.month_to_wire(
            await self._months.month(caller_of(context), month, hub, now=self._clock.now())
        )

    async def SetParkFigures(
        self, request: hub_month_pb2.SetParkFiguresRequest, context: Context
    ) -> hub_month_pb2.SetParkFiguresResponse:
        """Enter what a park says of itself in a month, or only say what that would do."""
        made = await self._entries.enter(
            caller_of(context), convert_hub_month.entry(request), now=self._clock.now(), dry_run=request.dry_run
        )
        figures = convert_hub_month.figures_to_wire(made.figures)
        return hub_month_pb2.SetParkFiguresResponse(figures=figures, unchanged=made.unchanged)

    async def ListParkFigures(
        self, request: hub_month_pb2.ListParkFiguresRequest, context: Context
    ) -> hub_month_pb2.ListParkFiguresResponse:
        """Return what was entered."""
        found = await self._entries.listed(*convert_hub_month.figures_filter(request))
        return hub_month_pb2.ListParkFiguresResponse(figures=map(convert_hub_month.figures_to_wire, found))
