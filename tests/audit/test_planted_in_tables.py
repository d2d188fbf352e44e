"""The audit over a real database and a real record: what is planted in either is found, by the rule that forbids it."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from broker.agent.engines.processes import boot_id, identity_of
from broker.audit.ledger import RULES as OF_THE_BOOKS
from broker.audit.main import run
from broker.audit.papers import RULES as OF_PAPERS
from broker.audit.quoted import RULES as OF_QUOTES
from broker.audit.rules import RULES
from broker.audit.usage import RULES as OF_USE
from broker.audit.vouchers import RULES as OF_VOUCHERS
from broker.ids import JobId
from broker.job import Ending, Within
from broker.lifecycle import EndReason, PromiseCause, PromiseFate
from broker.loops.energy import EnergyCount
from broker.loops.numbering import Numbering
from broker.store import energy_counts, promises, rounds
from broker.store.database import Database
from broker.store.promises import PromiseEntry, PromiseRow
from tests.cluster_world import ClusterWorld, ended, running
from tests.conftest import Dsns
from tests.small_world import A_ROUND

SECOND_NS = 10**9
WITH_CITIES = ("jobs", "leases", "lease_nodes", "events", "event_cursors")


@dataclass
class Scene:
    """A small world after some work, and the record of the engine that did it.

    Job 1 of Ganzhou has succeeded, job 2 of Ganzhou and job 3 of Nanjing run, job 4 of Nanjing waits and is promised a
    card of n1 in two hours; that was moved by a round.
    """

    dsns: Dsns
    owner: asyncpg.Connection
    record: Path
    leases: dict[int, int]  # by job
    entries: list[Any] = field(default_factory=list)

    async def rules_broken(self) -> set[str]:
        """Run the audit, and return the names of the rules that found something."""
        self.record.write_text(
            "".join(entry if isinstance(entry, str) else json.dumps(entry) + "\n" for entry in self.entries)
        )
        _, found = await run(self.dsns.hub, self.dsns.city, {"east": self.record})
        return {finding.rule for finding in found}

    def ran(self, job: int, start: int, end: int | None, **changes: Any) -> None:
        """Write that the only task of the job's lease ran, from second to second; without an end it goes on."""
        entry = {
            "lease": self.leases[job],
            "epoch": 1,
            "job": f"job-{job}",
            "node": "n1",
            "cards": [0],
            "task": 0,
            "pid": 10**7 + job,  # no process has such a number
            "pid_started": 1,
            "boot": boot_id(),
            "by": "supervisor",
        } | changes
        self.entries.append(entry | {"kind": "start", "boot_ns": start * SECOND_NS})
        if end is not None:
            ending = {"kind": "end", "boot_ns": end * SECOND_NS, "exit_code": 0, "signal": 0}
            self.entries.append(entry | ending)

    def still_runs(self, job: int) -> None:
        """Write that this very process is the job's task, and let it live."""
        me = identity_of(os.getpid(), boot_id())
        assert me is not None
        self.ran(job, 1, None, pid=me.pid, pid_started=me.started_ticks)


@pytest.fixture
async def scene(database: Database, dsns: Dsns, tmp_path: Path) -> Any:
    world = await ClusterWorld(database).lay()
    session = await world.attach()
    done, done_lease = await world.running(session, 1)
    world.advance(2)
    await world.report(session, 2, ended(done_lease, Ending(EndReason.COMPLETED)))
    world.advance(3)
    first, first_lease = await world.placed()
    second, second_lease = await world.placed(city="nanjing")
    await world.report(session, 3, running(first_lease), running(second_lease))
    await promised(world, await world.submit("nanjing"))
    await EnergyCount(world.database).run_once(world.now + energy_counts.SETTLED + timedelta(seconds=5))
    await Numbering(database, announce=lambda _: None).run_once(world.now)
    owner = await asyncpg.connect(dsns.owner)
    for table in (*WITH_CITIES, "energy_counts", "lease_energy", "quotas", "promises", "promise_history"):
        await owner.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")  # for the owner only
    leases = {int(done): done_lease.lease, int(first): first_lease.lease, int(second): second_lease.lease}
    made = Scene(dsns, owner, tmp_path / "engine.jsonl", leases)
    made.ran(1, 1, 4)
    made.ran(2, 6, None)
    made.ran(3, 6, None, cards=[1])
    yield made
    await owner.close()


async def promised(world: ClusterWorld, job: JobId) -> None:
    """Store a promise of one card, made and moved by the newest round."""
    start_s = int(world.now.timestamp()) + 7200
    async with world.database.hub() as tx:
        number = await rounds.insert(tx, 1, A_ROUND)
        pool_id = await tx.fetchval("SELECT pool_id FROM pools JOIN nodes USING (pool_id) WHERE node = 'n1'")
        row = PromiseRow(
            job, "nanjing", pool_id, "east/main", (("n1", 1),), 0, start_s, start_s + 3600, start_s - 60, 0, 1,
            1, 0, 0, Within.POOL, world.now, number,
        )  # fmt: skip
        made = PromiseEntry(job, PromiseFate.MADE, None, start_s - 60)
        moved = PromiseEntry(job, PromiseFate.MOVED, start_s - 60, start_s, PromiseCause.NODES_GONE)
        await promises.keep(tx, [row])
        await promises.tell(tx, number, [made, moved], world.now)


TABLES: list[tuple[str, str]] = [
    (
        "no_card_promised_twice",
        "UPDATE lease_nodes SET cards = '{0}' WHERE lease_id = (SELECT lease_id FROM leases WHERE job_id = 3)",
    ),
    (
        "no_card_promised_twice",
        "UPDATE leases SET offered_at = offered_at - interval '4 s' WHERE job_id = 2",
    ),
    ("held_cards_are_those_of_live_leases", "DELETE FROM held_cards WHERE card = 1"),
    (
        "held_cards_are_those_of_live_leases",
        "INSERT INTO held_cards SELECT node_id, 7, lease_id FROM leases, nodes WHERE job_id = 1 AND node = 'n1'",
    ),
    (
        "held_cards_are_those_of_live_leases",
        """DROP INDEX held_cards_whole; DROP TRIGGER no_card_beyond_1000 ON held_cards;
           INSERT INTO held_cards SELECT node_id, 0, l.lease_id FROM held_cards h, leases l
            WHERE card = 0 AND l.job_id = 3""",
    ),
    ("held_cards_are_those_of_live_leases", "UPDATE held_cards SET milli = 999 WHERE card = 1"),
    (
        "no_card_promised_twice",
        """UPDATE lease_nodes SET cards = '{0}', share_milli = 501 WHERE lease_id IN
                  (SELECT lease_id FROM leases WHERE job_id IN (2, 3))""",
    ),
    ("no_engine_job_without_lease", "UPDATE lease_nodes SET share_milli = 500"),
    ("gangs_are_whole", "UPDATE lease_nodes SET tasks = 2"),
    ("gangs_are_whole", "UPDATE lease_nodes SET cards = cards || 5::smallint"),
    ("gangs_are_whole", "UPDATE jobs SET spec = jsonb_set(spec, '{tasks}', '3') WHERE job_id = 1"),
    (
        "no_job_is_lost",
        """UPDATE leases SET state = 'ended', ended_at = started_at, end_reason = 'completed' WHERE job_id = 2""",
    ),
    ("no_job_is_lost", "UPDATE jobs SET state = 'pending' WHERE job_id = 3"),
    (
        "no_job_is_lost",
        """DROP INDEX leases_one_live;
           INSERT INTO leases (job_id, city, cluster, pool_id, build, epoch, if_lost, round_id, offered_at)
           SELECT job_id, city, cluster, pool_id, build, 2, if_lost, round_id, offered_at
             FROM leases WHERE job_id = 2""",
    ),
    (
        "no_lease_without_owner",
        """ALTER TABLE leases DROP CONSTRAINT leases_job_id_fkey; DELETE FROM jobs WHERE job_id = 2""",
    ),
    ("no_lease_without_owner", "UPDATE leases SET epoch = 9 WHERE job_id = 3"),
    ("no_lease_without_owner", "UPDATE leases SET city = 'nanjing' WHERE job_id = 2"),
    ("no_engine_job_without_lease", "UPDATE leases SET epoch = 9 WHERE job_id = 3"),
    ("no_engine_job_without_lease", "UPDATE lease_nodes SET cards = '{6}' WHERE cards = '{1}'"),
    ("events_are_gap_free", "DELETE FROM events WHERE city = 'ganzhou' AND cursor = 2"),
    ("events_are_gap_free", "DELETE FROM events WHERE city = 'nanjing' AND cursor = 4"),
    ("events_are_gap_free", "UPDATE events SET cursor = 99 WHERE city = 'nanjing' AND cursor = 4"),
    ("every_story_makes_sense", "UPDATE events SET kind = 'succeeded' WHERE kind = 'started'"),
    ("every_story_makes_sense", "UPDATE jobs SET state = 'failed' WHERE job_id = 1"),
    (
        "every_story_makes_sense",
        """ALTER TABLE leases DROP CONSTRAINT leases_job_id_fkey; DELETE FROM jobs WHERE job_id = 2""",
    ),
    *(("no_city_sees_another", f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY") for table in WITH_CITIES[:-1]),
    (
        "no_city_sees_another",
        "DROP POLICY own_city ON event_cursors; CREATE POLICY ajar ON event_cursors TO xisuan_city USING (true)",
    ),
    (
        "no_hub_over_its_power_cap",
        "UPDATE accelerator_models SET watts = 600; UPDATE hubs SET power_kilowatts_max = 1",  # two run, each on a card
    ),
    (
        "no_promised_power_is_somebody_elses",  # two run, each on a card, for longer than until then
        """UPDATE accelerator_models SET watts = 400; UPDATE hubs SET power_kilowatts_max = 1;
           UPDATE promises SET starts_at = made_at + interval '9 s'""",
    ),
    (
        "no_quota_over_its_limit",
        """INSERT INTO quotas (hub, city, guaranteed_milli_pflops, borrow_milli_pflops) VALUES
                  ('qingyang', NULL, 0, 0), ('qingyang', 'nanjing', 0, 0)""",
    ),
    (
        "nothing_starts_where_it_is_paused",
        """INSERT INTO operator_acts (at, key_id, act, subject, detail) VALUES
               ('2000-01-01', 'k', 'pause', 'nanjing', '{"what": "queue", "in_force_at": "2000-01-01T00:00:00Z"}')""",
    ),
    (
        "nothing_starts_where_it_is_paused",
        """INSERT INTO operator_acts (at, key_id, act, subject, detail) VALUES
               ('2000-01-01', 'k', 'pause', 'east', '{"what": "cluster", "in_force_at": "2000-01-01T00:00:00Z"}')""",
    ),
    (
        "no_job_before_its_turn",
        """UPDATE jobs SET spec = spec || '{"earliest_start": "2999-01-01T00:00:00+00:00"}' WHERE job_id = 1""",
    ),
    ("no_job_before_its_turn", """UPDATE jobs SET spec = spec || '{"after": [2]}' WHERE job_id = 1"""),
    ("no_job_before_its_turn", """UPDATE jobs SET spec = spec || '{"after": [4]}' WHERE job_id = 3"""),
    (
        "no_job_before_its_turn",
        """UPDATE jobs SET spec = spec || '{"after_request_keys": ["other"]}', request_key = 'mine' WHERE job_id = 2;
           UPDATE jobs SET request_key = 'other', state = 'failed' WHERE job_id = 1""",
    ),
    (
        "no_promised_card_is_somebody_elses",  # two jobs run there, a card each, for longer than until then
        "UPDATE nodes SET cards = 2 WHERE node = 'n1'; UPDATE promises SET starts_at = made_at + interval '9 s'",
    ),
    ("no_promised_card_is_somebody_elses", "UPDATE promises SET nodes = '{n1,n2}', tasks = '{1,9}'"),
    (
        "every_promise_is_of_a_job_that_waits",
        "ALTER TABLE promises DROP CONSTRAINT promises_job_id_fkey; UPDATE promises SET job_id = 99",
    ),
    ("every_promise_is_of_a_job_that_waits", "UPDATE promises SET city = 'ganzhou'"),
    ("every_promise_is_of_a_job_that_waits", "UPDATE promises SET attempt = 1"),
    ("every_promise_is_of_a_job_that_waits", "UPDATE promises SET job_id = 2"),
    ("promised_gangs_are_whole", "UPDATE promises SET tasks = '{2}'"),
    ("promised_gangs_are_whole", "UPDATE promises SET cards_per_task = 2"),
    ("every_promise_is_accounted_for", "DELETE FROM promise_history"),
    ("every_promise_is_accounted_for", "DELETE FROM promise_history WHERE fate = 'made'"),
    ("every_promise_is_accounted_for", "DELETE FROM promises"),
    ("every_promise_is_accounted_for", "UPDATE promises SET starts_at = starts_at + interval '1 s'"),
    ("every_promise_is_accounted_for", "UPDATE promises SET first_starts_at = first_starts_at + interval '1 s'"),
    (
        "every_promise_is_accounted_for",
        """INSERT INTO promise_history (job_id, city, round_id, at, fate, promised_at, starts_at)
           SELECT job_id, city, round_id, made_at, 'kept', starts_at, starts_at FROM promises""",
    ),
    (
        "every_promise_is_accounted_for",
        """INSERT INTO promise_history (job_id, city, round_id, at, fate, promised_at)
           SELECT job_id, city, round_id, made_at, 'gone', starts_at FROM promises""",
    ),
    (
        "no_lease_above_its_ceiling",
        """UPDATE leases SET ask_micro_yuan_per_card_hour = 10000000, scarcity_micro_yuan_per_card_hour = 0,
                             rate_card_version = 0""",
    ),
    (
        "no_lease_above_its_ceiling",
        """UPDATE leases SET ask_micro_yuan_per_card_hour = 1, scarcity_micro_yuan_per_card_hour = 1,
                             rate_card_version = 0;
           UPDATE jobs SET ceiling_micro_yuan_per_pflops_hour = 1000000000000, walltime_seconds = 31536000,
                           ceiling_micro_yuan_per_job = 1""",
    ),
    ("energy_is_what_leases_drew", "UPDATE energy_counts SET card_seconds = card_seconds + 0.000001"),
    ("energy_is_what_leases_drew", "UPDATE energy_counts SET month = '2026-10-01' WHERE city = 'ganzhou'"),
    ("energy_is_what_leases_drew", "DELETE FROM energy_counts WHERE city = 'nanjing'"),
    (
        "energy_is_what_leases_drew",
        "UPDATE energy_counts SET green_card_seconds = card_seconds + 1",
    ),
    (
        "energy_is_what_leases_drew",
        "INSERT INTO lease_energy SELECT lease_id, city, 0, 0, 0 FROM leases WHERE job_id = 2",
    ),
    ("no_plan_beats_its_bound", "UPDATE rounds SET objective_micro_yuan_per_hour = bound_micro_yuan_per_hour + 1"),
]

RECORDS: list[tuple[str, Callable[[Scene], None]]] = [
    ("no_card_used_twice", lambda s: s.ran(2, 2, 3)),
    ("no_card_used_twice", lambda s: (s.ran(2, 2, 3, milli=501), s.ran(3, 2, 3, milli=500))[0]),
    ("no_job_runs_twice", lambda s: s.ran(1, 2, 3, lease=s.leases[2])),
    ("no_job_runs_twice", lambda s: s.ran(1, 5, 6, pid=10**7 + 99)),
    ("no_engine_job_without_lease", lambda s: s.ran(1, 5, 6, lease=10**6)),
    ("no_engine_job_without_lease", lambda s: s.ran(1, 5, 6, epoch=2)),
    ("no_engine_job_without_lease", lambda s: s.ran(1, 5, 6, node="n2")),
    ("no_engine_job_without_lease", lambda s: s.still_runs(1)),
    ("no_engine_job_without_lease", lambda s: s.entries.append("{half a line\n")),
    ("no_engine_job_without_lease", lambda s: s.entries.append({"kind": "start", "lease": "seven"})),
    ("gangs_are_whole", lambda s: s.ran(1, 5, 6, task=1)),
]


async def test_a_database_and_a_record_after_good_work_have_no_findings(scene: Scene) -> None:
    assert await scene.rules_broken() == set()


@pytest.mark.parametrize(("rule", "sql"), TABLES, ids=[f"{rule}-{i}" for i, (rule, _) in enumerate(TABLES)])
async def test_what_is_planted_in_the_tables_is_found(scene: Scene, rule: str, sql: str) -> None:
    """By whoever got past the constraints: an owner who dropped them, a restore, a mistake in a migration."""
    await scene.owner.execute(sql)

    assert rule in await scene.rules_broken()


@pytest.mark.parametrize(("rule", "plant"), RECORDS, ids=[f"{rule}-{i}" for i, (rule, _) in enumerate(RECORDS)])
async def test_what_is_planted_in_an_engines_record_is_found(
    scene: Scene, rule: str, plant: Callable[[Scene], None]
) -> None:
    plant(scene)

    assert rule in await scene.rules_broken()


async def test_a_record_that_is_not_there_is_said(scene: Scene) -> None:
    """A path that was mistyped must not look like an engine that never ran anything."""
    _, found = await run(scene.dsns.hub, scene.dsns.city, {"east": scene.record.parent / "nowhere"})

    assert {finding.rule for finding in found} == {"no_engine_job_without_lease"}


def test_every_rule_is_broken_here_at_least_once() -> None:
    elsewhere = {*OF_THE_BOOKS, *OF_QUOTES, *OF_USE, *OF_VOUCHERS, *OF_PAPERS}
    assert {r.__name__ for r in set(RULES) - elsewhere} == {rule for rule, _ in (*TABLES, *RECORDS)}
