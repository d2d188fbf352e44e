"""Texts for people in several languages: a folder has a file for each of them, with the texts by key."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml


@cache
def texts_of(folder: Path, language: str) -> Mapping[str, str]:
    """Return every text of a language by its key."""
    found: dict[str, str] = yaml.safe_load((folder / f"{language}.yaml").read_text(encoding="utf-8"))
    return found
