"""Holds and their parts: many placed at once, each accepted or refused alone; captured, released, expired."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.errors import BrokerError, HoldNotFound, PostingConflict
from broker.ids import HoldId, hold_text
from broker.ledger.accounts import FEE, PLATFORM_LOSS, account_name
from broker.ledger.holds import (
    Capture,
    Hold,
    HoldDraft,
    HoldState,
    Part,
    captured,
    check_draft,
    decide,
    hold_transaction,
    release_body,
    released,
)
from broker.ledger.transactions import Transaction, TransactionKind, body_sha256, full_key
from broker.store import ledger
from broker.store.database import Connection
from broker.store.ledger import Accounts, Known, Posted


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that was placed.

    Attributes:
        hold: its number.
        parts: what each account gave, as it was at first.
        duplicate: it had been placed before, by a request with the same key and body.
    """

    hold: HoldId
    parts: tuple[Part, ...]
    duplicate: bool


Outcome = Held | BrokerError

INSERT_HOLDS: Final[LiteralString] = """
    WITH placed AS (
        INSERT INTO ledger_holds (hold_id, city, reference, settles_until)
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[])
    )
    INSERT INTO ledger_hold_parts (hold_id, place, account_id, held_micro_yuan)
    SELECT * FROM unnest($5::bigint[], $6::smallint[], $7::bigint[], $8::bigint[])
"""


async def place(tx: Connection, drafts: Sequence[HoldDraft], at: datetime) -> list[Outcome]:
    """Place holds in their order, each accepted or refused alone; return what became of each.

    A refusal leaves no trace: the same key can be tried again. All accounts are locked, all is written by two
    statements whatever the number.
    """
    outcomes: dict[int, Outcome] = {}
    for i, draft in enumerate(drafts):
        try:
            check_draft(draft)
        except BrokerError as refusal:
            outcomes[i] = refusal
    sound = [i for i in range(len(drafts)) if i not in outcomes]
    accounts = await ledger.lock(tx, {s.account for i in sound for s in drafts[i].sources})
    used = await ledger.known(tx, {drafts[i].key for i in sound})
    first = {drafts[i].key: i for i in reversed(sound) if drafts[i].key not in used}
    fresh = sorted(first.values())
    decided = decide([drafts[i] for i in fresh], accounts.funds, at)
    outcomes |= {i: d for i, d in zip(fresh, decided, strict=True) if isinstance(d, BrokerError)}
    accepted = {i: d for i, d in zip(fresh, decided, strict=True) if not isinstance(d, BrokerError)}
    if accepted:
        outcomes |= await _insert(tx, accounts, drafts, accepted, at)
    # What is left had its key used before: long ago, or by its twin in this group, or just now by somebody else.
    left = [i for i in sound if i not in outcomes]
    if left:
        used |= await ledger.known(tx, {drafts[i].key for i in left} - used.keys())
    for i in left:
        before = used.get(drafts[i].key)
        if before is None:  # its twin was refused
            [outcomes[i]] = await place(tx, [drafts[i]], at)
        else:
            outcomes[i] = await _again(tx, drafts[i], before)
    return [outcomes[i] for i in range(len(drafts))]


async def _insert(
    tx: Connection, accounts: Accounts, drafts: Sequence[HoldDraft], accepted: dict[int, tuple[Part, ...]], at: datetime
) -> dict[int, Outcome]:
    numbers = await ledger.post(tx, accounts, [hold_transaction(drafts[i], p, at) for i, p in accepted.items()])
    placed = {i: HoldId(numbers[drafts[i].key]) for i in accepted if drafts[i].key in numbers}
    parts = [(hold, place, part) for i, hold in placed.items() for place, part in enumerate(accepted[i], 1)]
    await tx.execute(
        INSERT_HOLDS,
        list(placed.values()),
        [drafts[i].city for i in placed],
        [drafts[i].reference for i in placed],
        [drafts[i].settles_until for i in placed],
        [hold for hold, _, _ in parts],
        [place for _, place, _ in parts],
        [accounts.ids[part.account] for _, _, part in parts],
        [part.held for _, _, part in parts],
    )
    return {i: Held(hold, accepted[i], duplicate=False) for i, hold in placed.items()}


async def _again(tx: Connection, draft: HoldDraft, before: Known) -> Outcome:
    """Return the outcome of a draft whose key was used before."""
    try:
        hold = HoldId(before.check(body_sha256(TransactionKind.HOLD, draft.body)))
    except PostingConflict as conflict:
        return conflict
    [found] = await read(tx, [hold])
    return Held(hold, tuple(Part(p.account, p.held) for p in found.parts), duplicate=True)


READ_HOLDS: Final[LiteralString] = """
    SELECT hold_id, city, reference, state, settles_until FROM ledger_holds WHERE hold_id = ANY($1) ORDER BY hold_id
"""
LOCK_HOLD: Final[LiteralString] = "SELECT hold_id FROM ledger_holds WHERE hold_id = $1 FOR UPDATE"
READ_PARTS: Final[LiteralString] = """
    SELECT p.hold_id, a.name, p.held_micro_yuan, p.captured_micro_yuan, p.released_micro_yuan
      FROM ledger_hold_parts p JOIN ledger_accounts a USING (account_id)
     WHERE p.hold_id = ANY($1) ORDER BY p.hold_id, p.place
"""


async def read(tx: Connection, holds: Sequence[HoldId]) -> list[Hold]:
    """Return those of the holds that are there, as they stand, by number."""
    parts = defaultdict[int, list[Part]](list)
    for r in await tx.fetch(READ_PARTS, holds):
        number, *values = r.values()
        parts[number].append(Part(*values))
    return [
        Hold(
            HoldId(r["hold_id"]),
            r["city"],
            r["reference"],
            HoldState(r["state"]),
            r["settles_until"],
            tuple(parts[r["hold_id"]]),
        )
        for r in await tx.fetch(READ_HOLDS, holds)
    ]


async def lock(tx: Connection, hold: HoldId) -> Hold:
    """Return a hold as it stands, under its lock. Raise HoldNotFound."""
    if await tx.fetchval(LOCK_HOLD, hold) is None:
        raise HoldNotFound(hold=hold_text(hold))
    [found] = await read(tx, [hold])
    return found


async def capture(tx: Connection, wanted: Capture, at: datetime) -> Posted:
    """Pay an owner out of a hold; his account is opened at the first time.

    Raises:
        HoldNotFound, OwnerNotFound, InvalidRequest, PostingConflict.
        HoldEnded, SettlementOver, CaptureBeyondHold: the hold does not cover it, and the platform is not to bear it.
    """
    before = await lock(tx, wanted.hold)
    accounts = await ledger.lock(tx, {*(p.account for p in before.parts), PLATFORM_LOSS.text, FEE.text, wanted.owner})
    found = await _found(tx, wanted.key, body_sha256(TransactionKind.CAPTURE, wanted.body))
    if found is not None:
        return found
    hold, transaction = captured(before, wanted, at)
    if wanted.owner not in accounts.ids:
        await ledger.open_account(tx, account_name("owner", wanted.owner), at)
        accounts = await ledger.lock(tx, [*accounts.ids, wanted.owner])
    return await _settle(tx, accounts, before, hold, transaction)


async def release(tx: Connection, hold: HoldId, request_key: str, at: datetime) -> Posted:
    """Give back what is open of a hold. Raise HoldNotFound, HoldEnded, InvalidRequest or PostingConflict."""
    before = await lock(tx, hold)
    accounts = await ledger.lock(tx, {p.account for p in before.parts})
    found = await _found(
        tx, full_key(TransactionKind.RELEASE, request_key), body_sha256(TransactionKind.RELEASE, release_body(hold))
    )
    if found is not None:
        return found
    after, transaction = released(before, request_key, at)
    return await _settle(tx, accounts, before, after, transaction)


DUE: Final[LiteralString] = """
    SELECT hold_id FROM ledger_holds WHERE state = 'open' AND settles_until < $1
     ORDER BY hold_id LIMIT $2 FOR UPDATE SKIP LOCKED
"""


async def expire_due(tx: Connection, at: datetime, batch: int) -> int:
    """Expire holds whose settlement window is over, at most `batch`; return how many."""
    holds = await read(tx, [HoldId(r["hold_id"]) for r in await tx.fetch(DUE, at, batch)])
    if not holds:
        return 0
    accounts = await ledger.lock(tx, {p.account for h in holds for p in h.parts})
    expired = [(h, *released(h, str(h.hold), at, expire=True)) for h in holds]
    written = await ledger.post(tx, accounts, [transaction for _, _, transaction in expired])
    done = [(before, after) for before, after, t in expired if t.request_key in written]
    await update(tx, accounts, done)
    return len(done)


async def _found(tx: Connection, request_key: str, sha256: bytes) -> Posted | None:
    before = (await ledger.known(tx, [request_key])).get(request_key)
    return None if before is None else await ledger.again(tx, before, sha256)


async def _settle(tx: Connection, accounts: Accounts, before: Hold, after: Hold, transaction: Transaction) -> Posted:
    posted = await ledger.write(tx, accounts, transaction)
    if not posted.duplicate:
        await update(tx, accounts, [(before, after)])
    return posted


UPDATE_HOLDS: Final[LiteralString] = """
    WITH moved AS (
        UPDATE ledger_holds h SET state = n.state FROM unnest($1::bigint[], $2::text[]) AS n (hold_id, state)
         WHERE h.hold_id = n.hold_id AND h.state <> n.state
    )
    UPDATE ledger_hold_parts p SET captured_micro_yuan = n.captured, released_micro_yuan = n.released
      FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS n (hold_id, account_id, captured, released)
     WHERE p.hold_id = n.hold_id AND p.account_id = n.account_id
"""


async def update(tx: Connection, accounts: Accounts, changed: Sequence[tuple[Hold, Hold]]) -> None:
    """Write what became of holds that are locked, where it differs from before."""
    parts = [
        (after.hold, new)
        for before, after in changed
        for old, new in zip(before.parts, after.parts, strict=True)
        if old != new
    ]
    await tx.execute(
        UPDATE_HOLDS,
        [after.hold for _, after in changed],
        [after.state for _, after in changed],
        [hold for hold, _ in parts],
        [accounts.ids[part.account] for _, part in parts],
        [part.captured for _, part in parts],
        [part.released for _, part in parts],
    )
