"""The first page: the hub at a glance for those who see all, their own affairs for cities and owners."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from broker.caller import Role
from broker.console import charts, formats
from broker.console.charts import Part
from broker.console.desk import Desk, Titles
from broker.console.guards import DESK
from broker.console.render import CALLER, language_of, page
from broker.console.words import say, say_name
from broker.lifecycle import JOB_FINAL, JobState
from broker.market.energy import PowerUse
from broker.market.operations import Overview
from broker.market.pauses import Paused
from broker.market.standing import Flow
from broker.worlds.capacity import racks_milli

CITIES_IN_FLOW_MAX: Final = 14
ROUNDS_SHOWN: Final = 120
OTHERS: Final = "*"


@dataclass(frozen=True, slots=True)
class Use:
    """Cards and what they are used for; of one hub, cluster or all."""

    cards: int = 0
    leased: int = 0
    foreign: int = 0
    closed: int = 0
    fp16_milli_pflops: int = 0
    watts: int = 0

    @property
    def racks(self) -> int:
        """Standard racks that the cards alone fill, in thousandths; 0 when their watts are not known."""
        return racks_milli(self.watts)

    @property
    def free(self) -> int:
        """Cards that work can be put on."""
        return self.cards - self.leased - self.foreign - self.closed

    def bar(self, language: str) -> str:
        """Return it as a bar."""
        parts = [
            Part(kind, amount, f"{say(language, f'cards.{kind}')}: {amount:,}")
            for kind, amount in (("leased", self.leased), ("foreign", self.foreign), ("closed", self.closed))
        ]
        return charts.bar(parts, self.cards, label="; ".join(part.label for part in parts))


def use_of(pools: Iterable[Any]) -> Use:
    """Return the use of pools together."""
    found = list(pools)
    return Use(
        sum(p.cards for p in found),
        sum(p.cards_leased for p in found),
        sum(p.cards_foreign for p in found),
        sum(p.cards_closed for p in found),
        sum(p.fp16_milli_pflops for p in found),
        sum(p.watts for p in found),
    )


async def show(request: web.Request) -> web.StreamResponse:
    """Show the page of the caller's role."""
    desk, caller = request.app[DESK], request[CALLER]
    if caller.role is Role.CITY:
        return await _city(request, desk)
    if caller.role is Role.OWNER:
        return await _owner(request, desk)
    if caller.role is Role.VOUCHER_OFFICE:
        return web.Response(status=303, headers={"Location": "/vouchers"})
    return await _hub(request, desk)


async def _hub(request: web.Request, desk: Desk) -> web.StreamResponse:
    overview, flows, titles = await desk.overview(), await desk.flows(), await desk.titles()
    power, language = await desk.power(), language_of(request)
    rounds = await desk.ask.rounds.list_page(ROUNDS_SHOWN, None, busy_only=True)
    promises = await desk.ask.rounds.promises()
    states: dict[JobState, int] = defaultdict(int)
    for (_, state), jobs in overview.jobs.items():
        states[state] += jobs
    return page(
        request,
        "overview.html",
        use=use_of(pool for cluster in overview.clusters for pool in cluster.pools),
        hubs=_hubs(overview, power, titles),
        clusters=[(cluster, use_of(cluster.pools)) for cluster in overview.clusters],
        matrix=_matrix(flows, titles),
        flow=_flow_chart(flows, titles, language),
        sectors=_sectors(flows, language),
        states=states,
        rounds=rounds,
        gaps=_gap_chart(rounds, language),
        promises=promises,
        pauses=await desk.pauses(),
        paused=await desk.paused(Paused.CLUSTER),
        reported=await desk.reported(),
        moved=sum(1 for each in promises if each.start_s > each.first_start_s),
        titles=titles,
    )


async def _city(request: web.Request, desk: Desk) -> web.StreamResponse:
    caller, language = request[CALLER], language_of(request)
    flows = [flow for flow in await desk.flows() if flow.city == caller.subject]
    overview, titles = await desk.overview(), await desk.titles()
    _, capacity = await desk.ask.capacity.page("", "", "", ("", ""), 10_000, now=desk.now)
    free: dict[tuple[str, str], int] = defaultdict(int)
    for pool in capacity:
        free[pool.hub, pool.model] += pool.cards_free
    return page(
        request,
        "overview_city.html",
        states={state: overview.jobs.get((caller.subject, state), 0) for state in JobState},
        waiting=await desk.ask.standing.waiting(caller),
        matrix=_matrix(flows, titles),
        sectors=_sectors(flows, language),
        free=sorted(free.items()),
        titles=titles,
        final=JOB_FINAL,
    )


async def _owner(request: web.Request, desk: Desk) -> web.StreamResponse:
    mine = [c for c in (await desk.overview()).clusters if c.owner == request[CALLER].subject]
    return page(
        request,
        "overview_owner.html",
        use=use_of(pool for cluster in mine for pool in cluster.pools),
        clusters=[(cluster, use_of(cluster.pools)) for cluster in mine],
        paused=await desk.paused(Paused.CLUSTER),
        titles=await desk.titles(),
    )


@dataclass(frozen=True, slots=True)
class HubLine:
    """A hub with its use and power."""

    hub: str
    use: Use
    power: PowerUse | None
    agents_live: int
    clusters: int

    @property
    def watts_max(self) -> int:
        """The cap of its meter; 0: none."""
        return 0 if self.power is None else self.power.power.power_kilowatts_max * 1000


def _hubs(overview: Overview, power: Mapping[str, PowerUse], titles: Titles) -> list[HubLine]:
    found = []
    for hub in titles.hubs:
        here = [cluster for cluster in overview.clusters if cluster.hub == hub]
        found.append(
            HubLine(
                hub,
                use_of(pool for cluster in here for pool in cluster.pools),
                power.get(hub),
                sum(cluster.agent == "live" for cluster in here),
                len(here),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cards by city and hub."""

    hubs: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float], float]]  # city, cards by hub, all
    totals: Sequence[float]
    most: float


def _matrix(flows: Iterable[Flow], titles: Titles) -> Matrix:
    cards: dict[tuple[str, str], float] = defaultdict(float)
    for flow in flows:
        cards[flow.city, flow.hub] += flow.milli_cards / 1000
    hubs = list(titles.hubs)
    cities = {city for city, _ in cards}
    rows = [(city, [cards.get((city, hub), 0.0) for hub in hubs]) for city in cities]
    ordered = sorted(((city, row, sum(row)) for city, row in rows), key=lambda row: (-row[2], row[0]))
    return Matrix(
        hubs, ordered, [sum(row[1][i] for row in ordered) for i in range(len(hubs))], max(cards.values(), default=0.0)
    )


def _flow_chart(flows: Iterable[Flow], titles: Titles, language: str) -> str:
    matrix = _matrix(flows, titles)
    if not matrix.rows:
        return ""
    first = matrix.rows[:CITIES_IN_FLOW_MAX]
    rest = matrix.rows[CITIES_IN_FLOW_MAX:]
    rows = [(city, row, total) for city, row, total in first]
    if rest:
        rows.append(
            (OTHERS, [sum(row[1][i] for row in rest) for i in range(len(matrix.hubs))], sum(r[2] for r in rest))
        )
    says = {"<" + OTHERS: say(language, "overview.other_cities", cities=len(rest))}
    for city, _, total in rows:
        if city != OTHERS:
            says["<" + city] = f"{formats.title(titles.cities.get(city, city), language)}  {total:,.0f}"
    hubs = [(hub, total) for hub, total in zip(matrix.hubs, matrix.totals, strict=True) if total]
    for hub, total in hubs:
        says[">" + hub] = f"{formats.title(titles.hubs[hub], language)}  {total:,.0f}"
    amounts = {
        (city, hub): amount for city, row, _ in rows for hub, amount in zip(matrix.hubs, row, strict=True) if amount
    }
    return charts.flow(
        amounts,
        [city for city, _, _ in rows],
        [hub for hub, _ in hubs],
        label=say(language, "overview.flows"),
        says=says,
    )


def _sectors(flows: Iterable[Flow], language: str) -> list[tuple[str, float, str]]:
    """Return (name, cards, bar) of each class of work that holds cards, most first."""
    cards: dict[str, float] = defaultdict(float)
    for flow in flows:
        cards[flow.workload_class] += flow.milli_cards / 1000
    most = max(cards.values(), default=0.0)
    found = sorted(cards.items(), key=lambda each: (-each[1], each[0]))
    return [
        (
            say_name(language, "sector", sector or "other"),
            amount,
            charts.bar([Part("leased", amount, f"{amount:,.1f}")], most, label=f"{amount:,.1f}"),
        )
        for sector, amount in found
    ]


def _gap_chart(rounds: Sequence[Any], language: str) -> str:
    points = [(float(r.round), r.gap_ppm / 10_000) for r in reversed(rounds)]
    if len(points) < 2:
        return ""
    ends = [(points[0][0], f"{points[0][0]:.0f}"), (points[-1][0], f"{points[-1][0]:.0f}")]
    return charts.lines(
        [charts.Series("a", say(language, "rounds.gap"), points)],
        label=say(language, "rounds.gap"),
        x_labels=ends,
        digits=2,
        height=120,
    )


async def shortcuts(request: web.Request) -> web.StreamResponse:
    """Show which keys do what."""
    return page(request, "shortcuts.html")


ROUTES: Final = (web.get("/", show), web.get("/shortcuts", shortcuts))
