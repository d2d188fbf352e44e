"""Leases that are due to be charged: read and written in bulk, a few statements whatever the number.

Order of locks: rows of usage by lease, then holds by number, then balances by account (see store/ledger.py). No job and
no lease is locked, so nobody who starts or ends work waits for money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import HoldId, LeaseId, TransactionId
from broker.ledger.accounts import AccountKind, account_name
from broker.ledger.charging import Charged, ChargedLease, Step
from broker.ledger.funds import after
from broker.ledger.holds import Hold
from broker.ledger.transactions import Transaction, TransactionKind
from broker.lifecycle import EndReason
from broker.store import holds, ledger
from broker.store.database import Connection
from broker.store.usage import usage_of

UNUSED: Final = (EndReason.START_FAILED, EndReason.POLICY_REJECTED)
"""How leases end that never ran: their cards were held, and nothing was done with them."""

UNSEEN: Final = (EndReason.LOST, EndReason.WRITTEN_OFF, EndReason.VANISHED)
"""How leases end whose end nobody saw: only what was proved before counts."""


@dataclass(frozen=True, slots=True)
class Due:
    """A lease that is due, its row locked, and the number of what is held for it."""

    lease: ChargedLease
    hold: HoldId


LOCK_DUE: Final[LiteralString] = """
    SELECT lease_id FROM lease_usage WHERE due_at <= $1 ORDER BY due_at, lease_id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
# After the lock, in a statement of its own: whoever ends a lease makes it due, so its end is seen now or next time.
DUE: Final[LiteralString] = """
    SELECT u.lease_id, u.minutes, u.cut_seconds, u.joules, u.complete, u.charged_minutes, u.charged_seconds,
           u.charged_micro_yuan, u.credited_micro_yuan, u.end_charged, u.settled_at IS NOT NULL AS settled,
           l.hold_id, l.state, l.started_at, l.ended_at, l.end_reason, l.lost_card_seconds,
           l.ask_micro_yuan_per_card_hour + l.scarcity_micro_yuan_per_card_hour AS per_card_hour,
           j.walltime_seconds + j.grace_seconds AS seconds_max, c.owner, c.agent_meters,
           (SELECT sum(CASE n.share_milli WHEN 0 THEN 1000 * cardinality(n.cards) ELSE n.tasks * n.share_milli END)
              FROM lease_nodes n WHERE n.lease_id = u.lease_id)::bigint AS milli_cards
      FROM lease_usage u JOIN leases l USING (lease_id) JOIN jobs j USING (job_id)
      JOIN clusters c ON c.cluster = l.cluster
     WHERE u.lease_id = ANY($1) ORDER BY u.lease_id
"""


async def due(tx: Connection, now: datetime, limit: int) -> list[Due]:
    """Return leases that are due, the longest due first, at most `limit`; their rows of usage are locked."""
    locked = [r["lease_id"] for r in await tx.fetch(LOCK_DUE, now, limit)]
    return [Due(_lease(r), HoldId(r["hold_id"])) for r in await tx.fetch(DUE, locked)]


def _lease(r: Any) -> ChargedLease:
    return ChargedLease(
        lease=LeaseId(r["lease_id"]),
        owner=r["owner"],
        per_card_hour=r["per_card_hour"],
        milli_cards=r["milli_cards"],
        seconds_max=r["seconds_max"],
        started_at=r["started_at"],
        ended_at=r["ended_at"],
        active=r["state"] == "active",
        unused=r["end_reason"] in UNUSED,
        proved=r["end_reason"] not in UNSEEN,
        agent_meters=r["agent_meters"],
        usage=usage_of(r),
        charged=Charged(
            r["charged_minutes"],
            r["charged_seconds"],
            r["charged_micro_yuan"],
            r["credited_micro_yuan"],
            r["end_charged"],
            r["settled"],
        ),
        lost_card_seconds=r["lost_card_seconds"] if r["end_reason"] == EndReason.PREEMPTED else 0,
    )


LOCK_HOLDS: Final[LiteralString] = """
    SELECT hold_id FROM ledger_holds WHERE hold_id = ANY($1) ORDER BY hold_id FOR UPDATE
"""


async def lock_holds(tx: Connection, numbers: Sequence[HoldId]) -> dict[HoldId, Hold]:
    """Return these holds as they stand, under their locks."""
    await tx.execute(LOCK_HOLDS, numbers)
    return {hold.hold: hold for hold in await holds.read(tx, numbers)}


CAPTURED: Final[LiteralString] = """
    INSERT INTO lease_captures (transaction_id, lease_id, minutes, late)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bool[])
"""
CHARGED: Final[LiteralString] = """
    WITH ranges AS (
        SELECT lease_id, range_agg(int8range(first, behind)) AS minutes
          FROM unnest($12::bigint[], $13::bigint[], $14::bigint[]) AS t (lease_id, first, behind) GROUP BY lease_id
    )
    UPDATE lease_usage u
       SET minutes = coalesce(r.minutes, u.minutes), cut_seconds = t.cut_seconds, complete = t.complete,
           charged_minutes = t.minutes, charged_seconds = t.seconds, charged_micro_yuan = t.micro_yuan,
           credited_micro_yuan = t.credited, end_charged = t.ended, due_at = t.due_at,
           settled_at = CASE WHEN t.settled THEN coalesce(u.settled_at, $11) END
      FROM unnest($1::bigint[], $2::smallint[], $3::bool[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                  $8::bool[], $9::bool[], $10::timestamptz[])
           AS t (lease_id, cut_seconds, complete, minutes, seconds, micro_yuan, credited, ended, settled, due_at)
      LEFT JOIN ranges r USING (lease_id)
     WHERE u.lease_id = t.lease_id
"""


async def write(tx: Connection, done: Sequence[tuple[ChargedLease, Hold, Step]], at: datetime) -> None:
    """Write what looks at leases have done, each with its hold as it was before; all of these are locked.

    Raise AccountClosed, BalanceTooLarge where money that is given back cannot be.
    """
    made = [transaction for _, _, step in done for transaction in step.transactions]
    numbers = await _posted(tx, done, made, at) if made else {}
    paid = [(step, lease) for lease, _, step in done if step.minutes]
    await tx.execute(
        CAPTURED,
        [numbers[_capture_of(step).request_key] for step, _ in paid],
        [lease.lease for _, lease in paid],
        [step.minutes for step, _ in paid],
        [step.late for step, _ in paid],
    )
    ranges = [(lease.lease, *each) for lease, _, step in done for each in step.usage.minutes]
    await tx.execute(
        CHARGED,
        [lease.lease for lease, _, _ in done],
        [step.usage.cut_seconds for _, _, step in done],
        [step.usage.complete for _, _, step in done],
        [step.charged.minutes for _, _, step in done],
        [step.charged.seconds for _, _, step in done],
        [step.charged.micro_yuan for _, _, step in done],
        [step.charged.credited for _, _, step in done],
        [step.charged.end for _, _, step in done],
        [step.charged.settled for _, _, step in done],
        [step.due_at for _, _, step in done],
        at,
        [lease for lease, _, _ in ranges],
        [begin for _, begin, _ in ranges],
        [end for _, _, end in ranges],
    )


async def _posted(
    tx: Connection, done: Sequence[tuple[ChargedLease, Hold, Step]], made: Sequence[Transaction], at: datetime
) -> dict[str, TransactionId]:
    names = {name for transaction in made for name in transaction.accounts()}
    names |= {part.account for _, hold, _ in done for part in hold.parts}
    accounts = await ledger.lock(tx, names)
    owners = {name for name in names - accounts.ids.keys() if name.startswith(f"{AccountKind.OWNER}/")}
    if owners:
        for name in sorted(owners):
            await ledger.open_account(tx, account_name("owner", name), at)
        accounts = await ledger.lock(tx, names)
    after(accounts.funds, (posting for transaction in made for posting in transaction.postings))
    numbers = await ledger.post(tx, accounts, made)
    await holds.update(tx, accounts, [(before, step.hold) for _, before, step in done])
    return numbers


def _capture_of(step: Step) -> Transaction:
    [found] = [each for each in step.transactions if each.kind is TransactionKind.CAPTURE]
    return found


POSTPONE: Final[LiteralString] = "UPDATE lease_usage SET due_at = $2 WHERE lease_id = ANY($1)"


async def postpone(tx: Connection, leases: Sequence[LeaseId], until: datetime) -> None:
    """Look at leases again later."""
    await tx.execute(POSTPONE, leases, until)
