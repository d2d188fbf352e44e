"""What /metrics shows: everything declared and documented, few series, and figures that are true of the tables."""

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from broker import metrics
from broker.job import PriorityClass
from broker.loops.census import Census
from broker.market.census import fragmentation_ratio
from broker.market.waits import count_waits
from broker.metrics import state
from broker.metrics.events import CLASSES
from broker.reference.metrics import LARGE_HUB, SERIES_MAX
from broker.store.database import Database
from broker.store.rounds import LeaseDraft
from scheduler.card_ground import Kind
from scheduler.spot import CARDS, Size
from tests.cluster_world import ClusterWorld
from tests.small_world import T0, lay_out, submitted


def shown() -> dict[str, dict[tuple[str, ...], float]]:
    """Return what /metrics shows: by name the values by those of labels, labels in the order of the alphabet."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def counted(database: Database, now: object = T0) -> dict[str, dict[tuple[str, ...], float]]:
    """Return what /metrics shows after one reading of the tables."""
    await Census(database, leads=lambda: True).run_once(now)  # type: ignore[arg-type]
    return shown()


async def test_everything_that_is_shown_is_declared_with_a_help(database: Database) -> None:
    """The table of the reference is made of the declarations, so it is complete."""
    await lay_out(database)
    await counted(database)

    families = {family.name: family for family in metrics.REGISTRY.collect()}

    assert families.keys() == {each.name.removesuffix("_total") for each in metrics.DECLARED}
    assert all(each.help.endswith(".") and each.name.startswith("broker_") for each in metrics.DECLARED)
    assert len({each.name for each in metrics.DECLARED}) == len(metrics.DECLARED)


def test_series_are_bounded_for_a_large_national_exchange() -> None:
    """40 clusters, 34 cities: the figure that the reference states. No label is an id."""
    total = sum(each.series(LARGE_HUB) for each in metrics.DECLARED)

    assert total <= SERIES_MAX
    assert not {"job", "lease", "round", "node", "key"} & {name for each in metrics.DECLARED for name in each.labels}


def test_closed_labels_are_those_of_the_words_they_stand_for() -> None:
    assert tuple(each.value for each in PriorityClass) == CLASSES
    assert len(state.PRICE_SIZES) == len(Size)
    assert state.PRICE_SIZES[: len(CARDS)] == tuple(map(str, CARDS))


async def test_cards_jobs_and_reasons_are_those_of_the_tables(database: Database) -> None:
    world = await ClusterWorld(database).lay()
    await world.attach()
    await world.placed(cards_per_task=1)
    await world.submit(cards_per_task=4, priority=PriorityClass.URGENT)
    world.advance(30)

    found = await counted(database, world.now)

    pool = ("east", "qingyang", "ascend-910b", "main")
    assert {use: found["broker_pool_cards"][*pool, use] for use in state.CARD_USES} == {
        "leased": 1, "foreign": 0, "closed": 0, "free": 15,
    }  # fmt: skip
    assert found["broker_cards"]["qingyang", "free"] == 15
    assert found["broker_pool_free_nodes"]["8", *pool] == 1
    assert found["broker_queue_jobs"]["ganzhou", "urgent"] == 1
    assert found["broker_queue_cards"]["ganzhou", "urgent"] == 4
    assert found["broker_queue_oldest_seconds"]["ganzhou", "urgent"] == 30
    assert found["broker_waiting_jobs"]["unknown",] == 1
    assert found["broker_waiting_jobs"]["OUTBID",] == 0  # from the start
    assert sum(found["broker_jobs"].values()) == 2
    assert found["broker_city_cards"]["ganzhou", "qingyang"] == 1
    assert found["broker_agents"]["live",] == 1
    assert found["broker_leaked_cards"] == {("held_without_lease",): 0, ("lease_without_held",): 0}
    assert found["broker_ledger_audit_findings"]["balances_differ",] == 0


async def test_leaked_cards_show_both_ways(database: Database) -> None:
    """Planted by hand: what the broker does itself is held by its transactions."""
    world = await ClusterWorld(database).lay()
    await world.attach()
    _, first = await world.placed()
    _, second = await world.placed()
    async with database.hub() as tx:
        await tx.execute("DELETE FROM held_cards WHERE lease_id = $1", first.lease)
        await tx.execute(
            "UPDATE leases SET state = 'ended', ended_at = $2, end_reason = 'completed' WHERE lease_id = $1",
            second.lease,
            world.now,
        )

    found = await counted(database, world.now)

    assert found["broker_leaked_cards"] == {("held_without_lease",): 1, ("lease_without_held",): 1}


async def test_a_broker_that_does_not_lead_shows_no_state(database: Database) -> None:
    """Sums over brokers are right, because one of them tells the state."""
    await lay_out(database)
    await submitted(database, "a")
    await counted(database)

    await Census(database, leads=lambda: False).run_once(T0)

    assert "broker_cards" not in shown()
    assert "broker_round_seconds_bucket" in shown()


@pytest.mark.parametrize(
    ("free", "cards", "ratio"),
    [({8: 2}, 8, 0.0), ({4: 4}, 8, 1.0), ({8: 1, 4: 2}, 8, 0.5), ({}, 8, 0.0)],
)
def test_fragmentation_is_the_part_of_free_cards_that_tasks_cannot_use(
    free: dict[int, int], cards: int, ratio: float
) -> None:
    kind = Kind(cards, 0, 0, 0, (), 3, 0)

    assert fragmentation_ratio(free, "ascend-910b", [kind]) == ratio
    assert fragmentation_ratio(free, "ascend-910b", [replace(kind, models=("a800",))]) == 0.0


async def test_the_exposition_is_all_of_them(database: Database) -> None:
    """The state's text is made when it is read; a scrape of a national exchange takes 20 ms of a processor so."""
    await lay_out(database)
    await counted(database)

    told = metrics.exposition().decode()

    def series(text: str) -> set[str]:
        return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")}

    assert series(told) == series(generate_latest(metrics.REGISTRY).decode())
    assert "broker_cards{" in told


async def test_first_leases_count_their_waits(database: Database) -> None:
    before = shown()["broker_wait_seconds_sum"]["standard",]
    draft = LeaseDraft(1, "ganzhou", "east", 1, 0, 1, "hold", (), priority="standard", wanted_at=T0)  # type: ignore[arg-type]

    count_waits([draft, replace(draft, epoch=2)], T0 + timedelta(seconds=12))

    assert shown()["broker_wait_seconds_sum"]["standard",] == before + 12
