"""What comes in from a browser: hostile until it is checked. Every problem names its field and the way out."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from broker.errors import FieldProblem, InvalidRequest, JobNotFound, RoundNotFound, invalid
from broker.ids import SLUG, JobId, RoundId, parse_job
from broker.ledger.money import AMOUNT_MICRO_YUAN_MAX

NODE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}")
YUAN: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?")
DAY: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
NODES_MAX: Final = 1000
REASON_CHARACTERS_MAX: Final = 200
ROUND_MAX: Final = 2**62
MICRO: Final = 1_000_000


def slug(field: str, text: str) -> str:
    """Return a name as the catalogue has them. Raise InvalidRequest."""
    if SLUG.fullmatch(text) is None:
        raise invalid(field, "must be 1 to 63 characters of a-z, 0-9 and '-', starting with a letter")
    return text


def slug_or_empty(field: str, text: str) -> str:
    """Return a name as the catalogue has them, or nothing. Raise InvalidRequest."""
    return text and slug(field, text)


def one_of(field: str, text: str, choices: Mapping[str, object]) -> str:
    """Return one of these words, the first for nothing. Raise InvalidRequest."""
    if not text:
        return next(iter(choices))
    if text not in choices:
        raise invalid(field, f"must be one of {', '.join(choices)}")
    return text


def text_of(form: MultiMapping[object], field: str) -> str:
    """Return a field of a form or query as text; nothing where it is not there or is a file."""
    value = form.get(field, "")
    return value.strip() if isinstance(value, str) else ""


def node_names(text: str) -> tuple[str, ...]:
    """Return names of nodes that stand apart by spaces or commas. Raise InvalidRequest that names the wrong ones."""
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if len(names) > NODES_MAX:
        raise invalid("nodes", f"has {len(names)} names, must have at most {NODES_MAX}: leave it empty for all nodes")
    wrong = [
        FieldProblem(f"nodes[{i}]", "must be 1 to 253 characters of A-Z, a-z, 0-9, '_.-'")
        for i, name in enumerate(names)
        if NODE_NAME.fullmatch(name) is None
    ]
    if wrong:
        raise InvalidRequest(*wrong[:20])
    return names


def said(field: str, text: str, most: int = REASON_CHARACTERS_MAX) -> str:
    """Return what a person must say. Raise InvalidRequest: it is missing, too long or unprintable."""
    if not text or len(text) > most or not text.isprintable():
        raise invalid(field, f"must be 1 to {most} printable characters: others read it later")
    return text


def micro_yuan(field: str, text: str) -> int:
    """Return yuan, written as 1234.50, as micro-yuan; 0 for nothing. Raise InvalidRequest."""
    if not text:
        return 0
    found = YUAN.fullmatch(text)
    amount = 0 if found is None else int(found[1]) * MICRO + int((found[2] or "").ljust(6, "0"))
    if not 0 < amount <= AMOUNT_MICRO_YUAN_MAX:
        raise invalid(field, "must be yuan, such as 250000 or 99.50: more than 0, at most six digits after the point")
    return amount


def day(field: str, text: str) -> date:
    """Return a day that is written as 2026-12-31. Raise InvalidRequest."""
    try:
        return date.fromisoformat(text if DAY.fullmatch(text) else "")
    except ValueError:
        raise invalid(field, "must be a day such as 2026-12-31") from None


def job_of(request: web.Request) -> JobId:
    """Return the job that the address names. Raise JobNotFound."""
    text = request.match_info["job"]
    found = parse_job(text)
    if found is None:
        raise JobNotFound(job=text[:40])
    return found


def round_of(request: web.Request) -> RoundId:
    """Return the round that the address names. Raise RoundNotFound."""
    text = request.match_info["round"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < ROUND_MAX):
        raise RoundNotFound(round=text[:40])
    return RoundId(int(text))


def number(field: str, text: str, low: int, high: int) -> int:
    """Return a whole number; the lowest for nothing. Raise InvalidRequest."""
    if not text:
        return low
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and low <= int(text) <= high):
        raise invalid(field, f"must be a whole number from {low} to {high}")
    return int(text)
