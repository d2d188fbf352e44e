"""How often a login may fail: by address, and all together, so that guessing costs more than it can bring."""

from collections import OrderedDict
from typing import Final

from broker.gcra import MILLIS_OF_CALL, NANOS_IN_SECOND, decide

TRIES_PER_SECOND: Final = 1
BURST: Final = 10
ADDRESSES_MAX: Final = 4096
ALL_PER_SECOND: Final = 20
ALL_BURST: Final = 100


class Logins:
    """Counts tries to log in, good ones too."""

    def __init__(self) -> None:
        self._full_at_nanos: OrderedDict[str, int] = OrderedDict()
        self._all_full_at_nanos = 0

    def wait_seconds(self, address: str, now_seconds: float) -> float:
        """Count a try from an address; return 0, or after how many seconds it may be made instead."""
        now_nanos = int(now_seconds * NANOS_IN_SECOND)
        mine = decide(
            self._full_at_nanos.pop(address, 0),
            now_nanos,
            cost_millis=MILLIS_OF_CALL,
            calls_per_second=TRIES_PER_SECOND,
            burst=BURST,
        )
        self._full_at_nanos[address] = mine.full_at_nanos
        if len(self._full_at_nanos) > ADDRESSES_MAX:
            self._full_at_nanos.popitem(last=False)
        if not mine.allowed:
            return mine.retry_after_nanos / NANOS_IN_SECOND
        all_of_them = decide(
            self._all_full_at_nanos,
            now_nanos,
            cost_millis=MILLIS_OF_CALL,
            calls_per_second=ALL_PER_SECOND,
            burst=ALL_BURST,
        )
        self._all_full_at_nanos = all_of_them.full_at_nanos
        return all_of_them.retry_after_nanos / NANOS_IN_SECOND
