"""Amounts as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.client import units


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("2h30m", 9000), ("2h 30m", 9000), ("1d", 86_400), ("1d1s", 86_401), ("0s", 0), (" 5m ", 300)],
)
def test_durations(text: str, expected: int) -> None:
    assert units.seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "90", "2:30", "30m2h", "1.5h", "1h1h", "-1s", "1 week", "1H", "٣s", "9" * 50 + "s"]
)
def test_what_could_be_read_in_two_ways_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="2h30m"):
        units.seconds(text)


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_duration_reads_back(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"

    assert units.seconds(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@pytest.mark.parametrize(("text", "expected"), [("64GiB", 65_536), ("1.5TiB", 1_572_864), ("512 MiB", 512)])
def test_memory(text: str, expected: int) -> None:
    assert units.mib(text) == expected


@pytest.mark.parametrize("text", ["64", "64GB", "64G", "64gib", "0.3MiB", "-1GiB", "1e3GiB"])
def test_memory_needs_a_unit_that_means_one_thing(text: str) -> None:
    """GB is a thousand millions to some and 1024 MiB to others."""
    with pytest.raises(ValueError, match="MiB"):
        units.mib(text)


@pytest.mark.parametrize(("text", "expected"), [("8", 8000), ("0.5", 500), ("0.125", 125)])
def test_cores(text: str, expected: int) -> None:
    assert units.cpu_milli(text) == expected


@pytest.mark.parametrize("text", ["", "half", "0.0001", "-1", "1e3", "nan", "inf"])
def test_what_is_no_number_of_cores(text: str) -> None:
    with pytest.raises(ValueError, match="core"):
        units.cpu_milli(text)


@pytest.mark.parametrize(("text", "expected"), [("20ms", 20_000), ("1.5ms", 1_500), ("800us", 800), ("1s", 1_000_000)])
def test_round_trips(text: str, expected: int) -> None:
    assert units.micros(text) == expected


@given(st.text(max_size=60))
def test_any_text_is_an_amount_or_a_plain_error(text: str) -> None:
    for read in (units.seconds, units.mib, units.cpu_milli, units.micros):
        with contextlib.suppress(ValueError):
            assert read(text) >= 0
