"""What a replay must never do, checked again from the log: it shares no code with the engine or with any policy.

Only the workload and the log go in. Promises are not broken in silence: each one that was is counted, and the count is
part of the figures; the audit counts on its own and compares. Quotes are more than that: `audit_quotes`.
"""

from collections import defaultdict

from benchmarks.replay import audit_quotes
from benchmarks.replay.engine import Log
from benchmarks.replay.workload import Workload


def findings(load: Workload, log: Log, promises_broken: int) -> list[str]:
    """Return one sentence for each broken rule; nothing for a clean run.

    Args: promises_broken: as the figures have it.
    """
    found = _gangs(load, log) + _cards(load, log) + _work(load, log)
    first: dict[int, int] = {}
    for job, start in zip(log.job, log.start_s, strict=True):
        first[job] = min(start, first.get(job, start))
    broken = sum(1 for job, (by, _) in log.promised.items() if job not in first or first[job] > by)
    if broken != promises_broken:
        found.append(f"{broken} promised starts were missed, the figures account for {promises_broken}")
    return found + audit_quotes.findings(load, log)


def _gangs(load: Workload, log: Log) -> list[str]:
    """Every run is a whole gang in one pool where it may run, after it was submitted."""
    found = []
    for run, job in enumerate(log.job):
        pool, nodes, cards = log.pool[run], log.nodes[run], log.cards[run]
        first, last = int(load.world.pool_first[pool]), int(load.world.pool_first[pool + 1])
        each = int(load.per_task[job])
        if load.run_s[job, pool] <= 0:
            found.append(f"job {job} runs in pool {pool}, where it may not")
        if sum(cards) != int(load.trace.cards[job]) or any(count <= 0 or count % each for count in cards):
            found.append(f"job {job} runs on {list(cards)} cards: {load.tasks[job]} whole tasks of {each} are its gang")
        if len(set(nodes)) != len(nodes) or not all(first <= node < last for node in nodes):
            found.append(f"job {job} runs on nodes {list(nodes)[:5]}, which are not all of pool {pool}")
        if log.start_s[run] < int(load.trace.submit_s[job]):
            found.append(f"job {job} starts at {log.start_s[run]}, before it is submitted")
    return found


def _cards(load: Workload, log: Log) -> list[str]:
    """No card is held twice: at one second leases end before others begin."""
    changes: list[tuple[int, int, int, int]] = []
    for run in range(len(log.job)):
        for node, count in zip(log.nodes[run], log.cards[run], strict=True):
            changes.append((log.start_s[run], 1, node, count))
            if log.ended_s[run] >= 0:
                changes.append((log.ended_s[run], 0, node, -count))
    changes.sort()
    held: dict[int, int] = defaultdict(int)
    limit = dict(enumerate(load.world.node_cards.tolist()))
    found = []
    for at, _, node, count in changes:
        held[node] += count
        if not 0 <= held[node] <= limit.get(node, 0):
            found.append(f"at {at} node {node} has {held[node]} of {limit.get(node, 0)} cards in use")
    return found


def _work(load: Workload, log: Log) -> list[str]:
    """Every job is done: one run after the other, the last one to its end, and never longer than it asked for."""
    runs = defaultdict(list)
    for run, job in enumerate(log.job):
        runs[job].append(run)
    found = [f"job {job} never ran" for job in range(load.jobs) if job not in runs]
    for job, mine in runs.items():
        left, walltime, every = 1.0, int(load.walltime_s[job]), int(load.trace.checkpoint_s[job])
        for number, run in enumerate(mine):
            lasted, whole = log.ended_s[run] - log.start_s[run], int(load.run_s[job, log.pool[run]])
            if log.ended_s[run] < 0:
                found.append(f"job {job} had not ended when the replay did")
            elif lasted > walltime:
                found.append(f"job {job} ran {lasted} s and asked for {walltime}")
            elif number and log.start_s[run] < log.ended_s[mine[number - 1]]:
                found.append(f"job {job} runs twice at {log.start_s[run]}")
            elif log.preempted[run]:
                if every < 0:
                    found.append(f"job {job} was preempted at {log.ended_s[run]}, which it does not allow")
                if number and (every <= 0 or lasted < every):  # an earlier run can only have ended so too
                    found.append(f"job {job} was preempted at {log.ended_s[run]}, twice without a checkpoint between")
                left -= (lasted // every * every if every > 0 else 0) / whole
            elif abs(lasted - min(left * whole, walltime)) > 1:
                found.append(f"job {job} ended after {lasted} s, {left * whole:.0f} s of work were left")
        if log.preempted[mine[-1]]:
            found.append(f"job {job} was preempted and never came back")
    return found
