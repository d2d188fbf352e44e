"""The README's example runs and prints what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import scheduler

README = Path(scheduler.__file__).with_name("README.md")


def test_the_example_prints_what_the_readme_says() -> None:
    """Documentation that is not run rots."""
    program, rest = README.read_text(encoding="utf-8").split("```python\n")[1].split("```\n", 1)
    expected = rest.split("```text\n")[1].split("```")[0]

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)

    assert done.stderr == ""
    assert done.stdout == expected


def test_every_module_is_on_the_map() -> None:
    """A new module without a line in the table is found here."""
    text = README.read_text(encoding="utf-8")

    for module in README.parent.glob("*.py"):
        assert module.name == "__init__.py" or f"`{module.name}`" in text, module.name
