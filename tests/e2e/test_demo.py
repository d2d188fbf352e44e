"""The demos, as small as they can be: they end well, their money adds up, and their audits are clean."""

import re
from pathlib import Path

import pytest

from tests.conftest import temporary_folder
from tests.e2e.exchange import Told, xisuan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_the_demo_with_chaos_ends_with_a_clean_audit() -> None:
    with temporary_folder() as folder:
        told = demo(folder, "--seconds", "8", "--jobs", "40", "--chaos")

    assert told.code == 0, told.out + told.err
    for killed in ("agent", "broker", "PostgreSQL"):
        assert f"kill -9 {killed}" in told.out
    assert "Audit clean" in told.out
    assert "proven gap" in told.out
    assert re.search(r"Invoice city/\w+, 20\d\d-\d\d \(provisional", told.out)
    assert re.search(r"granted in 6 vouchers +│ +30\.000000", told.out)
    assert re.search(r"left to grant +│ +70\.000000", told.out)
    assert not re.search(r" {2}used +│ +0\.000000", told.out)
    assert "the budget, by grants, lasts until" in told.out
    assert "not settled yet" not in told.out


def test_in_voucher_rush_the_budget_is_given_away_once_and_who_is_late_is_refused() -> None:
    """20 enterprises ask for about three times what there is, 100,000 yuan."""
    with temporary_folder() as folder:
        told = demo(folder, "--scenario", "voucher-rush", "--enterprises", "20")

    assert told.code == 0, told.out + told.err
    sums = re.search(r"granted ([\d,.]+) \+ left ([\d,.]+) = ([\d,.]+), the budget was ([\d,.]+)", told.out)
    assert sums is not None, told.out
    granted, left, total, budget = (micro_yuan(text) for text in sums.groups())
    assert granted + left == total == budget == 100_000_000_000
    assert granted > budget - 20_000_000_000  # nobody asks for more, so who was refused came too late
    assert re.search(r"refused: \d+ INSUFFICIENT_CREDIT", told.out)
    assert "Books verified" in told.out
    assert "Audit clean" in told.out


def micro_yuan(text: str) -> int:
    """Return an amount as it is printed, to the micro-yuan."""
    return int(text.rstrip(",.").replace(",", "").replace(".", ""))


def demo(folder: Path, *options: str) -> Told:
    """Run the demo with everything in the folder."""
    return xisuan("demo", "--folder", folder, *options, environment={"COLUMNS": "120"}, seconds_max=240)
