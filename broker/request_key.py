"""Request keys as they are stored. Those of an enterprise stand apart from its city's and from other enterprises'.

A request key is unique in a city. Would an enterprise share that one space, a key that somebody else of its city has
used would be refused, and tell of a job that it may not know of. So its name stands before its keys.
"""

from typing import Final

MARK: Final = "\x1f"
"""Between the enterprise's name and its key. No key that is sent has it: those are printable ASCII."""


def stored_key(enterprise: str, request_key: str) -> str:
    """Return how the key of a caller is stored; an empty enterprise: of a city, or of an operator for it."""
    return f"{enterprise}{MARK}{request_key}" if enterprise else request_key


def sent_key(stored: str) -> str:
    """Return the key as its caller sent it."""
    return stored.rpartition(MARK)[2]


def beside(stored: str, request_key: str) -> str:
    """Return how another key is stored of the caller who sent the one that is stored so."""
    before, mark, _ = stored.rpartition(MARK)
    return f"{before}{mark}{request_key}"
