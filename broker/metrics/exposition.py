"""All metrics as Prometheus reads them."""

from prometheus_client import generate_latest

from broker.metrics.registry import OF_PROCESS
from broker.metrics.state import STATE


def exposition() -> bytes:
    """Return all metrics as Prometheus reads them; the state's text was made when the state was read."""
    return generate_latest(OF_PROCESS) + STATE.text
