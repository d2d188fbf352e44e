"""A world is taken only when every name exists, every figure has a source, and every difference is explained."""

from collections.abc import Callable
from typing import Any

import pytest

from broker.worlds.loader import BUNDLED_WORLDS, bundled, load
from tests.worlds.small import WORLD, changed, problems

World = dict[str, Any]


def _quota(quota: str, guaranteed: int) -> dict[str, Any]:
    return {"quota": quota, "guaranteed_milli_pflops": guaranteed, "source": "paper"}


def _set(*path: Any) -> Callable[[World], None]:
    """Return a change that puts the last of the path at the place that the others name."""
    *place, last, value = path

    def change(world: World) -> None:
        at: Any = world
        for part in place:
            at = at[part]
        at[last] = value

    return change


WRONG: dict[str, tuple[Callable[[World], object], str, str]] = {
    "an unknown key": (_set("hub", 1), "hub", "did you mean 'hubs'?"),
    "an unknown key below": (
        lambda w: w["cities"][0].update(roundtrips={}),
        "cities[0].roundtrips",
        "did you mean 'round_trips'?",
    ),
    "an unknown key like none": (_set("zzz", 1), "zzz", "allowed are world, title"),
    "an unknown hub of a city": (
        lambda w: w["cities"][0]["round_trips"].update(qinyang={"micros": 1, "source": "guess", "doubtful": True}),
        "cities[0].round_trips.qinyang",
        "did you mean 'qingyang'?",
    ),
    "an unknown hub of a cluster": (_set("clusters", 0, "hub", "guan"), "clusters[0].hub", "did you mean 'guian'?"),
    "an unknown model of a pool": (
        _set("clusters", 0, "pools", 0, "model", "ascend-910c"),
        "clusters[0].pools[0].model",
        "did you mean 'ascend-910b'?",
    ),
    "an unknown model of an ask": (
        lambda w: w["clusters"][0]["asks"].update(h20=w["clusters"][0]["asks"]["ascend-910b"]),
        "clusters[0].asks.h20",
        "known are ascend-910b",
    ),
    "an unknown source": (
        _set("hubs", 0, "capacity", 0, "source", "papre"),
        "hubs[0].capacity[0].source",
        "did you mean 'paper'?",
    ),
    "a source without a date": (lambda w: w["sources"]["paper"].pop("date"), "sources.paper.date", "is missing"),
    "a figure without a source": (
        lambda w: w["hubs"][0]["capacity"][0].pop("source"),
        "hubs[0].capacity[0].source",
        "is missing: add it",
    ),
    "an assumption that claims to be sure": (
        _set("city_defaults", "ceiling_micro_yuan_per_pflops_hour", "doubtful", False),
        "city_defaults.ceiling_micro_yuan_per_pflops_hour.doubtful",
        "must be true",
    ),
    "an assumption without doubt, below": (
        lambda w: w["cities"][0]["round_trips"]["qingyang"].pop("doubtful"),
        "cities[0].round_trips.qingyang.doubtful",
        "must be true",
    ),
    "a city twice": (lambda w: w["cities"].append(w["cities"][0]), "cities[1].city", "'ganzhou' is there already"),
    "a city without terms": (
        lambda w: w["city_defaults"].pop("weight_ppm"),
        "cities[0].weight_ppm",
        "state it here or in city_defaults",
    ),
    "a figure of one day and source twice": (
        lambda w: w["hubs"][0]["capacity"].append(w["hubs"][0]["capacity"][0]),
        "hubs[0].capacity[1].date",
        "is there already",
    ),
    "a capacity that says nothing": (
        _set("hubs", 0, "capacity", 0, {"date": "2025-01-01", "source": "paper"}),
        "hubs[0].capacity[0]",
        "at least one of",
    ),
    "a difference that nobody explains": (
        _set("hubs", 0, "capacity", 0, "fp16_milli_pflops", 6000),
        "hubs[0].difference",
        "pools count 5120 fp16_milli_pflops, reported are 6000; say why",
    ),
    "a quoted number": (
        _set("hubs", 0, "capacity", 0, "fp16_milli_pflops", "5120"),
        "hubs[0].capacity[0].fp16_milli_pflops",
        "without quotes",
    ),
    "a fraction": (
        _set("clusters", 0, "pools", 0, "nodes", 1.5),
        "clusters[0].pools[0].nodes",
        "must be a whole number",
    ),
    "no nodes": (
        _set("clusters", 0, "pools", 0, "nodes", 0),
        "clusters[0].pools[0].nodes",
        "greater than or equal to 1",
    ),
    "a PUE below one": (
        _set("hubs", 0, "pue_milli", {"value": 1, "source": "paper"}),
        "hubs[0].pue_milli",
        "1200 is a PUE of 1.2",
    ),
    "a PUE beyond four": (
        _set("hubs", 0, "pue_milli", {"value": 4001, "source": "paper"}),
        "hubs[0].pue_milli",
        "must be 1000 to 4000",
    ),
    "a line of the PUE below one": (
        _set("hubs", 0, "pue_line_milli", {"value": 999, "source": "paper"}),
        "hubs[0].pue_line_milli",
        "1200 is a PUE of 1.2",
    ),
    "more green than all": (
        _set("hubs", 0, "green_share_ppm", {"value": 1_000_001, "source": "paper"}),
        "hubs[0].green_share_ppm",
        "at most 1000000",
    ),
    "energy beyond all": (
        _set("hubs", 0, "energy_kilowatt_hours_per_year", {"value": 10**12 + 1, "source": "paper"}),
        "hubs[0].energy_kilowatt_hours_per_year",
        "at most 1000000000000",
    ),
    "a price of energy without a source": (
        _set("hubs", 0, "micro_yuan_per_kilowatt_hour", {"value": 400_000}),
        "hubs[0].micro_yuan_per_kilowatt_hour.source",
        "is missing",
    ),
    "a card of a whole megawatt": (
        _set("accelerator_models", 0, "host_watts", {"value": 10**6, "source": "paper"}),
        "accelerator_models[0].host_watts",
        "at most 5000 watts",
    ),
    "slices that do not ascend": (
        _set("accelerator_models", 0, "shares", {"slices_milli": [500, 250], "source": "paper"}),
        "accelerator_models[0].shares.slices_milli",
        "must ascend",
    ),
    "a slice that is a whole card": (
        _set("accelerator_models", 0, "shares", {"slices_milli": [1000], "source": "paper"}),
        "accelerator_models[0].shares.slices_milli[0]",
        "less than or equal to 999",
    ),
    "an assumed slice that is not doubtful": (
        _set("accelerator_models", 0, "shares", {"slices_milli": [500], "source": "guess"}),
        "accelerator_models[0].shares.doubtful",
        "must be true",
    ),
    "a way of data to nowhere": (
        _set("city_defaults", "transfers", {"zhongwei": {"mib_per_second": 1, "source": "paper"}}),
        "city_defaults.transfers.zhongwei",
        "there is no hub 'zhongwei'",
    ),
    "a way of data that lets nothing through": (
        _set("cities", 0, "transfers", {"guian": {"mib_per_second": 0, "source": "paper"}}),
        "cities[0].transfers.guian.mib_per_second",
        "greater than or equal to 1",
    ),
    "a quota that is no path": (
        _set("quotas", [{"quota": "qingyang//x", "guaranteed_milli_pflops": 1, "source": "paper"}]),
        "quotas[0].quota",
        "hub, hub/city or hub/city/enterprise",
    ),
    "a quota of an unknown city": (
        _set("quotas", [_quota("qingyang", 1), _quota("qingyang/ganzhu", 1)]),
        "quotas[1].quota",
        "did you mean 'ganzhou'?",
    ),
    "a quota without one above it": (
        _set("quotas", [_quota("qingyang/ganzhou", 1)]),
        "quotas[0].quota",
        "qingyang has no quota: set that first",
    ),
    "a guarantee below zero": (
        _set("quotas", [_quota("qingyang", -1)]),
        "quotas[0].guaranteed_milli_pflops",
        "greater than or equal to 0",
    ),
    "the same quota twice": (
        _set("quotas", [_quota("qingyang", 1), _quota("qingyang", 1)]),
        "quotas[1].quota",
        "is there already",
    ),
    "a name that is no slug": (_set("cities", 0, "city", "Gan Zhou"), "cities[0].city", "is no slug"),
    "a name that is a number": (_set("cities", 0, "city", 5), "cities[0].city", "must be text, not 5"),
    "a key that is no slug": (
        lambda w: w["cities"][0]["round_trips"].update({"A\u202eB": {"micros": 1, "source": "paper"}}),
        "cities[0].round_trips.'A\\u202eB'",
        "is no slug",
    ),
    "a title with a control character": (
        _set("cities", 0, "title", "en", "Gan\u202ezhou"),
        "cities[0].title.en",
        "printable",
    ),
    "an origin of its own": (
        _set("accelerator_models", 0, "origin", "martian"),
        "accelerator_models[0].origin",
        "'domestic' or 'foreign'",
    ),
    "a card that counts nothing": (
        _set("accelerator_models", 0, "fp16_programme_milli_tflops", "value", 0),
        "accelerator_models[0].fp16_programme_milli_tflops",
        "at least 1",
    ),
    "a date that is none": (_set("sources", "paper", "date", "soon"), "sources.paper.date", "such as 2025-12-31"),
    "an unknown catalogue": (_set("catalogue", "../../etc/passwd"), "catalogue", "must be 'models'"),
    "a list for a mapping": (_set("cities", 0, []), "cities[0]", "must be a mapping"),
}


@pytest.mark.parametrize(("change", "field", "why"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_world_is_refused_with_path_and_way_out(
    change: Callable[[World], object], field: str, why: str
) -> None:
    found = problems(changed(change))

    assert field in [problem.field for problem in found]
    assert why in next(problem.description for problem in found if problem.field == field)


def test_the_small_world_is_right() -> None:
    assert problems(WORLD) == []


@pytest.mark.parametrize("text", ["", "5", "[]", "null", "- a", '"x"'])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    [problem] = problems(text)

    assert (problem.field, "must be a mapping" in problem.description) == ("document", True)


def test_all_problems_are_named_at_once() -> None:
    def spoil(world: World) -> None:
        world["cities"][0]["city"] = "A"
        world["hubs"][0]["hub"] = "B"

    assert [problem.field for problem in problems(changed(spoil))] == ["hubs[0].hub", "cities[0].city"]


def test_a_difference_that_is_explained_is_taken() -> None:
    def explain(world: World) -> None:
        world["hubs"][0]["capacity"][0]["fp16_milli_pflops"] = 6000
        world["hubs"][0]["difference"] = "Two nodes are still in their boxes."

    assert problems(changed(explain)) == []


def test_a_city_states_its_own_terms() -> None:
    world = load(changed(_set("cities", 0, "pending_jobs_max", 7)))

    [city] = world.cities
    assert (world.term(city, "pending_jobs_max"), world.term(city, "weight_ppm")) == (7, 1_000_000)


def test_a_world_can_include_the_bundled_models_and_correct_one() -> None:
    world = load(changed(_set("catalogue", "models")))

    models = {model.model: model for model in world.accelerator_models}
    assert len(models) > 20
    assert models["ascend-910b"].fp16_measured_milli_tflops is None  # the world's own entry has none


@pytest.mark.parametrize("name", ["mars", "../pyproject", ""])
def test_an_unknown_bundled_world_is_refused(name: str) -> None:
    with pytest.raises(Exception, match=f"known are {', '.join(BUNDLED_WORLDS)}"):
        bundled(name)
