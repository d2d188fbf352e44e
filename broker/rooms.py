"""Make each room of the broker from the settings; `bootstrap.py` puts them together."""

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from broker.calls.bus import Bus
from broker.calls.links import SharedLinks
from broker.clock import Clock
from broker.config import Settings
from broker.loops.numbering import Numbering
from broker.loops.planning import PlanningProcess
from broker.loops.rounds import RoundLoop
from broker.market.capacity import Capacity
from broker.market.catalogue import Catalogues
from broker.market.charging import Charging, ChargingTerms
from broker.market.clusters import Clusters, ClusterSignals, Terms
from broker.market.energy import HubEnergy
from broker.market.energy_report import EnergyReports
from broker.market.evidence import Evidence
from broker.market.explain import Explain
from broker.market.green import GreenWaits
from broker.market.holding import Holding
from broker.market.hub_months import HubMonths
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.ledger import Ledger
from broker.market.logs import AgentLinks, Logs
from broker.market.month_reports import MonthReports
from broker.market.moves import Moves
from broker.market.operations import Operations
from broker.market.papers import Papers
from broker.market.park_figures import ParkEntries
from broker.market.pauses import Pauses
from broker.market.placing import Placing
from broker.market.policies import Policies
from broker.market.previews import Previews
from broker.market.prices import Prices
from broker.market.probes import Probes
from broker.market.quotas import Quotas
from broker.market.quote_ends import QuoteEnds, QuoteFees
from broker.market.quotes import QuoteRules, Quotes
from broker.market.rates import Rates
from broker.market.reliability import Reliability
from broker.market.rounds import Rounds, RoundsReader
from broker.market.uses import Uses
from broker.market.voucher_office import VoucherOffice
from broker.market.vouchers import Vouchers
from broker.market.watch import Pulses, Watch
from broker.market.windows import Windows
from broker.market.worlds import Worlds
from broker.policy.keys import Signer
from broker.rpc.account_service import AccountService
from broker.rpc.admin_service import AdminService
from broker.rpc.cluster_service import ClusterService
from broker.rpc.job_service import JobService
from broker.rpc.market_service import MarketService
from broker.rpc.measure_service import MeasureService
from broker.rpc.server import RpcServer, build_server
from broker.rpc.voucher_service import VoucherService
from broker.store.database import Database
from scheduler.policy import Policy


class Wakes:
    """Who is woken when something happened, in any process of this broker, so that nobody waits for an interval."""

    def __init__(self, bus: Bus) -> None:
        self.rounds, self.placing, self.numbering, self.prices = (asyncio.Event() for _ in range(4))
        self._bus = bus
        bus.on("work", lambda _: self._work())
        bus.on("events", lambda _: self.numbering.set())

    def work(self) -> None:
        """There is new work, or new room for it."""
        self._work()
        self._bus.tell("work")

    def events(self) -> None:
        """There are events to be numbered."""
        self.numbering.set()
        self._bus.tell("events")

    def _work(self) -> None:
        self.rounds.set()
        self.placing.set()
        self.numbering.set()


@dataclass(frozen=True, slots=True)
class House:
    """What calls, console and loops of one process share."""

    bus: Bus
    wakes: Wakes
    signals: ClusterSignals
    links: AgentLinks
    pulses: Pulses
    identity: Identity
    catalogues: Catalogues
    worlds: Worlds
    operations: Operations
    policy: Policy
    explain: Explain
    green: GreenWaits
    jobs: Jobs
    prices: Prices


def house_of(settings: Settings, database: Database, clock: Clock, bus: Bus, process: int = 0) -> House:
    """Return what is shared in the broker's own process (0), or in one of those that take its calls."""
    wakes = Wakes(bus)
    signals = ClusterSignals(elsewhere=lambda cluster: bus.tell("cluster", cluster))
    bus.on("cluster", signals.heard)
    pulses = Pulses(database)
    bus.on("numbered", pulses.announce)
    identity, catalogues, policy = Identity(database), Catalogues(database), policy_of(settings)
    green = GreenWaits(database, catalogues, settings.green_patience_hours, settings.green_saving_percent)
    return House(
        bus=bus,
        wakes=wakes,
        signals=signals,
        links=SharedLinks(bus, process),
        pulses=pulses,
        identity=identity,
        catalogues=catalogues,
        worlds=Worlds(database, wake=wakes.work),
        operations=Operations(database, identity, wake=wakes.work),
        policy=policy,
        explain=Explain(database, policy, clock),
        green=green,
        jobs=Jobs(database, catalogues, wake=wakes.work, stop_wanted=signals.wake, green=green),
        prices=prices_of(settings, database, wakes),
    )


def numbering_of(house: House, database: Database) -> Numbering:
    """Return what numbers events; watchers of all processes hear of it."""

    def announce(last: Mapping[str, int]) -> None:
        house.pulses.announce(last)
        house.bus.tell("numbered", dict(last))

    return Numbering(database, announce=announce)


def call_server(
    settings: Settings, database: Database, clock: Clock, house: House, signer: Signer, listen: str, *, shared: bool
) -> RpcServer:
    """Return the server of all calls, bound and not started; `shared`: other processes listen there, too.

    Raises: CannotListen.
    """
    clusters = Clusters(database, terms_of(settings), house.signals, capacity_freed=house.wakes.work)
    watch, logs, work = Watch(database, house.pulses), Logs(database, house.links), house.wakes.work
    quotes = quotes_of(settings, database, house.policy, house.jobs, house.explain, house.wakes)
    return build_server(
        [
            JobService(house.jobs, watch, house.explain, logs, clock),
            ClusterService(clusters, house.links, terms_of(settings), clock, policy_key_id=signer.key_id),
            admin_service(settings, database, house.operations, house.worlds, house.policy, signer, house.wakes, clock),
            MarketService(Rates(database, wake=work), house.prices, Capacity(database), quotes, clock),
            accounts_of(database, clock, house.wakes),
            measures_of(database, clock),
            VoucherService(VoucherOffice(database), Vouchers(database), Evidence(database), clock),
        ],
        listen=listen,
        shared=shared,
        identity=house.identity,
        calls_per_second_max=lambda city: calls_per_second_max(house.catalogues, city),
        clock=clock,
        tls_certificate=settings.tls_cert,
        tls_private_key=settings.tls_key,
    )


def admin_service(
    settings: Settings,
    database: Database,
    operations: Operations,
    worlds: Worlds,
    policy: Policy,
    signer: Signer,
    wakes: Wakes,
    clock: Clock,
) -> AdminService:
    """Return what operators call."""
    return AdminService(
        operations,
        Quotas(database, wake=wakes.work),
        HubEnergy(database, wake=wakes.work),
        worlds,
        RoundsReader(database),
        Windows(database, wake=wakes.work),
        Pauses(database, wake=wakes.work),
        Previews(database, policy, jobs_max=settings.round_jobs_max),
        Moves(database, policy, jobs_max=settings.round_jobs_max, wake=wakes.work),
        records_kept=settings.round_records_kept,
        policy_keys=(signer.public_key,),
        clock=clock,
    )


async def calls_per_second_max(catalogues: Catalogues, city: str) -> int:
    """Return how many calls a second a city may make."""
    return (await catalogues.current()).city(city).calls_per_second_max


def policy_of(settings: Settings) -> Policy:
    """Return the policy of rounds and fast lane."""
    return Policy(
        effort=settings.round_effort,
        promises_max=settings.promises_max,
        promises_overdue=settings.promises_overdue,
        promises_cards_percent=settings.promises_cards_percent,
        patience_seconds=settings.patience_seconds,
        patience_walltime_percent=settings.patience_walltime_percent,
        lease_end_margin_seconds=settings.lease_end_margin_seconds,
        churn_card_seconds_max=settings.churn_card_seconds_max,
        reclaim_seconds_max=settings.reclaim_seconds_max,
    )


def prices_of(settings: Settings, database: Database, wakes: Wakes) -> Prices:
    """Return the use cases of prices."""
    return Prices(
        database,
        changes_days=settings.price_changes_days,
        hours_days=settings.price_hours_days,
        wake=wakes.prices.set,
    )


def charging_of(settings: Settings, database: Database, wakes: Wakes) -> Charging:
    """Return what charges leases."""
    terms = ChargingTerms(timedelta(seconds=settings.charge_interval_seconds), settings.fee_ppm)
    return Charging(database, terms, released=wakes.work)


def quotes_of(
    settings: Settings, database: Database, policy: Policy, jobs: Jobs, explain: Explain, wakes: Wakes
) -> Quotes:
    """Return the use cases of quotes."""
    rules = QuoteRules(
        valid=timedelta(seconds=settings.quote_valid_seconds),
        ahead_max=timedelta(days=settings.quote_ahead_days),
        settles=timedelta(days=settings.quote_settlement_days),
    )
    return Quotes(database, jobs, policy, rules, last_round=explain.last_round, wake=wakes.work)


def quote_ends(settings: Settings, database: Database) -> QuoteEnds:
    """Return what decides what became of quotes."""
    fees = QuoteFees(credit_ppm=settings.quote_credit_ppm, cancel_fee_ppm=settings.quote_cancel_fee_ppm)
    return QuoteEnds(database, fees)


def terms_of(settings: Settings) -> Terms:
    """Return the terms on which agents work."""
    return Terms(
        report_interval_seconds=settings.report_interval_seconds,
        suspect_after_seconds=settings.suspect_after_seconds,
        lost_after_seconds=settings.lost_after_seconds,
        kill_after_seconds=settings.kill_after_seconds,
        kill_margin_seconds=settings.kill_margin_seconds,
        restarts_max=settings.restarts_max,
        usage_interval_seconds=settings.usage_interval_seconds,
        usage_skew_seconds=settings.usage_skew_seconds,
    )


def holding_of(settings: Settings) -> Holding:
    """Return what holds money for leases."""
    return Holding(timedelta(hours=settings.settlement_hours))


def placing_of(
    settings: Settings, database: Database, policy: Policy, policies: Policies, wakes: Wakes, signals: ClusterSignals
) -> Placing:
    """Return the fast lane."""

    def placed_on(cluster: str) -> None:
        signals.wake(cluster)
        wakes.events()

    return Placing(
        database,
        policy=policy,
        wake_cluster=placed_on,
        enabled=settings.place_at_once,
        policies=policies,
        holding=holding_of(settings),
    )


def round_loop(
    settings: Settings,
    database: Database,
    planner: PlanningProcess,
    policy: Policy,
    policies: Policies,
    clock: Clock,
    placing: Placing,
    explain: Explain,
    prices: Prices,
) -> RoundLoop:
    """Return the loop of rounds."""
    rounds = Rounds(
        database,
        jobs_max=settings.round_jobs_max,
        records_kept=settings.round_records_kept,
        wake_cluster=placing.wake_cluster,
        remember=explain.remember,
        placing=placing,
        policies=policies,
        margin_seconds=policy.lease_end_margin_seconds,
        priced=prices.heard,
        holding=holding_of(settings),
    )
    return RoundLoop(
        database,
        rounds,
        planner,
        # With luck: in containers every broker may have the same process id, and even the same host's name.
        holder=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        policy=policy,
        budget_seconds=settings.round_budget_seconds,
        recheck_seconds=settings.round_recheck_seconds,
        lead_term=timedelta(seconds=settings.leader_lease_seconds),
        clock_now=clock.now,
    )


def measures_of(database: Database, clock: Clock) -> MeasureService:
    """Return what is called about measures."""
    return MeasureService(
        EnergyReports(database),
        Reliability(database),
        Probes(database),
        clock,
        months=HubMonths(database),
        entries=ParkEntries(database),
    )


def accounts_of(database: Database, clock: Clock, wakes: Wakes) -> AccountService:
    """Return what is called about money."""
    ledger = Ledger(database, wake=wakes.work)
    uses, papers, reports = Uses(database), Papers(database), MonthReports(database)
    return AccountService(ledger, clock, uses=uses, papers=papers, reports=reports)
