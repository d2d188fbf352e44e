"""The audit chain: each transaction's hash covers its text and the hash before it, so nothing can change unseen.

Text of a transaction: JSON with sorted keys and without spaces, of the fields below. Hash: SHA-256 of the hash before
(32 bytes; 32 zero bytes before the first) followed by the text in UTF-8. The order is that in which transactions were
found committed, gap-free from 1; it may differ from the order of their numbers, which are given before the commit.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

START: Final = bytes(32)
"""What stands before the first transaction."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction as it is written: what the chain covers.

    Attributes:
        postings: (account, pocket, micro-yuan), in the order of their lines.
        hold: the hold that it captures, releases or compensates; None for others.
    """

    transaction: int
    kind: str
    reference: str
    request_key: str
    body_sha256: bytes
    at: datetime
    hold: int | None
    postings: Sequence[tuple[str, str, int]]


def text_of(entry: Entry) -> str:
    """Return the text that is hashed."""
    return json.dumps(
        {
            "transaction": entry.transaction,
            "kind": entry.kind,
            "reference": entry.reference,
            "request_key": entry.request_key,
            "body_sha256": entry.body_sha256.hex(),
            "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "hold": entry.hold,
            "postings": [list(posting) for posting in entry.postings],
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )


def link(before: bytes, text: str) -> bytes:
    """Return the hash of a transaction with this text that comes after the one with the hash `before`."""
    return hashlib.sha256(before + text.encode()).digest()
