"""What a voucher programme may say: its budget and rules as validated data, each with its source.

A figure that nobody has published is marked as in worlds: its source's text begins with "assumed", and the rule is
`doubtful`.
"""

from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from broker.errors import FieldProblem, InvalidRequest, invalid
from broker.job import WorkloadClass
from broker.ledger.money import AMOUNT_MICRO_YUAN_MAX, WHOLE_PPM
from broker.worlds.document import parse
from broker.worlds.loader import validated
from broker.worlds.schema import Entry, Slug, Source, Sourced, Title, suggestion

BUNDLED: Final = ("qingyang", "guizhou", "hangzhou", "yangzhou", "beijing")
"""Example programmes that come with the code, by place."""

PROBLEMS_MAX: Final = 50
NAME_CHARACTERS_MAX: Final = 40
"""Of a programme: names of its vouchers are longer by a number."""

VALIDITY_DAYS_MAX: Final = 3660
SCALE_MILLI_PFLOPS_MAX: Final = 10**12

MicroYuan = Annotated[int, Field(strict=True, ge=1, le=AMOUNT_MICRO_YUAN_MAX)]
Ppm = Annotated[int, Field(strict=True, ge=0, le=WHOLE_PPM)]


class ClaimSide(StrEnum):
    """Who gets the money for a contract: each contract is claimed by one side, once."""

    DEMAND = "demand"  # the enterprise that uses the compute
    SUPPLY = "supply"  # the enterprise that provides it


class ApplicantType(StrEnum):
    """What kind of applicant an enterprise is."""

    COMPANY = "company"
    UNIVERSITY = "university"
    INSTITUTE = "institute"
    SOLE_TRADER = "sole_trader"  # not incorporated


class Amount(Sourced):
    """Money of a rule."""

    micro_yuan: MicroYuan


class Ratios(Sourced):
    """Which part of a price a voucher pays, in millionths."""

    domestic_ppm: Annotated[Ppm, Field(description="On accelerators of domestic origin.")]
    other_ppm: Annotated[Ppm, Field(description="On all others.")]


class Classes(Sourced):
    """Which work is paid for."""

    names: Annotated[tuple[WorkloadClass, ...], Field(min_length=1, max_length=len(WorkloadClass))]


class Scale(Sourced):
    """The smallest contract, in programme-counted FP16."""

    milli_pflops: Annotated[int, Field(strict=True, ge=0, le=SCALE_MILLI_PFLOPS_MAX)]


class Validity(Sourced):
    """For how long a voucher pays."""

    days: Annotated[int, Field(strict=True, ge=1, le=VALIDITY_DAYS_MAX)]


class Papers(Sourced):
    """Which papers an applicant must hand in."""

    names: Annotated[tuple[Slug, ...], Field(max_length=32)]


class Claims(Sourced):
    """Which sides may claim."""

    sides: Annotated[tuple[ClaimSide, ...], Field(min_length=1, max_length=2)]


class Applicants(Sourced):
    """Who may apply."""

    types: Annotated[tuple[ApplicantType, ...], Field(min_length=1, max_length=len(ApplicantType))]


class Conditional(Sourced):
    """What an applicant whose papers are missing may use until they are there, and how long that may take."""

    micro_yuan: MicroYuan
    days: Annotated[int, Field(strict=True, ge=1, le=366)]


class Programme(Entry):
    """A voucher programme of a hub for a year."""

    programme: Annotated[Slug, StringConstraints(max_length=NAME_CHARACTERS_MAX)]
    title: Title
    hub: Slug
    year: Annotated[int, Field(strict=True, ge=2000, le=2099, description="Calendar year of UTC+8.")]
    budget: Amount
    enterprise_year_cap: Annotated[Amount | None, Field(description="Left out: none but the budget.")] = None
    grant_cap: Annotated[Amount | None, Field(description="Of one grant; left out: none of its own.")] = None
    ratios: Ratios
    workload_classes: Classes
    minimum_scale: Annotated[Scale | None, Field(description="Left out: none.")] = None
    validity: Validity
    papers: Papers
    claims: Claims
    applicants: Applicants
    conditional: Annotated[Conditional | None, Field(description="Left out: all papers come first.")] = None

    @property
    def minimum_milli_pflops(self) -> int:
        """The smallest contract; 0 for none."""
        return self.minimum_scale.milli_pflops if self.minimum_scale else 0


class ProgrammeFile(Entry):
    """Programmes and where their rules are from."""

    sources: Annotated[dict[Slug, Source], Field(min_length=1, max_length=256)]
    programmes: Annotated[tuple[Programme, ...], Field(min_length=1, max_length=64)]


def load_programmes(document: str) -> ProgrammeFile:
    """Return the programmes of a YAML or JSON document.

    Raises: InvalidRequest: each problem names its path, such as "programmes[0].ratios.domestic_ppm", and the way out.
    """
    file = validated(ProgrammeFile, parse(document))
    problems = [*_unsourced(file), *_twice(file)]
    if problems:
        raise InvalidRequest(*problems[:PROBLEMS_MAX])
    return file


def bundled(name: str) -> str:
    """Return the document of an example programme. Raise InvalidRequest when there is none of that name."""
    if name not in BUNDLED:
        raise invalid("document", f"there is no bundled programme '{name[:64]}': {suggestion(name, BUNDLED)}")
    return (files("broker.vouchers") / "programmes" / f"{name}.yaml").read_text(encoding="utf-8")


def sourced(programme: Programme) -> Iterator[tuple[str, Sourced]]:
    """Yield the rules of a programme with their names."""
    for name in type(programme).model_fields:
        value = getattr(programme, name)
        if isinstance(value, Sourced):
            yield name, value


def _unsourced(file: ProgrammeFile) -> Iterator[FieldProblem]:
    for i, programme in enumerate(file.programmes):
        for name, rule in sourced(programme):
            here, source = f"programmes[{i}].{name}", file.sources.get(rule.source)
            if source is None:
                known = suggestion(rule.source, file.sources)
                yield FieldProblem(f"{here}.source", f"there is no source '{rule.source}' in sources: {known}")
            elif source.assumed and not rule.doubtful:
                yield FieldProblem(f"{here}.doubtful", "must be true: its source is an assumption")


def _twice(file: ProgrammeFile) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for i, programme in enumerate(file.programmes):
        if programme.programme in seen:
            yield FieldProblem(f"programmes[{i}].programme", f"'{programme.programme}' is there already: keep one")
        seen.add(programme.programme)
