"""The broker's cached view of the catalogue: read again every few seconds, at most once at a time."""

import asyncio
from typing import Final

from broker.market.admission import Catalogue
from broker.store import catalogue_view
from broker.store.database import Database

FRESH_SECONDS: Final = 3.0
"""How old the view may be that a job is accepted by."""

REFUSAL_FRESH_SECONDS: Final = 0.5
"""How old the view may be that a job is refused by: what it names may have been added a moment ago."""


class Catalogues:
    """Hands out the catalogue, not older than the caller needs it."""

    def __init__(self, database: Database, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._database = database
        self._fresh_seconds = fresh_seconds
        self._lock = asyncio.Lock()
        self._current = Catalogue(catalogue_view.CatalogueView({}, {}, frozenset(), ()))
        self._read_at = float("-inf")  # on the event loop's clock

    async def current(self, fresh_seconds: float | None = None) -> Catalogue:
        """Return the catalogue, read at most `fresh_seconds` ago (None: as set). Raise DatabaseUnavailable."""
        if fresh_seconds is None:
            fresh_seconds = self._fresh_seconds
        if self._age() <= fresh_seconds:
            return self._current
        async with self._lock:
            if self._age() > fresh_seconds:
                began = asyncio.get_running_loop().time()
                async with self._database.hub() as tx:
                    view = await catalogue_view.read(tx)
                if view != self._current.view:
                    self._current = Catalogue(view)
                self._read_at = began
            return self._current

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._read_at
