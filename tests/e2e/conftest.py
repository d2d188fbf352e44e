"""An exchange for the tests of a module."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, CAMBRICON, Exchange


@pytest.fixture(scope="module")
async def exchange() -> AsyncIterator[Exchange]:
    """A broker on the laptop world, with agents for CANN and NeuWare cards, 16 of each."""
    with running.exchange() as made:
        made.start_agent(ASCEND)
        made.start_agent(CAMBRICON)
        await made.attached(ASCEND, CAMBRICON)
        yield made
