"""Place holds in groups: those that arrive while one transaction runs share the next one.

Whatever draws on one busy voucher waits for its row anyway; so it waits here, where many can share one lock, one
commit and one write to the disk. Each is still accepted or refused alone, in the order of arrival.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.errors import DatabaseUnavailable
from broker.ledger.holds import HoldDraft, check_draft
from broker.store import holds
from broker.store.database import Database
from broker.store.holds import Held, Outcome

GROUP_HOLDS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A hold that somebody waits for."""

    draft: HoldDraft
    now: datetime
    answer: "asyncio.Future[Held]"


class HoldIntake:
    """Places holds; a queue and one transaction at a time for each account that is drawn on first."""

    def __init__(self, database: Database, *, group_holds_max: int = GROUP_HOLDS_MAX) -> None:
        """`group_holds_max` holds share one transaction at most."""
        self._database = database
        self._group_holds_max = group_holds_max
        self._queues: dict[str, deque[_Waiting]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def place(self, draft: HoldDraft, *, now: datetime) -> Held:
        """Place a hold and return it.

        Raises:
            InvalidRequest, AccountNotFound, AccountClosed, InsufficientCredit, BalanceTooLarge, PostingConflict: it is
                refused; nothing is posted.
            DatabaseUnavailable: nothing is known; the same key can be sent again safely.
        """
        check_draft(draft)
        answer: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        account = draft.sources[0].account
        self._queues.setdefault(account, deque()).append(_Waiting(draft, now, answer))
        if account not in self._writers:
            self._writers[account] = asyncio.create_task(self._write_queue(account), name=f"holds-{account}")
        return await answer

    async def _write_queue(self, account: str) -> None:
        queue = self._queues[account]
        try:
            while queue:
                await self._write_group([queue.popleft() for _ in range(min(len(queue), self._group_holds_max))])
        finally:
            del self._writers[account], self._queues[account]  # accounts are many: an idle one leaves nothing
            for waiting in queue:  # only when this task was cancelled
                waiting.answer.cancel()

    async def _write_group(self, group: list[_Waiting]) -> None:
        try:
            outcomes = await self._write(group)
        except asyncio.CancelledError:
            for waiting in group:
                waiting.answer.cancel()
            raise
        except DatabaseUnavailable as error:
            for waiting in group:
                _tell(waiting, DatabaseUnavailable(retry_after_seconds=error.retry_after_seconds))
        except Exception as error:  # one hold must not take the others with it
            if len(group) == 1:
                _tell(group[0], error)
                return
            for waiting in group:
                await self._write_group([waiting])
        else:
            for waiting, outcome in zip(group, outcomes, strict=True):
                _tell(waiting, outcome)

    async def _write(self, group: list[_Waiting]) -> list[Outcome]:
        async with self._database.hub() as tx:
            return await holds.place(tx, [w.draft for w in group], max(w.now for w in group))


def _tell(waiting: _Waiting, outcome: Held | Exception) -> None:
    if waiting.answer.done():  # its caller has gone
        return
    if isinstance(outcome, Exception):
        waiting.answer.set_exception(outcome)
    else:
        waiting.answer.set_result(outcome)
