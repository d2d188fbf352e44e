"""The words of the verifier: what a plan can break, and where it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """What a plan can break."""

    # every job is decided once, in words that mean something
    OTHER_SNAPSHOT = "OTHER_SNAPSHOT"  # the plan was made for another snapshot
    MALFORMED = "MALFORMED"  # a field is not what it must be: text for a number, a fraction, nothing
    UNKNOWN_JOB = "UNKNOWN_JOB"  # it names a job that the snapshot does not hold
    JOB_TWICE = "JOB_TWICE"  # a job is decided more than once
    JOB_UNDECIDED = "JOB_UNDECIDED"  # a job is neither placed nor refused
    DANGLING_INDEX = "DANGLING_INDEX"  # no such pool, build, node or split card
    REFUSED_WITHOUT_REASON = "REFUSED_WITHOUT_REASON"  # the reason is none that a refusal may carry
    WRONG_REASON = "WRONG_REASON"  # outbid, and no pool would take it; or another reason, and one would

    # a gang runs whole, together as it must be
    GANG_SPLIT = "GANG_SPLIT"  # the tasks on the nodes are not the gang
    WRONG_SIZE = "WRONG_SIZE"  # an elastic gang has a size that it does not offer
    FABRIC_SPLIT = "FABRIC_SPLIT"  # it must stay within one node or fabric domain, and does not
    NODE_OUTSIDE_POOL = "NODE_OUTSIDE_POOL"  # a node belongs to another pool, or is named twice
    NODE_CLOSED = "NODE_CLOSED"  # a node takes no new work

    # the job may run there, and is worth what the plan says
    WRONG_BUILD = "WRONG_BUILD"  # the build does not run on the pool's model and stack
    FOREIGN_MODEL = "FOREIGN_MODEL"  # the job wants domestic models only
    OWNER_FORBIDDEN = "OWNER_FORBIDDEN"  # the job does not allow the pool's owner
    CARD_NOT_SHARED = "CARD_NOT_SHARED"  # the model gives no slice as large as the share asked for
    HUB_FORBIDDEN = "HUB_FORBIDDEN"  # the job does not allow the hub
    TOO_FAR = "TOO_FAR"  # the round trip is unknown or over the job's limit
    TRANSFER_TOO_LONG = "TRANSFER_TOO_LONG"  # the input would arrive too late, or nobody knows when
    TOO_LATE = "TOO_LATE"  # it would end after the time by which it must be done
    STILL_THERE = "STILL_THERE"  # it would still run when the pool's nodes are promised or closed
    NOT_WORTH_IT = "NOT_WORTH_IT"  # the ceiling does not exceed ask, energy and transfer
    WRONG_WORTH = "WRONG_WORTH"  # a placement claims another worth than it has

    # nothing is promised twice
    CARDS_OVER = "CARDS_OVER"  # a node's free cards: whole ones, and those newly split
    CPU_OVER = "CPU_OVER"
    MEMORY_OVER = "MEMORY_OVER"
    CARDS_UNNAMED = "CARDS_UNNAMED"  # shares do not name one card for each task, or whole cards name any
    CARD_ELSEWHERE = "CARD_ELSEWHERE"  # a share names a split card of another node
    SPLIT_NUMBERS = "SPLIT_NUMBERS"  # the newly split cards of a node are not numbered from the first on
    SHARES_OVER = "SHARES_OVER"  # the shares on a card are more than what is left of it
    SHARE_COUNT_OVER = "SHARE_COUNT_OVER"  # more tasks on a card than its model can share it among
    POWER_OVER = "POWER_OVER"  # the hub's power cap or energy pace, or more on top of one broken before
    QUOTA_OVER = "QUOTA_OVER"  # more than guaranteed and borrowed
    LENT_OVER = "LENT_OVER"  # children use and keep more than their parent's limit
    WRONG_BROKEN_BEFORE = "WRONG_BROKEN_BEFORE"  # what running work breaks already is not told as it is

    # the answer is as good as it says
    WRONG_TIERS = "WRONG_TIERS"  # not the tiers that the jobs and quotas call for, the highest first
    WRONG_OBJECTIVE = "WRONG_OBJECTIVE"  # an objective is not the sum of what the placements add to it
    BAD_PRICES = "BAD_PRICES"  # prices are negative, of the wrong shape, or of a rule that there is not
    WRONG_BOUND = "WRONG_BOUND"  # a bound does not follow from its prices
    BOUND_BELOW_OBJECTIVE = "BOUND_BELOW_OBJECTIVE"
    WRONG_STATUS = "WRONG_STATUS"  # it claims to be optimal and is not proven so, or the other way round
    WRONG_EFFORT = "WRONG_EFFORT"  # the policy would not spend the effort that the plan says it took


@dataclass(frozen=True)
class Violation:
    """One broken rule: what, and where."""

    rule: Rule
    detail: str
