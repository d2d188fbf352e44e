"""Read the tables for the audit, with SQL of its own."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import asyncpg

from broker.audit import charges, energy, ledger, limits, papers, promised, quoted, turns, usage, vouchers
from broker.audit.facts import EventFact, Facts, JobFact, LeaseFact

JOBS = """
    SELECT job_id, city, state, attempt, (spec->>'tasks')::int AS tasks,
           (spec->>'cards_per_task')::int AS cards_per_task,
           ARRAY(SELECT (size->>'tasks')::int FROM jsonb_array_elements(spec->'smaller_sizes') AS size) AS smaller
      FROM jobs
"""
LEASES = """
    SELECT lease_id, job_id, city, cluster, epoch, state, offered_at, ended_at, coalesce(end_reason, '') AS end_reason
      FROM leases ORDER BY lease_id
"""
LEASE_NODES = """
    SELECT ln.lease_id, n.node, ln.cards, ln.tasks, ln.share_milli FROM lease_nodes ln JOIN nodes n USING (node_id)
"""
HELD = "SELECT n.cluster, n.node, h.card, h.lease_id, h.milli FROM held_cards h JOIN nodes n USING (node_id)"
EVENTS = "SELECT city, cursor, job_id, kind, attempt FROM events ORDER BY city, cursor"
CURSORS = "SELECT city, last FROM event_cursors"
UNNUMBERED = "SELECT count(*) FROM event_outbox"
OUT_OF_BOUND = """
    SELECT round_id FROM rounds
     WHERE outcome = 'committed' AND objective_micro_yuan_per_hour > bound_micro_yuan_per_hour
"""
CITY_TABLES = """
    SELECT c.table_name
      FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
     WHERE c.table_schema = 'public' AND c.column_name = 'city' AND t.table_type = 'BASE TABLE'
       AND c.table_name NOT IN ('cities', 'round_trips')
     ORDER BY c.table_name
"""
ENTERPRISE_TABLES = """
    SELECT table_name FROM information_schema.columns
     WHERE table_schema = 'public' AND column_name = 'enterprise' AND table_name = ANY($1) ORDER BY table_name
"""
ENTERPRISES = "SELECT DISTINCT subject FROM api_keys WHERE role = 'enterprise' ORDER BY subject"
ORPHAN_NODES = "SELECT count(*) FROM lease_nodes WHERE lease_id NOT IN (SELECT lease_id FROM leases)"


async def read(dsn_hub: str, dsn_city: str) -> Facts:
    """Return what the tables say. The first DSN reads as xisuan_hub, the second as xisuan_city (or may SET ROLE)."""
    hub = await asyncpg.connect(dsn_hub)
    try:
        await hub.execute("SET ROLE xisuan_hub")
        async with hub.transaction(isolation="repeatable_read", readonly=True):
            facts = await _facts(hub)
            cities = [r["city"] for r in await hub.fetch("SELECT city FROM cities ORDER BY city")]
            tables = [r["table_name"] for r in await hub.fetch(CITY_TABLES)]
            named = [r["table_name"] for r in await hub.fetch(ENTERPRISE_TABLES, tables)]
            enterprises = [r["subject"] for r in await hub.fetch(ENTERPRISES)]
    finally:
        await hub.close()
    foreign = await _foreign_rows(dsn_city, cities, tables)
    return replace(facts, foreign_rows=foreign | await _rows_of_others(dsn_city, enterprises, named))


async def read_books(dsn_hub: str) -> ledger.LedgerFacts:
    """Return what the tables say of the books. The DSN reads as xisuan_hub (or may SET ROLE)."""
    hub = await asyncpg.connect(dsn_hub)
    try:
        await hub.execute("SET ROLE xisuan_hub")
        async with hub.transaction(isolation="repeatable_read", readonly=True):
            return await ledger.read(hub)
    finally:
        await hub.close()


async def _facts(hub: Any) -> Facts:
    nodes = defaultdict(list)
    milli: dict[int, int] = {}
    for r in await hub.fetch(LEASE_NODES):
        nodes[r["lease_id"]].append((r["node"], tuple(r["cards"]), r["tasks"]))
        milli[r["lease_id"]] = max(milli.get(r["lease_id"], 0), r["share_milli"] or 1000)
    jobs = [JobFact(**_job(r)) for r in await hub.fetch(JOBS)]
    return Facts(
        jobs={job.job: job for job in jobs},
        leases=tuple(
            LeaseFact(**_lease(r), nodes=tuple(sorted(nodes[r["lease_id"]])), milli=milli.get(r["lease_id"], 1000))
            for r in await hub.fetch(LEASES)
        ),
        held=frozenset(tuple(r.values()) for r in await hub.fetch(HELD)),
        events=tuple(EventFact(*r.values()) for r in await hub.fetch(EVENTS)),
        cursors={r["city"]: r["last"] for r in await hub.fetch(CURSORS)},
        unnumbered_events=await hub.fetchval(UNNUMBERED),
        foreign_rows={},
        rounds_out_of_bound=tuple(r["round_id"] for r in await hub.fetch(OUT_OF_BOUND)),
        limits=await limits.read(hub),
        ledger=await ledger.read(hub),
        turns=await turns.read(hub),
        promised=await promised.read(hub),
        charges=await charges.read(hub),
        usage=await usage.read(hub),
        energy=await energy.read(hub),
        quoted=await quoted.read(hub),
        vouchers=await vouchers.read(hub),
        papers=await papers.read(hub),
    )


async def _foreign_rows(dsn_city: str, cities: list[str], tables: list[str]) -> dict[str, int]:
    """Return for each table with a city how many foreign rows a query without WHERE shows to a city's role."""
    city_side = await asyncpg.connect(dsn_city)
    try:
        await city_side.execute("SET ROLE xisuan_city")
        found: dict[str, int] = dict.fromkeys(tables, 0)
        for city in (*cities, ""):
            async with city_side.transaction(readonly=True):
                await city_side.execute("SELECT set_config('xisuan.city', $1, true)", city)
                for table in tables:
                    if await city_side.fetchval("SELECT has_table_privilege($1, 'SELECT')", table):
                        counted = "SELECT count(*) FROM " + table + " WHERE city <> $1"  # names are from the catalog
                        found[table] += await city_side.fetchval(counted, city)
                found["lease_nodes"] = found.get("lease_nodes", 0) + await city_side.fetchval(ORPHAN_NODES)
        return found
    finally:
        await city_side.close()


async def _rows_of_others(dsn_city: str, enterprises: list[str], tables: list[str]) -> dict[str, int]:
    """Return for each table with an enterprise how many rows of others are shown to one that has a key."""
    city_side = await asyncpg.connect(dsn_city)
    try:
        await city_side.execute("SET ROLE xisuan_city")
        found: dict[str, int] = {f"{table} of enterprises": 0 for table in tables}
        for city, _, enterprise in [subject.partition("/") for subject in enterprises]:
            async with city_side.transaction(readonly=True):
                setting = "SELECT set_config('xisuan.city', $1, true), set_config('xisuan.enterprise', $2, true)"
                await city_side.execute(setting, city, enterprise)
                for table in tables:
                    counted = "SELECT count(*) FROM " + table + " WHERE (city, enterprise) IS DISTINCT FROM ($1, $2)"
                    found[f"{table} of enterprises"] += await city_side.fetchval(counted, city, enterprise)
        return found
    finally:
        await city_side.close()


def _job(r: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(r)
    return {"job": values.pop("job_id"), **values, "smaller": tuple(values["smaller"])}


def _lease(r: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(r)
    return {"lease": values.pop("lease_id"), "job": values.pop("job_id"), **values}
