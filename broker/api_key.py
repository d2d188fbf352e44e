"""API keys as they are written and stored.

A key is `xs_<key id>_<secret>`. The id is public (logs, the record of operators' acts). The secret has over 256 bits of
luck, so a plain hash of it can be stored: there is nothing to guess, and no need for a slow hash on every call.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"  # base32: no letter that a hand or an eye takes for another
KEY_ID_CHARACTERS: Final = 12
SECRET_CHARACTERS: Final = 52  # of 5 bits each: 260

_FORM: Final = re.compile(rf"xs_([a-z2-7]{{{KEY_ID_CHARACTERS}}})_([a-z2-7]{{{SECRET_CHARACTERS}}})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A whole key, with its secret: seen once when it is made, and in every call."""

    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a new key."""
        return cls(_luck(KEY_ID_CHARACTERS), _luck(SECRET_CHARACTERS))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the key that `text` spells, None when it spells none."""
        found = _FORM.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    @property
    def text(self) -> str:
        """The key as it is handed out and sent."""
        return f"xs_{self.key_id}_{self.secret}"

    @property
    def secret_sha256(self) -> bytes:
        """What is stored of the secret."""
        return hashlib.sha256(self.secret.encode()).digest()


def _luck(characters: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))
