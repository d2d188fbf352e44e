"""Use cases of rate cards: what owners ask, within the bounds that operators set. Each act is one transaction."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from broker.caller import Caller, Role
from broker.errors import AskOutOfBounds, FieldProblem, InvalidRequest, RateCardOverlaps, RoleRefused
from broker.store import acts, catalogue, rates
from broker.store.database import Database
from broker.worlds.catalogue import Catalogue
from broker.worlds.rate_file import BoundsEntry, RateCardEntry, RateFile, load_rates
from broker.worlds.rates import PROGRAMME_TIME, AskBounds, Curve, RateCard, in_force, outside, overlapping
from broker.worlds.schema import suggestion

PROBLEMS_MAX = 50

Known = dict[tuple[str, str], list[RateCard]]
"""Rate cards by cluster and model."""


@dataclass(frozen=True, slots=True)
class RatesPage:
    """Rate cards, and the bounds of asks."""

    cards: Sequence[RateCard]
    in_force: frozenset[tuple[str, str, int]]  # cluster, model and version of those that hold now
    bounds: Sequence[AskBounds]


@dataclass(slots=True)
class _Change:
    """What a document would change."""

    cards: list[RateCard] = field(default_factory=list)
    bounds: list[AskBounds] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class Rates:
    """What owners and operators do about rates. `wake` lets the next round see it at once."""

    def __init__(self, database: Database, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def set(self, caller: Caller, document: str, *, now: datetime, dry_run: bool = False) -> list[str]:
        """Add rate cards and set bounds, all or none; return one line for each change. The same again changes nothing.

        Owners set cards of their own clusters, operators everything. Bounds do not touch cards that are there: a line
        names those that they would refuse.

        Raises:
            InvalidRequest: the document is not valid, names what is not there, or a time that is over.
            AskOutOfBounds: an ask leaves the floor or cap of its model.
            RateCardOverlaps: cards are never changed, and of two that overlap nobody would know which holds.
            RoleRefused: an owner may not set that.
        """
        wanted = await asyncio.to_thread(load_rates, document)
        async with self._database.hub() as tx:
            await catalogue.lock(tx)
            stored = await catalogue.read(tx, now)
            _check_names(stored, wanted, now)
            _check_role(caller, stored, wanted)
            known = await rates.of_clusters(tx, list(stored.clusters))
            before = await rates.bounds(tx)
            change = _change(known, before, wanted, caller, now)
            if (change.cards or change.bounds) and not dry_run:
                await rates.put_bounds(tx, change.bounds)
                await rates.add(tx, change.cards)
                detail = {"sha256": hashlib.sha256(document.encode()).hexdigest(), "changes": change.lines}
                await acts.record(tx, at=now, key_id=caller.key_id, act="set_rates", subject="rates", detail=detail)
        if change.cards and not dry_run:
            self._wake()
        return change.lines

    async def page(
        self, caller: Caller, cluster: str, model: str, after: tuple[str, str, int], limit: int, *, now: datetime
    ) -> RatesPage:
        """Return rate cards by cluster, model and version from the first after `after`; an owner sees the own ones."""
        owner = caller.subject if caller.role is Role.OWNER else ""
        async with self._database.hub() as tx:
            cards = await rates.page(tx, cluster, model, owner, after, limit)
            holding = await rates.in_force(tx, now)
            bounds = await rates.bounds(tx)
        named = frozenset((c.cluster, c.model, c.version) for c in holding.values())
        return RatesPage(cards, named, [b for b in bounds.values() if model in ("", b.model)])


def refuse_outside(bounds: Mapping[str, AskBounds], asks: Iterable[tuple[str, str, Curve]]) -> None:
    """Raise AskOutOfBounds that names every ask beyond its model's bounds. `asks`: field, model and curve of each."""
    found = [(at, model, why) for at, model, curve in asks if (why := outside(bounds.get(model), curve))]
    if found:
        _, model, why = found[0]
        problems = [FieldProblem(at, why) for at, _, why in found[:PROBLEMS_MAX]]
        raise AskOutOfBounds(model=model, why=why, fields=problems)


def _check_names(stored: Catalogue, wanted: RateFile, now: datetime) -> None:
    problems = [*_unknown(stored, wanted), *_timeless(wanted, now)]
    if problems:
        raise InvalidRequest(*problems[:PROBLEMS_MAX])


def _unknown(stored: Catalogue, wanted: RateFile) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for i, entry in enumerate(wanted.bounds):
        if entry.model not in stored.models:
            yield _no_model(f"bounds[{i}].model", entry.model, stored)
        if entry.model in seen:
            yield FieldProblem(f"bounds[{i}].model", f"'{entry.model}' is there already: keep one")
        seen.add(entry.model)
    for i, card in enumerate(wanted.rate_cards):
        if card.cluster not in stored.clusters:
            why = f"there is no cluster '{card.cluster}': {suggestion(card.cluster, stored.clusters)}"
            yield FieldProblem(f"rate_cards[{i}].cluster", why)
        if card.model not in stored.models:
            yield _no_model(f"rate_cards[{i}].model", card.model, stored)


def _no_model(at: str, model: str, stored: Catalogue) -> FieldProblem:
    return FieldProblem(at, f"there is no accelerator model '{model}': {suggestion(model, stored.models)}")


def _timeless(wanted: RateFile, now: datetime) -> Iterator[FieldProblem]:
    for i, card in enumerate(wanted.rate_cards):
        begin = card.valid_from or now
        if begin < now:
            yield FieldProblem(f"rate_cards[{i}].valid_from", "is over: leave it out to begin now")
        if card.valid_until is not None and card.valid_until <= begin:
            yield FieldProblem(f"rate_cards[{i}].valid_until", "must lie after its valid_from")


def _check_role(caller: Caller, stored: Catalogue, wanted: RateFile) -> None:
    if caller.role is not Role.OWNER:
        return
    if wanted.bounds:
        raise RoleRefused(role=caller.role, needed="bounds of asks are set by operators")
    foreign = [c.cluster for c in wanted.rate_cards if stored.clusters[c.cluster].owner != caller.subject]
    if foreign:
        raise RoleRefused(role=caller.role, needed=f"cluster {foreign[0]} is not {caller.subject}'s")


def _change(known: Known, before: Mapping[str, AskBounds], wanted: RateFile, caller: Caller, now: datetime) -> _Change:
    change = _Change()
    for bounds in map(_bounds, wanted.bounds):
        if before.get(bounds.model) != bounds:
            change.bounds.append(bounds)
            change.lines += [f"bounds of {bounds.model}: {_bounds_text(bounds)}", *_refused(known, bounds, now)]
    drafts = {i: _draft(entry, caller, now) for i, entry in enumerate(wanted.rate_cards)}
    new = {i: card for i, card in drafts.items() if not _is_known(known, card, wanted.rate_cards[i])}
    bounds_then = {**before, **{b.model: b for b in change.bounds}}
    refuse_outside(bounds_then, ((f"rate_cards[{i}]", card.model, card.curve) for i, card in new.items()))
    for i, card in sorted(new.items(), key=lambda each: (each[1].valid_until is not None, each[0])):
        cards = known.setdefault((card.cluster, card.model), [])
        if other := overlapping(cards, card):
            name = f"version {other.version}" if other.version else "another of this document"
            at = "valid_from" if card.valid_until is None else "valid_until"
            problem = FieldProblem(f"rate_cards[{i}].{at}", f"overlaps {name}, {_times(other)}")
            raise RateCardOverlaps(
                cluster=card.cluster, model=card.model, other=f"{name}, {_times(other)}", fields=[problem]
            )
        if card.valid_until is not None and in_force(cards, card.valid_from) is None:
            why = f"{card.cluster} has no card for {card.model} that stands then: add one without valid_until first"
            raise InvalidRequest(FieldProblem(f"rate_cards[{i}].valid_until", why))
        change.lines.append(f"rate card of {card.cluster} for {card.model}: {card.curve} {_times(card)}")
        cards.append(card)
        change.cards.append(card)
    return change


def _draft(entry: RateCardEntry, caller: Caller, now: datetime) -> RateCard:
    return RateCard(
        cluster=entry.cluster,
        model=entry.model,
        version=0,
        curve=entry.curve,
        valid_from=entry.valid_from or now,
        valid_until=entry.valid_until,
        source=entry.source,
        set_at=now,
        set_by=caller.key_id,
    )


def _is_known(known: Known, card: RateCard, entry: RateCardEntry) -> bool:
    """Tell whether such a card is there: with these times, or, where it is to begin now, one that has begun."""
    return any(
        (other.curve, other.valid_until) == (card.curve, card.valid_until)
        and (
            other.valid_from == card.valid_from or (entry.valid_from is None and _holds(known, other, card.valid_from))
        )
        for other in known.get((card.cluster, card.model), ())
    )


def _holds(known: Known, card: RateCard, at: datetime) -> bool:
    """Tell whether a card holds at a time, or is the one that stands then."""
    same_kind = [c for c in known[card.cluster, card.model] if (c.valid_until is None) == (card.valid_until is None)]
    return in_force(same_kind, at) == card


def _bounds(entry: BoundsEntry) -> AskBounds:
    return AskBounds(entry.model, entry.floor_micro_yuan_per_card_hour, entry.cap_micro_yuan_per_card_hour)


def _bounds_text(bounds: AskBounds) -> str:
    cap = bounds.cap_micro_yuan_per_card_hour
    return f"floor {bounds.floor_micro_yuan_per_card_hour}, cap {'none' if cap is None else cap}"


def _refused(known: Known, bounds: AskBounds, now: datetime) -> Iterator[str]:
    """Yield a line for each card that holds now or later and that the bounds would refuse."""
    for (cluster, model), cards in sorted(known.items()):
        if model != bounds.model:
            continue
        holding = in_force(cards, now)
        for card in cards:
            if (card == holding or card.valid_from > now) and (why := outside(bounds, card.curve)):
                yield f"kept: version {card.version} of {cluster} for {model} {why}"


def _times(card: RateCard) -> str:
    begin = card.valid_from.astimezone(PROGRAMME_TIME).isoformat(timespec="minutes")
    if card.valid_until is None:
        return f"from {begin} on"
    return f"from {begin} until {card.valid_until.astimezone(PROGRAMME_TIME).isoformat(timespec='minutes')}"
