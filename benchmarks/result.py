"""What a benchmark writes, the same form for all."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one run, with what is needed to read them later.

    Attributes:
        benchmark: its name.
        seed: of everything that was drawn.
        figures: by name; the unit is in the name.
        violations: what the audit found; anything but 0 makes the run void.
    """

    benchmark: str
    seed: int
    figures: Mapping[str, float]
    violations: int

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(
            json.dumps(
                {
                    "benchmark": self.benchmark,
                    "seed": self.seed,
                    "machine": machine(),
                    "commit": commit(),
                    "figures": dict(self.figures),
                    "audit": {"violations": self.violations},
                },
                indent=2,
            )
            + "\n"
        )

    def show(self, console: Console) -> None:
        """Print it as a table."""
        table = Table(
            "figure", "value", title=f"{self.benchmark} (seed {self.seed}, {machine()})", title_justify="left"
        )
        for name, value in self.figures.items():
            table.add_row(name, in_short(value))
        table.add_row("audit", "clean" if self.violations == 0 else f"[red]VOID: {self.violations} violations[/]")
        console.print(table)


def in_short(value: float) -> str:
    """Return a figure as people read it, such as 1,234.5."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def machine() -> str:
    """Return cores, memory and versions, as far as they matter for comparing."""
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{os.cpu_count()} cores, {memory} GiB, {platform.machine()}, Python {platform.python_version()}"


def commit() -> str:
    """Return the commit of the checkout, with a plus when it was changed since; "unknown" outside one.

    What a run of the standard set writes itself is no change: the next run of the set measures the same code.
    """
    named = _git("describe", "--always")
    changed = _git(
        "status", "--porcelain", "--", ":(top)", ":(top,exclude)benchmarks/results", ":(top,exclude)README.md"
    )
    return f"{named}{'+' if changed else ''}" if named else "unknown"


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    told = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
    return told.stdout.strip()
