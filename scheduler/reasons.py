"""Why a job does not run in a pool, as stable strings that are stored, counted and shown."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One typed reason, in the order in which a pool is asked; the last failing check of the nearest pool is reported.

    A refusal carries one of `REFUSALS`; only the explanation of a placed job uses the other two.
    """

    NO_MATCHING_MODEL = "NO_MATCHING_MODEL"  # no build of the job names the pool's accelerator model and its stack
    MODEL_WITHOUT_FIGURE = "MODEL_WITHOUT_FIGURE"  # the model has no programme-counted FP16 figure to price by
    HUB_NOT_ALLOWED = "HUB_NOT_ALLOWED"  # the job does not allow the pool's hub
    ROUND_TRIP_TOO_LONG = "ROUND_TRIP_TOO_LONG"  # city to hub is over the job's limit, or nobody measured it
    PRICE_BELOW_ASK = "PRICE_BELOW_ASK"  # the ceiling does not exceed the owner's ask
    GANG_TOO_LARGE = "GANG_TOO_LARGE"  # even the whole empty pool cannot hold the gang
    POOL_CLOSED = "POOL_CLOSED"  # it would fit if cordoned or silent nodes were open
    CARDS_SHORT = "CARDS_SHORT"  # too few free cards on open nodes, task by task
    CPU_SHORT = "CPU_SHORT"  # cards would do, but too little CPU is free beside them
    MEMORY_SHORT = "MEMORY_SHORT"  # cards and CPU would do, but too little memory is free beside them
    OUTBID = "OUTBID"  # it fits alone, but other work is worth more
    CHOSEN = "CHOSEN"  # the job is placed here
    BETTER_ELSEWHERE = "BETTER_ELSEWHERE"  # it may run here, and the plan placed it in another pool


REFUSALS: tuple[Reason, ...] = tuple(r for r in Reason if r not in (Reason.CHOSEN, Reason.BETTER_ELSEWHERE))
