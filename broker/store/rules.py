"""The operators' rules and what is used of them, as one consistent view; and the version that fences their changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Final, LiteralString

from broker.store import energy, quotas
from broker.store.database import Connection
from broker.worlds.quotas import QuotaRow

JOULES_PER_KILOWATT_HOUR: Final = 3_600_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ModelRules:
    """What the programme counts for a card, its power with its share of the host, and how it may be split."""

    programme_milli_tflops: int
    watts: int  # 0 where nobody knows
    slices_milli: tuple[int, ...]  # ascending; empty: never split
    shares_per_card_max: int  # 0: as many as fit


@dataclass(frozen=True, slots=True)
class Energy:
    """Where a hub stands in the energy quota of the year, in joules at the meter."""

    quota_joules: int
    used_joules: int  # up to now
    committed_joules: int  # what running work will still use by its walltime, in this year


@dataclass(frozen=True, slots=True)
class HubRules:
    """Power and energy of a hub."""

    power_kilowatts_max: int  # 0: no cap
    pue_milli: int  # 0: not known
    micro_yuan_per_kilowatt_hour: int
    energy: Energy | None  # None: no energy quota


@dataclass(frozen=True, slots=True)
class Transfer:
    """The way of data between a city and a hub."""

    mib_per_second: int  # 0: nobody measured it
    micro_yuan_per_gib: int


@dataclass(frozen=True, slots=True)
class UseRow:
    """What live leases of one tenant hold of one model in one hub."""

    hub: str
    city: str
    enterprise: str  # empty: the city itself
    model: str
    milli_cards: int  # thousandths of a card


@dataclass(frozen=True, slots=True)
class RulesView:
    """Every rule that operators set, at one moment."""

    version: int = 0
    at: datetime = EPOCH
    models: Mapping[str, ModelRules] = field(default_factory=dict)
    hubs: Mapping[str, HubRules] = field(default_factory=dict)
    transfers: Mapping[tuple[str, str], Transfer] = field(default_factory=dict)  # (city, hub)
    quotas: tuple[QuotaRow, ...] = ()  # by path: parents before children
    use: tuple[UseRow, ...] = ()


ONE_VIEW: Final[LiteralString] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
VERSION: Final[LiteralString] = "SELECT version FROM rules_version"
LOCK: Final[LiteralString] = "SELECT version FROM rules_version FOR UPDATE"
CHANGE: Final[LiteralString] = "UPDATE rules_version SET version = version + 1"
HOLD: Final[LiteralString] = "SELECT version FROM rules_version FOR SHARE"
MODELS: Final[LiteralString] = """
    SELECT model, fp16_programme_milli_tflops, watts + host_watts AS watts, slices_milli, shares_per_card_max
      FROM accelerator_models
"""
HUBS: Final[LiteralString] = """
    SELECT hub, power_kilowatts_max, pue_milli, micro_yuan_per_kilowatt_hour, energy_kilowatt_hours_per_year FROM hubs
"""
TRANSFERS: Final[LiteralString] = "SELECT city, hub, mib_per_second, micro_yuan_per_gib FROM transfers"
USE: Final[LiteralString] = """
    SELECT c.hub, l.city, j.enterprise, p.model, sum(h.milli)::bigint AS milli_cards
      FROM (SELECT lease_id, sum(milli) AS milli FROM held_cards GROUP BY lease_id) h
      JOIN leases l USING (lease_id) JOIN jobs j USING (job_id) JOIN pools p USING (pool_id)
      JOIN clusters c ON c.cluster = l.cluster
     GROUP BY c.hub, l.city, j.enterprise, p.model
     ORDER BY c.hub, l.city, j.enterprise, p.model
"""


async def read(tx: Connection, now: datetime) -> RulesView:
    """Return the rules with what is used now. Belongs into a transaction of the hub's role that has one view."""
    version = await tx.fetchval(VERSION)
    return RulesView(
        version=version,
        at=now,
        models=await models(tx),
        hubs=await _hubs(tx, now),
        transfers={(r["city"], r["hub"]): Transfer(*r[2:]) for r in await tx.fetch(TRANSFERS)},
        quotas=tuple(await quotas.all_quotas(tx)),
        use=await use(tx),
    )


async def read_alone(tx: Connection, now: datetime) -> RulesView:
    """As `read`. Must be the first thing in a transaction of the hub's role, which it turns into one view."""
    await tx.execute(ONE_VIEW)
    return await read(tx, now)


async def models(tx: Connection) -> dict[str, ModelRules]:
    """Return what the programme counts for a card of each model, and how it may be split."""
    return {
        r["model"]: ModelRules(r[1], r["watts"], tuple(r["slices_milli"]), r["shares_per_card_max"])
        for r in await tx.fetch(MODELS)
    }


async def use(tx: Connection) -> tuple[UseRow, ...]:
    """Return what live leases hold, by hub, tenant and model."""
    return tuple(UseRow(*r.values()) for r in await tx.fetch(USE))


async def _hubs(tx: Connection, now: datetime) -> dict[str, HubRules]:
    rows = await tx.fetch(HUBS)
    quota_of = {
        r["hub"]: r["energy_kilowatt_hours_per_year"] * JOULES_PER_KILOWATT_HOUR
        for r in rows
        if r["energy_kilowatt_hours_per_year"]
    }
    meters = await energy.standing(tx, sorted(quota_of), now)
    accounts = {hub: Energy(quota, meters[hub].drew, meters[hub].committed) for hub, quota in quota_of.items()}
    return {r["hub"]: HubRules(r[1], r[2], r[3], accounts.get(r["hub"])) for r in rows}


async def lock(tx: Connection, now: datetime) -> datetime:
    """Let only this transaction compare and change limits until it ends. Waits for a round that commits.

    Return when the change comes into force: after `now` by the time that it has waited, so after what was committed
    meanwhile.
    """
    started = perf_counter()
    await tx.fetchval(LOCK)
    return now + timedelta(seconds=perf_counter() - started)


async def change(tx: Connection) -> None:
    """Say that limits change in this transaction: a round that is planned now will commit nothing."""
    await tx.execute(CHANGE)


async def unchanged(tx: Connection, version: int) -> bool:
    """Tell whether limits are those of the version, and keep them so until the transaction ends."""
    return bool(await tx.fetchval(HOLD) == version)
