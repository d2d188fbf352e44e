"""What operators did, kept for ever: written in the transaction of the act itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.store.database import Connection

RECORD: Final[LiteralString] = """
    INSERT INTO operator_acts (at, key_id, act, subject, detail) VALUES ($1, $2, $3, $4, $5)
"""


async def record(
    tx: Connection, *, at: datetime, key_id: str, act: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Record one act.

    Args:
        tx: the transaction in which it is done.
        at: now.
        key_id: public id of the key that did it.
        act: what was done, such as "drain".
        subject: to what, such as a cluster's name.
        detail: plain JSON values.
    """
    await tx.execute(RECORD, at, key_id, act, subject, dict(detail))
