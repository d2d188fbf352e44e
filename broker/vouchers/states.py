"""What an application and a voucher can be, and what may happen to them. Tables, not code.

A pair that is not listed is refused. The database repeats the states as CHECK constraints.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ApplicationState(StrEnum):
    """Where an application is."""

    SUBMITTED = "submitted"  # nobody has looked at it
    IN_REVIEW = "in_review"  # a named officer looks at it
    GRANTED = "granted"  # final: there is a voucher
    REFUSED = "refused"  # final: its contract may be claimed again
    WITHDRAWN = "withdrawn"  # final: its contract may be claimed again


class VoucherState(StrEnum):
    """Where a voucher is. Only ACTIVE and CONDITIONAL ones pay for new work."""

    CONDITIONAL = "conditional"  # papers are missing: it pays up to its limit until the committed date
    ACTIVE = "active"
    SUSPENDED = "suspended"  # no new holds; what is held stays capturable, what runs goes on
    USED_UP = "used_up"  # nothing is left and nothing is held
    EXPIRED = "expired"  # its time is over; what is left goes back to the budget
    REDEEMED = "redeemed"  # final: an officer has closed it with its evidence


class StoryEvent(StrEnum):
    """What can happen; each is a dated row that is never changed."""

    PROGRAMME_SET = "programme_set"
    ENTERPRISE_SET = "enterprise_set"
    APPLIED = "applied"
    WITHDRAWN = "withdrawn"
    REVIEW_BEGUN = "review_begun"
    REFUSED = "refused"
    GRANTED = "granted"
    GRANTED_CONDITIONALLY = "granted_conditionally"
    PAPERS_DELIVERED = "papers_delivered"  # some of those that were missing
    PAPERS_COMPLETE = "papers_complete"
    PAPERS_OVERDUE = "papers_overdue"  # the committed date has passed
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    USED_UP = "used_up"
    EXPIRED = "expired"
    RETURNED = "returned"  # money went back to the budget
    REDEEMED = "redeemed"


APPLICATION: Final[Mapping[tuple[ApplicationState, StoryEvent], ApplicationState]] = {
    (ApplicationState.SUBMITTED, StoryEvent.REVIEW_BEGUN): ApplicationState.IN_REVIEW,
    (ApplicationState.SUBMITTED, StoryEvent.WITHDRAWN): ApplicationState.WITHDRAWN,
    (ApplicationState.IN_REVIEW, StoryEvent.WITHDRAWN): ApplicationState.WITHDRAWN,
    (ApplicationState.IN_REVIEW, StoryEvent.REFUSED): ApplicationState.REFUSED,
    (ApplicationState.IN_REVIEW, StoryEvent.GRANTED): ApplicationState.GRANTED,
    (ApplicationState.IN_REVIEW, StoryEvent.GRANTED_CONDITIONALLY): ApplicationState.GRANTED,
}

VOUCHER: Final[Mapping[tuple[VoucherState, StoryEvent], VoucherState]] = {
    (VoucherState.CONDITIONAL, StoryEvent.PAPERS_DELIVERED): VoucherState.CONDITIONAL,
    (VoucherState.CONDITIONAL, StoryEvent.PAPERS_COMPLETE): VoucherState.ACTIVE,
    (VoucherState.CONDITIONAL, StoryEvent.PAPERS_OVERDUE): VoucherState.SUSPENDED,
    (VoucherState.CONDITIONAL, StoryEvent.SUSPENDED): VoucherState.SUSPENDED,
    (VoucherState.CONDITIONAL, StoryEvent.EXPIRED): VoucherState.EXPIRED,
    (VoucherState.ACTIVE, StoryEvent.SUSPENDED): VoucherState.SUSPENDED,
    (VoucherState.ACTIVE, StoryEvent.USED_UP): VoucherState.USED_UP,
    (VoucherState.ACTIVE, StoryEvent.EXPIRED): VoucherState.EXPIRED,
    (VoucherState.SUSPENDED, StoryEvent.PAPERS_DELIVERED): VoucherState.SUSPENDED,
    (VoucherState.SUSPENDED, StoryEvent.PAPERS_COMPLETE): VoucherState.ACTIVE,  # they came late
    (VoucherState.SUSPENDED, StoryEvent.RESUMED): VoucherState.ACTIVE,  # refused while papers are missing
    (VoucherState.SUSPENDED, StoryEvent.EXPIRED): VoucherState.EXPIRED,
    (VoucherState.USED_UP, StoryEvent.RESUMED): VoucherState.ACTIVE,  # a credit note gave money back
    (VoucherState.USED_UP, StoryEvent.EXPIRED): VoucherState.EXPIRED,
    (VoucherState.USED_UP, StoryEvent.REDEEMED): VoucherState.REDEEMED,
    (VoucherState.EXPIRED, StoryEvent.RETURNED): VoucherState.EXPIRED,  # also what holds give back later
    (VoucherState.EXPIRED, StoryEvent.REDEEMED): VoucherState.REDEEMED,
}

PAYING: Final = frozenset({VoucherState.ACTIVE, VoucherState.CONDITIONAL})
"""States in which a voucher pays for new work."""
