"""What leases of prepaid cities have used, and what was taken for it: each minute once, at their price.

With SQL and arithmetic of its own. Whether a city paid in advance when a lease began is told by the world; leases from
before it was applied last are left alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts

MILLI_CARD_SECONDS_PER_CARD_HOUR: Final = 3_600_000
TOLD_BEYOND_SECONDS_MAX: Final = 3_600 + 60
"""Clocks may differ by an hour at most, whatever the settings say, and a minute is told as a whole."""


@dataclass(frozen=True, slots=True)
class UsedLease:
    """A lease that money is held for. Money in micro-yuan, times in seconds."""

    lease: int
    state: str
    hold_state: str
    per_card_hour: int
    milli_cards: int
    seconds_max: int  # by walltime and grace
    ran: bool
    own_hold: bool  # the hold was made for this lease, not for a quote
    held: int
    captured: int  # of the hold
    minutes: int  # that are known
    last_minute: int  # the first one behind them
    cut_seconds: int
    charged_minutes: int
    charged_seconds: int
    charged: int
    credited: int
    waits: bool  # it is to be looked at again
    paid_minutes: int  # by its captures
    paid: int  # to owner and exchange together
    given_back: int
    lost_card_seconds: int  # by a stop for others, of one that has ended so

    def cost(self, seconds: int) -> int:
        """Return what so many seconds cost."""
        return self.per_card_hour * self.milli_cards * seconds // MILLI_CARD_SECONDS_PER_CARD_HOUR

    @property
    def known_cost(self) -> int:
        """What the known minutes cost."""
        return self.cost(min(self.minutes * 60 - self.cut_seconds, self.seconds_max))


@dataclass(frozen=True, slots=True)
class UsageFacts:
    """What the tables say of leases' use."""

    leases: tuple[UsedLease, ...] = ()
    not_held: tuple[int, ...] = ()  # leases of prepaid cities that cost something and have no hold
    strayed: tuple[tuple[int, str], ...] = ()  # captures of leases' holds that are no lease's, or another one's


LEASES: Final = """
    WITH cards AS (
        SELECT lease_id,
               sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
          FROM lease_nodes GROUP BY lease_id
    ), parts AS (
        SELECT hold_id, sum(held_micro_yuan) AS held, sum(captured_micro_yuan) AS captured
          FROM ledger_hold_parts GROUP BY hold_id
    ), paid AS (
        SELECT c.lease_id, sum(c.minutes) AS minutes,
               sum((SELECT sum(p.micro_yuan) FROM ledger_postings p
                     WHERE p.transaction_id = c.transaction_id AND p.micro_yuan > 0)) AS micro_yuan
          FROM lease_captures c GROUP BY c.lease_id
    ), given AS (
        SELECT t.hold_id, sum(p.micro_yuan) AS micro_yuan
          FROM ledger_transactions t JOIN ledger_postings p USING (transaction_id)
         WHERE t.kind = 'credit_note' AND t.reference LIKE 'lease-%' AND p.micro_yuan > 0 GROUP BY t.hold_id
    )
    SELECT l.lease_id, l.state, h.state, l.ask_micro_yuan_per_card_hour + l.scarcity_micro_yuan_per_card_hour,
           cards.milli::bigint, (j.walltime_seconds + j.grace_seconds)::bigint, l.started_at IS NOT NULL,
           h.reference = 'lease-' || l.lease_id, parts.held::bigint, parts.captured::bigint,
           (SELECT coalesce(sum(upper(m) - lower(m)), 0) FROM unnest(u.minutes) AS m)::bigint,
           coalesce(upper(u.minutes), 0), u.cut_seconds::bigint, u.charged_minutes, u.charged_seconds,
           u.charged_micro_yuan, u.credited_micro_yuan, u.due_at IS NOT NULL,
           coalesce(paid.minutes, 0)::bigint, coalesce(paid.micro_yuan, 0)::bigint,
           coalesce(given.micro_yuan, 0)::bigint,
           CASE WHEN l.end_reason = 'preempted' THEN l.lost_card_seconds ELSE 0 END
      FROM leases l JOIN ledger_holds h USING (hold_id) JOIN parts USING (hold_id) JOIN cards USING (lease_id)
      JOIN jobs j USING (job_id) JOIN lease_usage u USING (lease_id) LEFT JOIN paid USING (lease_id)
      LEFT JOIN given USING (hold_id)
     ORDER BY l.lease_id
"""
NOT_HELD: Final = """
    SELECT l.lease_id
      FROM leases l JOIN cities c USING (city) JOIN jobs j USING (job_id)
      JOIN (SELECT lease_id, sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END)
                   AS milli FROM lease_nodes GROUP BY lease_id) n USING (lease_id)
     WHERE c.billing = 'prepaid'
       AND l.offered_at > coalesce((SELECT max(at) FROM operator_acts WHERE act IN ('apply_world', 'set_billing')),
                                   'epoch')
       AND (l.ask_micro_yuan_per_card_hour + l.scarcity_micro_yuan_per_card_hour)::numeric * n.milli
           * (j.walltime_seconds + j.grace_seconds) >= 3600000
       AND (l.hold_id IS NULL OR NOT EXISTS (SELECT FROM lease_usage u WHERE u.lease_id = l.lease_id))
     ORDER BY l.lease_id
"""
STRAYED: Final = """
    SELECT t.transaction_id,
           CASE WHEN c.lease_id IS NULL THEN 'no lease' ELSE format('lease-%s, which has another hold', c.lease_id) END
      FROM ledger_transactions t LEFT JOIN lease_captures c USING (transaction_id)
      LEFT JOIN leases l USING (lease_id)
     WHERE t.kind = 'capture' AND t.hold_id IN (SELECT hold_id FROM leases WHERE hold_id IS NOT NULL)
       AND l.hold_id IS DISTINCT FROM t.hold_id
     ORDER BY t.transaction_id
"""


async def read(hub: Any) -> UsageFacts:
    """Return what the tables say; `hub` is a connection that sees all cities."""
    return UsageFacts(
        leases=tuple(UsedLease(*r.values()) for r in await hub.fetch(LEASES)),
        not_held=tuple(r["lease_id"] for r in await hub.fetch(NOT_HELD)),
        strayed=tuple(tuple(r.values()) for r in await hub.fetch(STRAYED)),
    )


def leases_of_prepaid_cities_are_held_for(facts: "Facts") -> Iterator[str]:
    """What costs something is paid for before it starts: all of its walltime and grace."""
    for lease in facts.usage.not_held:
        yield f"lease-{lease} of a city that pays in advance has nothing held for it"
    for each in facts.usage.leases:
        if each.own_hold and each.held != (wanted := each.cost(each.seconds_max)):
            yield f"lease-{each.lease} has {each.held} held, its walltime and grace cost {wanted}"


def each_minute_is_paid_for_once(facts: "Facts") -> Iterator[str]:
    """Captures pay for the minutes that were charged, and these are known; where nothing is left to do, all of them."""
    for each in facts.usage.leases:
        if each.paid_minutes != each.charged_minutes:
            yield f"lease-{each.lease} was charged {each.charged_minutes} minutes, captures pay {each.paid_minutes}"
        if each.charged_minutes > each.minutes:
            yield f"lease-{each.lease} was charged {each.charged_minutes} minutes, {each.minutes} are known"
    for number, whose in facts.usage.strayed:
        yield f"transaction-{number} took money of a lease's hold for {whose}"


def leases_pay_their_price(facts: "Facts") -> Iterator[str]:
    """What was taken is what the seconds that were charged cost, no more than all known ones do."""
    for each in facts.usage.leases:
        if not each.paid == each.charged == each.cost(each.charged_seconds):
            yield (
                f"lease-{each.lease} was charged {each.charged} for {each.charged_seconds} seconds, which cost"
                f" {each.cost(each.charged_seconds)}; captures paid {each.paid}"
            )
        if each.charged > each.known_cost or (not each.waits and each.charged < each.known_cost):
            yield f"lease-{each.lease} was charged {each.charged}, its known minutes cost {each.known_cost}"


def leases_use_no_more_than_they_may(facts: "Facts") -> Iterator[str]:
    """No minute is known of a lease that never ran, nor long after its walltime and grace."""
    for each in facts.usage.leases:
        if each.minutes and not each.ran:
            yield f"lease-{each.lease} never ran, and {each.minutes} minutes of it are known"
        if each.last_minute * 60 > each.seconds_max + TOLD_BEYOND_SECONDS_MAX:
            yield f"lease-{each.lease} may run for {each.seconds_max} seconds, minute {each.last_minute} of it is known"


def thrown_away_work_is_given_back(facts: "Facts") -> Iterator[str]:
    """What a stop for others has cost is credited, as far as the payer's money paid for it."""
    for each in facts.usage.leases:
        if each.given_back != each.credited:
            yield f"lease-{each.lease} was credited {each.credited}, credit notes give back {each.given_back}"
        lost = each.per_card_hour * each.lost_card_seconds // 3600
        due = min(lost, each.captured)
        if each.credited > due or (not each.waits and each.credited < due):
            yield f"lease-{each.lease} lost work of {lost} micro-yuan to others, {each.credited} were given back"


RULES: Final = (
    leases_of_prepaid_cities_are_held_for,
    each_minute_is_paid_for_once,
    leases_pay_their_price,
    leases_use_no_more_than_they_may,
    thrown_away_work_is_given_back,
)
