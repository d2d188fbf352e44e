"""Ray on this machine. One raylet has all cards: several would talk over the machine's own address, not loopback only.

Run in a process of its own: `python -m benchmarks.real_rivals.ray_tasks FOLDER SIZE`, the size as JSON; prints the
figures as JSON. A task of Ray is a function in a worker that lives on; here it starts the same program that others
start, and is measured without it as well (`calls_per_second`).
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.real_rivals.tasks import Size, Tasks, per_second, probe, warmed

_STORE_BYTES: Final = 100 * 2**20


def main(size: Size, folder: Path) -> dict[str, float]:
    """Return the figures."""
    import ray

    ray.init(
        num_cpus=2 * size.nodes,  # so many workers are started beforehand; tasks ask for cards only
        resources={"card": size.cards},
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder / "ray"),
    )
    try:
        program: Any = ray.remote(num_cpus=0, resources={"card": 1})(_program)
        call: Any = ray.remote(num_cpus=0, resources={"card": 1})(_call)
        warmed(folder, size, program.remote)
        figures = probe(folder / "probes", size.probes, size.seconds_max, program.remote)
        tasks = Tasks(folder / "tasks")
        began = time.time()
        kept = [program.remote(tasks.command(number)) for number in range(size.tasks)]
        figures["tasks_per_second"] = tasks.rate(size.tasks, began, size.seconds_max)
        ray.get(kept)
        figures["calls_per_second"] = per_second(size.jobs, lambda: ray.get([call.remote() for _ in range(size.jobs)]))
        nowhere: Any = ray.remote(num_cpus=0, resources={"a card that nobody has": 1})(_call)
        kept = []
        figures["submit_one_per_second"] = per_second(
            size.jobs, lambda: kept.extend(nowhere.remote() for _ in range(size.jobs))
        )
    finally:
        ray.shutdown()
    return figures


def _program(command: list[str]) -> None:
    subprocess.run(command, check=True)


def _call() -> None:
    return None


if __name__ == "__main__":
    print(json.dumps(main(Size(**json.loads(sys.argv[2])), Path(sys.argv[1]))))
