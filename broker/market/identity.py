"""Who calls: API keys made, checked and ended."""

import asyncio
import hmac
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from broker.api_key import ApiKey
from broker.caller import Caller, Role
from broker.errors import (
    BrokerError,
    CityNotFound,
    ClusterNotFound,
    DatabaseUnavailable,
    EnterpriseNotFound,
    KeyNotFound,
    KeyRefused,
    OwnerNotFound,
    invalid,
)
from broker.store import keys
from broker.store.database import Connection, Database
from broker.store.keys import StoredKey

REMEMBERED_FOR: Final = timedelta(seconds=5)
"""A key is looked up again after this long, so a revocation is seen everywhere within it."""

KNOWN_MAX: Final = 10_000
UNKNOWN_MAX: Final = 10_000
STRANGERS_AT_ONCE: Final = 2
"""Connections to the database that keys may take which were never good here: a flood of made-up ones takes no more."""

STRANGERS_WAITING_MAX: Final = 500


async def issue(tx: Connection, role: Role, subject: str, note: str, at: datetime) -> ApiKey:
    """Make a key within the caller's (hub) transaction.

    Args:
        tx: a transaction of the hub.
        role: what the key allows.
        subject: the city, "CITY/ENTERPRISE", cluster or owner it is for; empty for those who see all.
        note: for people.
        at: now.
    Raises:
        CityNotFound, EnterpriseNotFound, ClusterNotFound, OwnerNotFound: the subject is not known.
        InvalidRequest: a subject was named for a role that has none.
    """
    if not await keys.subject_is_known(tx, role, subject):
        raise _unknown_subject(role, subject)
    key = ApiKey.generate()
    await keys.create_key(tx, key.key_id, key.secret_sha256, role=role, subject=subject, note=note, at=at)
    return key


class Identity:
    """Finds out who calls. Keys are remembered for some seconds, so that a call seldom costs a look-up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Apart, so that a flood of made-up keys pushes no real one out.
        self._known = _Memory(KNOWN_MAX)
        self._unknown = _Memory(UNKNOWN_MAX)
        self._looking: dict[str, asyncio.Task[StoredKey | None]] = {}
        self._strangers = asyncio.Semaphore(STRANGERS_AT_ONCE)

    async def caller(self, api_key: str, now: datetime) -> Caller:
        """Return whom the key is for.

        Raises:
            KeyRefused: it is not a key, not known, or revoked. Which of them is not told.
            DatabaseUnavailable: it cannot be looked up now, or too many keys that nobody knows wait for that.
        """
        key = ApiKey.parse(api_key)
        if key is None:
            raise KeyRefused
        stored = await self._stored(key.key_id, now)
        if stored is None or stored.revoked_at is not None:
            raise KeyRefused
        if not hmac.compare_digest(key.secret_sha256, stored.secret_sha256):
            raise KeyRefused
        return Caller(stored.key_id, stored.role, stored.subject)

    async def caller_of_key(self, key_id: str, now: datetime) -> Caller:
        """Return whom a key is for that was shown before, by its public id: what a session stands on.

        Raises: KeyRefused: it is not known any more, or revoked. DatabaseUnavailable.
        """
        stored = await self._stored(key_id, now)
        if stored is None or stored.revoked_at is not None:
            raise KeyRefused
        return Caller(stored.key_id, stored.role, stored.subject)

    async def create(self, role: Role, subject: str, note: str, now: datetime) -> ApiKey:
        """Make a key; see `issue`."""
        async with self._database.hub() as tx:
            return await issue(tx, role, subject, note, now)

    async def adopt(self, key: ApiKey, note: str, now: datetime) -> bool:
        """Make a key that was drawn elsewhere an operator's. Return False when its id is known already."""
        async with self._database.hub() as tx:
            return await keys.adopt_key(
                tx, key.key_id, key.secret_sha256, role=Role.OPERATOR, subject="", note=note, at=now
            )

    async def revoke(self, key_id: str, now: datetime) -> None:
        """End a key: here at once, in other brokers within REMEMBERED_FOR. Raise KeyNotFound."""
        async with self._database.hub() as tx:
            if not await keys.revoke(tx, key_id, now):
                raise KeyNotFound(key_id=key_id)
        self.forget(key_id)

    async def list(self, enterprises_of: str = "") -> list[StoredKey]:
        """Return all keys, newest first, or those of the enterprises of a city."""
        async with self._database.hub() as tx:
            return await keys.list_keys(tx, enterprises_of)

    def forget(self, key_id: str) -> None:
        """Look the key up again when it is used next."""
        self._known.drop(key_id)
        self._unknown.drop(key_id)

    async def _stored(self, key_id: str, now: datetime) -> StoredKey | None:
        if self._known.holds(key_id, now):
            return self._known.get(key_id)
        if self._unknown.holds(key_id, now):
            return None
        # Calls of one key that arrive together wait for one look-up; it goes on when one of them is cancelled.
        looking = self._looking.get(key_id)
        if looking is None:
            looking = self._looking[key_id] = asyncio.create_task(self._looker(key_id, now))
            looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(looking)

    def _looker(self, key_id: str, now: datetime) -> Coroutine[Any, Any, StoredKey | None]:
        if self._known.get(key_id) is not None:
            return self._look_up(key_id, now)
        if len(self._looking) >= STRANGERS_WAITING_MAX:
            raise DatabaseUnavailable(retry_after_seconds=1.0)
        return self._look_up_stranger(key_id, now)

    async def _look_up_stranger(self, key_id: str, now: datetime) -> StoredKey | None:
        async with self._strangers:
            return await self._look_up(key_id, now)

    async def _look_up(self, key_id: str, now: datetime) -> StoredKey | None:
        try:
            async with self._database.hub() as tx:
                stored = await keys.find(tx, key_id)
        finally:
            del self._looking[key_id]
        self.forget(key_id)
        (self._unknown if stored is None else self._known).put(key_id, stored, now)
        return stored


class _Memory:
    """What was looked up lately: at most `size_max` entries, the oldest goes first."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._entries: dict[str, tuple[datetime, StoredKey | None]] = {}

    def holds(self, key_id: str, now: datetime) -> bool:
        """Tell whether there is an entry that is fresh; one from the future (the clock was set back) is not."""
        entry = self._entries.get(key_id)
        return entry is not None and timedelta(0) <= now - entry[0] < REMEMBERED_FOR

    def get(self, key_id: str) -> StoredKey | None:
        """Return what was looked up, however long ago; None also for what never was."""
        entry = self._entries.get(key_id)
        return entry and entry[1]

    def put(self, key_id: str, stored: StoredKey | None, now: datetime) -> None:
        if len(self._entries) >= self._size_max:
            del self._entries[next(iter(self._entries))]
        self._entries[key_id] = now, stored

    def drop(self, key_id: str) -> None:
        self._entries.pop(key_id, None)


def _unknown_subject(role: Role, subject: str) -> BrokerError:
    if role is Role.CITY:
        return CityNotFound(city=subject)
    if role is Role.ENTERPRISE:
        city, _, enterprise = subject.partition("/")
        return EnterpriseNotFound(city=city, enterprise=enterprise)
    if role is Role.AGENT:
        return ClusterNotFound(cluster=subject)
    if role is Role.OWNER:
        return OwnerNotFound(owner=subject)
    return invalid("subject", f"must be empty: a key of role {role} is for no city, cluster or owner")
