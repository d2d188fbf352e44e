"""What operators do takes effect whole, is on record with its key, and can be looked at before it is done."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.caller import Caller, Role
from broker.errors import (
    ClusterExists,
    ClusterNotFound,
    HubNotFound,
    InvalidRequest,
    KeyNotFound,
    KeyRefused,
    LeaseNotFound,
    LeaseNotLost,
    NodeNotFound,
)
from broker.ids import LeaseId
from broker.lifecycle import EndReason, JobEvent, JobState, LeaseState, NodeMode
from broker.market.identity import Identity
from broker.market.operations import Operations
from broker.store import clusters, leases
from broker.store.database import Database
from broker.worlds.catalogue import ClusterRow
from broker.worlds.rates import Curve
from tests.cluster_world import START, ClusterWorld, inventory

OPERATOR = Caller("key-operator", Role.OPERATOR)


class Hub(ClusterWorld):
    """The small world, an operator in it, how often the rounds were woken, and what is on record."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.woken = 0
        self.identity = Identity(self.database)
        self.operations = Operations(self.database, self.identity, wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def modes(self) -> dict[str, NodeMode]:
        return {node.node: node.mode for node in await self.operations.node_page("east", "", 100)}

    async def acts(self) -> list[tuple[str, str, Any]]:
        async with self.database.hub() as tx:
            rows = await tx.fetch("SELECT key_id, act, subject, detail FROM operator_acts ORDER BY act_id")
        assert all(r["key_id"] == OPERATOR.key_id for r in rows)
        return [(r["act"], r["subject"], r["detail"]) for r in rows]

    async def lost_lease(self) -> tuple[Any, LeaseId]:
        """Let an agent run a job and fall silent."""
        session = await self.attach("east", "one", inventory("n1", "n2", "n3"))
        job, ref = await self.running(session, 1)
        async with self.database.hub() as tx:
            await clusters.fall_lost(tx, "east", self.advance(120))
            await leases.silent(tx, "east", self.now)
        return job, ref.lease


@pytest.fixture
async def hub(database: Database) -> Hub:
    hub = Hub(database)
    await hub.lay()
    return hub


@pytest.fixture
async def nodes(hub: Hub) -> Hub:
    await hub.attach("east", "one", inventory("n1", "n2", "n3"))
    return hub


# Nodes


async def test_a_cordon_closes_open_nodes_and_leaves_the_rest(nodes: Hub) -> None:
    await nodes.operations.drain(OPERATOR, "east", ["n1"], "fan", now=START)

    changed = await nodes.operations.cordon(OPERATOR, "east", ["n1", "n2"], "cable", now=START)

    assert changed == ["n2"]
    assert await nodes.modes() == {"n1": NodeMode.DRAINING, "n2": NodeMode.CORDONED, "n3": NodeMode.OPEN}
    assert await nodes.acts() == [
        ("drain", "east", {"nodes": ["n1"], "reason": "fan"}),
        ("cordon", "east", {"nodes": ["n2"], "reason": "cable"}),
    ]


async def test_no_names_mean_every_node(nodes: Hub) -> None:
    changed = await nodes.operations.cordon(OPERATOR, "east", [], "maintenance", now=START)

    assert changed == ["n1", "n2", "n3"]


async def test_a_drain_says_which_leases_it_waits_for(nodes: Hub) -> None:
    here = await nodes.offer(await nodes.submit(), {"n1": [0]})
    await nodes.offer(await nodes.submit(), {"n2": [0]})

    drained = await nodes.operations.drain(OPERATOR, "east", ["n1", "n3"], "fan", now=START)

    assert drained.nodes == ("n1", "n3")
    assert [(lease.placement.lease, lease.state) for lease in drained.leases] == [(here.lease, LeaseState.OFFERED)]
    again = await nodes.operations.drain(OPERATOR, "east", ["n1", "n3"], "fan", now=START)
    assert (again.nodes, len(again.leases)) == ((), 1)  # nothing to change, still waited for


@pytest.mark.parametrize("act", ["cordon", "drain", "uncordon"])
async def test_a_dry_run_of_an_act_on_nodes_changes_nothing(nodes: Hub, act: str) -> None:
    await nodes.operations.cordon(OPERATOR, "east", ["n2"], "cable", now=START)
    before, acts = await nodes.modes(), await nodes.acts()

    run = getattr(nodes.operations, act)
    reason = () if act == "uncordon" else ("fan",)
    said = await run(OPERATOR, "east", [], *reason, now=START, dry_run=True)

    assert await nodes.modes() == before
    assert await nodes.acts() == acts
    assert nodes.woken == 0
    done = await run(OPERATOR, "east", [], *reason, now=START)
    assert done == said


async def test_uncordoned_nodes_get_work_in_the_next_round(nodes: Hub) -> None:
    await nodes.operations.cordon(OPERATOR, "east", ["n1"], "cable", now=START)
    await nodes.operations.drain(OPERATOR, "east", ["n2"], "fan", now=START)

    changed = await nodes.operations.uncordon(OPERATOR, "east", [], now=START)

    assert changed == ["n1", "n2"]
    assert set((await nodes.modes()).values()) == {NodeMode.OPEN}
    assert nodes.woken == 1
    [node, *_] = await nodes.operations.node_page("east", "", 10)
    assert node.mode_reason == ""


ON_NODES: dict[str, Callable[[Operations, str, list[str]], Awaitable[Any]]] = {
    "cordon": lambda o, cluster, names: o.cordon(OPERATOR, cluster, names, "x", now=START),
    "drain": lambda o, cluster, names: o.drain(OPERATOR, cluster, names, "x", now=START),
    "uncordon": lambda o, cluster, names: o.uncordon(OPERATOR, cluster, names, now=START),
}


@pytest.mark.parametrize("act", ON_NODES)
async def test_unknown_nodes_and_clusters_are_named(nodes: Hub, act: str) -> None:
    run = ON_NODES[act]

    with pytest.raises(NodeNotFound, match="Cluster east has no node n9"):
        await run(nodes.operations, "east", ["n1", "n9"])
    with pytest.raises(ClusterNotFound, match="mars"):
        await run(nodes.operations, "mars", [])
    assert await nodes.acts() == []


async def test_nodes_are_paged_by_name(nodes: Hub) -> None:
    first = await nodes.operations.node_page("east", "", 2)
    second = await nodes.operations.node_page("east", first[-1].node, 2)

    assert [node.node for node in first + second] == ["n1", "n2", "n3"]
    with pytest.raises(ClusterNotFound):
        await nodes.operations.node_page("mars", "", 2)


# Leases


async def test_a_lost_lease_is_written_off_on_an_operators_word(hub: Hub) -> None:
    job, lease = await hub.lost_lease()

    ended = await hub.operations.write_off(OPERATOR, lease, "Li went there, the rack is off", now=hub.now)

    assert (ended.state, ended.job) == (LeaseState.ENDED, job)
    assert await hub.state_of(job) is JobState.PENDING
    assert (await hub.story(job))[-1] is JobEvent.REQUEUED
    assert await hub.held() == 0
    assert hub.woken == 1
    [(act, subject, detail)] = await hub.acts()
    assert (act, subject) == ("write_off_lease", f"lease-{lease}")
    assert detail == {"reason": "Li went there, the rack is off", "job": job, "epoch": 1, "city": "ganzhou"}
    row = await hub.row("SELECT end_reason, end_detail FROM leases WHERE lease_id = $1", lease)
    assert tuple(row) == (EndReason.WRITTEN_OFF, "Li went there, the rack is off")


async def test_a_lease_that_is_not_lost_cannot_be_written_off(nodes: Hub) -> None:
    """Its agent is in touch: cancelling the job is the way."""
    ref = await nodes.offer(await nodes.submit())

    with pytest.raises(LeaseNotLost, match="is offered"):
        await nodes.operations.write_off(OPERATOR, ref.lease, "x", now=START)
    with pytest.raises(LeaseNotFound, match="lease-999"):
        await nodes.operations.write_off(OPERATOR, LeaseId(999), "x", now=START)

    assert await nodes.acts() == []
    assert nodes.woken == 0


async def test_live_leases_are_paged_oldest_first(nodes: Hub) -> None:
    refs = [await nodes.offer(await nodes.submit()) for _ in range(3)]

    first = await nodes.operations.leases([], "", LeaseId(0), 2)
    second = await nodes.operations.leases([], "east", first[-1].placement.lease, 2)

    assert [lease.placement.lease for lease in first + second] == [ref.lease for ref in refs]
    assert await nodes.operations.leases([LeaseState.LOST], "", LeaseId(0), 2) == []
    with pytest.raises(ClusterNotFound):
        await nodes.operations.leases([], "mars", LeaseId(0), 2)


# Clusters


def _cluster(**changes: Any) -> ClusterRow:
    right = {
        "cluster": "north",
        "hub": "qingyang",
        "owner": "kingsoft",
        "title": "North",
        "asks": {"a800": Curve.flat(5)},
    }
    return ClusterRow(**right | changes)


async def test_a_registered_cluster_has_a_key_for_its_agent(hub: Hub) -> None:
    key = await hub.operations.register_cluster(OPERATOR, _cluster(), now=START)

    caller = await hub.identity.caller(key.text, START)
    assert (caller.role, caller.subject) == (Role.AGENT, "north")
    assert "north" in [cluster.cluster for cluster in await hub.operations.clusters(now=START)]
    [(act, subject, detail)] = await hub.acts()
    assert (act, subject, detail["new"], detail["agent_key_id"]) == ("register_cluster", "north", True, key.key_id)
    assert key.secret not in str(detail)


async def test_registering_the_same_cluster_again_gives_another_key(hub: Hub) -> None:
    first = await hub.operations.register_cluster(OPERATOR, _cluster(), now=START)

    second = await hub.operations.register_cluster(OPERATOR, _cluster(title="", asks={}), now=START)

    assert first.key_id != second.key_id
    assert [await hub.identity.caller(key.text, START) for key in (first, second)]


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"owner": "ucloud"}, "owner is kingsoft, not ucloud"),
        ({"title": "Nord"}, "title is North"),
        ({"asks": {"a800": Curve.flat(6)}}, "asks are others"),
    ],
)
async def test_a_name_that_is_taken_is_refused(hub: Hub, changes: dict[str, Any], differs: str) -> None:
    await hub.operations.register_cluster(OPERATOR, _cluster(), now=START)

    with pytest.raises(ClusterExists, match=differs):
        await hub.operations.register_cluster(OPERATOR, _cluster(**changes), now=START)


async def test_a_cluster_needs_a_known_hub_and_known_models(hub: Hub) -> None:
    with pytest.raises(HubNotFound, match="qinyang"):
        await hub.operations.register_cluster(OPERATOR, _cluster(hub="qinyang"), now=START)
    with pytest.raises(InvalidRequest, match="did you mean 'a800'") as refused:
        await hub.operations.register_cluster(OPERATOR, _cluster(asks={"a80": Curve.flat(1)}), now=START)
    with pytest.raises(HubNotFound, match="mars"):
        await hub.operations.clusters("mars", now=START)

    assert refused.value.fields[0].field == "ask_micro_yuan_per_card_hour[a80]"
    assert await hub.acts() == []


async def test_the_overview_counts_jobs_and_cards(nodes: Hub) -> None:
    await nodes.placed()
    await nodes.submit(city="nanjing")

    seen = await nodes.operations.overview(START)

    assert seen.jobs == {("ganzhou", JobState.LEASED): 1, ("nanjing", JobState.PENDING): 1}
    [pool] = seen.clusters[0].pools
    assert (pool.cards, pool.cards_leased) == (24, 1)
    assert seen.events == 0  # nothing is numbered yet


# Keys


async def test_keys_are_made_and_ended_on_record(hub: Hub) -> None:
    key = await hub.operations.create_key(OPERATOR, Role.CITY, "ganzhou", "for Wang", now=START)
    assert (await hub.identity.caller(key.text, START)).subject == "ganzhou"

    await hub.operations.revoke_key(OPERATOR, key.key_id, now=START)

    with pytest.raises(KeyRefused):  # at once, although it was remembered
        await hub.identity.caller(key.text, START)
    [stored] = await hub.operations.keys(OPERATOR)
    assert (stored.key_id, stored.revoked_at) == (key.key_id, START)
    assert await hub.acts() == [
        ("create_key", key.key_id, {"role": "city", "subject": "ganzhou", "note": "for Wang"}),
        ("revoke_key", key.key_id, {}),
    ]


async def test_an_unknown_key_cannot_be_ended(hub: Hub) -> None:
    with pytest.raises(KeyNotFound, match="nobody"):
        await hub.operations.revoke_key(OPERATOR, "nobody", now=START)

    assert await hub.acts() == []
