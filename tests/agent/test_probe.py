"""Probes: what is measured, and what a place runs for them."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from broker.agent import probe
from broker.agent.config import BadConfig, parse_config
from broker.agent.orders import Desired, LeaseKey, Order, TaskPlace
from broker.agent.probe_command import PROBE, ProbeCommands, own
from broker.ids import JobId, LeaseId

CONFIG = """
endpoint: 127.0.0.1:7443
cluster: lab
key_file: lab.key
state_dir: lab
pools: [{pool: a, model: h20, nodes: 1, cards: 8, cpu_milli: 1000, memory_mib: 1000}]
"""


def order(*command: str, stack: str = "cann") -> Order:
    key = LeaseKey(LeaseId(1), 1)
    return Order(key, JobId(1), "ganzhou", "probe", stack, command, {}, (TaskPlace("n", (0,)),), 60, 0, renewed=False)


def test_a_product_of_matrices_is_counted_in_full() -> None:
    """A thousand squared times a thousand: 2 GFLOP each; five hundred of them in a second are a TFLOPS."""
    assert probe.milli_tflops(1000, 500, 1.0) == 1000
    assert probe.milli_tflops(1, 1, 100.0) == 1  # never nothing


def test_it_prints_one_line_that_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(["--size", "64", "--seconds", "0.01"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["xisuan_probe"], said["precision"]) == (1, "fp32")
    assert said["milli_tflops"] > 0


def test_without_numpy_plain_python_multiplies() -> None:
    product = probe.in_plain_python(3)()

    expected = np.matmul(*matrices(3))
    assert np.allclose(product, expected)


def matrices(size: int) -> list[list[list[float]]]:
    luck = random.Random(1)
    return [[[luck.random() for _ in range(size)] for _ in range(size)] for _ in range(2)]


def test_the_own_program_runs_by_itself() -> None:
    """It may be handed to a Python that has neither the broker nor NumPy."""
    source = Path(probe.__file__).read_text()
    command = [sys.executable, "-S", "-I", "-c", source, "--size", "8", "--seconds", "0.01"]

    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert said["precision"] == "fp64"
    assert own()[0] in (sys.executable, "python3")


def test_a_place_runs_its_own_program_for_a_probe_and_leaves_other_work_alone() -> None:
    commands = ProbeCommands({"cuda": ("gemm", "-q")}, ("mine",))
    desired = Desired(start=(order(PROBE, "--fast", stack="cuda"), order(PROBE), order("python", PROBE)))

    found = [each.command for each in commands.filled_in(desired).start]

    assert found == [("gemm", "-q", "--fast"), ("mine",), ("python", PROBE)]


def test_a_place_without_a_program_leaves_the_probe_to_fail() -> None:
    desired = Desired(start=(order(PROBE),))

    assert ProbeCommands({}).filled_in(desired) == desired
    assert ProbeCommands({}).filled_in(Desired()) == Desired()


def test_programs_of_real_cards_are_configuration(tmp_path: Path) -> None:
    found = parse_config(CONFIG + "probe_command: {cann: [./gemm, --fp16]}", source="lab.yaml", base=tmp_path)

    filled = found.probe_commands().filled_in(Desired(start=(order(PROBE), order(PROBE, stack="cuda"))))

    assert [each.command for each in filled.start] == [("./gemm", "--fp16"), own()]
    with pytest.raises(BadConfig, match="probe_command"):
        parse_config(CONFIG + "probe_command: {cann: []}", source="lab.yaml", base=tmp_path)
