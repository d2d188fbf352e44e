"""What stands of quotes, vouchers, charging and counted energy, as sums: for /metrics, beside `store/census.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.store.database import Connection
from broker.worlds.rates import PROGRAMME_TIME


@dataclass(frozen=True, slots=True)
class Vouchers:
    """Vouchers by state; of those that live their money, and how long the first one of them still lives."""

    states: Mapping[str, int]
    granted_micro_yuan: int
    available_micro_yuan: int
    held_micro_yuan: int
    first_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class MarketCount:
    """What stands in the market."""

    quotes: Mapping[str, int]  # open ones that still hold, and accepted ones
    vouchers: Vouchers
    due_at: datetime | None  # when the oldest work was to be charged that has not been
    energy_joules: Mapping[str, tuple[int, int]]  # by hub, this month of UTC+8: all, and the green part


QUOTES: Final[LiteralString] = """
    SELECT count(*) FILTER (WHERE state = 'open' AND valid_until > $1) AS open,
           count(*) FILTER (WHERE state = 'accepted') AS accepted
      FROM quotes WHERE state IN ('open', 'accepted')
"""
VOUCHER_STATES: Final[LiteralString] = "SELECT state, count(*) AS vouchers FROM vouchers GROUP BY state"
VOUCHER_MONEY: Final[LiteralString] = """
    SELECT coalesce(sum(v.granted_micro_yuan), 0)::bigint AS granted,
           coalesce(sum(b.available_micro_yuan), 0)::bigint AS available,
           coalesce(sum(b.held_micro_yuan), 0)::bigint AS held, min(v.valid_until) AS first_ends_at
      FROM vouchers v
      LEFT JOIN ledger_accounts a ON a.name = 'voucher/' || v.city || '/' || v.voucher
      LEFT JOIN ledger_balances b USING (account_id)
     WHERE v.state IN ('conditional', 'active', 'suspended')
"""
DUE: Final[LiteralString] = "SELECT min(due_at) FROM lease_usage WHERE due_at <= $1"
ENERGY: Final[LiteralString] = """
    SELECT c.hub, sum(e.card_seconds * e.watts * e.pue_milli / 1000)::bigint AS joules,
           sum(e.green_card_seconds * e.watts * e.pue_milli / 1000)::bigint AS green
      FROM energy_counts e JOIN clusters c USING (cluster) WHERE e.month = $1 GROUP BY c.hub
"""


async def read(tx: Connection, now: datetime) -> MarketCount:
    """Return what stands at `now`."""
    quotes = dict(await tx.fetchrow(QUOTES, now) or {})
    states = {r["state"]: r["vouchers"] for r in await tx.fetch(VOUCHER_STATES)}
    money = await tx.fetchrow(VOUCHER_MONEY)
    month = now.astimezone(PROGRAMME_TIME).date().replace(day=1)
    return MarketCount(
        quotes=quotes,
        vouchers=Vouchers(states, 0, 0, 0, None) if money is None else Vouchers(states, *money.values()),
        due_at=await tx.fetchval(DUE, now),
        energy_joules={r["hub"]: (r["joules"], r["green"]) for r in await tx.fetch(ENERGY, month)},
    )
