"""`python -m broker.reference` writes the pages beside it; with `--check` it only says which ones are stale."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from broker.reference import cli, errors, jobs, metrics, settings, waiting, wire

FOLDER: Final = Path(__file__).parent
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
    "wire.md": wire.page,
    "cli.md": cli.page,
    "jobs.md": jobs.page,
    "waiting.md": waiting.page,
}


def main(arguments: list[str]) -> int:
    """Write or check all pages. Return 0, 1 when checking found a stale one, 2 for wrong usage."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m broker.reference [--check]", file=sys.stderr)
        return 2
    stale = []
    for name, made in PAGES.items():
        page, text = FOLDER / name, made()
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not arguments:
            page.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'stale' if arguments else 'written'}: {', '.join(stale)}")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
