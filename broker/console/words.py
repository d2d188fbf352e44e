"""What the console says, in each language: one file of texts for each, by key. A test keeps them complete."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from broker.texts import texts_of

LANGUAGES: Final[Mapping[str, str]] = {"zh": "中文", "en": "English"}
DEFAULT: Final = "en"
_FOLDER: Final = Path(__file__).parent / "words"


def texts(language: str) -> Mapping[str, str]:
    """Return every text of a language by its key."""
    return texts_of(_FOLDER, language)


def say(language: str, key: str, /, **facts: object) -> str:
    """Return a text with its facts put in; the key itself where there is no such text, so that a page still shows."""
    text = texts(language).get(key)
    return key if text is None else text.format(**facts)


def say_name(language: str, group: str, name: str) -> str:
    """Return the word for one of a closed set, such as a state; the name itself for what is newer than the texts."""
    return texts(language).get(f"{group}.{name}", name)


def preferred(accept_language: str) -> str:
    """Return the language that a browser likes most of those there are."""
    best, best_weight = DEFAULT, 0.0
    for part in accept_language[:200].split(","):
        name, _, rest = part.strip().partition(";")
        try:
            weight = float(rest.partition("=")[2]) if rest else 1.0
        except ValueError:
            continue
        language = name.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best
