"""Between the wire and the domain: what is asked and shown of the use of leases, and of holds."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.ids import HoldId, JobId, LeaseId, hold_text, job_text, lease_text
from broker.ledger.holds import Hold
from broker.ledger.work import Billing
from broker.market.uses import LeaseUse
from broker.rpc.convert import timestamp
from broker.rpc.convert_accounts import PAGE_SIZE_MAX, PAGE_SIZE_STANDARD
from broker.rpc.convert_checks import Checks, shown
from broker.rpc.convert_enums import BILLING, HOLD_STATE
from broker.store.uses import Wanted
from broker.wire.v1 import account_service_pb2 as pb
from broker.worlds.rates import PROGRAMME_TIME

_MONTH: Final = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")
_TOKEN: Final = re.compile(r"before-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class HoldPage:
    """Which holds are asked for."""

    city: str | None
    before: HoldId | None
    limit: int
    open_only: bool


def usage_page(request: pb.ListUsageRequest) -> tuple[Wanted, LeaseId | None, int]:
    """Return which leases are asked for, the number before which they begin, and how many. Raise InvalidRequest."""
    checks = Checks()
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
    before = number_before(checks, request.page_token)
    wanted = Wanted(
        city=checks.slug_or_empty("city", request.city) or None,
        job=JobId(checks.job_id("job_id", request.job_id)) if request.job_id else None,
        started=_month(checks, request.month) if request.month else None,
    )
    checks.done()
    return wanted, None if before is None else LeaseId(before), limit


def hold_page(request: pb.ListHoldsRequest) -> HoldPage:
    """Return which holds are asked for. Raise InvalidRequest."""
    checks = Checks()
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
    before = number_before(checks, request.page_token)
    city = checks.slug_or_empty("city", request.city) or None
    checks.done()
    return HoldPage(city, None if before is None else HoldId(before), limit, request.open_only)


def billing(request: pb.SetBillingRequest) -> tuple[str, Billing]:
    """Return which city is to pay how. Raise InvalidRequest."""
    checks = Checks()
    city, how = checks.slug("city", request.city), BILLING.read(checks, "billing", request.billing)
    checks.done()
    return city, how


def token_after(number: int) -> str:
    """Return the token of the page behind a lease or a hold."""
    return f"before-{number}"


def number_before(checks: Checks, token: str) -> int | None:
    """Return the number before which a page begins, None for the first page; what is no token is noted."""
    if not token:
        return None
    found = _TOKEN.fullmatch(token)
    if found is None:
        checks.wrong("page_token", f"must be the next_page_token of the page before, not {shown(token)}")
        return None
    return int(found[1])


def _month(checks: Checks, text: str) -> tuple[datetime, datetime] | None:
    found = _MONTH.fullmatch(text)
    if found is None:
        checks.wrong("month", f'must be a month such as "2026-03", not {shown(text)}')
        return None
    year, month = int(found[1]), int(found[2])
    behind = (year + 1, 1) if month == 12 else (year, month + 1)  # December
    return datetime(year, month, 1, tzinfo=PROGRAMME_TIME), datetime(*behind, 1, tzinfo=PROGRAMME_TIME)


def usage_to_wire(use: LeaseUse) -> pb.LeaseUsage:
    """Return what one lease has used."""
    row = use.row
    return pb.LeaseUsage(
        lease_id=lease_text(row.lease),
        job_id=job_text(row.job),
        city=row.city,
        enterprise=row.enterprise,
        cluster=row.cluster,
        owner=row.owner,
        model=row.model,
        milli_cards=row.milli_cards,
        started_at=timestamp(row.started_at),
        ended_at=None if row.ended_at is None else timestamp(row.ended_at),
        minutes=use.usage.count,
        seconds=use.seconds,
        complete=use.usage.whole,
        joules=use.usage.joules,
        fp16_nameplate_micro_pflops_hours=use.micro_pflops_hours(row.nameplate),
        fp16_programme_micro_pflops_hours=use.micro_pflops_hours(row.programme),
        fp16_measured_micro_pflops_hours=use.micro_pflops_hours(row.measured),
        micro_yuan_per_card_hour=row.per_card_hour,
        charged_micro_yuan=row.charged,
        credited_micro_yuan=row.credited,
        hold_id="" if row.hold is None else hold_text(row.hold),
        open_micro_yuan=row.open,
    )


def hold_to_wire(hold: Hold) -> pb.Hold:
    """Return a hold with its parts."""
    return pb.Hold(
        hold_id=hold_text(hold.hold),
        city=hold.city,
        reference=hold.reference,
        state=HOLD_STATE.to_wire(hold.state),
        settles_until=timestamp(hold.settles_until),
        parts=[
            pb.HoldPart(
                account=part.account,
                held_micro_yuan=part.held,
                captured_micro_yuan=part.captured,
                released_micro_yuan=part.released,
            )
            for part in hold.parts
        ],
    )
