"""What the audit knows: plain rows from the database and from the engines' records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.audit.charges import Charge
from broker.audit.energy import EnergyFacts
from broker.audit.ledger import LedgerFacts
from broker.audit.limits import LimitFacts
from broker.audit.papers import PaperFacts
from broker.audit.promised import PromisedFacts
from broker.audit.quoted import QuotedFact
from broker.audit.turns import Turn
from broker.audit.usage import UsageFacts
from broker.audit.vouchers import VoucherFacts


@dataclass(frozen=True, slots=True)
class JobFact:
    """A row of jobs."""

    job: int
    city: str
    state: str
    attempt: int
    tasks: int
    cards_per_task: int
    smaller: tuple[int, ...] = ()  # sizes in tasks that would do as well


@dataclass(frozen=True, slots=True)
class LeaseFact:
    """A row of leases with its nodes."""

    lease: int
    job: int
    city: str
    cluster: str
    epoch: int
    state: str
    offered_at: datetime
    ended_at: datetime | None
    end_reason: str
    nodes: tuple[tuple[str, tuple[int, ...], int], ...]  # node, cards (of shares one for each task), tasks
    milli: int = 1000  # of each card, in thousandths: 1000 for whole cards, less for a share


@dataclass(frozen=True, slots=True)
class EventFact:
    """A row of events."""

    city: str
    cursor: int
    job: int
    kind: str
    attempt: int


@dataclass(frozen=True, slots=True)
class RunFact:
    """One task that an engine ran, from the engine's own record."""

    cluster: str
    lease: int
    epoch: int
    job: int
    node: str
    cards: tuple[int, ...]
    task: int
    started_ns: int  # of the machine's clock since boot, comparable within one boot
    ended_ns: int | None  # None: the record has no end
    alive: bool  # without an end: its process lives right now
    boot: str  # identity of the boot that the times belong to
    milli: int = 1000  # of each card, in thousandths


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the rules look at."""

    jobs: Mapping[int, JobFact]
    leases: tuple[LeaseFact, ...]
    held: frozenset[tuple[str, str, int, int, int]]  # cluster, node, card, lease, thousandths of the card
    events: tuple[EventFact, ...]  # by city and cursor
    cursors: Mapping[str, int]  # last number given to each city
    unnumbered_events: int
    foreign_rows: Mapping[str, int]  # table -> rows of other cities that a city's role could read
    rounds_out_of_bound: tuple[int, ...]  # committed rounds whose objective exceeds their bound
    runs: tuple[RunFact, ...] = ()
    acknowledged: frozenset[int] | None = None  # jobs that clients were told are stored; None: not given
    seen: tuple[EventFact, ...] = field(default=())  # events in the order in which watching clients got them
    unreadable: tuple[str, ...] = ()  # parts of engines' records that could not be read
    limits: LimitFacts = field(default_factory=LimitFacts)  # quotas, power, and what is used of them
    ledger: LedgerFacts = field(default_factory=LedgerFacts)
    turns: tuple[Turn, ...] = ()  # what jobs had to wait for before they were placed
    promised: PromisedFacts = field(default_factory=PromisedFacts)  # promised starts, and what became of them
    usage: UsageFacts = field(default_factory=UsageFacts)
    charges: tuple[Charge, ...] = ()  # what leases pay, of those that have a price
    energy: EnergyFacts = field(default_factory=EnergyFacts)  # what was counted of it
    quoted: tuple[QuotedFact, ...] = ()  # accepted quotes, and what their jobs did
    vouchers: VoucherFacts = field(default_factory=VoucherFacts)  # budgets, grants, contracts
    papers: PaperFacts = field(default_factory=PaperFacts)  # what invoices and statements would show wrongly


def books_alone(books: LedgerFacts) -> Facts:
    """Return facts of which only the books are known, for the rules about them."""
    return Facts({}, (), frozenset(), (), {}, 0, {}, (), ledger=books)
