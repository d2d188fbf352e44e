"""What operators do. Answers are the messages of `broker/wire/v1/admin_service.proto`, every field documented there."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Self

import grpc

from broker.client.connection import KeyedConnection
from broker.client.errors import from_call
from broker.client.retry import RetryPolicy
from broker.client.settings import resolve
from broker.client.spec import timestamp
from broker.wire.v1 import admin_service_pb2 as pb

PAGE_SIZE: Final = 500
LeaseStateName = Literal["offered", "active", "lost"]
RoleName = Literal["city", "agent", "operator", "observer", "auditor", "owner", "voucher_office", "enterprise"]


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """Input and plan of one round, as they were stored: enough to replay it bit for bit."""

    snapshot: bytes
    plan: bytes
    policy_json: str
    horizon: bytes = b""  # of rounds that looked ahead
    decision: bytes = b""


class AdminClient(KeyedConnection):
    """Calls the broker as an operator (or, for everything that only reads, as an observer)."""

    @classmethod
    def from_environment(
        cls,
        *,
        endpoint: str | None = None,
        api_key: str | None = None,
        tls_ca: str | Path | None = None,
        home: str | Path | None = None,
        retry: RetryPolicy | None = None,
    ) -> Self:
        """Return a client by arguments, XISUAN_* variables and the operator's key that `xisuan serve` wrote.

        Raises: BadSettings: something is missing; the message says where it was looked for.
        """
        found = resolve(endpoint=endpoint, api_key=api_key, tls_ca=tls_ca, home=home, operator=True)
        return cls(found.endpoint, found.api_key, found.tls_ca, retry=retry)

    async def apply_world(self, document: str, *, dry_run: bool = False) -> list[str]:
        """Take over a world (YAML or JSON) and return one line for each difference; with `dry_run` only compare."""
        request = pb.ApplyWorldRequest(document=document, dry_run=dry_run)
        return list((await self.unary("AdminService/ApplyWorld", request, pb.ApplyWorldResponse)).changes)

    async def catalogue(self) -> pb.GetCatalogueResponse:
        """Return hubs, accelerator models and cities."""
        return await self.unary("AdminService/GetCatalogue", pb.GetCatalogueRequest(), pb.GetCatalogueResponse)

    async def overview(self) -> pb.GetOverviewResponse:
        """Return the names that a live display shows."""
        return await self.unary("AdminService/GetOverview", pb.GetOverviewRequest(), pb.GetOverviewResponse)

    async def register_cluster(
        self,
        cluster: str,
        *,
        hub: str,
        owner: str,
        title: str = "",
        ask_micro_yuan_per_card_hour: Mapping[str, int] | None = None,
    ) -> str:
        """Make a cluster known and return the key for its agent, which is shown this once.

        Args:
            ask_micro_yuan_per_card_hour: what the owner asks by model; a model that is not listed asks 0.
        """
        request = pb.RegisterClusterRequest(
            cluster=cluster,
            hub=hub,
            owner=owner,
            title=title,
            ask_micro_yuan_per_card_hour=dict(ask_micro_yuan_per_card_hour or {}),
        )
        answer = await self.unary("AdminService/RegisterCluster", request, pb.RegisterClusterResponse, repeatable=False)
        return answer.agent_key

    async def clusters(self, *, hub: str = "") -> list[pb.Cluster]:
        """Return clusters with their pools, by name; of one hub when it is named."""
        answer = await self.unary("AdminService/ListClusters", pb.ListClustersRequest(hub=hub), pb.ListClustersResponse)
        return list(answer.clusters)

    async def nodes(self, cluster: str, *, page_size: int = PAGE_SIZE) -> AsyncGenerator[pb.Node, None]:
        """Yield the nodes of a cluster by name, fetching pages as they are needed."""
        request = pb.ListNodesRequest(cluster=cluster, page_size=page_size)
        while True:
            page = await self.unary("AdminService/ListNodes", request, pb.ListNodesResponse)
            for node in page.nodes:
                yield node
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cordon(self, cluster: str, nodes: Sequence[str] = (), *, reason: str, dry_run: bool = False) -> list[str]:
        """Give no new work to nodes (none named: all of the cluster) and return those that changed."""
        request = pb.CordonNodesRequest(cluster=cluster, nodes=nodes, reason=reason, dry_run=dry_run)
        return list((await self.unary("AdminService/CordonNodes", request, pb.CordonNodesResponse)).nodes)

    async def drain(
        self, cluster: str, nodes: Sequence[str] = (), *, reason: str, dry_run: bool = False
    ) -> pb.DrainNodesResponse:
        """Empty nodes (none named: all of the cluster); return those that changed and the leases waited for."""
        request = pb.DrainNodesRequest(cluster=cluster, nodes=nodes, reason=reason, dry_run=dry_run)
        return await self.unary("AdminService/DrainNodes", request, pb.DrainNodesResponse)

    async def uncordon(self, cluster: str, nodes: Sequence[str] = (), *, dry_run: bool = False) -> list[str]:
        """Give work to nodes again (none named: all of the cluster) and return those that changed."""
        request = pb.UncordonNodesRequest(cluster=cluster, nodes=nodes, dry_run=dry_run)
        return list((await self.unary("AdminService/UncordonNodes", request, pb.UncordonNodesResponse)).nodes)

    async def leases(
        self, *, states: Iterable[LeaseStateName] = (), cluster: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.Lease, None]:
        """Yield live leases, oldest first.

        Args:
            states: of "offered", "active", "lost"; empty means all of these.
            cluster: only this one; empty means all.
        """
        names = [f"LEASE_STATE_{state.upper()}" for state in states]
        request = pb.ListLeasesRequest(states=names, cluster=cluster, page_size=page_size)
        while True:
            page = await self.unary("AdminService/ListLeases", request, pb.ListLeasesResponse)
            for lease in page.leases:
                yield lease
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def write_off(self, lease_id: str, *, reason: str) -> pb.Lease:
        """Vouch that nothing of a LOST lease runs any more, and return it ended.

        Args:
            reason: who has made sure, and how; kept for ever.
        """
        request = pb.WriteOffLeaseRequest(lease_id=lease_id, reason=reason)
        answer = await self.unary("AdminService/WriteOffLease", request, pb.WriteOffLeaseResponse, repeatable=False)
        return answer.lease

    async def rounds(self, *, busy_only: bool = False, page_size: int = 50) -> AsyncGenerator[pb.Round, None]:
        """Yield reports of rounds, newest first; `busy_only` leaves out those with nothing to do."""
        request = pb.ListRoundsRequest(page_size=page_size, busy_only=busy_only)
        while True:
            page = await self.unary("AdminService/ListRounds", request, pb.ListRoundsResponse)
            for report in page.rounds:
                yield report
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def round(self, number: int = 0) -> pb.GetRoundResponse:
        """Return one round's report with its refusals; 0 means the last round."""
        return await self.unary("AdminService/GetRound", pb.GetRoundRequest(round=number), pb.GetRoundResponse)

    async def round_record(self, number: int = 0) -> RoundRecord:
        """Return what is needed to replay a round; 0 means the last one. A broken transfer starts again."""
        patience = self.patience()
        while True:
            request = pb.GetRoundRecordRequest(round=number)
            call = self.server_stream("AdminService/GetRoundRecord", request, pb.GetRoundRecordResponse)
            snapshot, plan, policy_json, horizon, decision = bytearray(), bytearray(), "", bytearray(), bytearray()
            try:
                async for message in call:
                    snapshot += message.snapshot
                    plan += message.plan
                    policy_json = message.policy_json or policy_json
                    horizon += message.horizon
                    decision += message.decision
                return RoundRecord(bytes(snapshot), bytes(plan), policy_json, bytes(horizon), bytes(decision))
            except grpc.aio.AioRpcError as error:
                broken = from_call(error)
            finally:
                call.cancel()
            await self.pause_or_raise(broken, patience)

    async def promises(self) -> Sequence[pb.Promise]:
        """Return the starts that are promised to waiting jobs, the next one first."""
        return (
            await self.unary("AdminService/ListPromises", pb.ListPromisesRequest(), pb.ListPromisesResponse)
        ).promises

    async def set_quota(self, quota: pb.Quota) -> pb.QuotaUse:
        """Add a quota or change it as a whole, and return how it stands; the same again changes nothing."""
        return (await self.unary("AdminService/SetQuota", pb.SetQuotaRequest(quota=quota), pb.SetQuotaResponse)).quota

    async def quotas(self, *, hub: str = "") -> list[pb.QuotaUse]:
        """Return quotas with what is used, borrowed and lent, those above first; of one hub when it is named."""
        answer = await self.unary("AdminService/ListQuotas", pb.ListQuotasRequest(hub=hub), pb.ListQuotasResponse)
        return list(answer.quotas)

    async def remove_quota(
        self, hub: str, city: str = "", enterprise: str = "", *, dry_run: bool = False
    ) -> pb.QuotaUse:
        """Remove a quota that has none below it, and return how it stood; with `dry_run` only say so."""
        request = pb.RemoveQuotaRequest(hub=hub, city=city, enterprise=enterprise, dry_run=dry_run)
        answer = await self.unary("AdminService/RemoveQuota", request, pb.RemoveQuotaResponse, repeatable=False)
        return answer.quota

    async def set_hub_power(
        self,
        hub: str,
        *,
        power_kilowatts_max: int | None = None,
        pue_milli: int | None = None,
        energy_kilowatt_hours_per_year: int | None = None,
        micro_yuan_per_kilowatt_hour: int | None = None,
        used_kilowatt_hours: int | None = None,
    ) -> pb.HubPower:
        """Set power and energy of a hub, and return where it stands. None leaves a figure as it is, 0 takes it away.

        Args:
            used_kilowatt_hours: what the meter says that this year (UTC+8) has used so far.
        """
        request = pb.SetHubPowerRequest(
            hub=hub,
            power_kilowatts_max=power_kilowatts_max,
            pue_milli=pue_milli,
            energy_kilowatt_hours_per_year=energy_kilowatt_hours_per_year,
            micro_yuan_per_kilowatt_hour=micro_yuan_per_kilowatt_hour,
            used_kilowatt_hours=used_kilowatt_hours,
        )
        return (await self.unary("AdminService/SetHubPower", request, pb.SetHubPowerResponse)).power

    async def hub_power(self, hub: str) -> pb.HubPower:
        """Return power and energy of a hub: what is set, what is used, and the pace within the year's quota."""
        request = pb.GetHubPowerRequest(hub=hub)
        return (await self.unary("AdminService/GetHubPower", request, pb.GetHubPowerResponse)).power

    async def create_key(self, role: RoleName, subject: str = "", *, note: str = "") -> pb.CreateKeyResponse:
        """Make an API key; its secret is shown this once.

        Args:
            subject: the city, "CITY/ENTERPRISE", cluster or owner it is for; empty for all other roles.
        """
        request = pb.CreateKeyRequest(role=f"ROLE_{role.upper()}", subject=subject, note=note)
        return await self.unary("AdminService/CreateKey", request, pb.CreateKeyResponse, repeatable=False)

    async def keys(self) -> list[pb.Key]:
        """Return the keys without their secrets, newest first."""
        return list((await self.unary("AdminService/ListKeys", pb.ListKeysRequest(), pb.ListKeysResponse)).keys)

    async def revoke_key(self, key_id: str) -> None:
        """End a key at once."""
        await self.unary("AdminService/RevokeKey", pb.RevokeKeyRequest(key_id=key_id), pb.RevokeKeyResponse)

    async def create_window(
        self,
        cluster: str,
        *,
        ends_at: datetime,
        starts_at: datetime | None = None,
        pool: str = "",
        nodes: Sequence[str] = (),
        reason: str,
        dry_run: bool = False,
    ) -> pb.CreateWindowResponse:
        """Close nodes for maintenance, and return the window with whom it meets; the same again changes nothing.

        Args:
            ends_at: when they are open again; aware, as `starts_at`.
            starts_at: from when on; None means now, which makes a repeat another window.
            pool: only this pool; empty means every pool.
            nodes: only these; none named means all of the pool or cluster.
            dry_run: only say whom it would meet.
        """
        request = pb.CreateWindowRequest(
            cluster=cluster,
            pool=pool,
            nodes=nodes,
            starts_at=timestamp(starts_at),
            ends_at=timestamp(ends_at),
            reason=reason,
            dry_run=dry_run,
        )
        repeatable = starts_at is not None or dry_run
        return await self.unary("AdminService/CreateWindow", request, pb.CreateWindowResponse, repeatable=repeatable)

    async def windows(self, *, cluster: str = "", past: bool = False) -> list[pb.Window]:
        """Return maintenance windows by their begin; with `past` also those that are over or cancelled."""
        request = pb.ListWindowsRequest(cluster=cluster, past=past)
        return list((await self.unary("AdminService/ListWindows", request, pb.ListWindowsResponse)).windows)

    async def cancel_window(self, window_id: str) -> pb.Window:
        """Take a window back, in the midst of it too."""
        request = pb.CancelWindowRequest(window_id=window_id)
        return (await self.unary("AdminService/CancelWindow", request, pb.CancelWindowResponse)).window

    async def moves(self, job_id: str = "") -> list[pb.MoveProposal]:
        """Return what moving running work would gain, for one waiting job or for those that are worth most."""
        request = pb.ListMovesRequest(job_id=job_id)
        return list((await self.unary("AdminService/ListMoves", request, pb.ListMovesResponse)).proposals)

    async def make_room(self, job_id: str, *, withdraw: bool = False) -> None:
        """Let running work be moved for a waiting job, until it is placed; or no longer."""
        request = pb.MakeRoomRequest(job_id=job_id, withdraw=withdraw)
        await self.unary("AdminService/MakeRoom", request, pb.MakeRoomResponse)

    async def pause(self, *, city: str = "", cluster: str = "", reason: str, dry_run: bool = False) -> pb.PauseResponse:
        """Let no job of a city start, or give a cluster no new work; exactly one is named. What runs goes on."""
        request = pb.PauseRequest(city=city or None, cluster=cluster or None, reason=reason, dry_run=dry_run)
        return await self.unary("AdminService/Pause", request, pb.PauseResponse)

    async def resume(self, *, city: str = "", cluster: str = "", dry_run: bool = False) -> pb.ResumeResponse:
        """Let a queue or cluster go on; exactly one is named."""
        request = pb.ResumeRequest(city=city or None, cluster=cluster or None, dry_run=dry_run)
        return await self.unary("AdminService/Resume", request, pb.ResumeResponse)

    async def pauses(self) -> list[pb.PausedPlace]:
        """Return what is paused, clusters before queues, by name."""
        return list((await self.unary("AdminService/ListPauses", pb.ListPausesRequest(), pb.ListPausesResponse)).pauses)

    async def preview_closing(self, cluster: str, nodes: Sequence[str] = ()) -> pb.GetPreviewResponse:
        """Say what closing nodes (none named: all of the cluster) would do to what runs and to the next round."""
        return await self._preview(pb.GetPreviewRequest(close_nodes=pb.NodesToClose(cluster=cluster, nodes=nodes)))

    async def preview_pause(self, city: str) -> pb.GetPreviewResponse:
        """Say what the next round would do without a city's jobs."""
        return await self._preview(pb.GetPreviewRequest(pause_city=city))

    async def preview_quota(self, quota: pb.Quota) -> pb.GetPreviewResponse:
        """Say what the next round would do if a quota were set so, as a whole."""
        return await self._preview(pb.GetPreviewRequest(quota=quota))

    async def _preview(self, request: pb.GetPreviewRequest) -> pb.GetPreviewResponse:
        return await self.unary("AdminService/GetPreview", request, pb.GetPreviewResponse)
