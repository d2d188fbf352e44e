"""Rate cards and the bounds of asks as rows. Cards are added and never changed: the role has no right to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import asyncpg

from broker.errors import RateCardOverlaps
from broker.store.database import Connection
from broker.worlds.rates import AskBounds, AskNow, Curve, RateCard, ask_of

COLUMNS: Final[LiteralString] = """
    r.cluster, r.model, r.version, r.asks_micro_yuan_per_card_hour AS asks,
    r.green_asks_micro_yuan_per_card_hour AS green, r.valid_from, r.valid_until, r.source, r.set_at, r.set_by
"""
IN_FORCE: Final[LiteralString] = (
    "SELECT DISTINCT ON (r.cluster, r.model) "
    + COLUMNS
    + """, h.green_hours,
           (SELECT max(o.valid_until) FROM rate_cards o
             WHERE (o.cluster, o.model) = (r.cluster, r.model) AND o.valid_until <= $1) AS resumed
      FROM rate_cards r JOIN clusters c USING (cluster) JOIN hubs h USING (hub)
     WHERE r.valid_from <= $1 AND (r.valid_until IS NULL OR r.valid_until > $1)
     ORDER BY r.cluster, r.model, r.valid_until IS NULL, r.valid_from DESC
"""
)
STANDING: Final[LiteralString] = (
    "SELECT DISTINCT ON (r.cluster, r.model) "
    + COLUMNS
    + """
      FROM rate_cards r WHERE r.valid_until IS NULL AND r.valid_from <= $1
     ORDER BY r.cluster, r.model, r.valid_from DESC
"""
)
LIST: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + """
      FROM rate_cards r JOIN clusters c USING (cluster)
     WHERE ($1 = '' OR r.cluster = $1) AND ($2 = '' OR r.model = $2) AND ($3 = '' OR c.owner = $3)
       AND (r.cluster, r.model, r.version) > ($4, $5, $6)
     ORDER BY r.cluster, r.model, r.version LIMIT $7
"""
)
# Of those that stand, the one that does now and what follows it; of the dated ones those that are not over.
FROM_NOW_ON: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + """
      FROM rate_cards r
     WHERE r.valid_until > $1
        OR r.valid_until IS NULL AND r.valid_from >= coalesce(
               (SELECT max(o.valid_from) FROM rate_cards o
                 WHERE (o.cluster, o.model) = (r.cluster, r.model) AND o.valid_until IS NULL AND o.valid_from <= $1),
               '-infinity')
"""
)
OF_CLUSTERS: Final[LiteralString] = "SELECT " + COLUMNS + " FROM rate_cards r WHERE r.cluster = ANY($1)"
ADD: Final[LiteralString] = """
    INSERT INTO rate_cards (cluster, model, version, asks_micro_yuan_per_card_hour,
                            green_asks_micro_yuan_per_card_hour, valid_from, valid_until, source, set_at, set_by)
    SELECT $1::slug, $2::slug, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8, $9
      FROM rate_cards WHERE cluster = $1::slug AND model = $2::slug
"""
BOUNDS: Final[LiteralString] = """
    SELECT model, floor_micro_yuan_per_card_hour, cap_micro_yuan_per_card_hour FROM ask_bounds ORDER BY model
"""
PUT_BOUNDS: Final[LiteralString] = """
    INSERT INTO ask_bounds (model, floor_micro_yuan_per_card_hour, cap_micro_yuan_per_card_hour) VALUES ($1, $2, $3)
    ON CONFLICT (model) DO UPDATE
       SET floor_micro_yuan_per_card_hour = excluded.floor_micro_yuan_per_card_hour,
           cap_micro_yuan_per_card_hour = excluded.cap_micro_yuan_per_card_hour
"""


async def asks_at(tx: Connection, at: datetime) -> Mapping[tuple[str, str], AskNow]:
    """Return what is asked at a time, by cluster and model; what has no rate card yet is left out."""
    rows = await tx.fetch(IN_FORCE, at)
    return {(r["cluster"], r["model"]): ask_of(_card(r), r["green_hours"], at, r["resumed"]) for r in rows}


async def in_force(tx: Connection, at: datetime) -> dict[tuple[str, str], RateCard]:
    """Return the cards that hold at a time, by cluster and model."""
    return {(r["cluster"], r["model"]): _card(r) for r in await tx.fetch(IN_FORCE, at)}


async def standing(tx: Connection, at: datetime) -> dict[str, dict[str, Curve]]:
    """Return the curves of the cards that stand at a time, by cluster, then model, whatever goes before them."""
    found: dict[str, dict[str, Curve]] = {}
    for r in await tx.fetch(STANDING, at):
        found.setdefault(r["cluster"], {})[r["model"]] = _curve(r)
    return found


async def page(
    tx: Connection, cluster: str, model: str, owner: str, after: tuple[str, str, int], limit: int
) -> list[RateCard]:
    """Return cards by cluster, model and version, from the first one after `after`; "" lets everything pass."""
    return [_card(r) for r in await tx.fetch(LIST, cluster, model, owner, *after, limit)]


async def of_clusters(tx: Connection, clusters: Sequence[str]) -> dict[tuple[str, str], list[RateCard]]:
    """Return all cards of these clusters, by cluster and model."""
    found: dict[tuple[str, str], list[RateCard]] = {}
    for r in await tx.fetch(OF_CLUSTERS, clusters):
        found.setdefault((r["cluster"], r["model"]), []).append(_card(r))
    return found


async def from_now_on(tx: Connection, now: datetime) -> dict[tuple[str, str], list[RateCard]]:
    """Return the cards that hold at `now` or later, by cluster and model."""
    found: dict[tuple[str, str], list[RateCard]] = {}
    for r in await tx.fetch(FROM_NOW_ON, now):
        found.setdefault((r["cluster"], r["model"]), []).append(_card(r))
    return found


async def add(tx: Connection, cards: Sequence[RateCard]) -> None:
    """Store new versions. The caller holds the lock of the catalogue, and has looked for overlaps.

    Raises: RateCardOverlaps: another standing card begins at the same time; the transaction is lost.
    """
    for card in cards:
        curve = list(card.curve.asks), list(card.curve.green)
        times = card.valid_from, card.valid_until
        try:
            await tx.execute(ADD, card.cluster, card.model, *curve, *times, card.source, card.set_at, card.set_by)
        except asyncpg.UniqueViolationError as error:
            other = f"from {card.valid_from.isoformat()}"
            raise RateCardOverlaps(cluster=card.cluster, model=card.model, other=other) from error


async def bounds(tx: Connection) -> dict[str, AskBounds]:
    """Return the bounds of asks by model."""
    return {r["model"]: AskBounds(*r.values()) for r in await tx.fetch(BOUNDS)}


async def put_bounds(tx: Connection, rows: Sequence[AskBounds]) -> None:
    """Set the bounds of these models."""
    values = [(r.model, r.floor_micro_yuan_per_card_hour, r.cap_micro_yuan_per_card_hour) for r in rows]
    await tx.executemany(PUT_BOUNDS, values)


def _card(r: Any) -> RateCard:
    return RateCard(
        cluster=r["cluster"],
        model=r["model"],
        version=r["version"],
        curve=_curve(r),
        valid_from=r["valid_from"],
        valid_until=r["valid_until"],
        source=r["source"],
        set_at=r["set_at"],
        set_by=r["set_by"],
    )


def _curve(r: Any) -> Curve:
    return Curve(tuple(r["asks"]), tuple(r["green"]))
