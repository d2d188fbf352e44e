"""Check an exported audit chain without its database: every hash, every balance, every transaction."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from broker.audit.ledger import NEVER_BELOW_ZERO


@dataclass(slots=True)
class Checked:
    """What an exported chain says.

    Attributes:
        transactions: how many there are.
        last_sha256: hash of the last one, in hexadecimal: who has it can tell whether the books are these.
        problems: what must never be.
        balances: what every account has at the end, by name and pocket, in micro-yuan.
    """

    transactions: int = 0
    last_sha256: str = "00" * 32
    problems: list[str] = field(default_factory=list)
    balances: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))


def check_lines(lines: Iterable[str]) -> Checked:
    """Return what the lines of an export say; each is a JSON object with position, sha256 and text, from position 1."""
    found = Checked()
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            problem = _next(found, number, int(entry["position"]), str(entry["sha256"]), str(entry["text"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"is not a line of an export ({error!r})"
        if problem:
            found.problems.append(f"line {number} {problem}")
            return found  # what comes after cannot be judged
    for (account, pocket), micro_yuan in sorted(found.balances.items()):
        if micro_yuan < 0 and (account.partition("/")[0] in NEVER_BELOW_ZERO or pocket == "held"):
            found.problems.append(f"{account} is at {micro_yuan} micro-yuan ({pocket})")
    return found


def _next(found: Checked, number: int, position: int, sha256: str, text: str) -> str:
    """Take one transaction in; return what is wrong with it, or an empty text."""
    if position != number:
        return f"has position {position}, where {number} is due"
    if hashlib.sha256(bytes.fromhex(found.last_sha256) + text.encode()).hexdigest() != sha256:
        return "does not have the hash of its text and the line before: the chain is broken"
    postings: list[tuple[str, str, Any]] = [(a, p, m) for a, p, m in json.loads(text)["postings"]]
    if sum(m for _, _, m in postings) or not all(type(m) is int for _, _, m in postings):
        return "has postings that do not add up to zero"
    for account, pocket, micro_yuan in postings:
        found.balances[account, pocket] += micro_yuan
    found.transactions, found.last_sha256 = number, sha256
    return ""
