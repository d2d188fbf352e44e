"""What a supervisor is told about its lease: plain values for `spec.json`, everything decided already."""

import os
import secrets
from pathlib import Path
from typing import Any

from broker.agent.engines import files
from broker.agent.engines.accounts import Account
from broker.agent.engines.visible import VISIBLE_DEVICES
from broker.agent.orders import LeaseKey, Order
from broker.ids import JobId, job_text, lease_text

WHOLE_MILLI = 1000
"""A whole card, in thousandths."""


def folder_name(key: LeaseKey) -> str:
    """Return the name of the lease's folder."""
    return f"lease-{key.lease}.{key.epoch}"


def data_ready_file(work_folder: str) -> str:
    """Return the file that the first task creates to tell that its job's data are ready for the jobs after it."""
    return os.path.join(work_folder, "task-0", files.DATA_READY)


def lease_spec(
    order: Order, *, account: Account, state: Path, work_root: Path, log_bytes_max: int, open_files: int
) -> dict[str, Any]:
    """Return what the supervisor of this order has to know.

    Args:
        order: what the broker wants.
        account: whom the tasks run as.
        state: the engine's state folder.
        work_root: folder in which the lease gets its working directories.
        log_bytes_max: most bytes that are kept of one output of one task.
        open_files: how many files a task may have open (soft limit).
    """
    return {
        "lease": order.key.lease,
        "epoch": order.key.epoch,
        "job": job_text(order.job),
        "tasks": [{"node": task.node, "cards": task.cards} for task in order.tasks],
        "milli": order.share_milli or WHOLE_MILLI,
        "command": order.command,
        "environment": dict(order.environment),
        "common_environment": {
            "XISUAN_JOB_ID": job_text(order.job),
            "XISUAN_CITY": order.city,
            "XISUAN_LEASE": lease_text(order.key.lease),
            "XISUAN_EPOCH": str(order.key.epoch),
            "XISUAN_TASKS": str(len(order.tasks)),
            "XISUAN_SHARE_MILLI": str(order.share_milli or WHOLE_MILLI),
            "XISUAN_NODES": ",".join(dict.fromkeys(task.node for task in order.tasks)),
            "XISUAN_COOKIE": secrets.token_hex(16),
        },
        "visible_devices": VISIBLE_DEVICES.get(order.stack, ()),
        "walltime_seconds": order.walltime_seconds,
        "grace_seconds": order.grace_seconds,
        "renewed": order.renewed,
        "user": account.user,
        "group": account.group,
        "user_name": account.name,
        "work_folder": str(work_root / folder_name(order.key)),
        "log_bytes_max": log_bytes_max,
        "open_files": open_files,
        "record": str(state / "engine.jsonl"),
        "bell": str(state / "bell"),
        "renewal": str(state / "renewal.json"),
    }


def empty_spec(key: LeaseKey, job: JobId | None) -> dict[str, Any]:
    """Return the spec of a lease that never runs here: nothing but its name."""
    return {"lease": key.lease, "epoch": key.epoch, "job": "" if job is None else job_text(job), "tasks": []}
