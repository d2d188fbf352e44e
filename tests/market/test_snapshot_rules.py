"""The rules of operators become arrays by the positions of a view, and what is used is counted to every quota above."""

from dataclasses import MISSING, fields, replace
from typing import Any

import numpy as np

from broker.market.snapshot_rules import arrays, pace, used_by_quota, used_watts
from broker.store.energy import year_of
from broker.store.rules import Energy, HubRules, ModelRules, RulesView, Transfer, UseRow
from broker.store.snapshots import ModelRow, WorldView
from broker.worlds.quotas import QuotaRow
from scheduler.fields import LIMITS
from scheduler.snapshot import Snapshot
from tests.small_world import T0

RULES = RulesView(
    version=3,
    at=T0,
    models={"a800": ModelRules(312_000, 600, (142, 285, 428), 7), "mlu590": ModelRules(256_000, 350, (), 0)},
    hubs={"guian": HubRules(0, 0, 0, None), "qingyang": HubRules(20, 1200, 400_000, None)},
    transfers={("nanjing", "qingyang"): Transfer(1192, 20_000), ("ganzhou", "qingyang"): Transfer(0, 5)},
    quotas=(
        QuotaRow("qingyang", 10),
        QuotaRow("qingyang/ganzhou", 4, 2, 1),
        QuotaRow("qingyang/ganzhou/acme", 1, 0, 0),
    ),
    use=(
        UseRow("qingyang", "ganzhou", "", "a800", 2_000),
        UseRow("qingyang", "ganzhou", "acme", "a800", 285),
        UseRow("qingyang", "ganzhou", "other", "a800", 1_000),
        UseRow("qingyang", "nanjing", "", "a800", 8_000),
        UseRow("guian", "ganzhou", "acme", "mlu590", 1_000),
    ),
)


def view(rules: RulesView) -> WorldView:
    return WorldView(
        models=(
            ModelRow("a800", "cuda", "foreign", 312_000, 0, 0),
            ModelRow("mlu590", "neuware", "domestic", 256_000, 0, 0),
        ),
        hubs=("guian", "qingyang"),
        cities=(("ganzhou", 1), ("nanjing", 1)),
        round_trips={},
        pools=(),
        nodes=(),
        shapes={},
        waiting=(),
        rules=rules,
    )


def lists(rules: RulesView) -> dict[str, Any]:
    return {name: a.tolist() if isinstance(a, np.ndarray) else a for name, a in arrays(view(rules)).items()}


def test_models_and_hubs_stand_where_the_view_has_them() -> None:
    found = lists(RULES)

    assert found["model_card_watts"] == [600, 350]
    assert (found["slice_start"], found["slice_milli"]) == ([0, 3, 3], [142, 285, 428])
    assert found["model_shares_per_card_max"] == [7, -1]
    assert found["hub_pue_ppm"] == [1_000_000, 1_200_000]
    assert found["hub_power_cap_watts"] == [-1, 20_000]
    assert found["hub_micro_yuan_per_kwh"] == [0, 400_000]
    assert found["hub_pace_watts"] == [-1, -1]


def test_power_in_use_is_that_of_cards_and_their_shares_at_the_meter() -> None:
    """11.285 cards of 600 W are 6,771 W, times 1.2."""
    assert lists(RULES)["hub_used_watts"] == [350, 8126]


def test_ways_of_data_that_nobody_measured_are_not_known() -> None:
    found = lists(RULES)

    assert found["transfer_mib_per_second"] == [[-1, -1], [-1, 1192]]
    assert found["transfer_micro_yuan_per_gib"] == [[0, 5], [0, 20_000]]


def test_work_counts_to_the_nearest_quota_and_to_those_above() -> None:
    """An enterprise without a quota counts to its city, a city without one to the hub, and Gui'an has none."""
    used = used_by_quota(RULES)

    assert used["qingyang/ganzhou/acme"] == 88_920  # 0.285 cards of 312 TFLOPS
    assert used["qingyang/ganzhou"] == 88_920 + 3 * 312_000
    assert used["qingyang"] == 88_920 + 11 * 312_000
    assert lists(RULES)["city_used_milli_tflops"] == [88_920 + 3 * 312_000 + 256_000, 8 * 312_000]


def test_quotas_and_tenants_are_a_tree_of_positions() -> None:
    found = lists(RULES)

    assert found["quota_names"] == ("qingyang", "qingyang/ganzhou", "qingyang/ganzhou/acme")
    assert found["quota_parent"] == [-1, 0, 1]
    assert found["quota_guaranteed_milli_tflops"] == [10_000, 4_000, 1_000]
    assert found["quota_borrow_milli_tflops"] == [-1, 2_000, 0]
    assert found["quota_lend_milli_tflops"] == [-1, 1_000, 0]
    assert found["tenant_names"] == ("ganzhou", "nanjing", "ganzhou/acme")
    assert found["tenant_quota"] == [[-1, 1], [-1, 0], [-1, 2]]


def test_the_pace_goes_by_the_time_of_the_view() -> None:
    """At noon of a year's last day half a day is left."""
    end = year_of(T0).end
    energy = Energy(quota_joules=30_000 * 43_200, used_joules=0, committed_joules=0)
    hubs = {**RULES.hubs, "qingyang": replace(RULES.hubs["qingyang"], energy=energy)}

    noon = replace(RULES, hubs=hubs, at=end.replace(year=end.year - 1, month=12, day=31, hour=12))

    assert (pace(noon, "qingyang"), pace(noon, "guian")) == (30_000, None)
    assert lists(noon)["hub_pace_watts"] == [-1, 30_000]
    assert used_watts(noon, "qingyang") == 8126


def test_without_rules_the_arrays_are_neutral() -> None:
    """The scheduler takes them as if they were left out."""
    world = view(RulesView())
    base: dict[str, Any] = {
        "model_names": ("a800", "mlu590"),
        "model_stack": ("cuda", "neuware"),
        "model_origin": ("foreign", "domestic"),
        **{f"model_fp16_{figure}_milli_tflops": [1, 1] for figure in ("programme", "nameplate", "measured")},
        "hub_names": world.hubs,
        "city_names": ("ganzhou", "nanjing"),
        "city_weight_ppm": [1, 1],
        "round_trip_micros": [[-1, -1], [-1, -1]],
    }
    base |= {"taken_at_s": 0, "build_start": [0]}
    empty: dict[str, Any] = {
        each.name: () if str(each.type).startswith("tuple") else []
        for each in fields(Snapshot)
        if each.name not in base and each.default is MISSING and each.default_factory is MISSING
    }

    plain = Snapshot(**base, **empty)
    ruled = Snapshot(**base, **empty, **arrays(world))

    assert ruled.to_bytes() == plain.to_bytes()


def test_a_full_tree_is_a_snapshot() -> None:
    """Nothing that operators may set is refused by the scheduler."""
    most = RULES.quotas[0]
    rules = replace(
        RULES,
        hubs={
            "guian": HubRules(10**9, 4000, 10**8, Energy(10**12 * 3_600_000, 0, 0)),
            "qingyang": HubRules(10**9, 1000, 0, Energy(1, 10**18, 10**18)),
        },
        quotas=(replace(most, guaranteed_milli_pflops=10**12, borrow_milli_pflops=10**12),),
        models={name: replace(model, watts=10_000) for name, model in RULES.models.items()},
    )

    found = arrays(view(rules))

    for name, values in found.items():
        if name in LIMITS and len(values):
            low, high = LIMITS[name]
            assert low <= values.min(), name
            assert values.max() <= high, name
