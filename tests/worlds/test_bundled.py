"""The bundled worlds say what the programme reports, each figure with its source, and the sums are right."""

import json
from importlib.resources import files

import pytest

from broker.worlds.capacity import compare, racks_milli
from broker.worlds.loader import BUNDLED_WORLDS, bundled, json_schema, load
from broker.worlds.schema import Capacity, Hub, World


@pytest.fixture(scope="module")
def qingyang() -> World:
    return load(bundled("qingyang"))


def _hub(world: World, name: str) -> Hub:
    return next(hub for hub in world.hubs if hub.hub == name)


def _reported(hub: Hub, milli_pflops: int) -> Capacity:
    return next(entry for entry in hub.capacity if entry.fp16_milli_pflops == milli_pflops)


def test_the_published_schema_is_fresh() -> None:
    """`python -m broker.worlds > broker/worlds/world.schema.json` would change nothing."""
    published = (files("broker.worlds") / "world.schema.json").read_text(encoding="utf-8")

    assert published == json_schema()
    assert json.loads(published)["additionalProperties"] is False


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
def test_every_bundled_world_is_right(name: str) -> None:
    """Loading proves that names exist, figures have dated sources, assumptions are marked, differences explained."""
    world = load(bundled(name))

    assert world.world == name


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
def test_every_city_reaches_every_hub_and_can_pay_for_some_card(name: str) -> None:
    """A city whose ceiling lies below every ask would wait for ever."""
    world = load(bundled(name))

    hubs = {hub.hub for hub in world.hubs}
    counted = {model.model: model.fp16_programme_milli_tflops.value for model in world.accelerator_models}
    for city in world.cities:
        assert set(city.round_trips) == hubs
        ceiling = world.term(city, "ceiling_micro_yuan_per_pflops_hour").value
        for cluster in world.clusters:
            for model, ask in cluster.asks.items():
                assert ceiling * counted[model] // 1_000_000 > ask.curve.most, (city.city, model)


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
def test_every_pool_has_an_ask(name: str) -> None:
    for cluster in load(bundled(name)).clusters:
        assert {pool.model for pool in cluster.pools} == set(cluster.asks), cluster.cluster


def test_no_figure_is_without_a_date(qingyang: World) -> None:
    assert all(source.date.year >= 2022 and source.text for source in qingyang.sources.values())


def test_the_programme_reports_thirty_four_cities(qingyang: World) -> None:
    named = {city.city: city for city in qingyang.cities}

    assert len(named) == 34
    assert not named["ganzhou"].doubtful
    assert not named["nanjing"].doubtful
    assert all(city.doubtful for city in named.values() if city.source == "assumed-client")


def test_capacity_of_qingyang_is_dated(qingyang: World) -> None:
    hub = _hub(qingyang, "qingyang")

    assert _reported(hub, 5_000_000).date.isoformat() == "2023-12-31"
    assert _reported(hub, 21_000_000).date.year == 2024
    planned = _reported(hub, 114_000_000)
    assert (planned.date.isoformat(), planned.planned, planned.cards) == ("2025-12-31", True, 350_000)


def test_guian_has_26_data_centres_and_76_eflops(qingyang: World) -> None:
    hub = _hub(qingyang, "guian")

    assert hub.data_centres is not None
    assert hub.data_centres.value == 26
    assert _reported(hub, 76_000_000).doubtful  # its day is not stated


def test_the_named_clusters_are_there(qingyang: World) -> None:
    rows = {row.name: row for row in compare(qingyang)}

    assert rows["qingyang-domestic-10k"].counted.cards == 10_000
    assert rows["qingyang-domestic-10k"].counted.fp16_milli_pflops == 2_500_000
    assert rows["qingyang-domestic-70k"].counted.cards == 70_000
    telecom = rows["qingyang-china-telecom"]
    assert telecom.reported is not None
    assert telecom.reported.racks == 1664
    assert telecom.counted.racks_milli <= 1664 * 1000
    assert {"qingyang-kingsoft-northwest", "qingyang-china-energy-a1"} <= set(rows)


def test_pools_add_up_to_the_plan(qingyang: World) -> None:
    """Within 1 %: 114,000 P and 350,000 cards in Qingyang, 76,000 P in Gui'an."""
    rows = {row.name: row.counted for row in compare(qingyang)}

    assert rows["qingyang"].cards == 350_000
    assert rows["qingyang"].fp16_milli_pflops == pytest.approx(114_000_000, rel=0.01)
    assert rows["guian"].fp16_milli_pflops == pytest.approx(76_000_000, rel=0.01)


def test_every_model_keeps_its_figures_apart(qingyang: World) -> None:
    """Measured against data sheet runs from a third to more than the whole: one figure could not stand for both."""
    ratios = [
        model.fp16_measured_milli_tflops.value / model.fp16_nameplate_milli_tflops.value
        for model in qingyang.accelerator_models
        if model.fp16_measured_milli_tflops is not None and model.fp16_nameplate_milli_tflops is not None
    ]

    assert min(ratios) < 0.35
    assert max(ratios) > 1.0


def test_a_rack_is_two_and_a_half_kilowatts() -> None:
    assert [racks_milli(watts) for watts in (0, 1, 2500, 16 * 350)] == [0, 1, 1000, 2240]


def _meter_kilowatts(world: World, hub: str) -> float:
    """Power at the meter when every card of the pools is busy."""
    models = {model.model: model for model in world.accelerator_models}
    pue = _hub(world, hub).pue_milli
    assert pue is not None
    watts = sum(
        pool.cards * figure.value
        for cluster in world.clusters
        if cluster.hub == hub
        for pool in cluster.pools
        for figure in (models[pool.model].watts, models[pool.model].host_watts)
        if figure is not None
    )
    return watts * pue.value / 1_000_000


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
def test_every_card_draws_power_and_every_cap_holds_all_of_them(name: str) -> None:
    """A card without watts would slip past a hub's cap."""
    world = load(bundled(name))

    assert all(model.watts is not None and model.host_watts is not None for model in world.accelerator_models)
    for hub in world.hubs:
        assert hub.power_kilowatts_max is not None
        assert _meter_kilowatts(world, hub.hub) < hub.power_kilowatts_max.value


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
def test_shares_of_a_card_fit_on_it(name: str) -> None:
    for model in load(bundled(name)).accelerator_models:
        if model.shares is not None and model.shares.per_card_max is not None:
            assert min(model.shares.slices_milli) * model.shares.per_card_max <= 1000, model.model


def test_nothing_binds_on_one_machine() -> None:
    """Its one quota promises nothing to anybody and lets in more than all cards of the hub count."""
    world = load(bundled("laptop"))
    counted = {row.name: row.counted.fp16_milli_pflops for row in compare(world) if row.kind == "hub"}

    [quota] = world.quotas

    assert quota.guaranteed_milli_pflops == 0
    assert quota.borrow_milli_pflops is not None
    assert quota.borrow_milli_pflops > counted[quota.quota]
    assert all(hub.energy_kilowatt_hours_per_year is None for hub in world.hubs)
    assert world.city_defaults.transfers == {}


def test_quotas_and_ways_of_data_that_nobody_published_are_doubtful(qingyang: World) -> None:
    assert {quota.quota for quota in qingyang.quotas} == {"qingyang", "qingyang/ganzhou", "qingyang/nanjing"}
    assert all(quota.doubtful for quota in qingyang.quotas)
    for city in qingyang.cities:
        ways = qingyang.transfers(city)
        assert set(ways) == {"qingyang", "guian"}
        assert all(way.doubtful for way in ways.values())
