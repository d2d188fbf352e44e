"""Limits are judged when something is placed after they came into force, and by what lived then."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.audit import limits
from broker.audit.limits import Draw, HubCap, LimitFacts, PauseSpan, Placed, QuotaLimit, Share
from broker.audit.main import run
from broker.caller import Caller, Role
from broker.market.energy import HubEnergy, PowerChange
from broker.market.pauses import Paused, Pauses
from broker.market.quotas import Quotas
from broker.store.database import Database
from broker.worlds.quotas import QuotaRow
from tests.audit.test_rules import clean
from tests.cluster_world import ClusterWorld, inventory
from tests.conftest import Dsns

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
OPERATOR = Caller("key-operator", Role.OPERATOR)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def draw(lease: int, start: float, end: float | None, *, owner: str = "park/ganzhou/", watts: int = 600) -> Draw:
    ends = None if end is None else after(end)
    return Draw(lease, owner.split("/")[0], owner, watts * 1000, 300_000, after(start), ends)


def found(draws: Iterable[Draw], *, watts_max: int = 1500, quota: str = "park", most: int = 600_000) -> list[str]:
    """Return what the rules find where one hub has a cap and one quota a limit, both in force after ten seconds."""
    facts = LimitFacts(
        caps=(HubCap("park", watts_max, 1200, after(10)),),
        quotas=(QuotaLimit(quota, most, after(10)),),
        draws=tuple(draws),
    )
    return [told for rule in limits.RULES for told in rule(replace(clean(), limits=facts))]


def test_what_fits_is_no_finding() -> None:
    """Two leases of 720 W at the meter and 300 TFLOPS each."""
    assert found([draw(1, 11, None), draw(2, 12, None)]) == []


def test_a_third_one_is_one_too_many_for_both() -> None:
    assert found([draw(1, 11, None), draw(2, 12, None), draw(3, 13, None)]) == [
        "hub park drew 2160 W when lease-3 was placed, its cap is 1500 W",
        "quota park used 900000 milli-TFLOPS when lease-3 was placed, its limit is 600000",
    ]


def share(whose: str, begins: float, until: float, given: float, *, promised: bool = True) -> Share:
    return Share("park", whose, promised, 600_000, after(begins), after(until), after(given))


def to_come(*shares: Share) -> list[str]:
    """Return what the rules find in a hub whose cap has power for two of these, in force after ten seconds."""
    facts = LimitFacts(caps=(HubCap("park", 1500, 1200, after(10)),), shares=shares)
    return [told for rule in limits.RULES for told in rule(replace(clean(), limits=facts))]


def test_promised_power_that_was_given_to_others_is_found_at_the_start() -> None:
    """Three times 720 W at the same time are too much; what has ended by then, or begins later, is beside the point."""
    runs, first, second = (
        share("lease-1", 0, 90, 11, promised=False),
        share("job-2", 50, 90, 11),
        share("job-3", 60, 90, 12),
    )

    assert to_come(runs, first, second) == [
        "hub park is to draw 2160 W at 2026-11-01T12:01:00+00:00, its cap is 1500 W: lease-1 and job-2 and job-3"
    ]
    assert to_come(replace(runs, until=after(60)), first, second) == []
    assert to_come(runs, first, replace(second, begins_at=after(90))) == []
    assert to_come(replace(runs, hub="other"), first, second) == []


def test_a_cap_below_what_was_promised_is_no_finding_until_more_is() -> None:
    older = [share("job-1", 50, 90, 9), share("job-2", 50, 90, 9), share("job-3", 50, 90, 9)]

    assert to_come(*older) == []
    assert len(to_come(*older, share("lease-4", 20, 80, 20, promised=False))) == 1


def test_a_limit_below_what_runs_is_no_finding_until_more_is_placed() -> None:
    running = [draw(1, 0, 30), draw(2, 0, 30), draw(3, 9, 30)]

    assert found(running) == []
    assert len(found([*running, draw(4, 20, None)])) == 2
    assert found([*running, draw(4, 31, None)]) == []


def test_what_ended_made_room_at_that_moment() -> None:
    assert found([draw(1, 11, 20), draw(2, 12, None), draw(3, 20, None)]) == []


def test_what_is_over_by_now_is_found_all_the_same() -> None:
    past = [draw(n, 10 + n, 20) for n in (1, 2, 3)]

    assert [told.split(" when ")[0] for told in found(past)] == [
        "hub park drew 2160 W",
        "quota park used 900000 milli-TFLOPS",
    ]


@pytest.mark.parametrize(
    ("quota", "counts"),
    [
        ("park", 4),
        ("park/ganzhou", 3),
        ("park/ganzhou/acme", 1),
        ("park/gan", 0),
        ("other", 0),
    ],
)
def test_work_counts_to_all_quotas_above_it(quota: str, counts: int) -> None:
    owners = ["park/ganzhou/", "park/ganzhou/acme", "park/ganzhou/acme-west", "park/nanjing/", "elsewhere/ganzhou/"]
    draws = [draw(n, 10 + n, None, owner=owner, watts=0) for n, owner in enumerate(owners, 1)]

    told = found(draws, quota=quota, most=0)

    assert len(told) == counts


async def test_a_limit_set_by_an_operator_is_in_force_from_then_on(database: Database, dsns: Dsns) -> None:
    """On real tables: what ran before is left alone, what is placed behind the broker's back is found."""
    world = await ClusterWorld(database).lay()
    await world.attach()
    async with database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET watts = 1000, fp16_programme_milli_tflops = 1000000")
    await world.offer(await world.submit(cards_per_task=3), {"n1": [0, 1, 2]})
    world.advance(5)
    await HubEnergy(database, wake=lambda: None).set(OPERATOR, PowerChange("qingyang", 1), now=world.now)
    await Quotas(database, wake=lambda: None).set(OPERATOR, QuotaRow("qingyang", 0, 2_000), now=world.now)
    await Pauses(database, wake=lambda: None).pause(OPERATOR, Paused.QUEUE, "ganzhou", "audit", now=world.now)
    _, before = await run(dsns.hub, dsns.city, {})

    world.advance(5)
    await world.offer(await world.submit(), {"n1": [3]})
    _, later = await run(dsns.hub, dsns.city, {})

    of_limits = {rule.__name__ for rule in limits.RULES}
    assert {finding.rule for finding in before} & of_limits == set()
    assert {finding.rule for finding in later} & of_limits == of_limits - {"no_promised_power_is_somebody_elses"}


@pytest.mark.parametrize(
    ("pause", "lease", "wrong"),
    [
        (PauseSpan("queue", "ganzhou", after(0), None), Placed(1, "ganzhou", "east", after(1), False), True),
        (PauseSpan("queue", "ganzhou", after(0), None), Placed(1, "ganzhou", "east", after(1), True), False),
        (PauseSpan("queue", "ganzhou", after(0), None), Placed(1, "nanjing", "east", after(1), False), False),
        (PauseSpan("queue", "ganzhou", after(2), None), Placed(1, "ganzhou", "east", after(1), False), False),
        (PauseSpan("queue", "ganzhou", after(0), after(90)), Placed(1, "ganzhou", "east", after(1), False), True),
        (PauseSpan("queue", "ganzhou", after(0), after(90)), Placed(1, "ganzhou", "east", after(91), False), False),
        (PauseSpan("cluster", "east", after(0), None), Placed(1, "ganzhou", "east", after(1), True), True),
        (PauseSpan("cluster", "east", after(0), None), Placed(1, "ganzhou", "west", after(1), False), False),
    ],
)
def test_what_was_placed_in_spite_of_a_pause_is_found(pause: PauseSpan, lease: Placed, wrong: bool) -> None:
    """Accepted quotes are sold, so a paused queue does not keep them; a paused cluster keeps everything."""
    facts = replace(clean(), limits=LimitFacts(pauses=(pause,), placed=(lease,)))

    told = list(limits.nothing_starts_where_it_is_paused(facts))

    assert told == ([f"lease-1 was made while {pause.what} {pause.name} was paused"] if wrong else [])


async def test_a_lease_from_a_paused_queue_is_found_in_the_tables(database: Database, dsns: Dsns) -> None:
    world = await ClusterWorld(database).lay()
    await world.attach("east", "one", inventory("n1", "n2"))
    await Pauses(database, wake=lambda: None).pause(OPERATOR, Paused.QUEUE, "ganzhou", "audit", now=world.now)
    world.now += timedelta(seconds=60)
    lease = await world.offer(await world.submit(), {"n1": (0,)})
    await world.offer(await world.submit("nanjing"), {"n1": (1,)})

    _, findings = await run(dsns.hub, dsns.city, {})

    assert [(each.rule, each.detail) for each in findings] == [
        ("nothing_starts_where_it_is_paused", f"lease-{lease.lease} was made while queue ganzhou was paused")
    ]
