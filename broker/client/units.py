"""Amounts as people write them ("2h30m", "64GiB"). Where a reader could take one for another, it is refused."""

import re
from decimal import Decimal
from typing import Final

_DURATION: Final = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?")
_DURATION_SECONDS: Final = (86_400, 3_600, 60, 1)
_MEMORY: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(MiB|GiB|TiB)")
_MEMORY_MIB: Final = {"MiB": 1, "GiB": 1024, "TiB": 1024 * 1024}
_DECIMAL: Final = re.compile(r"\d+(?:\.\d+)?")
_ROUND_TRIP: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_ROUND_TRIP_MICROS: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}
_TEXT_MAX: Final = 40


def seconds(text: str) -> int:
    """Return the seconds of a duration such as "90s", "2h30m" or "1d". Raise ValueError with the way out."""
    found = _DURATION.fullmatch(_short(text))
    if found is None or not any(found.groups()):
        raise ValueError(
            f'{_shown(text)} is no duration: write days, hours, minutes and seconds, such as "2h30m" or "1d"'
        )
    return sum(int(amount or 0) * unit for amount, unit in zip(found.groups(), _DURATION_SECONDS, strict=True))


def mib(text: str) -> int:
    """Return the MiB of an amount of memory such as "64GiB" or "1.5TiB". Raise ValueError with the way out."""
    found = _MEMORY.fullmatch(_short(text))
    if found is None:
        raise ValueError(
            f'{_shown(text)} is no amount of memory: write MiB, GiB or TiB (powers of 1024), such as "64GiB"'
        )
    return _whole(Decimal(found[1]) * _MEMORY_MIB[found[2]], "MiB", text)


def gib(text: str) -> int:
    """Return the GiB of an amount of data such as "500GiB" or "2TiB". Raise ValueError with the way out."""
    found = _MEMORY.fullmatch(_short(text))
    if found is None:
        raise ValueError(f'{_shown(text)} is no amount of data: write GiB or TiB (powers of 1024), such as "500GiB"')
    return _whole(Decimal(found[1]) * _MEMORY_MIB[found[2]] / 1024, "GiB", text)


def ppm(text: str) -> int:
    """Return the millionths of a part of one, such as "0.8". Raise ValueError with the way out."""
    found = _DECIMAL.fullmatch(_short(text))
    if found is None or not 0 < Decimal(found[0]) <= 1:
        raise ValueError(f'{_shown(text)} is no part of full speed: write a number above 0 and up to 1, such as "0.8"')
    return _whole(Decimal(found[0]) * 1_000_000, "millionths", text)


def cpu_milli(text: str) -> int:
    """Return the thousandths of a core of a number of cores such as "8" or "0.5". Raise ValueError with the way out."""
    found = _DECIMAL.fullmatch(_short(text))
    if found is None:
        raise ValueError(f'{_shown(text)} is no number of cores: write for example "8" or "0.5"')
    return _whole(Decimal(found[0]) * 1000, "thousandths of a core", text)


def micros(text: str) -> int:
    """Return the microseconds of a round trip such as "20ms". Raise ValueError with the way out."""
    found = _ROUND_TRIP.fullmatch(_short(text))
    if found is None:
        raise ValueError(f'{_shown(text)} is no round trip: write it with us, ms or s, such as "20ms"')
    return _whole(Decimal(found[1]) * _ROUND_TRIP_MICROS[found[2]], "microseconds", text)


def micro_yuan(text: str) -> int:
    """Return the micro-yuan of an amount of yuan such as "1000" or "0.25". Raise ValueError with the way out."""
    found = _DECIMAL.fullmatch(_short(text))
    if found is None:
        raise ValueError(f'{_shown(text)} is no amount of yuan: write for example "1000" or "0.25"')
    return _whole(Decimal(found[0]) * 1_000_000, "micro-yuan", text)


def _whole(amount: Decimal, unit: str, text: str) -> int:
    if amount != int(amount):
        raise ValueError(f"{_shown(text)} is not a whole number of {unit}")
    return int(amount)


def _short(text: str) -> str:
    return text.strip() if len(text) <= _TEXT_MAX and text.isascii() else ""


def _shown(text: str) -> str:
    return ascii(text[:_TEXT_MAX])
