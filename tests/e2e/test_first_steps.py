"""What the README promises, typed as a user types it: every command is a process of its own."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from broker.agent.config import load_config
from tests.deadlines import eventually_now
from tests.e2e.exchange import ASCEND, Exchange, work

pytestmark = pytest.mark.e2e

LAB_INVENTORY = "pools: [{pool: a, model: h20, nodes: 2, cards: 4, cpu_milli: 16000, memory_mib: 65536}]\n"
GANG = """
  - name: 夜间 part {part}
    job_set: nightly
    tasks: 2
    cards_per_task: 8
    walltime: 10m
    builds:
      - stack: cann
        command: [perl, -e, "select(undef, undef, undef, 0.1) while 1"]
"""
LOOP = '$| = 1; print "up\n"; select(undef, undef, undef, 0.1) while 1;'
STUBBORN = ["perl", "-e", '$SIG{TERM} = "IGNORE"; ' + LOOP]
POLITE = ["perl", "-e", '$SIG{TERM} = sub { print "bye\n"; exit 0 }; ' + LOOP]


def submitted(exchange: Exchange, *options: str, command: list[str], stack: str = "cann") -> str:
    """Submit one job with the command line, and return its id."""
    told = exchange.xisuan("submit", "--city", "ganzhou", "--json", "--stack", stack, *options, "--", *command)
    job_id: str = told.data["job_id"]
    return job_id


def job_of(exchange: Exchange, job_id: str) -> Any:
    return exchange.xisuan("job", job_id, "--city", "ganzhou", "--json").data


def recorded_end(exchange: Exchange, job_id: str) -> Any:
    """Return the engine's own record of the end of a job's only task."""
    entries = map(json.loads, (exchange.record(ASCEND) / "engine.jsonl").read_text().splitlines())
    return next(entry for entry in entries if (entry["kind"], entry["job"]) == ("end", job_id))


async def becomes(exchange: Exchange, job_id: str, state: str) -> Any:
    """Wait until the job is in the state, and return what the command line shows of it."""
    async with exchange.client() as client:
        await exchange.becomes(client, job_id, state.lower())
    return job_of(exchange, job_id)


async def test_a_job_is_submitted_watched_and_its_output_read(exchange: Exchange) -> None:
    job_id = submitted(
        exchange, "--cards", "2", command=["sh", "-c", 'echo "cards $XISUAN_CARDS"; echo oops >&2; exit 3']
    )

    out = exchange.xisuan("logs", "-f", job_id, "--city", "ganzhou").out
    failed = await becomes(exchange, job_id, "FAILED")

    assert out.startswith("cards ")
    assert len(out.removeprefix("cards ").split(",")) == 2
    assert exchange.xisuan("logs", job_id, "--stream", "stderr", "--city", "ganzhou").out == "oops\n"
    assert (failed["end"]["reason"], failed["end"]["exit_code"]) == ("END_REASON_EXIT_CODE", 3)
    assert failed["placement"]["cluster"] == ASCEND
    assert job_id in {job["job_id"] for job in exchange.xisuan("jobs", "--city", "ganzhou", "--json").data["jobs"]}


async def test_following_a_job_shows_its_output_and_ends_with_its_fate(exchange: Exchange) -> None:
    options = ("submit", "--city", "ganzhou", "--follow", "--stack", "neuware")

    well = exchange.xisuan(*options, "--", "echo", "你好")
    badly = exchange.xisuan(*options, "--", "false", code=1)

    assert well.out == "你好\n"
    assert "exit code 1" in badly.out


async def test_watching_tells_a_job_from_its_submission_to_its_end(exchange: Exchange) -> None:
    job_id = submitted(exchange, command=work(0.3))
    await becomes(exchange, job_id, "SUCCEEDED")

    told = exchange.xisuan("watch", "--after", "0", "--idle-seconds-max", "1", "--city", "ganzhou", "--json").lines

    assert [int(event["cursor"]) for event in told] == list(range(1, len(told) + 1))
    kinds = [event["kind"].removeprefix("JOB_EVENT_KIND_") for event in told if event["job_id"] == job_id]
    assert kinds == ["SUBMITTED", "LEASED", "STARTED", "SUCCEEDED"]


@pytest.mark.parametrize(
    ("command", "last_words", "signal"), [(STUBBORN, "up\n", 9), (POLITE, "up\nbye\n", 0)], ids=["kill", "term"]
)
async def test_a_cancelled_job_gets_a_term_then_its_grace_then_a_kill(
    exchange: Exchange, command: list[str], last_words: str, signal: int
) -> None:
    """It is final when its agent has confirmed, and its cards are free then."""
    job_id = submitted(exchange, "--grace", "1s", command=command)
    await becomes(exchange, job_id, "RUNNING")
    eventually_now(lambda: exchange.xisuan("logs", job_id, "--city", "ganzhou").out == "up\n")

    asked = exchange.xisuan("cancel", job_id, "--city", "ganzhou", "--json").data["jobs"][0]
    ended = await becomes(exchange, job_id, "CANCELLED")

    assert asked["cancel_requested"]
    assert ended["end"]["reason"] == "END_REASON_CANCELLED"
    assert recorded_end(exchange, job_id)["signal"] == signal
    assert exchange.xisuan("logs", job_id, "--city", "ganzhou").out == last_words


async def test_a_set_from_a_file_waits_is_explained_made_urgent_and_cancelled(
    exchange: Exchange, tmp_path: Path
) -> None:
    """One of three gangs fits; the others wait for its cards."""
    file = tmp_path / "nightly.yaml"
    file.write_text("jobs:\n" + "".join(GANG.format(part=part) for part in range(3)))

    answers = exchange.xisuan("submit", "--city", "ganzhou", "--file", file, "--json").lines
    first, second, _third = (answer["job_id"] for answer in answers)
    await becomes(exchange, first, "RUNNING")
    why = exchange.xisuan("explain", second, "--city", "ganzhou", "--json").data
    urgent = exchange.xisuan("update", second, "--priority", "urgent", "--city", "ganzhou", "--json").data
    would = exchange.xisuan("cancel", "--job-set", "nightly", "--dry-run", "--city", "ganzhou", "--json").data
    done = exchange.xisuan("cancel", "--job-set", "nightly", "--city", "ganzhou", "--json").data

    verdicts = {verdict["cluster"]: verdict for verdict in why["verdicts"]}
    assert verdicts[ASCEND]["cards_short"] == 16
    assert urgent["spec"]["priority"] == "PRIORITY_CLASS_URGENT"
    assert (would["cancelled"], would["cancel_requested"]) == (2, 1)
    assert (done["cancelled"], done["cancel_requested"]) == (2, 1)
    await becomes(exchange, first, "CANCELLED")


async def test_a_node_is_drained_when_its_last_job_has_ended(exchange: Exchange) -> None:
    """A dry run tells what would be waited for and changes nothing."""
    job_id = submitted(exchange, command=POLITE)
    node = (await becomes(exchange, job_id, "RUNNING"))["placement"]["nodes"][0]["node"]
    drain = ("admin", "drain", ASCEND, node, "--reason", "new firmware", "--json")

    def mode() -> str:
        found = exchange.xisuan("nodes", ASCEND, "--json").data["nodes"]
        return str(next(one["mode"] for one in found if one["node"] == node).removeprefix("NODE_MODE_"))

    would = exchange.xisuan(*drain, "--dry-run").data
    untouched = mode()
    exchange.xisuan(*drain)
    draining = mode()
    exchange.xisuan("cancel", job_id, "--city", "ganzhou")
    eventually_now(lambda: mode() == "DRAINED", seconds=30)
    exchange.xisuan("admin", "uncordon", ASCEND, node)

    assert [lease["job_id"] for lease in would["leases"]] == [job_id]
    assert (untouched, draining, mode()) == ("OPEN", "DRAINING", "OPEN")


async def test_a_new_cluster_is_attached_and_runs_a_job(exchange: Exchange, tmp_path: Path) -> None:
    """Onboarding in ten minutes: an inventory, a dry run, the registration, the agent."""
    inventory = tmp_path / "pools.yaml"
    inventory.write_text(LAB_INVENTORY)
    attach = ("cluster", "attach", "--cluster", "lab", "--hub", "qingyang", "--owner", "lab", "--inventory", inventory)

    would = exchange.xisuan(*attach, "--dry-run")
    known_before = {one["cluster"] for one in exchange.xisuan("clusters", "--json").data["clusters"]}
    made = exchange.xisuan(*attach, "--ask", "h20=4000000", "--json").data
    exchange.start_agent_of("lab", Path(made["config"]))
    await exchange.attached("lab")
    job_id = submitted(exchange, "--model", "h20", "--cards", "4", "--tasks", "2", command=work(0.2), stack="cuda")
    ran = await becomes(exchange, job_id, "SUCCEEDED")

    assert "lab-a-1 ... lab-a-2" in would.out
    config = load_config(Path(made["config"]))
    assert (config.hub, config.owner, [pool.origin for pool in config.pools]) == ("qingyang", "lab", ["foreign"])
    assert config.policy_gate() is not None
    assert "lab" not in known_before
    assert not os.stat(made["key_file"]).st_mode & 0o077
    assert ran["placement"]["cluster"] == "lab"
    pools = {one["cluster"]: one["pools"] for one in exchange.xisuan("clusters", "--json").data["clusters"]}
    assert (int(pools["lab"][0]["cards"]), pools["lab"][0]["ask_micro_yuan_per_card_hour"]) == (8, "4000000")


async def test_a_round_is_listed_shown_and_replayed_bit_for_bit(exchange: Exchange) -> None:
    await becomes(exchange, submitted(exchange, command=["true"]), "SUCCEEDED")

    listed = exchange.xisuan("rounds", "list", "--busy-only", "--json").data["rounds"]
    number = next(one["round"] for one in listed if one["placed"])
    shown = exchange.xisuan("rounds", "show", number, "--json").data
    replayed = exchange.xisuan("rounds", "replay", number, "--json").data

    assert shown["replayable"]
    assert shown["round"]["outcome"] == "ROUND_OUTCOME_COMMITTED"
    assert (replayed["same"], replayed["violations"]) == (True, [])
    assert replayed["bound_micro_yuan_per_hour"] >= replayed["objective_micro_yuan_per_hour"] > 0


async def test_a_revoked_key_is_refused_within_five_seconds(exchange: Exchange, tmp_path: Path) -> None:
    """Also on a broker that has seen the key a moment ago."""
    file = tmp_path / "login-node.key"
    made = exchange.xisuan("admin", "keys", "create", "city", "nanjing", "--file", file, "--json").data
    environment = {"XISUAN_API_KEY": file.read_text().strip()}
    exchange.xisuan("jobs", environment=environment)

    exchange.xisuan("admin", "keys", "revoke", made["key_id"])

    def refused() -> bool:
        asked = ("--home", str(tmp_path), "--endpoint", exchange.endpoint, "jobs", "--json")
        return "UNAUTHENTICATED" in exchange.try_xisuan(*asked, environment=environment).err

    eventually_now(refused, seconds=5)


async def test_a_world_is_checked_and_compared_without_touching_anything(exchange: Exchange, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("world: mine\nhubs: [{hub: Qingyang!}]\n")

    checked = exchange.xisuan("world", "check", "qingyang", "--json").data
    refused = exchange.xisuan("world", "check", wrong, "--json", code=2)
    compared = exchange.xisuan("world", "apply", "qingyang", "--dry-run", "--json").data
    same = exchange.xisuan("world", "apply", "laptop", "--dry-run", "--json").data

    assert checked["cities"] == 34
    assert "hubs[0].hub" in refused.err
    assert compared["changes"]
    assert [change for change in same["changes"] if "kept" not in change] == []
    assert exchange.xisuan("migrate", "--dry-run", "--json").data == {"dry_run": True, "migrations": []}


async def test_the_audit_of_all_this_is_clean(exchange: Exchange) -> None:
    """It reads the records of every engine that took part, and what it looked at is told."""
    await becomes(exchange, submitted(exchange, command=["true"]), "SUCCEEDED")
    records = [f"--records={cluster}={exchange.record(cluster)}" for cluster in exchange.agents]

    told = exchange.xisuan("admin", "audit", *records, "--json").data

    assert told["findings"] == []
    assert told["looked_at"]["tasks_recorded"] >= 1
    assert sorted(told["looked_at"]["records_of"]) == sorted(exchange.agents)
