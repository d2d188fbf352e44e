"""The database repeats the facts of the state tables: its CHECK lists are the enums of the code."""

import re
from enum import StrEnum

import pytest

from broker.caller import Role
from broker.job import IfLost, PriorityClass, Within
from broker.ledger.accounts import AccountKind, Pocket
from broker.ledger.holds import HoldState
from broker.ledger.transactions import TransactionKind
from broker.ledger.work import Billing
from broker.lifecycle import (
    JOB_FINAL,
    AgentState,
    EndReason,
    JobEvent,
    JobState,
    LeaseState,
    NodeMode,
    PromiseCause,
    PromiseFate,
    QuoteState,
    StopClaim,
)
from broker.store.database import Database
from broker.vouchers.programme import ApplicantType, ClaimSide
from broker.vouchers.states import ApplicationState, StoryEvent, VoucherState

LISTED: dict[tuple[str, str], type[StrEnum]] = {
    ("api_keys", "role"): Role,
    ("cities", "billing"): Billing,
    ("clusters", "agent_state"): AgentState,
    ("event_outbox", "kind"): JobEvent,
    ("jobs", "end_reason"): EndReason,
    ("jobs", "if_lost"): IfLost,
    ("jobs", "priority"): PriorityClass,
    ("jobs", "state"): JobState,
    ("ledger_accounts", "kind"): AccountKind,
    ("ledger_holds", "state"): HoldState,
    ("ledger_postings", "pocket"): Pocket,
    ("ledger_transactions", "kind"): TransactionKind,
    ("leases", "end_reason"): EndReason,
    ("leases", "if_lost"): IfLost,
    ("leases", "state"): LeaseState,
    ("leases", "stop_claim"): StopClaim,
    ("nodes", "mode"): NodeMode,
    ("promise_history", "cause"): PromiseCause,
    ("promise_history", "fate"): PromiseFate,
    ("promises", "within"): Within,
    ("quotes", "state"): QuoteState,
    ("enterprises", "applicant_type"): ApplicantType,
    ("voucher_applications", "side"): ClaimSide,
    ("voucher_applications", "state"): ApplicationState,
    ("voucher_story", "event"): StoryEvent,
    ("vouchers", "state"): VoucherState,
}

# Lists of the tables alone: the code has no enum for them.
OF_THE_TABLES_ALONE = {("accelerator_models", "origin"), ("rounds", "outcome")}

CHECKS = """
    SELECT conrelid::regclass::text AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE contype = 'c' AND conrelid <> 0 AND connamespace = 'public'::regnamespace
"""
ONE_OF = re.compile(r"CHECK \(\((\w+) = ANY \(ARRAY\[([^]]*)\]\)\)\)")


async def check_lists(database: Database) -> dict[tuple[str, str], set[str]]:
    """Return the values that each column with a list takes."""
    async with database.hub() as tx:
        rows = await tx.fetch(CHECKS)
    matches = [(row["name"], ONE_OF.fullmatch(row["definition"])) for row in rows]
    return {(name, m[1]): set(re.findall(r"'([^']*)'", m[2])) for name, m in matches if m}


async def test_each_list_of_values_is_an_enum_of_the_code_or_known_not_to_be(database: Database) -> None:
    assert (await check_lists(database)).keys() == LISTED.keys() | OF_THE_TABLES_ALONE


@pytest.mark.parametrize(
    ("column", "enum"), LISTED.items(), ids=lambda value: ".".join(value) if isinstance(value, tuple) else ""
)
async def test_a_column_takes_what_its_enum_has(
    database: Database, column: tuple[str, str], enum: type[StrEnum]
) -> None:
    assert (await check_lists(database))[column] == {member.value for member in enum}


async def test_a_job_has_an_end_exactly_in_the_final_states(database: Database) -> None:
    async with database.hub() as tx:
        rows = await tx.fetch(CHECKS)
    rule = next(r["definition"] for r in rows if r["name"] == "jobs" and "(ended_at IS NOT NULL)" in r["definition"])

    assert set(re.findall(r"'([^']*)'", rule)) == {state.value for state in JOB_FINAL}
