"""A lease starts only when its placement policy is the broker's, for this lease, and holds at this place."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from broker.agent import convert
from broker.agent.config import AgentConfig, BadConfig, parse_config
from broker.agent.orders import EndReason
from broker.agent.policy import PolicyGate, place
from broker.policy.keys import SignedPolicy, Signer, TrustedKeys
from broker.policy.statement import PlacementPolicy, PolicyFault
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import job_pb2
from tests.agent.scripted_broker import WELCOME, ScriptedBroker, serving
from tests.agent.test_agent import ENDED, config, order, running, until
from tests.policy.statements import statement

BROKER, STRANGER = Signer.generate(), Signer.generate()


def guarded(folder: Path, port: int, **changes: object) -> AgentConfig:
    """The configuration of an agent that checks: a cluster of domestic cards in Qingyang."""
    plain = config(folder, port)
    pools = [pool.model_copy(update={"origin": changes.pop("origin", "domestic")}) for pool in plain.pools]
    here = {"hub": "qingyang", "owner": "lab-owner", "policy_keys": [BROKER.public_key], "pools": pools}
    return AgentConfig.model_validate(dict(plain) | here | changes)


def signed(policy: PlacementPolicy, signer: Signer = BROKER) -> SignedPolicy:
    return signer.sign(replace(policy, key_id=signer.key_id))


def told(policy: SignedPolicy | None, script: str = "true", **changes: object) -> wire.LeaseOrder:
    message = order(script, **changes)  # type: ignore[arg-type]
    if policy is not None:
        message.policy.CopyFrom(job_pb2.SignedPolicy(statement=policy.statement, signature=policy.signature))
    return message


def screened(message: wire.LeaseOrder, here: AgentConfig) -> PolicyFault | None:
    """Return why the agent refuses the order, None when it starts it."""
    gate = here.policy_gate()
    assert gate is not None
    desired = gate.screen(convert.desired(wire.Desired(start=[message])))
    if not desired.refused:
        assert len(desired.start) == 1
        return None
    [refusal] = desired.refused
    assert desired.start == ()
    assert refusal.reason is EndReason.POLICY_REJECTED
    return PolicyFault(refusal.why.split(":")[0])


TAMPERED = SignedPolicy(statement(key_id=BROKER.key_id, epoch=2).to_text(), signed(statement()).signature)


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        (signed(statement()), None),
        (signed(statement(domestic_only=True, allowed_owners=("lab-owner",), allowed_hubs=("qingyang",))), None),
        (None, PolicyFault.MISSING),
        (SignedPolicy("{}", b""), PolicyFault.MALFORMED),
        (signed(statement(), STRANGER), PolicyFault.KEY_UNKNOWN),
        (TAMPERED, PolicyFault.SIGNATURE_WRONG),
        (signed(statement(lease="lease-2")), PolicyFault.OTHER_LEASE),
        (signed(statement(epoch=2)), PolicyFault.OTHER_LEASE),
        (signed(statement(job="job-2")), PolicyFault.OTHER_LEASE),
        (signed(statement(city="nanjing")), PolicyFault.OTHER_LEASE),
        (signed(statement(cluster="other")), PolicyFault.OTHER_CLUSTER),
        (signed(statement(pool="other")), PolicyFault.POOL_UNKNOWN),
        (signed(statement(allowed_hubs=("guian",))), PolicyFault.HUB_NOT_ALLOWED),
        (signed(statement(allowed_owners=("other",))), PolicyFault.OWNER_NOT_ALLOWED),
    ],
)
def test_which_orders_start(open_folder: Path, policy: SignedPolicy | None, fault: PolicyFault | None) -> None:
    assert screened(told(policy), guarded(open_folder, 1)) == fault


def test_the_place_is_what_the_agent_knows_and_not_what_the_broker_says(open_folder: Path) -> None:
    """The statement claims whatever would fit; hub, owner and origin are the agent's own."""
    claims = signed(
        statement(domestic_only=True, allowed_hubs=("guian",), allowed_owners=("bank",), hub="guian", owner="bank")
    )
    foreign = signed(statement(domestic_only=True, origin="domestic"))

    assert screened(told(claims), guarded(open_folder, 1)) is PolicyFault.HUB_NOT_ALLOWED
    assert screened(told(claims), guarded(open_folder, 1, hub="guian")) is PolicyFault.OWNER_NOT_ALLOWED
    assert screened(told(claims), guarded(open_folder, 1, hub="guian", owner="bank")) is None
    assert screened(told(foreign), guarded(open_folder, 1, origin="foreign")) is PolicyFault.ORIGIN_NOT_ALLOWED


def test_a_domestic_pool_in_the_statement_does_not_open_the_nodes_of_another(open_folder: Path) -> None:
    pools = [pool.model_copy(update={"origin": "foreign"}) for pool in config(open_folder, 1).pools]
    domestic = pools[0].model_copy(update={"pool": "home", "nodes": 1, "origin": "domestic"})
    here = guarded(open_folder, 1, pools=[*pools, domestic])
    policy = signed(statement(pool="home", domestic_only=True))

    assert screened(told(policy), here) is PolicyFault.POOL_UNKNOWN
    moved = told(policy, nodes=[job_pb2.NodeCards(node="lab-home-1", cards=[0], tasks=1)])
    assert screened(moved, here) is None


def test_without_keys_nothing_is_checked(open_folder: Path) -> None:
    assert config(open_folder, 1).policy_gate() is None


def test_what_the_check_needs_must_be_in_the_configuration(open_folder: Path) -> None:
    """With keys alone nothing could be compared."""
    text = (
        "{endpoint: '127.0.0.1:1', cluster: lab, key_file: k, state_dir: s, policy_keys: [%s], %s pools: "
        "[{pool: a, model: m, nodes: 1, cards: 1, cpu_milli: 1, memory_mib: 1 %s}]}"
    )
    key, names, origin = BROKER.public_key, "hub: h, owner: o,", ", origin: domestic"
    assert parse_config(text % (key, names, origin), source="f", base=open_folder).policy_gate() is not None
    for values, field in (
        ((key, "owner: o,", origin), "hub"),
        ((key, "hub: h,", origin), "owner"),
        ((key, names, ""), "origin"),
        (("nonsense", names, origin), "policy_keys"),
    ):
        with pytest.raises(BadConfig, match=field):
            parse_config(text % values, source="f", base=open_folder)


def test_a_gate_trusts_every_key_it_was_given() -> None:
    here = place("lab", hub="qingyang", owner="lab-owner", origins={}, pools=())
    gate = PolicyGate(TrustedKeys.parse([BROKER.public_key, STRANGER.public_key]), here)

    assert gate.trusts(BROKER.key_id)
    assert gate.trusts(STRANGER.key_id)
    assert not gate.trusts("")


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    made = ScriptedBroker()
    made.welcome = _welcome(BROKER.key_id)
    async with serving(made):
        yield made


def _welcome(key_id: str) -> wire.Welcome:
    welcome = wire.Welcome()
    welcome.CopyFrom(WELCOME)
    welcome.policy_key_id = key_id
    return welcome


async def test_a_true_policy_starts_and_forged_stale_and_foreign_ones_do_not(
    broker: ScriptedBroker, open_folder: Path
) -> None:
    """Each is answered with a reason that the broker can read, and nothing of it has run."""
    refused = {
        2: (signed(statement(lease="lease-2", job="job-2"), STRANGER), "POLICY_KEY_UNKNOWN"),
        3: (signed(statement(lease="lease-3", job="job-3", epoch=7)), "POLICY_OTHER_LEASE"),
        4: (signed(statement(lease="lease-4", job="job-4", cluster="other")), "POLICY_OTHER_CLUSTER"),
        5: (None, "POLICY_MISSING"),
    }
    broker.start["lease-1"] = told(signed(statement()), "true")
    for number, (policy, _) in refused.items():
        broker.start[f"lease-{number}"] = told(policy, lease=number, job=number)

    async with running(guarded(open_folder, broker.port)):
        await until(lambda: all(broker.is_in(f"lease-{number}", ENDED)() for number in range(1, 6)))

    ends = {number: broker.story(f"lease-{number}")[-1].end for number in range(1, 6)}
    assert ends[1].reason == job_pb2.END_REASON_COMPLETED
    for number, (_, code) in refused.items():
        assert ends[number].reason == job_pb2.END_REASON_POLICY_REJECTED
        assert ends[number].detail.startswith(f"{code}: ")
    lines = [json.loads(line) for line in (open_folder / "state" / "engine.jsonl").read_text().splitlines()]
    assert [line["job"] for line in lines if line["kind"] == "start"] == ["job-1"]


@pytest.mark.parametrize(
    ("key_id", "why"),
    [("", "signs no placement policies"), (STRANGER.key_id, STRANGER.key_id)],
    ids=["an older release", "another key"],
)
async def test_a_broker_that_is_not_trusted_is_told_apart_from_bad_leases(
    open_folder: Path, capfd: pytest.CaptureFixture[str], key_id: str, why: str
) -> None:
    """Else it would give us one lease after the other, and we would refuse every one of them."""
    broker = ScriptedBroker()
    broker.welcome = _welcome(key_id)
    broker.start["lease-1"] = told(signed(statement()))

    async with serving(broker), running(guarded(open_folder, broker.port)):
        await until(lambda: len(broker.streams) >= 2)

    assert not any(stream.reports for stream in broker.streams)
    said = capfd.readouterr()
    assert why in said.out + said.err
