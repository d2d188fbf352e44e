"""The state of the hub, as the broker that leads has last read it from the tables.

Only that one tells it, so that sums over brokers are right; the others show no such series. A reading is published
whole: what is gone from the tables is gone from /metrics. Its text is made then and not at each scrape: thousands of
series would take a scrape's thread, and so the interpreter, most of a tenth of a second.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.lifecycle import AgentState, JobState, LeaseState
from broker.metrics.events import CITY, CLASSES
from broker.metrics.registry import DECLARED, REGISTRY, Declared, Labels
from broker.metrics.rounds import REASONS

HUB, CLUSTER, POOL, MODEL = "hubs of the catalogue", "its clusters", "their pools", "accelerator models"
OF_POOL: Final[Labels] = {"hub": HUB, "cluster": CLUSTER, "pool": POOL, "model": MODEL}
CARD_USES: Final = ("leased", "foreign", "closed", "free")
PRICE_SIZES: Final = ("1", "2", "4", "8", "node", "larger")
"""For how many cards together a price holds."""

LIVE_JOBS: Final = (JobState.PENDING.value, JobState.LEASED.value, JobState.RUNNING.value)
LIVE_LEASES: Final = tuple(state.value for state in LeaseState if state is not LeaseState.ENDED)
NODE_STATES: Final = ("open", "cordoned", "draining", "drained", "down", "absent")
LEAKS: Final = ("held_without_lease", "lease_without_held")
MONEY_KINDS: Final = ("city", "enterprise", "voucher", "budget")
VOUCHER_STATES: Final = ("conditional", "active", "suspended", "used_up", "expired", "redeemed")
BOOK_RULES: Final = ("balances_differ", "postings_unbalanced", "held_differs", "holds_overdue")

Rows = Iterable[tuple[tuple[str, ...], float]]
"""Values of labels in the order of their declaration, and the value."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A gauge of the hub's state."""

    name: str
    help: str
    labels: Labels

    def family(self, rows: Rows) -> Metric:
        """Return the gauge with these values; what is closed and has no row reads 0."""
        closed = [values for values in self.labels.values() if not isinstance(values, str)]
        found: dict[tuple[str, ...], float] = {}
        if len(closed) == len(self.labels) and (closed or rows):
            found = dict.fromkeys(product(*closed), 0.0)
        found.update(rows)
        made = GaugeMetricFamily(self.name, self.help, labels=list(self.labels))
        for values, value in found.items():
            made.add_metric(list(values), value)
        return made


def _told(name: str, text: str, labels: Labels) -> Told:
    DECLARED.append(Declared(name, "gauge", text, labels))
    return Told(name, text, labels)


JOBS = _told("broker_jobs", "Live jobs by city and state.", {"city": CITY, "state": LIVE_JOBS})
QUEUE_JOBS = _told("broker_queue_jobs", "Jobs that wait, by city and class.", {"city": CITY, "class": CLASSES})
QUEUE_CARDS = _told(
    "broker_queue_cards", "Cards that these jobs ask for; of shares their part.", {"city": CITY, "class": CLASSES}
)
QUEUE_OLDEST = _told(
    "broker_queue_oldest_seconds", "Age of the oldest of these jobs, 0 without one.", {"city": CITY, "class": CLASSES}
)
WAITING = _told(
    "broker_waiting_jobs",
    "Jobs that wait, by the reason that the last round told; unknown: none has looked at them yet.",
    {"reason": (*REASONS, "unknown")},
)
CITY_CARDS = _told(
    "broker_city_cards", "Cards that live leases of a city hold, shares as parts.", {"city": CITY, "hub": HUB}
)
LEASES = _told("broker_leases", "Live leases by state.", {"state": LIVE_LEASES})
LEAKED = _told(
    "broker_leaked_cards",
    "Cards that are held without a live lease, or that live leases name and that are not held. Never anything but 0.",
    {"kind": LEAKS},
)
PROMISED = _told(
    "broker_promised_starts",
    "Promises of a start that stand, and of these the ones whose time has passed.",
    {"state": ("standing", "overdue")},
)
CARDS = _told("broker_cards", "Cards by hub and use; 'closed' take no work.", {"hub": HUB, "use": CARD_USES})
POOL_CARDS = _told("broker_pool_cards", "Cards of a pool by use, each card once.", {**OF_POOL, "use": CARD_USES})
POOL_PFLOPS = _told(
    "broker_pool_fp16_pflops", "The same in FP16 PFLOPS as the programme counts them.", {**OF_POOL, "use": CARD_USES}
)
POOL_RACKS = _told(
    "broker_pool_racks",
    "The same in standard racks of 2.5 kW, by the power of a card with its share of the host; only of models whose "
    "power is known.",
    {**OF_POOL, "use": CARD_USES},
)
FRAGMENTATION = _told(
    "broker_pool_fragmentation_ratio",
    "Part of a pool's free whole cards that a typical task cannot use, expected over the live jobs that may run there.",
    OF_POOL,
)
FREE_BLOCKS = _told(
    "broker_pool_free_nodes",
    "Nodes of a pool that take work and have at least so many free cards.",
    {**OF_POOL, "cards": ("1", "2", "4", "8")},
)
NODES = _told("broker_nodes", "Nodes by cluster and state.", {"hub": HUB, "cluster": CLUSTER, "state": NODE_STATES})
AGENTS = _told(
    "broker_agents", "Clusters by the state of their agent.", {"state": tuple(state.value for state in AgentState)}
)
AGENT_SILENCE = _told(
    "broker_agent_silence_seconds",
    "How long ago a cluster's agent was last heard; only of those that were ever heard.",
    {"hub": HUB, "cluster": CLUSTER},
)
CLUSTER_INFO = _told(
    "broker_cluster_info",
    "Always 1: the engine of a cluster; its owner.",
    {"hub": HUB, "cluster": CLUSTER, "engine": "one engine of a cluster", "owner": "one owner of a cluster"},
)
ASK = _told("broker_ask_micro_yuan_per_card_hour", "What the owner of a pool asks now.", OF_POOL)
SCARCITY = _told(
    "broker_scarcity_micro_yuan_per_card_hour",
    "Shadow price of the last round that dealt in it, beyond the ask, by how many cards are wanted together.",
    {**OF_POOL, "size": PRICE_SIZES},
)
SPOT = _told("broker_spot_micro_yuan_per_card_hour", "Ask and scarcity together.", {**OF_POOL, "size": PRICE_SIZES})
POWER = _told("broker_hub_power_watts", "What live leases draw at the hub's meter.", {"hub": HUB})
POWER_MAX = _told("broker_hub_power_watts_max", "Power cap of a hub; only of hubs that have one.", {"hub": HUB})
PACE = _told(
    "broker_hub_power_pace_watts",
    "Level of power that uses up the year's energy quota at its end; only of hubs that have a quota.",
    {"hub": HUB},
)
ENERGY = _told("broker_hub_energy_joules", "What the hub's meter has counted in this year of UTC+8.", {"hub": HUB})
ENERGY_MAX = _told(
    "broker_hub_energy_joules_max", "Energy quota of the year; only of hubs that have one.", {"hub": HUB}
)
PUE = _told("broker_hub_pue_ratio", "PUE of a hub as entered; only where it is known.", {"hub": HUB})
EVENTS_UNNUMBERED = _told("broker_events_unnumbered", "Events of jobs that have no number yet.", {})
EVENTS_LAG = _told("broker_events_lag_seconds", "Age of the oldest of these events, 0 without one.", {})
CHAIN_POSITION = _told("broker_ledger_chain_transactions", "Transactions that the ledger's chain covers.", {})
UNCHAINED = _told("broker_ledger_unchained_transactions", "Transactions that it does not cover yet.", {})
CHAIN_LAG = _told("broker_ledger_chain_lag_seconds", "Age of the oldest of these transactions, 0 without one.", {})
MONEY = _told(
    "broker_ledger_micro_yuan",
    "Balances of the accounts that never go below zero, by kind.",
    {"kind": MONEY_KINDS, "pocket": ("available", "held")},
)
HOLDS = _told("broker_ledger_holds_open", "Holds that are neither settled nor expired.", {})
BOOKS = _told(
    "broker_ledger_audit_findings",
    "What the last audit of the books found: accounts whose balance is not the sum of their postings, "
    "transactions that "
    "do not add up to 0, accounts whose held money is not that of open holds, holds open an hour beyond their time.",
    {"rule": BOOK_RULES},
)
BOOKS_AT = _told("broker_ledger_audit_at_seconds", "When the books were last audited, in seconds since 1970.", {})

QUOTES = _told(
    "broker_quotes_standing", "Quotes that can still be accepted, and accepted ones.", {"state": ("open", "accepted")}
)
VOUCHERS = _told("broker_vouchers", "Vouchers by state.", {"state": VOUCHER_STATES})
VOUCHER_MONEY = _told(
    "broker_voucher_micro_yuan",
    "Money of vouchers that live: as granted; of that available, held for work, and used.",
    {"pocket": ("granted", "available", "held", "used")},
)
VOUCHER_ENDS = _told(
    "broker_voucher_first_ends_seconds",
    "How long the first of these vouchers to expire still lives, 0 without one.",
    {},
)
CHARGING_LAG = _told(
    "broker_charging_lag_seconds", "How long the oldest work has been due to be charged, 0 without any.", {}
)
MONTH_ENERGY = _told(
    "broker_hub_month_energy_joules",
    "Energy of leases at the meter in this month of UTC+8, by whether it was green.",
    {"hub": HUB, "kind": ("green", "other")},
)

ALL: Final = tuple(each for each in vars().values() if isinstance(each, Told))


class _State(Collector):
    """Shows the last reading."""

    def __init__(self) -> None:
        self._families: tuple[Metric, ...] = ()
        self._text = b""

    @property
    def text(self) -> bytes:
        """What was read last, as Prometheus reads it; made once, however often it is asked for."""
        return self._text

    def describe(self) -> Iterator[Metric]:
        """Yield every gauge without values."""
        for each in ALL:
            yield GaugeMetricFamily(each.name, each.help, labels=list(each.labels))

    def collect(self) -> Iterator[Metric]:
        """Yield what was read last; nothing while another broker leads."""
        yield from self._families

    def publish(self, reading: Mapping[Told, Rows]) -> None:
        """Show this reading from now on, and nothing of the one before."""
        shown = _State()
        shown._families = tuple(each.family(reading[each]) for each in ALL if each in reading)
        text = generate_latest(shown)  # all it asks of a registry is to collect
        self._families, self._text = shown._families, text

    def forget(self) -> None:
        """Show nothing: another broker leads."""
        self._families, self._text = (), b""


STATE: Final = _State()
REGISTRY.register(STATE)
