"""Does the budget of voucher-rush hold, in every state that the books were ever in? Pure: an exported chain in."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.audit.ledger_file import check_lines


@dataclass(frozen=True, slots=True)
class Books:
    """What an exported chain says of a budget, in micro-yuan.

    Attributes:
        problems: what must never be and is.
        transactions: how many there are; each one's hash was checked.
        last_sha256: hash of the last one.
        lowest: the least that the budget ever had.
        left: what it has at the end.
        granted: what went out of it into vouchers.
        held_most: what all vouchers held at most at one time.
        on_vouchers: what they have at the end, free and held.
    """

    problems: tuple[str, ...]
    transactions: int
    last_sha256: str
    lowest: int
    left: int
    granted: int
    held_most: int
    on_vouchers: tuple[int, int]


def read(lines: Sequence[str], budget: str, paid_in: int) -> Books:
    """Check every hash, and walk through the chain with the balances of the budget and of all vouchers.

    Args:
        lines: of `xisuan ledger export`, from the first one.
        budget: the account of the budget.
        paid_in: micro-yuan that it was given.
    """
    checked = check_lines(lines)
    problems = list(checked.problems)
    left, lowest, granted, most = 0, paid_in, 0, 0
    pockets: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        entry = json.loads(json.loads(line)["text"])
        moved = _moved(entry["postings"], budget)
        left += moved
        if left < lowest and moved < 0:
            lowest = left
        granted -= moved if entry["kind"] == "grant" else 0
        for account, pocket, micro_yuan in entry["postings"]:
            if account.startswith("voucher/"):
                pockets[account, pocket] += micro_yuan
                if pockets[account, pocket] < 0:
                    problems.append(f"{account} ({pocket}) was at {pockets[account, pocket]} in {entry['transaction']}")
        most = max(most, _sum(pockets, "held"))
    if lowest < 0:
        problems.append(f"{budget} was at {lowest}: more was granted than there was")
    if granted + left != paid_in:
        problems.append(f"{budget} got {paid_in}, but granted {granted} and left {left} are not that")
    there = _sum(pockets, "available"), _sum(pockets, "held")
    return Books(tuple(problems), checked.transactions, checked.last_sha256, lowest, left, granted, most, there)


def _moved(postings: Sequence[tuple[str, str, int]], account: str) -> int:
    return sum(micro_yuan for name, _, micro_yuan in postings if name == account)


def _sum(pockets: Mapping[tuple[str, str], int], pocket: str) -> int:
    return sum(micro_yuan for (_, name), micro_yuan in pockets.items() if name == pocket)
