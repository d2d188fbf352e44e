"""Plan a stored round again, bit for bit."""

from __future__ import annotations

from dataclasses import replace

from scheduler.horizon import Horizon
from scheduler.plan import Plan
from scheduler.planner import plan
from scheduler.policy import Policy
from scheduler.rounds import Round, run_round
from scheduler.snapshot import Snapshot


def replay(snapshot_bytes: bytes, policy_json: str, effort: int) -> Plan:
    """Return the plan that a round without a horizon made from these bytes with `effort` steps, however it was stopped.

    Equal bytes need the library versions of that round: numpy and OR-Tools may search differently in another version.
    Raises: BadSnapshot, BadPolicy: what was stored is not what `to_bytes` and `to_json` wrote.
    """
    policy = replace(Policy.from_json(policy_json), effort=effort)
    return plan(Snapshot.from_bytes(snapshot_bytes), policy)


def replay_decision(snapshot_bytes: bytes, horizon_bytes: bytes, policy_json: str, effort: int) -> Round:
    """Return what a round made from these bytes, as `replay` returns the plan of one without a horizon."""
    policy = replace(Policy.from_json(policy_json), effort=effort)
    return run_round(Snapshot.from_bytes(snapshot_bytes), Horizon.from_bytes(horizon_bytes), policy)
