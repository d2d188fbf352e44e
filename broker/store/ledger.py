"""The ledger: accounts, immutable transactions, and the balance rows of accounts that never go below zero.

Order of locks: rows of holds by number, then balance rows by account_id. Whoever writes a transaction has the balance
rows of its accounts locked, so two requests with one key seldom meet in the unique index; where they do, one waits.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.errors import AccountNotFound, CityNotFound, HubNotFound, OwnerNotFound, PostingConflict
from broker.ids import TransactionId, transaction_text
from broker.ledger.accounts import NEVER_BELOW_ZERO, AccountName, Pocket, account_name
from broker.ledger.funds import Funds, after
from broker.ledger.transactions import Posting, Transaction
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts that a transaction is about, the balances of those that have one locked.

    Attributes:
        ids: number of each account that is there, by name.
        funds: what stands on those that never go below zero, by name.
    """

    ids: Mapping[str, int]
    funds: Mapping[str, Funds]


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction that is written.

    Attributes:
        transaction: its number.
        duplicate: it had been written before, by a request with the same key and body.
        postings: its lines.
    """

    transaction: TransactionId
    duplicate: bool
    postings: tuple[Posting, ...]

    def sum_of(self, account: str, pocket: Pocket = Pocket.AVAILABLE) -> int:
        """Return what came to an account by it, in micro-yuan."""
        return sum(p.micro_yuan for p in self.postings if (p.account, p.pocket) == (account, pocket))


FACTS: Final[LiteralString] = """
    SELECT ($1::text IS NULL OR EXISTS (SELECT FROM cities WHERE city = $1)) AS city,
           ($2::text IS NULL OR EXISTS (SELECT FROM hubs WHERE hub = $2)) AS hub,
           ($3::text IS NULL OR EXISTS (SELECT FROM clusters WHERE owner = $3)) AS owner
"""


async def check_holder(tx: Connection, name: AccountName) -> None:
    """Raise CityNotFound, HubNotFound or OwnerNotFound for an account that nobody could have."""
    row = await tx.fetchrow(FACTS, name.city, name.hub, name.owner)
    assert row is not None  # noqa: S101  # SELECT of values
    if not row["city"]:
        raise CityNotFound(city=name.city)
    if not row["hub"]:
        raise HubNotFound(hub=name.hub)
    if not row["owner"]:
        raise OwnerNotFound(owner=name.owner)


OPEN_ACCOUNT: Final[LiteralString] = """
    WITH opened AS (
        INSERT INTO ledger_accounts (name, kind, city, owner, opened_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (name) DO NOTHING RETURNING account_id
    )
    INSERT INTO ledger_balances (account_id) SELECT account_id FROM opened WHERE $6 RETURNING account_id
"""


async def open_account(tx: Connection, name: AccountName, at: datetime) -> None:
    """Open an account that is not there yet. Raise what `check_holder` raises."""
    await check_holder(tx, name)
    balance = name.kind in NEVER_BELOW_ZERO
    await tx.execute(OPEN_ACCOUNT, name.text, name.kind, name.city, name.owner, at, balance)


CLOSE_ACCOUNT: Final[LiteralString] = (
    "UPDATE ledger_accounts SET closed_at = coalesce(closed_at, $2) WHERE account_id = $1"
)


async def close_account(tx: Connection, account: int, at: datetime) -> None:
    """Let nothing be posted to an account any more; its balance row is locked by the caller. Repeating is harmless."""
    await tx.execute(CLOSE_ACCOUNT, account, at)


LOCK_BALANCES: Final[LiteralString] = """
    SELECT account_id, available_micro_yuan, held_micro_yuan FROM ledger_balances
     WHERE account_id IN (SELECT account_id FROM ledger_accounts WHERE name = ANY($1))
     ORDER BY account_id FOR UPDATE
"""
# After the lock, in a statement of its own: it sees what was closed until then.
FIND_ACCOUNTS: Final[LiteralString] = """
    SELECT account_id, name, closed_at IS NOT NULL AS closed FROM ledger_accounts WHERE name = ANY($1)
"""


async def lock(tx: Connection, names: Collection[str]) -> Accounts:
    """Lock the balances of these accounts until the transaction ends; names that are not there are left out."""
    wanted = list(names)
    balances = {r["account_id"]: r for r in await tx.fetch(LOCK_BALANCES, wanted)}
    rows = await tx.fetch(FIND_ACCOUNTS, wanted)
    funds = {}
    for r in rows:
        balance = balances.get(r["account_id"])
        if balance is not None:
            found = account_name("account", r["name"])
            funds[r["name"]] = Funds(
                found, balance["available_micro_yuan"], balance["held_micro_yuan"], closed=r["closed"]
            )
    return Accounts({r["name"]: r["account_id"] for r in rows}, funds)


KNOWN: Final[LiteralString] = """
    SELECT transaction_id, kind, request_key, body_sha256 FROM ledger_transactions WHERE request_key = ANY($1)
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction that uses a key already."""

    transaction: TransactionId
    kind: str
    request_key: str
    body_sha256: bytes

    def check(self, body_sha256: bytes) -> TransactionId:
        """Return its number if it is the same request. Raise PostingConflict."""
        if self.body_sha256 != body_sha256:
            raise PostingConflict(
                request_key=self.request_key, kind=self.kind, transaction=transaction_text(self.transaction)
            )
        return self.transaction


async def known(tx: Connection, keys: Iterable[str]) -> dict[str, Known]:
    """Return the transactions that use these request keys, by key."""
    rows = await tx.fetch(KNOWN, list(keys))
    return {
        r["request_key"]: Known(TransactionId(r["transaction_id"]), r["kind"], r["request_key"], r["body_sha256"])
        for r in rows
    }


POST: Final[LiteralString] = """
    WITH made AS (
        INSERT INTO ledger_transactions (kind, request_key, body_sha256, reference, at, hold_id, lines)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::timestamptz[], $6::bigint[],
                             $7::smallint[])
        ON CONFLICT (request_key) DO NOTHING
        RETURNING transaction_id, request_key
    ), lines AS (
        SELECT made.transaction_id, l.line, l.account_id, l.pocket, l.micro_yuan
          FROM unnest($8::text[], $9::smallint[], $10::bigint[], $11::text[], $12::bigint[])
               AS l (request_key, line, account_id, pocket, micro_yuan) JOIN made USING (request_key)
    ), posted AS (
        INSERT INTO ledger_postings (transaction_id, line, account_id, pocket, micro_yuan)
        SELECT transaction_id, line, account_id, pocket, micro_yuan FROM lines
    ), moved AS (
        UPDATE ledger_balances b
           SET available_micro_yuan = b.available_micro_yuan + l.available,
               held_micro_yuan = b.held_micro_yuan + l.held
          FROM (SELECT account_id,
                       (sum(CASE pocket WHEN 'available' THEN micro_yuan ELSE 0 END))::bigint AS available,
                       (sum(CASE pocket WHEN 'held' THEN micro_yuan ELSE 0 END))::bigint AS held
                  FROM lines GROUP BY account_id) l
         WHERE b.account_id = l.account_id
    ), waiting AS (
        INSERT INTO ledger_unchained (transaction_id) SELECT transaction_id FROM made
    )
    SELECT request_key, transaction_id FROM made
"""


async def post(tx: Connection, accounts: Accounts, new: Sequence[Transaction]) -> dict[str, TransactionId]:
    """Write transactions with their postings and move the balances, in one statement; return numbers by request key.

    The caller has looked for the keys and checked the funds, under the locks. A key that was taken meanwhile, by a
    request about other accounts, is left out of the answer, and nothing of it is written.
    """
    lines = [(t.request_key, i, p) for t in new for i, p in enumerate(t.postings, 1)]
    rows = await tx.fetch(
        POST,
        [t.kind for t in new],
        [t.request_key for t in new],
        [t.body_sha256 for t in new],
        [t.reference for t in new],
        [t.at for t in new],
        [t.hold for t in new],
        [len(t.postings) for t in new],
        [key for key, _, _ in lines],
        [line for _, line, _ in lines],
        [accounts.ids[p.account] for _, _, p in lines],
        [p.pocket for _, _, p in lines],
        [p.micro_yuan for _, _, p in lines],
    )
    return {r["request_key"]: TransactionId(r["transaction_id"]) for r in rows}


async def write(tx: Connection, accounts: Accounts, new: Transaction) -> Posted:
    """Write one transaction, or return the one that was written by the same request before.

    Raises:
        AccountNotFound, AccountClosed: an account is not there, or was closed.
        InsufficientCredit, BalanceTooLarge: a balance would be below zero, or too large.
        PostingConflict: the key was used for another request.
    """
    before = (await known(tx, [new.request_key])).get(new.request_key)
    if before is None:
        check(accounts, new)
        written = await post(tx, accounts, [new])
        if written:
            return Posted(written[new.request_key], duplicate=False, postings=new.postings)
        before = (await known(tx, [new.request_key]))[new.request_key]
    return await again(tx, before, new.body_sha256)


def check(accounts: Accounts, new: Transaction) -> None:
    """Raise AccountNotFound, AccountClosed, InsufficientCredit or BalanceTooLarge where it cannot be written."""
    missing = [name for name in new.accounts() if name not in accounts.ids]
    if missing:
        raise AccountNotFound(account=missing[0])
    after(accounts.funds, new.postings)


POSTINGS_OF: Final[LiteralString] = """
    SELECT a.name, p.pocket, p.micro_yuan FROM ledger_postings p JOIN ledger_accounts a USING (account_id)
     WHERE p.transaction_id = $1 ORDER BY p.line
"""


async def again(tx: Connection, before: Known, body_sha256: bytes) -> Posted:
    """Return what was written for the same request before. Raise PostingConflict if it was another one."""
    transaction = before.check(body_sha256)
    rows = await tx.fetch(POSTINGS_OF, transaction)
    postings = tuple(Posting(r["name"], r["micro_yuan"], Pocket(r["pocket"])) for r in rows)
    return Posted(transaction, duplicate=True, postings=postings)
