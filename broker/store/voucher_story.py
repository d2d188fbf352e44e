"""The dated story of programmes, enterprises, applications and vouchers: rows are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.store.database import Connection
from broker.vouchers.states import StoryEvent


@dataclass(frozen=True, slots=True)
class Officer:
    """Who does something: a person of the voucher office, a city, or a loop; and with which key."""

    name: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened.

    Attributes:
        at: when, aware UTC.
        event: what.
        officer: who did it.
        note: for people.
        detail: plain JSON values.
        story: its number; 0 until it is stored.
    """

    at: datetime
    event: StoryEvent
    officer: Officer
    programme: str | None = None
    city: str | None = None
    enterprise: str | None = None
    application: int | None = None
    voucher: str | None = None
    note: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    story: int = 0


TELL: Final[LiteralString] = """
    INSERT INTO voucher_story (at, event, officer, key_id, programme, city, enterprise, application_id, voucher, note,
                               detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
LIST: Final[LiteralString] = """
    SELECT story_id, at, event, officer, key_id, programme, city, enterprise, application_id, voucher, note, detail
      FROM voucher_story
     WHERE ($1 = '' OR city = $1) AND ($2 = '' OR enterprise = $2) AND ($3::bigint = 0 OR application_id = $3)
       AND ($4 = '' OR voucher = $4 OR application_id = (SELECT application_id FROM vouchers v WHERE v.voucher = $4))
       AND ($5 = '' OR programme = $5) AND story_id > $6
     ORDER BY story_id LIMIT $7
"""


async def tell(tx: Connection, step: Step) -> None:
    """Add a row to the story, in the transaction of what happened."""
    await tx.execute(
        TELL,
        step.at,
        step.event,
        step.officer.name,
        step.officer.key_id,
        step.programme,
        step.city,
        step.enterprise,
        step.application,
        step.voucher,
        step.note,
        dict(step.detail),
    )


@dataclass(frozen=True, slots=True)
class StoryOf:
    """Whose story is asked for; empty texts and 0 let everything pass."""

    city: str = ""
    enterprise: str = ""
    application: int = 0
    voucher: str = ""
    programme: str = ""


async def story(tx: Connection, of: StoryOf, after: int, limit: int) -> list[Step]:
    """Return a page of the story, oldest first, behind the number `after`; a voucher's begins with its application."""
    rows = await tx.fetch(LIST, of.city, of.enterprise, of.application, of.voucher, of.programme, after, limit)
    return [
        Step(
            r["at"],
            StoryEvent(r["event"]),
            Officer(r["officer"], r["key_id"]),
            r["programme"],
            r["city"],
            r["enterprise"],
            r["application_id"],
            r["voucher"],
            r["note"],
            r["detail"],
            r["story_id"],
        )
        for r in rows
    ]
