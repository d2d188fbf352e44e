"""What pages for people say, in each language: one file of texts for each, by key. A test keeps them complete."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from broker.texts import texts_of

LANGUAGES: Final = ("zh", "en")
_FOLDER: Final = Path(__file__).parent / "words"


def texts(language: str) -> Mapping[str, str]:
    """Return every text of a language by its key."""
    return texts_of(_FOLDER, language)


def say(language: str, key: str, /, **facts: object) -> str:
    """Return a text with its facts put in. Raise KeyError where there is no such text."""
    return texts(language)[key].format(**facts)


def title(text: str, language: str) -> str:
    """Return the part of a title in two languages that a reader wants: worlds write the Chinese one first."""
    words = text.split(" ")
    chinese = [word for word in words if not word.isascii()]
    if not chinese or words[: len(chinese)] != chinese or len(chinese) == len(words):
        return text
    return " ".join(chinese if language == "zh" else words[len(chinese) :])
