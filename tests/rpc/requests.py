"""Requests that are right, for tests to spoil."""

from datetime import UTC, datetime
from typing import Any

from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def build(**changes: Any) -> pb.Build:
    return pb.Build(**{"stack": "cann", "command": ["python", "train.py"]} | changes)


def spec(**changes: Any) -> pb.JobSpec:
    right: dict[str, Any] = {
        "name": "pretrain",
        "tasks": 2,
        "cards_per_task": 8,
        "walltime_seconds": 3600,
        "builds": [build()],
    }
    return pb.JobSpec(**right | changes)


def submit(key: str = "key-1", *, city: str = "", **changes: Any) -> spb.SubmitJobRequest:
    return spb.SubmitJobRequest(request_key=key, spec=spec(**changes), city=city)
