"""Make the planner's machine code once, while the image is built: some 40 seconds that no start has to wait for."""

from broker.loops.planning import plan_and_verify
from broker.loops.warming import empty_snapshot, warm
from scheduler.horizon import Horizon
from scheduler.policy import Policy

if __name__ == "__main__":
    warm()
    plan_and_verify(empty_snapshot().to_bytes(), Horizon().to_bytes(), Policy(effort=1).to_json(), 1.0)
