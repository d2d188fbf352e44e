"""A curve as it was measured: sizes, what each of them cost, and under which name that stands in the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.curves.fit import Fit, fit


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured over what.

    Attributes:
        name: in the figures. told: what it is, with the unit. over: what the sizes count.
        unit: of the costs, as it ends a figure's name. costs: of each size, > 0. beside: further figures, by name.
    """

    name: str
    told: str
    over: str
    unit: str
    sizes: Sequence[int]
    costs: Sequence[float]
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def fit(self) -> Fit:
        """Its exponents."""
        return fit(self.sizes, self.costs)

    def figures(self) -> dict[str, float]:
        """Return them by name: "<curve>.<unit>_<size>", and the exponents."""
        found = {f"{self.name}.{self.unit}_{size}": cost for size, cost in zip(self.sizes, self.costs, strict=True)}
        found |= {f"{self.name}.{name}": value for name, value in self.beside.items()}
        return found | {
            f"{self.name}.exponent": self.fit.whole,
            f"{self.name}.exponent_at_the_end": self.fit.end,
            f"{self.name}.exponent_of_n_log_n": self.fit.n_log_n,
        }
