"""Why a job does not run in a pool, as stable strings that are stored, counted and shown."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One typed reason, in the order in which a pool is asked; the last failing check of the nearest pool is reported.

    A refusal carries one of `REFUSALS`; only the explanation of a placed job uses the other two.
    """

    NO_MATCHING_MODEL = "NO_MATCHING_MODEL"  # no build of the job names the pool's accelerator model and its stack
    MODEL_WITHOUT_FIGURE = "MODEL_WITHOUT_FIGURE"  # the model has no programme-counted FP16 figure to price by
    DOMESTIC_ONLY = "DOMESTIC_ONLY"  # the job wants domestic models only, and the pool's is not
    OWNER_NOT_ALLOWED = "OWNER_NOT_ALLOWED"  # the job does not allow the pool's owner
    CARD_NOT_SHARED = "CARD_NOT_SHARED"  # the model offers no slice as large as the share asked for
    HUB_NOT_ALLOWED = "HUB_NOT_ALLOWED"  # the job does not allow the pool's hub
    ROUND_TRIP_TOO_LONG = "ROUND_TRIP_TOO_LONG"  # city to hub is over the job's limit, or nobody measured it
    TRANSFER_TOO_LONG = "TRANSFER_TOO_LONG"  # the input would arrive too late, or nobody measured the way
    TOO_LATE = "TOO_LATE"  # it would end after the time by which it must be done
    RESERVED = "RESERVED"  # it would still run when these nodes, or their power, are promised, or they are closed
    PRICE_BELOW_ASK = "PRICE_BELOW_ASK"  # the ceiling does not exceed ask, energy and transfer
    GANG_TOO_LARGE = "GANG_TOO_LARGE"  # even the whole empty pool cannot hold the gang
    POOL_CLOSED = "POOL_CLOSED"  # it would fit if cordoned or silent nodes were open
    CARDS_SHORT = "CARDS_SHORT"  # too few free cards on open nodes, task by task
    CPU_SHORT = "CPU_SHORT"  # cards would do, but too little CPU is free beside them
    MEMORY_SHORT = "MEMORY_SHORT"  # cards and CPU would do, but too little memory is free beside them
    FABRIC_SHORT = "FABRIC_SHORT"  # it would fit, but not within one domain or node as it must
    POWER_SHORT = "POWER_SHORT"  # the hub's power cap or energy pace leaves too little for the gang alone
    QUOTA_SHORT = "QUOTA_SHORT"  # the tenant's quota, or what others keep of theirs, leaves too little for it alone
    OUTBID = "OUTBID"  # it fits alone, but other work is worth more
    CHOSEN = "CHOSEN"  # the job is placed here
    BETTER_ELSEWHERE = "BETTER_ELSEWHERE"  # it may run here, and the plan placed it in another pool


REFUSALS: tuple[Reason, ...] = tuple(r for r in Reason if r not in (Reason.CHOSEN, Reason.BETTER_ELSEWHERE))
