"""A city's rule is kept by the cluster itself: signed by the broker, checked by the agent, and provable afterwards."""

import json
from pathlib import Path

from broker.client import Build, EventKind, JobSpec
from tests.deadlines import eventually
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND


async def test_a_job_for_domestic_cards_runs_only_where_the_agent_says_so_too(tmp_path: Path) -> None:
    """The broker believes the cards domestic and the agent's owner does not: nothing runs until people have agreed."""
    job = JobSpec(
        name="ours",
        cards_per_task=1,
        walltime_seconds=60,
        builds=[Build(stack="cann", command=["true"])],
        domestic_only=True,
    )
    with running.exchange() as exchange:
        right = running.known_of(ASCEND)
        wrong = [pool | {"origin": "foreign"} for pool in right["pools"]]
        agent = exchange.start_agent(ASCEND, pools=wrong)
        await exchange.attached(ASCEND)
        async with exchange.client() as client:
            job_id = (await client.submit(job)).job_id

            async def closed() -> bool:
                nodes = exchange.xisuan("nodes", ASCEND, "--json").data["nodes"]
                return all(
                    node["mode"] == "NODE_MODE_CORDONED" and "POLICY_ORIGIN_NOT_ALLOWED" in node["mode_reason"]
                    for node in nodes
                )

            await eventually(closed, seconds=60)
            waiting = await client.job(job_id)
            agent.stop()
            exchange.start_agent(ASCEND)
            await exchange.attached(ASCEND)
            exchange.xisuan("admin", "uncordon", ASCEND)
            done = await exchange.becomes(client, job_id, "succeeded")
            kinds = [event.kind async for event in client.watch(idle_seconds_max=1)]

        shown = exchange.xisuan("job", job_id, "--city", "ganzhou", "--json").out
        proof = tmp_path / "job.json"
        proof.write_text(shown)
        verified = exchange.xisuan("policy", "verify", proof, "--json").data["policy"]
        said = json.loads(shown)
        said["policy"]["statement"] = said["policy"]["statement"].replace(
            '"domestic_only":true', '"domestic_only":false'
        )
        proof.write_text(json.dumps(said))
        forged = exchange.xisuan("policy", "verify", proof, "--json", code=1)
        told = exchange.xisuan("job", job_id, "--city", "ganzhou").out
        await exchange.audit()

    assert (waiting.state, waiting.attempt) == ("pending", 1)
    assert done.attempt == 2
    assert kinds.count(EventKind.REQUEUED) == 1
    assert kinds.count(EventKind.STARTED) <= 1
    assert (verified["job"], verified["epoch"], verified["cluster"]) == (job_id, 2, ASCEND)
    assert (verified["domestic_only"], verified["origin"]) == (True, "domestic")
    assert "POLICY_SIGNATURE_WRONG" in forged.err
    assert f"signed with key {verified['key_id']}" in told
