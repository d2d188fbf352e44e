"""Judge a job by the catalogue before it is stored: does it name things that exist, could any pool ever hold it?"""

import difflib
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final

from broker.errors import BrokerError, CityNotFound, FieldProblem, InvalidRequest, NoPoolCanHold
from broker.job import Build, JobSpec, Within
from broker.store.catalogue_view import CatalogueView, City, NodeKind, PoolSize

REMEMBERED_MAX: Final = 20_000
"""Requirements that one catalogue remembers as passed; streams repeat few of them many times."""

WHOLE_MILLI: Final = 1000


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The catalogue of one moment, and what was judged by it."""

    view: CatalogueView
    _passed: set[Hashable] = field(default_factory=set, repr=False, compare=False)

    def city(self, city: str) -> City:
        """Return the city with its limits and its standard ceiling. Raise CityNotFound."""
        found = self.view.cities.get(city)
        if found is None:
            raise CityNotFound(city=city)
        return found

    def objection(self, spec: JobSpec) -> BrokerError | None:
        """Return what `objection_to` does; requirements that passed once are not judged again."""
        question = spec.needs
        if question in self._passed:
            return None
        objection = objection_to(spec, self.view)
        if objection is None:
            if len(self._passed) >= REMEMBERED_MAX:
                self._passed.clear()
            self._passed.add(question)
        return objection


def objection_to(spec: JobSpec, view: CatalogueView) -> InvalidRequest | NoPoolCanHold | None:
    """Return why the job cannot be accepted, None when it can.

    InvalidRequest: it names a hub, owner, stack or model that the catalogue does not have, or a model of another stack.
    NoPoolCanHold: there are pools that it may use, and not one of them could hold the gang even if it were empty. Where
    no such pool is attached the job is accepted and waits: clusters attach and grow.
    """
    problems = [*_place_problems(spec, view)]
    for i, build in enumerate(spec.builds):
        problems += _build_problems(i, build, view)
    return InvalidRequest(*problems) if problems else _size_problem(spec, view)


def tasks_held(spec: JobSpec, kind: NodeKind, slice_milli: int = 0) -> int:
    """Return how many tasks one empty node of this kind holds; each has this slice of a card, or whole cards for 0."""
    fits = kind.cards * (WHOLE_MILLI // slice_milli) if slice_milli else kind.cards // spec.cards_per_task
    if spec.cpu_milli_per_task:
        fits = min(fits, kind.cpu_milli // spec.cpu_milli_per_task)
    if spec.memory_mib_per_task:
        fits = min(fits, kind.memory_mib // spec.memory_mib_per_task)
    return fits


def _place_problems(spec: JobSpec, view: CatalogueView) -> Iterator[FieldProblem]:
    for field_name, what, names, known in (
        ("allowed_hubs", "hub", spec.allowed_hubs, view.hubs),
        ("staged_hubs", "hub", spec.staged_hubs, view.hubs),
        ("allowed_owners", "owner", spec.allowed_owners, view.owners),
    ):
        for i, name in enumerate(names):
            if name not in known:
                yield FieldProblem(f"spec.{field_name}[{i}]", f"there is no {what} {name!r}{_instead(name, known)}")


def _build_problems(index: int, build: Build, view: CatalogueView) -> Iterator[FieldProblem]:
    here = f"spec.builds[{index}]"
    stacks = set(view.stack_of_model.values())
    known = build.stack in stacks
    if not known:
        yield FieldProblem(f"{here}.stack", f"there is no stack {build.stack!r}{_instead(build.stack, stacks)}")
    for i, model in enumerate(build.models):
        stack = view.stack_of_model.get(model)
        if stack is None:
            near = [m for m, s in view.stack_of_model.items() if s == build.stack or not known]
            yield FieldProblem(f"{here}.models[{i}]", f"there is no accelerator model {model!r}{_instead(model, near)}")
        elif known and stack != build.stack:
            why = f"{model} is programmed with {stack!r}, not {build.stack!r}: give it a build of its own"
            yield FieldProblem(f"{here}.models[{i}]", why)


def _instead(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": choose from {', '.join(sorted(known)[:12])}" if known else ": the catalogue has none yet"


def _size_problem(spec: JobSpec, view: CatalogueView) -> NoPoolCanHold | None:
    usable = [pool for pool in view.pools if may_use(spec, pool, view)]
    slices = {pool.model: _granted(spec, view.slices_of_model.get(pool.model, ())) for pool in usable}
    if usable and spec.share_milli and not any(slices.values()):
        return _share_problem(spec, usable, view)
    wanted, largest = spec.sizes[-1], None
    for pool in usable:
        if spec.share_milli and not slices[pool.model]:
            continue
        held = _held(spec, pool, slices[pool.model])
        if held >= wanted:
            return None
        if largest is None or held > largest[0]:
            largest = (held, pool)
    if largest is None:
        return None
    held, pool = largest
    where = "on one node " if spec.within is Within.NODE else ""
    most = (
        f"the largest that it may use, {pool.cluster}/{pool.pool}, holds {held} of its {wanted} tasks {where}when empty"
    )
    if held == 0:
        most = f"no node of the pools that it may use is large enough for one task ({_task_text(spec)})"
    return NoPoolCanHold(fields=[FieldProblem("spec.tasks", _way_out(held))], why=most, tasks_max=held)


def _held(spec: JobSpec, pool: PoolSize, slice_milli: int) -> int:
    """Return how many tasks the empty pool holds where they may be: all of it, or the best of its nodes."""
    if spec.within is Within.NODE:
        return max((tasks_held(spec, kind, slice_milli) for kind in pool.kinds), default=0)
    return sum(kind.nodes * tasks_held(spec, kind, slice_milli) for kind in pool.kinds)


def _granted(spec: JobSpec, slices: tuple[int, ...]) -> int:
    """Return the slice that a task of the job gets, 0 for whole cards and where there is none as large."""
    return next((size for size in slices if spec.share_milli and size >= spec.share_milli), 0)


def _share_problem(spec: JobSpec, usable: list[PoolSize], view: CatalogueView) -> NoPoolCanHold:
    offered = {pool.model: max(view.slices_of_model.get(pool.model, ()), default=0) for pool in usable}
    text = ", ".join(f"{model} {size or 'none'}" for model, size in sorted(offered.items()))
    why = f"no model that it may use offers a slice of {spec.share_milli} milli or more (largest slices: {text})"
    way_out = "ask for a smaller share or for whole cards (0), or allow models that are split"
    return NoPoolCanHold(fields=[FieldProblem("spec.share_milli", way_out)], why=why, tasks_max=0)


def _way_out(held: int) -> str:
    if held:
        return (
            f"at most {held} tasks of this size fit into one pool: ask for fewer or smaller ones, or allow more pools"
        )
    return "no node holds a task of this size: ask for fewer cards, less CPU or less memory for each task"


def _task_text(spec: JobSpec) -> str:
    parts = [f"{spec.share_milli} milli of a card" if spec.share_milli else f"{spec.cards_per_task} cards"]
    if spec.cpu_milli_per_task:
        parts.append(f"{spec.cpu_milli_per_task} milli-cores")
    if spec.memory_mib_per_task:
        parts.append(f"{spec.memory_mib_per_task} MiB")
    return ", ".join(parts)


def may_use(spec: JobSpec, pool: PoolSize, view: CatalogueView) -> bool:
    """Tell whether the job may run in the pool, by hub, owner, origin, stack and model."""
    if spec.allowed_hubs and pool.hub not in spec.allowed_hubs:
        return False
    if spec.allowed_owners and pool.owner not in spec.allowed_owners:
        return False
    if spec.domestic_only and pool.model not in view.domestic_models:
        return False
    stack = view.stack_of_model.get(pool.model)
    return any(b.stack == stack and (not b.models or pool.model in b.models) for b in spec.builds)
