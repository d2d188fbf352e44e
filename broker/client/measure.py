"""What is measured. Answers are the messages of `broker/wire/v1/measure_service.proto`, documented there."""

from broker.client.connection import KeyedConnection
from broker.wire.v1 import measure_service_pb2 as pb


class MeasureClient(KeyedConnection):
    """Calls the broker about energy, as a city, an owner, an operator, an observer or an auditor."""

    async def energy(self, *, hub: str = "", city: str = "", period: str = "") -> pb.GetEnergyResponse:
        """Return the energy of a month ("2026-11") or year ("2026"); "" is this month, every hub, every city."""
        request = pb.GetEnergyRequest(hub=hub, city=city, period=period)
        return await self.unary("MeasureService/GetEnergy", request, pb.GetEnergyResponse)

    async def job_energy(self, job_id: str) -> pb.GetJobEnergyResponse:
        """Return what a job has drawn, attempt by attempt, and how much of it was green."""
        request = pb.GetJobEnergyRequest(job_id=job_id)
        return await self.unary("MeasureService/GetJobEnergy", request, pb.GetJobEnergyResponse)

    async def reliability(self, *, owner: str = "", cluster: str = "") -> pb.ListReliabilityResponse:
        """Return how reliable owners and their clusters were; "" lets everything pass."""
        request = pb.ListReliabilityRequest(owner=owner, cluster=cluster)
        return await self.unary("MeasureService/ListReliability", request, pb.ListReliabilityResponse)

    async def record_probe(self, job_id: str, measured_milli_tflops: int, precision: str) -> None:
        """Record what a probe has measured of one card; for operators. What is recorded of it already stays."""
        request = pb.RecordProbeRequest(job_id=job_id, measured_milli_tflops=measured_milli_tflops, precision=precision)
        await self.unary("MeasureService/RecordProbe", request, pb.RecordProbeResponse)

    async def probes(self, *, cluster: str = "") -> pb.ListProbesResponse:
        """Return what was measured of cards, the newest of each model and node; "" is every cluster."""
        request = pb.ListProbesRequest(cluster=cluster)
        return await self.unary("MeasureService/ListProbes", request, pb.ListProbesResponse)
