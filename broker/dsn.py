"""The login to a database as it is given: the text itself, or "@FILE" for a file that holds it.

A password in an argument or in the environment can be seen by others on the machine, and is printed by many a tool; a
file with mode 0600 is not.
"""

import os
from pathlib import Path
from typing import Final

from broker.errors import invalid
from broker.private_file import seen_by_others

DSN_BYTES_MAX: Final = 16 * 1024


def read_dsn(given: str, *, field: str = "dsn") -> str:
    """Return the DSN that is meant. Raise InvalidRequest when the file cannot be used or others can read it."""
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        with path.open("rb") as file:
            if seen_by_others(os.fstat(file.fileno())):
                raise invalid(field, f"others can read {path}, which holds a password: chmod 600 {path}")
            text = file.read(DSN_BYTES_MAX + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(field, f"{path} cannot be read ({error}): name a file that holds one DSN") from error
    if not text or len(text) >= DSN_BYTES_MAX or "\n" in text:
        raise invalid(field, f"{path} does not hold one DSN on one line")
    return text
