"""`python -m broker.agent.probe`: measure how fast matrices are multiplied here, and print it as one line of JSON.

It is what the local engine runs for a probe: a product of matrices on one processor of this machine, for the cards of
that engine are emulated; with NumPy in FP32, or without it, where jobs have none, in plain Python and FP64. Clusters
with real cards name a program of their own in `probe_command` of the agent's configuration; it prints the same line:

    {"xisuan_probe": 1, "milli_tflops": 251500, "precision": "fp16"}

`milli_tflops` are thousandths of a TFLOPS of one card. The file is run by itself too: it imports nothing of the broker.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence


def milli_tflops(size: int, products: int, seconds: float) -> int:
    """Return the speed of `products` products of square matrices, thousandths of a TFLOPS, at least 1.

    A product of two n x n matrices is n^3 multiplications and as many additions.
    """
    return max(1, int(2 * size**3 * products / seconds / 1e9))


def measure(multiply: Callable[[], object], size: int, seconds_min: float) -> int:
    """Multiply for as long, and return the speed in thousandths of a TFLOPS; the first product warms up."""
    multiply()
    began, products = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds_min or not products:
        multiply()
        products += 1
    return milli_tflops(size, products, taken)


def with_numpy(size: int) -> Callable[[], object]:
    """Return what multiplies two matrices in FP32. Raise ImportError: there is no NumPy here."""
    import numpy as np

    luck = np.random.default_rng(1)
    left, right = (luck.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    found = np.empty_like(left)
    return lambda: np.matmul(left, right, out=found)


def in_plain_python(size: int) -> Callable[[], object]:
    """Return what multiplies two matrices in FP64."""
    luck = random.Random(1)  # noqa: S311 - it fills matrices
    left, right = ([[luck.random() for _ in range(size)] for _ in range(size)] for _ in range(2))
    columns = list(zip(*right, strict=True))
    return lambda: [[sum(map(float.__mul__, row, column)) for column in columns] for row in left]


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m broker.agent.probe", description="Measure a product of matrices.")
    parser.add_argument("--size", type=int, default=1024, help="rows and columns [1024; 64 without NumPy]")
    parser.add_argument("--seconds", type=float, default=2.0, help="for how long to multiply [2]")
    asked = parser.parse_args(arguments)
    size, precision = max(1, asked.size), "fp32"
    try:
        multiply = with_numpy(size)
    except ImportError:
        size, precision = min(size, 64), "fp64"
        multiply = in_plain_python(size)
    speed = measure(multiply, size, asked.seconds)
    print(json.dumps({"xisuan_probe": 1, "milli_tflops": speed, "precision": precision}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
