"""Write the dashboards: `python -m deploy.grafana`, or `--check` whether they are fresh."""

import json
import sys
from pathlib import Path
from typing import Final

from deploy.grafana.boards import BOARDS
from deploy.grafana.model import board_json

FOLDER: Final = Path(__file__).parent / "dashboards"


def files() -> dict[Path, str]:
    """Return the dashboards by their files."""
    return {
        FOLDER / f"{board.uid}.json": json.dumps(board_json(board), indent=1, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def stale() -> list[Path]:
    """Return files that are missing, too many, or not as the code says."""
    made = files()
    found = {path for path, text in made.items() if not path.exists() or path.read_text() != text}
    return sorted(found | (set(FOLDER.glob("*.json")) - set(made)))


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    if arguments == ["--check"]:
        for path in stale():
            print(f"{path.name} is stale: run 'make dashboards'", file=sys.stderr)
        return bool(stale())
    FOLDER.mkdir(exist_ok=True)
    for path in stale():
        path.unlink(missing_ok=True)
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
