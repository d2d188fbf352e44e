"""A probe, from the command line to a program that really multiplies matrices, and back into the books."""

import pytest

from tests.e2e.exchange import ASCEND, Exchange

pytestmark = pytest.mark.e2e


async def test_a_cluster_is_measured_and_an_emulated_result_says_so(exchange: Exchange) -> None:
    made = exchange.xisuan("admin", "probe", ASCEND, "--city", "ganzhou", "--json").data
    shown = exchange.xisuan("probes", "--city", "ganzhou").out
    scores = exchange.xisuan("reliability", "--operator", "--cluster", ASCEND, "--json").data["scores"]

    assert (made["cluster"], made["emulated"], made["cards"]) == (ASCEND, True, 1)
    assert made["precision"] in ("fp32", "fp64")  # as the Python of jobs has NumPy or not
    assert int(made["measured_milli_tflops"]) > 0
    assert "emulated" in shown
    [score] = scores
    assert "RELIABILITY_PART_SPEED" not in [part["part"] for part in score["parts"]]
    assert "RELIABILITY_PART_KEPT" in [part["part"] for part in score["parts"]]
