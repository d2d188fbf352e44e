"""Run the audit over a broker's database and its engines' records."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from broker.audit import engine_record, ledger, tables
from broker.audit.facts import Facts, books_alone
from broker.audit.ledger import LedgerFacts
from broker.audit.rules import Finding, findings


async def gather(dsn_hub: str, dsn_city: str, state_folders: Mapping[str, Path]) -> Facts:
    """Return everything that the rules look at.

    The records are read before the tables: whatever an engine had started by then has a lease in them.

    Args:
        dsn_hub: login that sees all cities, or may SET ROLE xisuan_hub.
        dsn_city: login that sees one city at a time, or may SET ROLE xisuan_city.
        state_folders: state folder of each cluster's agent; a cluster that is not named is judged by the tables alone.
    """
    runs, unreadable = engine_record.read_all(state_folders)
    return replace(await tables.read(dsn_hub, dsn_city), runs=runs, unreadable=unreadable)


async def run(dsn_hub: str, dsn_city: str, state_folders: Mapping[str, Path]) -> tuple[Facts, list[Finding]]:
    """Return what was looked at and what must never happen and did."""
    facts = await gather(dsn_hub, dsn_city, state_folders)
    return facts, findings(facts)


async def run_on_books(dsn_hub: str) -> tuple[LedgerFacts, list[Finding]]:
    """Return what was looked at in the books alone, and what must never happen and did."""
    facts = await tables.read_books(dsn_hub)
    return facts, [Finding(rule.__name__, told) for rule in ledger.RULES for told in rule(books_alone(facts))]
