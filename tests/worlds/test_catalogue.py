"""What a world changes: said line by line, and nothing the second time."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from broker.ledger.work import Billing
from broker.worlds.catalogue import Catalogue, CityRow, ClusterRow, ModelRow, catalogue_of, differences
from broker.worlds.loader import BUNDLED_WORLDS, bundled, load
from broker.worlds.quotas import QuotaRow
from broker.worlds.rates import Curve
from tests.worlds.small import WORLD, changed

SMALL = catalogue_of(load(WORLD))


def _lines(change: Callable[[dict[str, Any]], object]) -> list[str]:
    return [difference.line for difference in differences(SMALL, catalogue_of(load(changed(change))))]


@pytest.mark.parametrize("name", BUNDLED_WORLDS)
def test_a_world_differs_from_nothing_in_everything_and_from_itself_in_nothing(name: str) -> None:
    wanted = catalogue_of(load(bundled(name)))

    found = differences(Catalogue(), wanted)

    rows = sum(len(getattr(wanted, kind.name)) for kind in fields(wanted))
    assert len(found) == rows
    assert all(difference.row is not None and difference.line.endswith(": added") for difference in found)
    assert differences(wanted, wanted) == []


def test_each_difference_is_one_line() -> None:
    def change(world: dict[str, Any]) -> None:
        world["city_defaults"]["weight_ppm"] = 2_000_000
        world["cities"][0]["round_trips"]["qingyang"]["micros"] = 17_000
        world["clusters"][0]["asks"]["ascend-910b"]["micro_yuan_per_card_hour"] = 1
        world["hubs"][0]["capacity"] = []
        world["hubs"].append({"hub": "zhongwei", "title": {"zh": "中卫", "en": "Zhongwei"}})

    assert _lines(change) == [
        "hub qingyang: capacity 0 entries added, 1 removed",
        "hub zhongwei: added",
        "city ganzhou: weight_ppm 1000000 -> 2000000; round_trips qingyang changed",
        "cluster longdong: asks ascend-910b changed",
    ]


def test_what_a_world_does_not_name_is_kept() -> None:
    def change(world: dict[str, Any]) -> None:
        world["cities"], world["clusters"] = [], []

    found = differences(SMALL, catalogue_of(load(changed(change))))

    assert [(difference.row, difference.line) for difference in found] == [
        (None, "city ganzhou: kept, this world does not name it"),
        (None, "cluster longdong: kept, this world does not name it"),
    ]


def test_rows_carry_sources_and_doubts() -> None:
    model = SMALL.models["ascend-910b"]

    assert isinstance(model, ModelRow)
    assert model.source == (
        "nameplate: A newspaper, 2025-08-06; programme (doubtful): assumed, nobody says, 2026-01-01; "
        "power: A newspaper, 2025-08-06"
    )
    assert (model.fp16_measured_milli_tflops, model.memory_mib) == (0, 0)  # not known
    city, cluster = SMALL.cities["ganzhou"], SMALL.clusters["longdong"]
    assert isinstance(city, CityRow)
    assert isinstance(cluster, ClusterRow)
    assert city.round_trips["qingyang"].source == "assumed, nobody says, 2026-01-01"
    assert (city.title, cluster.asks) == ("赣州 Ganzhou", {"ascend-910b": Curve.flat(3_500_000)})


def test_a_world_carries_shares_energy_ways_of_data_and_quotas() -> None:
    def change(world: dict[str, Any]) -> None:
        world["accelerator_models"][0] |= {
            "host_watts": {"value": 175, "source": "guess", "doubtful": True},
            "shares": {"slices_milli": [250, 500], "per_card_max": 4, "source": "paper", "note": "templates"},
        }
        world["hubs"][0]["energy_kilowatt_hours_per_year"] = {"value": 5, "source": "paper"}
        world["city_defaults"]["transfers"] = {
            "qingyang": {"mib_per_second": 100, "source": "paper"},
            "guian": {"micro_yuan_per_gib": 7, "source": "paper"},
        }
        world["cities"][0]["transfers"] = {"qingyang": {"mib_per_second": 900, "source": "paper"}}
        world["quotas"] = [
            {"quota": "qingyang", "guaranteed_milli_pflops": 3, "lend_milli_pflops": 1, "source": "paper"}
        ]

    wanted = catalogue_of(load(changed(change)))

    model, city = wanted.models["ascend-910b"], wanted.cities["ganzhou"]
    assert (model.host_watts, model.slices_milli, model.shares_per_card_max) == (175, (250, 500), 4)
    assert model.source.endswith(
        "host power (doubtful): assumed, nobody says, 2026-01-01; shares: A newspaper, 2025-08-06 (templates)"
    )
    assert {hub: (way.mib_per_second, way.micro_yuan_per_gib) for hub, way in city.transfers.items()} == {
        "qingyang": (900, 0),  # the city's own goes before the default
        "guian": (0, 7),
    }
    assert wanted.quotas == {"qingyang": QuotaRow("qingyang", 3, None, 1)}
    lines = _lines(change)
    assert lines.pop(1).endswith(
        "; host_watts 0 -> 175; slices_milli 2 entries added, 0 removed; shares_per_card_max 0 -> 4"
    )
    assert lines == [
        "hub qingyang: energy_kilowatt_hours_per_year 0 -> 5",
        "city ganzhou: transfers guian added; transfers qingyang added",
        "quota qingyang: added",
    ]


@pytest.mark.parametrize("billing", list(Billing))
def test_a_city_pays_as_the_world_says(billing: Billing) -> None:
    """Its own word goes before the defaults; where nothing is stated, its use costs nothing. Words are the ledger's."""
    own = changed(lambda world: world["cities"][0].update(billing=billing.value))
    default = changed(lambda world: world["city_defaults"].update(billing=billing.value))

    assert catalogue_of(load(own)).cities["ganzhou"].billing == billing
    assert catalogue_of(load(default)).cities["ganzhou"].billing == billing
    assert catalogue_of(load(WORLD)).cities["ganzhou"].billing == Billing.METERED
