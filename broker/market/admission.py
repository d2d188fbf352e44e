"""Judge a job by the catalogue before it is stored: does it name things that exist, could any pool ever hold it?"""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from broker.errors import BrokerError, CityNotFound, FieldProblem, InvalidRequest, NoPoolCanHold
from broker.job import Build, JobSpec
from broker.store.catalogue_view import CatalogueView, City, NodeKind, PoolSize

REMEMBERED_MAX: Final = 20_000
"""Requirements that one catalogue remembers as passed; streams repeat few of them many times."""

_Question = tuple[int, int, int, int, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The catalogue of one moment, and what was judged by it."""

    view: CatalogueView
    _passed: set[_Question] = field(default_factory=set, repr=False, compare=False)

    def city(self, city: str) -> City:
        """Return the city with its limits and its standard ceiling. Raise CityNotFound."""
        found = self.view.cities.get(city)
        if found is None:
            raise CityNotFound(city=city)
        return found

    def objection(self, spec: JobSpec) -> BrokerError | None:
        """Return what `objection_to` does; requirements that passed once are not judged again."""
        question = (
            spec.tasks,
            spec.cards_per_task,
            spec.cpu_milli_per_task,
            spec.memory_mib_per_task,
            spec.allowed_hubs,
            tuple((b.stack, b.models) for b in spec.builds),
        )
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

    InvalidRequest: it names a hub, stack or model that the catalogue does not have, or a model of another stack.
    NoPoolCanHold: there are pools that it may use, and not one of them could hold the gang even if it were empty. Where
    no such pool is attached the job is accepted and waits: clusters attach and grow.
    """
    problems = [*_hub_problems(spec, view)]
    for i, build in enumerate(spec.builds):
        problems += _build_problems(i, build, view)
    return InvalidRequest(*problems) if problems else _size_problem(spec, view)


def tasks_held(spec: JobSpec, kind: NodeKind) -> int:
    """Return how many tasks of the gang one empty node of this kind holds."""
    fits = kind.cards // spec.cards_per_task
    if spec.cpu_milli_per_task:
        fits = min(fits, kind.cpu_milli // spec.cpu_milli_per_task)
    if spec.memory_mib_per_task:
        fits = min(fits, kind.memory_mib // spec.memory_mib_per_task)
    return fits


def _hub_problems(spec: JobSpec, view: CatalogueView) -> Iterator[FieldProblem]:
    for i, hub in enumerate(spec.allowed_hubs):
        if hub not in view.hubs:
            yield FieldProblem(f"spec.allowed_hubs[{i}]", f"there is no hub {hub!r}{_instead(hub, view.hubs)}")


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
    largest: tuple[int, PoolSize] | None = None
    for pool in view.pools:
        if not _may_use(spec, pool, view):
            continue
        held = sum(kind.nodes * tasks_held(spec, kind) for kind in pool.kinds)
        if held >= spec.tasks:
            return None
        if largest is None or held > largest[0]:
            largest = (held, pool)
    if largest is None:
        return None
    held, pool = largest
    most = f"the largest that it may use, {pool.cluster}/{pool.pool}, holds {held} of its {spec.tasks} tasks when empty"
    if held == 0:
        most = f"no node of the pools that it may use is large enough for one task ({_task_text(spec)})"
    return NoPoolCanHold(fields=[FieldProblem("spec.tasks", _way_out(held))], why=most, tasks_max=held)


def _way_out(held: int) -> str:
    if held:
        return (
            f"at most {held} tasks of this size fit into one pool: ask for fewer or smaller ones, or allow more pools"
        )
    return "no node holds a task of this size: ask for fewer cards, less CPU or less memory for each task"


def _task_text(spec: JobSpec) -> str:
    parts = [f"{spec.cards_per_task} cards"]
    if spec.cpu_milli_per_task:
        parts.append(f"{spec.cpu_milli_per_task} milli-cores")
    if spec.memory_mib_per_task:
        parts.append(f"{spec.memory_mib_per_task} MiB")
    return ", ".join(parts)


def _may_use(spec: JobSpec, pool: PoolSize, view: CatalogueView) -> bool:
    if spec.allowed_hubs and pool.hub not in spec.allowed_hubs:
        return False
    stack = view.stack_of_model.get(pool.model)
    return any(b.stack == stack and (not b.models or pool.model in b.models) for b in spec.builds)
