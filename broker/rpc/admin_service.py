"""AdminService: who, what, one use case, answer. Roles are checked by the table of the identity interceptor."""
# ruff: noqa: ARG002 - gRPC hands request and context to every method

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from broker.clock import Clock
from broker.errors import RoundNotFound, RoundNotReplayable
from broker.ids import RoundId
from broker.market.energy import HubEnergy
from broker.market.moves import Moves
from broker.market.operations import Operations
from broker.market.pauses import Pauses
from broker.market.previews import Previews
from broker.market.quotas import Quotas
from broker.market.rounds import RoundsReader
from broker.market.windows import Windows
from broker.market.worlds import Worlds
from broker.rpc import convert_admin as convert
from broker.rpc import convert_limits as limits
from broker.rpc import convert_moves, convert_pauses, convert_previews, convert_promises, convert_windows
from broker.rpc.convert import chunks
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.store.rounds import RoundRecord, RoundReport
from broker.wire.v1 import admin_service_pb2 as pb
from broker.wire.v1.admin_service_pb2_grpc import AdminServiceServicer

ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
"""An answer that lists leases is cut here: below what gRPC clients take by default."""

PIECE_BYTES: Final = 512 * 1024
"""A round's record is sent in pieces of this size."""

REFUSALS_MAX: Final = 10_000


class AdminService(AdminServiceServicer):
    """What operators, observers and auditors call.

    Args:
        operations: what they do to clusters, nodes, leases and keys.
        quotas: what they guarantee to hubs, cities and enterprises.
        energy: power and energy of hubs.
        worlds: the catalogue.
        rounds: reports and records of rounds.
        windows: when nodes are closed for maintenance.
        pauses: queues and clusters that are paused.
        previews: what changes would do.
        moves: what moving running work would gain, and to let it be moved.
        records_kept: rounds whose record is kept for replay, for the error that says so.
        policy_keys: public keys with which placement policies are signed.
        clock: the edge's clock.
    """

    def __init__(
        self,
        operations: Operations,
        quotas: Quotas,
        energy: HubEnergy,
        worlds: Worlds,
        rounds: RoundsReader,
        windows: Windows,
        pauses: Pauses,
        previews: Previews,
        moves: Moves,
        *,
        records_kept: int,
        policy_keys: Sequence[str] = (),
        clock: Clock,
    ) -> None:
        self._operations = operations
        self._quotas = quotas
        self._energy = energy
        self._worlds = worlds
        self._rounds = rounds
        self._windows = windows
        self._pauses = pauses
        self._previews = previews
        self._moves = moves
        self._records_kept = records_kept
        self._policy_keys = tuple(policy_keys)
        self._clock = clock

    async def ApplyWorld(self, request: pb.ApplyWorldRequest, context: Context) -> pb.ApplyWorldResponse:
        """Take a world over, or only compare it."""
        changes = await self._worlds.apply(
            caller_of(context), request.document, now=self._clock.now(), dry_run=request.dry_run
        )
        return pb.ApplyWorldResponse(changes=changes)

    async def GetCatalogue(self, request: pb.GetCatalogueRequest, context: Context) -> pb.GetCatalogueResponse:
        """Return hubs, accelerator models, cities, and the keys that sign placement policies."""
        answer = convert.catalogue_to_wire(await self._worlds.catalogue(self._clock.now()))
        answer.policy_keys.extend(self._policy_keys)
        return answer

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Context) -> pb.GetOverviewResponse:
        """Return the numbers that a live display shows."""
        overview = await self._operations.overview(self._clock.now())
        return convert.overview_to_wire(overview, await self._rounds.get(None))

    async def RegisterCluster(self, request: pb.RegisterClusterRequest, context: Context) -> pb.RegisterClusterResponse:
        """Make a cluster known and return a key for its agent."""
        cluster = convert.cluster_row(request)
        key = await self._operations.register_cluster(caller_of(context), cluster, now=self._clock.now())
        return pb.RegisterClusterResponse(agent_key=key.text)

    async def ListClusters(self, request: pb.ListClustersRequest, context: Context) -> pb.ListClustersResponse:
        """Return clusters with their pools."""
        clusters = await self._operations.clusters(convert.hub_or_empty(request), now=self._clock.now())
        return pb.ListClustersResponse(clusters=map(convert.cluster_to_wire, clusters))

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """Return a page of nodes, by name."""
        cluster, after, limit = convert.node_page(request)
        nodes = await self._operations.node_page(cluster, after, limit)
        token = nodes[-1].node if len(nodes) == limit else ""
        return pb.ListNodesResponse(nodes=map(convert.node_to_wire, nodes), next_page_token=token)

    async def CordonNodes(self, request: pb.CordonNodesRequest, context: Context) -> pb.CordonNodesResponse:
        """Give no new work to nodes."""
        change = convert.node_change(request)
        changed = await self._operations.cordon(
            caller_of(context),
            change.cluster,
            change.nodes,
            change.reason,
            now=self._clock.now(),
            dry_run=request.dry_run,
        )
        return pb.CordonNodesResponse(nodes=changed)

    async def DrainNodes(self, request: pb.DrainNodesRequest, context: Context) -> pb.DrainNodesResponse:
        """Empty nodes, and say which leases they wait for."""
        change = convert.node_change(request)
        drained = await self._operations.drain(
            caller_of(context),
            change.cluster,
            change.nodes,
            change.reason,
            now=self._clock.now(),
            dry_run=request.dry_run,
        )
        leases = next(chunks(map(convert.lease_to_wire, drained.leases), ANSWER_BYTES_MAX), [])
        return pb.DrainNodesResponse(nodes=drained.nodes, leases=leases)

    async def UncordonNodes(self, request: pb.UncordonNodesRequest, context: Context) -> pb.UncordonNodesResponse:
        """Give work to nodes again."""
        cluster, nodes = convert.nodes_to_open(request)
        changed = await self._operations.uncordon(
            caller_of(context), cluster, nodes, now=self._clock.now(), dry_run=request.dry_run
        )
        return pb.UncordonNodesResponse(nodes=changed)

    async def ListLeases(self, request: pb.ListLeasesRequest, context: Context) -> pb.ListLeasesResponse:
        """Return a page of live leases, as many as asked for unless they are too large for one answer."""
        wanted = convert.lease_filter(request)
        found = await self._operations.leases(wanted.states, wanted.cluster, wanted.after, wanted.limit)
        leases = next(chunks(map(convert.lease_to_wire, found), ANSWER_BYTES_MAX), [])
        last_page = len(leases) == len(found) < wanted.limit
        return pb.ListLeasesResponse(
            leases=leases, next_page_token="" if last_page else convert.lease_token(leases[-1])
        )

    async def WriteOffLease(self, request: pb.WriteOffLeaseRequest, context: Context) -> pb.WriteOffLeaseResponse:
        """End a LOST lease on an operator's word."""
        lease, reason = convert.written_off(request)
        ended = await self._operations.write_off(caller_of(context), lease, reason, now=self._clock.now())
        return pb.WriteOffLeaseResponse(lease=convert.lease_to_wire(ended))

    async def ListRounds(self, request: pb.ListRoundsRequest, context: Context) -> pb.ListRoundsResponse:
        """Return a page of reports, newest first."""
        limit, before = convert.round_page(request)
        reports = await self._rounds.list_page(limit, before, busy_only=request.busy_only)
        token = str(reports[-1].round) if len(reports) == limit else ""
        return pb.ListRoundsResponse(rounds=map(convert.round_to_wire, reports), next_page_token=token)

    async def GetRound(self, request: pb.GetRoundRequest, context: Context) -> pb.GetRoundResponse:
        """Return one report with the jobs that it left waiting."""
        report = await self._round(request.round)
        record = await self._rounds.record(RoundId(report.round))
        refusals = await self._rounds.refusals(RoundId(report.round), REFUSALS_MAX) if record is not None else []
        return pb.GetRoundResponse(
            round=convert.round_to_wire(report),
            refusals=convert.refusals_to_wire(refusals),
            replayable=record is not None,
        )

    async def GetRoundRecord(
        self, request: pb.GetRoundRecordRequest, context: Context
    ) -> AsyncIterator[pb.GetRoundRecordResponse]:
        """Send what a replay of a round needs: its policy, then snapshot and plan in pieces."""
        report = await self._round(request.round)
        record = await self._rounds.record(RoundId(report.round))
        if record is None:
            raise RoundNotReplayable(round=report.round, kept=self._records_kept)
        for piece in _pieces(record):
            yield piece

    async def SetQuota(self, request: pb.SetQuotaRequest, context: Context) -> pb.SetQuotaResponse:
        """Add or change a quota."""
        wanted = limits.quota_row(request)
        use = await self._quotas.set(caller_of(context), wanted, now=self._clock.now())
        return pb.SetQuotaResponse(quota=limits.quota_to_wire(use))

    async def ListQuotas(self, request: pb.ListQuotasRequest, context: Context) -> pb.ListQuotasResponse:
        """Return quotas with their use."""
        found = await self._quotas.list(limits.quota_hub(request), now=self._clock.now())
        return pb.ListQuotasResponse(quotas=map(limits.quota_to_wire, found))

    async def RemoveQuota(self, request: pb.RemoveQuotaRequest, context: Context) -> pb.RemoveQuotaResponse:
        """Remove a quota that has none below it."""
        quota = limits.quota_path(request)
        use = await self._quotas.remove(caller_of(context), quota, now=self._clock.now(), dry_run=request.dry_run)
        return pb.RemoveQuotaResponse(quota=limits.quota_to_wire(use))

    async def SetHubPower(self, request: pb.SetHubPowerRequest, context: Context) -> pb.SetHubPowerResponse:
        """Set power and energy of a hub."""
        change = limits.power_change(request)
        use = await self._energy.set(caller_of(context), change, now=self._clock.now())
        return pb.SetHubPowerResponse(power=limits.power_to_wire(use))

    async def GetHubPower(self, request: pb.GetHubPowerRequest, context: Context) -> pb.GetHubPowerResponse:
        """Return power and energy of a hub."""
        use = await self._energy.get(limits.power_hub(request), now=self._clock.now())
        return pb.GetHubPowerResponse(power=limits.power_to_wire(use))

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        """Make an API key."""
        role, subject, note = convert.new_key(request)
        key = await self._operations.create_key(caller_of(context), role, subject, note, now=self._clock.now())
        return pb.CreateKeyResponse(key_id=key.key_id, api_key=key.text)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        """Return the keys, without secrets."""
        return pb.ListKeysResponse(keys=map(convert.key_to_wire, await self._operations.keys(caller_of(context))))

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:
        """End a key."""
        await self._operations.revoke_key(caller_of(context), convert.key_id(request), now=self._clock.now())
        return pb.RevokeKeyResponse()

    async def CreateWindow(self, request: pb.CreateWindowRequest, context: Context) -> pb.CreateWindowResponse:
        """Close nodes for a time, and say whom that meets."""
        now = self._clock.now()
        draft = convert_windows.window_draft(request, now=now)
        created = await self._windows.create(caller_of(context), draft, now=now, dry_run=request.dry_run)
        return convert_windows.created_to_wire(created)

    async def ListWindows(self, request: pb.ListWindowsRequest, context: Context) -> pb.ListWindowsResponse:
        """Return maintenance windows."""
        cluster = convert_windows.window_cluster(request)
        found = await self._windows.list(cluster, now=self._clock.now(), past=request.past)
        return convert_windows.windows_to_wire(found)

    async def CancelWindow(self, request: pb.CancelWindowRequest, context: Context) -> pb.CancelWindowResponse:
        """Take a window back."""
        window = convert_windows.window_id(request)
        found = await self._windows.cancel(caller_of(context), window, now=self._clock.now())
        return pb.CancelWindowResponse(window=convert_windows.window_to_wire(found))

    async def Pause(self, request: pb.PauseRequest, context: Context) -> pb.PauseResponse:
        """Let no job of a city start, or give a cluster no new work."""
        what, name = convert_pauses.place_of(request)
        done = await self._pauses.pause(
            caller_of(context), what, name, request.reason, now=self._clock.now(), dry_run=request.dry_run
        )
        return convert_pauses.paused_to_wire(done)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        """Let a queue or cluster go on."""
        what, name = convert_pauses.place_of(request)
        done = await self._pauses.resume(caller_of(context), what, name, now=self._clock.now(), dry_run=request.dry_run)
        return convert_pauses.resumed_to_wire(done)

    async def ListPauses(self, request: pb.ListPausesRequest, context: Context) -> pb.ListPausesResponse:
        """Return what is paused."""
        return pb.ListPausesResponse(pauses=map(convert_pauses.pause_to_wire, await self._pauses.list()))

    async def GetPreview(self, request: pb.GetPreviewRequest, context: Context) -> pb.GetPreviewResponse:
        """Say what a change would do."""
        what = convert_previews.what_if(request)
        return convert_previews.preview_to_wire(await self._previews.preview(what, now=self._clock.now()))

    async def ListPromises(self, request: pb.ListPromisesRequest, context: Context) -> pb.ListPromisesResponse:
        """Return all promised starts, the next one first."""
        return convert_promises.promises_to_wire(await self._rounds.promises())

    async def ListMoves(self, request: pb.ListMovesRequest, context: Context) -> pb.ListMovesResponse:
        """Say what moving running work would gain."""
        job = convert_moves.job_if_any(request)
        return convert_moves.moves_to_wire(await self._moves.proposed(job, now=self._clock.now()))

    async def MakeRoom(self, request: pb.MakeRoomRequest, context: Context) -> pb.MakeRoomResponse:
        """Let running work be moved for a waiting job."""
        job = convert_moves.job_of(request)
        await self._moves.make_room(caller_of(context), job, now=self._clock.now(), withdraw=request.withdraw)
        return pb.MakeRoomResponse()

    async def _round(self, number: int) -> RoundReport:
        report = await self._rounds.get(convert.round_or_last(number))
        if report is None:
            raise RoundNotFound(round=number or "yet")
        return report


def _pieces(record: RoundRecord) -> Iterator[pb.GetRoundRecordResponse]:
    yield pb.GetRoundRecordResponse(policy_json=record.policy_json)
    for start in range(0, len(record.snapshot), PIECE_BYTES):
        yield pb.GetRoundRecordResponse(snapshot=record.snapshot[start : start + PIECE_BYTES])
    for start in range(0, len(record.plan), PIECE_BYTES):
        yield pb.GetRoundRecordResponse(plan=record.plan[start : start + PIECE_BYTES])
    if record.horizon is not None and record.decision is not None:
        for start in range(0, len(record.horizon), PIECE_BYTES):
            yield pb.GetRoundRecordResponse(horizon=record.horizon[start : start + PIECE_BYTES])
        for start in range(0, len(record.decision), PIECE_BYTES):
            yield pb.GetRoundRecordResponse(decision=record.decision[start : start + PIECE_BYTES])
