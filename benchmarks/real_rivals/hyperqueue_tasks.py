"""HyperQueue: its server and a worker for each node, in one process; a card is one of the worker's cores.

Run by an interpreter that has it: `python -m benchmarks.real_rivals.hyperqueue_tasks FOLDER SIZE`, the size as JSON;
prints the figures as JSON. Only the standard library and what `benchmarks.real_rivals.tasks` has.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.real_rivals.tasks import CARDS_PER_NODE, Size, Tasks, per_second, probe, warmed


def main(size: Size, folder: Path) -> dict[str, float]:
    """Return the figures."""
    from hyperqueue import Job

    def job(commands: list[list[str]]) -> Any:
        made = Job(default_workdir=str(folder))
        for command in commands:
            made.program(command, stdout=None, stderr=None)
        return made

    with _client(folder / "runs", size.nodes) as client:
        warmed(folder, size, lambda command: client.submit(job([command])))
        figures = probe(folder / "probes", size.probes, size.seconds_max, lambda c: client.submit(job([c])))
        tasks = Tasks(folder / "tasks")
        began = time.time()
        client.submit(job([tasks.command(number) for number in range(size.tasks)]))
        figures["tasks_per_second"] = tasks.rate(size.tasks, began, size.seconds_max)
        single = Tasks(folder / "single")
        began = time.time()
        for number in range(size.tasks):
            client.submit(job([single.command(number)]))
        figures["single_tasks_per_second"] = single.rate(size.tasks, began, size.seconds_max)
    with _client(folder / "waits", 0) as client:  # without workers nothing is started beside it
        figures["submit_one_per_second"] = per_second(
            size.jobs, lambda: [client.submit(job([["true"]])) for _ in range(size.jobs)]
        )
        figures["submit_bulk_per_second"] = per_second(size.jobs, lambda: client.submit(job([["true"]] * size.jobs)))
    return figures


@contextmanager
def _client(folder: Path, nodes: int) -> Iterator[Any]:
    from hyperqueue import LocalCluster
    from hyperqueue.cluster import WorkerConfig

    folder.mkdir()
    with LocalCluster(str(folder)) as cluster:
        for _ in range(nodes):
            cluster.start_worker(WorkerConfig(cores=CARDS_PER_NODE))
        yield cluster.client()


if __name__ == "__main__":
    print(json.dumps(main(Size(**json.loads(sys.argv[2])), Path(sys.argv[1]))))
