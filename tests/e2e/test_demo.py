"""The demo, as small as it can be, with every part killed once: it ends well, and its audit is clean."""

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


def demo(folder: Path, *options: str) -> Told:
    """Run the demo with everything in the folder."""
    return xisuan("demo", "--folder", folder, *options, environment={"COLUMNS": "120"}, seconds_max=240)
