"""The dashboards, one module each."""

from typing import Final

from deploy.grafana.boards import agents, capacity, city, hub, market, scheduler, slo
from deploy.grafana.model import Board

BOARDS: Final[tuple[Board, ...]] = (
    hub.BOARD,
    capacity.BOARD,
    market.BOARD,
    city.BOARD,
    scheduler.BOARD,
    agents.BOARD,
    slo.BOARD,
)
