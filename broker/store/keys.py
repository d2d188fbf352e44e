"""API keys: who they are for, and a hash of their secret. Nothing here can tell a secret."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.caller import Role
from broker.store.database import Connection


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the database knows it.

    Attributes:
        key_id: public id.
        secret_sha256: hash of the secret.
        role: what it allows.
        subject: the city, "CITY/ENTERPRISE", cluster or owner it is for; empty for those who see all.
        note: for people.
        created_at: when it was made.
        revoked_at: when it was ended; None while it works.
    """

    key_id: str
    secret_sha256: bytes
    role: Role
    subject: str
    note: str
    created_at: datetime
    revoked_at: datetime | None


CREATE_KEY: Final[LiteralString] = """
    INSERT INTO api_keys (key_id, secret_sha256, role, subject, note, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def create_key(
    tx: Connection, key_id: str, secret_sha256: bytes, *, role: Role, subject: str, note: str, at: datetime
) -> None:
    """Store a new key."""
    await tx.execute(CREATE_KEY, key_id, secret_sha256, role, subject, note, at)


ADOPT_KEY: Final[LiteralString] = f"{CREATE_KEY} ON CONFLICT (key_id) DO NOTHING RETURNING true"


async def adopt_key(
    tx: Connection, key_id: str, secret_sha256: bytes, *, role: Role, subject: str, note: str, at: datetime
) -> bool:
    """Store a key unless there is one with its id. Return whether it was stored."""
    return bool(await tx.fetchval(ADOPT_KEY, key_id, secret_sha256, role, subject, note, at))


SUBJECT_IS_KNOWN: Final[LiteralString] = """
    SELECT CASE $1::text
        WHEN 'city' THEN EXISTS (SELECT FROM cities WHERE city = $2)
        WHEN 'agent' THEN EXISTS (SELECT FROM clusters WHERE cluster = $2)
        WHEN 'owner' THEN EXISTS (SELECT FROM clusters WHERE owner = $2)
        WHEN 'enterprise' THEN EXISTS (SELECT FROM enterprises
                                        WHERE (city, enterprise) = (split_part($2, '/', 1), split_part($2, '/', 2)))
        ELSE $2::text = ''
    END
"""


async def subject_is_known(tx: Connection, role: Role, subject: str) -> bool:
    """Tell whether a key of the role can be for the subject: a known city, enterprise, cluster or owner, or nothing."""
    return bool(await tx.fetchval(SUBJECT_IS_KNOWN, role, subject))


# Of which keys: all, or those that the enterprises of a city have.
OF_CITY: Final[LiteralString] = "($1 = '' OR (role = 'enterprise' AND split_part(subject, '/', 1) = $1))"
REVOKE: Final[LiteralString] = (
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE key_id = $2 AND " + OF_CITY + " RETURNING true"
)


async def revoke(tx: Connection, key_id: str, at: datetime, enterprises_of: str = "") -> bool:
    """End the key for ever; repeating it keeps the first time. Return False when there is no such key.

    `enterprises_of`: a city, for which there are only the keys of its enterprises.
    """
    return bool(await tx.fetchval(REVOKE, enterprises_of, key_id, at))


LIST_KEYS: Final[LiteralString] = (
    """
    SELECT key_id, secret_sha256, role, subject, note, created_at, revoked_at FROM api_keys WHERE """
    + OF_CITY
    + " ORDER BY created_at DESC, key_id"
)


async def list_keys(tx: Connection, enterprises_of: str = "") -> list[StoredKey]:
    """Return all keys, newest first, or those of the enterprises of a city."""
    return [_stored(**row) for row in await tx.fetch(LIST_KEYS, enterprises_of)]


FIND: Final[LiteralString] = """
    SELECT key_id, secret_sha256, role, subject, note, created_at, revoked_at FROM api_keys WHERE key_id = $1
"""


async def find(tx: Connection, key_id: str) -> StoredKey | None:
    """Return the key with that id, revoked or not; None when there is none."""
    row = await tx.fetchrow(FIND, key_id)
    return None if row is None else _stored(**row)


def _stored(
    key_id: str,
    secret_sha256: bytes,
    role: str,
    subject: str,
    note: str,
    created_at: datetime,
    revoked_at: datetime | None,
) -> StoredKey:
    return StoredKey(key_id, secret_sha256, Role(role), subject, note, created_at, revoked_at)
