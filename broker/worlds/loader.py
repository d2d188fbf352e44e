"""Turn a document into a world in which every name that is used exists."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from broker.errors import FieldProblem, InvalidRequest, invalid
from broker.worlds.capacity import difference_problems
from broker.worlds.catalogue import quota_row
from broker.worlds.document import parse, path_of
from broker.worlds.quotas import tree_problems
from broker.worlds.schema import (
    BUNDLED_CATALOGUES,
    Capacity,
    CityTerms,
    Entry,
    ModelCatalogue,
    Source,
    Sourced,
    World,
    suggestion,
)

BUNDLED_WORLDS: Final = ("laptop", "qingyang")
PROBLEMS_MAX: Final = 50

_E = TypeVar("_E", bound=Entry)


def load(document: str) -> World:
    """Return the world that the document describes, with its bundled catalogue included.

    Raises: InvalidRequest: each problem names its path, such as "cities[3].round_trips.qingyang", and the way out.
    """
    world = validated(World, parse(document))
    if world.catalogue is not None:
        world = _including(world, _catalogue(world.catalogue))
    problems = [problem for check in _CHECKS for problem in check(world)]
    if problems:
        raise InvalidRequest(*problems[:PROBLEMS_MAX])
    return world


def bundled(name: str) -> str:
    """Return the document of a bundled world. Raise InvalidRequest when there is none of that name."""
    if name not in BUNDLED_WORLDS:
        raise invalid("world", f"there is no bundled world '{name[:64]}': {suggestion(name, BUNDLED_WORLDS)}")
    return _resource(name)


def json_schema() -> str:
    """Return the published JSON Schema of world documents, as it is kept in world.schema.json."""
    schema = World.model_json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Xisuan world",
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _resource(name: str) -> str:
    return (files("broker.worlds") / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def _catalogue(name: str) -> ModelCatalogue:
    assert name in BUNDLED_CATALOGUES  # noqa: S101 - the schema allows no other
    return validated(ModelCatalogue, parse(_resource(name)))


def _including(world: World, catalogue: ModelCatalogue) -> World:
    own = {model.model for model in world.accelerator_models}
    kept = [model for model in catalogue.accelerator_models if model.model not in own]  # a world's own entry wins
    return world.model_copy(
        update={
            "sources": {**catalogue.sources, **world.sources},
            "accelerator_models": (*world.accelerator_models, *kept),
        }
    )


def validated(kind: type[_E], values: Any) -> _E:
    """Return the values as an entry. Raise InvalidRequest that names the path of everything wrong, and the way out."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(*map(_problem, error.errors(include_url=False)[:PROBLEMS_MAX])) from None


def _problem(error: Mapping[str, Any]) -> FieldProblem:
    place = tuple(part for part in error["loc"] if part != "[key]")
    context = error.get("ctx", {})
    if error["type"] == "unknown_key":
        place = (*place, context["key"])
    return FieldProblem(path_of(place), _sentence(error, context))


def _sentence(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    given = error.get("input")
    match error["type"]:
        case "missing":
            return "is missing: add it"
        case "string_pattern_mismatch":
            return f"{_shown(given)} is no slug: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter"
        case "int_type" | "int_from_float":
            return f"must be a whole number without quotes, not {_shown(given)}"
        case "string_type":
            return f"must be text, not {_shown(given)}: quote it"
        case "date_from_datetime_parsing" | "date_parsing" | "date_type":
            return f"must be a date such as 2025-12-31, not {_shown(given)}"
        case "literal_error":
            return f"must be {context['expected']}, not {_shown(given)}"
        case _:
            message = str(error["msg"])
            return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unique_names(world: World) -> Iterator[FieldProblem]:
    yield from _repeated("hubs", "hub", [h.hub for h in world.hubs])
    yield from _repeated("accelerator_models", "model", [m.model for m in world.accelerator_models])
    yield from _repeated("clusters", "cluster", [c.cluster for c in world.clusters])
    yield from _repeated("cities", "city", [c.city for c in world.cities])
    for i, cluster in enumerate(world.clusters):
        yield from _repeated(f"clusters[{i}].pools", "pool", [p.pool for p in cluster.pools])
    yield from _repeated("quotas", "quota", [q.quota for q in world.quotas])
    for i, hub in enumerate(world.hubs):
        yield from _repeated(f"hubs[{i}].capacity", "date", [f"{c.date}, {_said(world, c)}" for c in hub.capacity])


def _repeated(path: str, key: str, names: list[str]) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            yield FieldProblem(f"{path}[{i}].{key}", f"'{name}' is there already: keep one")
        seen.add(name)


def _said(world: World, entry: Capacity) -> str:
    """Return what tells two figures of one day apart: where they are from."""
    source = world.sources.get(entry.source)
    return f"{source.text if source else entry.source} {entry.note or ''}".strip()


def _known_names(world: World) -> Iterator[FieldProblem]:
    hubs = {h.hub for h in world.hubs}
    models = {m.model for m in world.accelerator_models}
    for i, cluster in enumerate(world.clusters):
        here = f"clusters[{i}]"
        yield from _unknown(f"{here}.hub", "hub", cluster.hub, hubs)
        for model in cluster.asks:
            yield from _unknown(f"{here}.asks.{model}", "accelerator model", model, models)
        for j, pool in enumerate(cluster.pools):
            yield from _unknown(f"{here}.pools[{j}].model", "accelerator model", pool.model, models)
    for i, city in enumerate(world.cities):
        for hub in city.round_trips:
            yield from _unknown(f"cities[{i}].round_trips.{hub}", "hub", hub, hubs)
        for hub in city.transfers:
            yield from _unknown(f"cities[{i}].transfers.{hub}", "hub", hub, hubs)
    for hub in world.city_defaults.transfers:
        yield from _unknown(f"city_defaults.transfers.{hub}", "hub", hub, hubs)
    cities = {c.city for c in world.cities}
    for i, quota in enumerate(world.quotas):
        of_hub, of_city, _ = quota_row(quota).place
        yield from _unknown(f"quotas[{i}].quota", "hub", of_hub, hubs)
        if of_city is not None:
            yield from _unknown(f"quotas[{i}].quota", "city", of_city, cities)


def _unknown(path: str, kind: str, name: str, known: set[str]) -> Iterator[FieldProblem]:
    if name not in known:
        yield FieldProblem(path, f"there is no {kind} '{name}': {suggestion(name, known)}")


def _complete_cities(world: World) -> Iterator[FieldProblem]:
    for i, city in enumerate(world.cities):
        for term in CityTerms.TERMS:
            if world.term(city, term) is None:
                yield FieldProblem(f"cities[{i}].{term}", "is missing: state it here or in city_defaults")


def _quota_tree(world: World) -> Iterator[FieldProblem]:
    place = {quota.quota: i for i, quota in enumerate(world.quotas)}
    tree = {quota.quota: quota_row(quota) for quota in world.quotas}
    for quota, field, description in tree_problems(tree, tree):
        yield FieldProblem(f"quotas[{place[quota]}].{field}", description)


def _sources(world: World) -> Iterator[FieldProblem]:
    for place, sourced in _sourced(world, ()):
        name = sourced.source
        source = world.sources.get(name)
        if source is None:
            known = suggestion(name, world.sources)
            yield FieldProblem(path_of((*place, "source")), f"there is no source '{name}' in sources: {known}")
        elif source.assumed and not sourced.doubtful:
            yield FieldProblem(path_of((*place, "doubtful")), "must be true: its source is an assumption")


def _sourced(entry: Entry, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield everything below the entry that names a source, with its path."""
    for name in type(entry).model_fields:
        value = getattr(entry, name)
        inner: Iterable[tuple[tuple[str | int, ...], Any]]
        if isinstance(value, dict):
            inner = [((name, key), item) for key, item in value.items()]
        elif isinstance(value, tuple):
            inner = [((name, i), item) for i, item in enumerate(value)]
        else:
            inner = [((name,), value)]
        for path, item in inner:
            if isinstance(item, Entry) and not isinstance(item, Source):
                here = (*place, *path)
                if isinstance(item, Sourced) or "source" in type(item).model_fields:
                    yield here, item
                yield from _sourced(item, here)


_CHECKS: Final = (_unique_names, _known_names, _complete_cities, _quota_tree, _sources, difference_problems)
