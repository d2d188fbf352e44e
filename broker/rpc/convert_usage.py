"""Between the wire and the domain: what agents tell of the use of leases, and what they are answered."""

from itertools import pairwise
from typing import Final

from broker.ids import lease_text
from broker.ledger.usage import Usage, minutes
from broker.market.reports import UsageAnswer, UsageTold
from broker.rpc.convert_checks import Checks
from broker.store.leases import LeaseRef
from broker.wire.v1 import cluster_service_pb2 as pb

REPORTS_MAX: Final = 10_000
RANGES_MAX: Final = 64
MINUTE_MAX: Final = 1_000_000
CUT_SECONDS_MAX: Final = 59
JOULES_MAX: Final = 10**15
EPOCH_MAX: Final = 2**31 - 1
MILLI_CARDS_MAX: Final = 2**31 - 1


def usage(checks: Checks, wire: pb.Report) -> tuple[UsageTold, ...]:
    """Return what leases have used; what is wrong goes to `checks`, with paths such as "report.usage[3].minutes"."""
    looked_at = checks.count("report.usage", wire.usage, 0, REPORTS_MAX)
    found = tuple(_told(checks, f"report.usage[{i}]", wire.usage[i]) for i in range(looked_at))
    leases = sorted(each.ref.lease for each in found)
    for lease in sorted({a for a, b in pairwise(leases) if a == b}):
        checks.wrong("report.usage", f"{lease_text(lease)} is named twice")
    return found


def _told(checks: Checks, path: str, wire: pb.UsageReport) -> UsageTold:
    ranges = []
    for i in range(checks.count(f"{path}.minutes", wire.minutes, 0, RANGES_MAX)):
        each, here = wire.minutes[i], f"{path}.minutes[{i}]"
        last = checks.within(f"{here}.last", each.last, 0, MINUTE_MAX)
        ranges.append((checks.within(f"{here}.first", each.first, 0, last), last + 1))
    cut = checks.within(f"{path}.cut_seconds", wire.cut_seconds, 0, CUT_SECONDS_MAX)
    if cut and not (wire.complete and ranges):
        checks.wrong(f"{path}.cut_seconds", "must be 0 unless `complete` is set and there are minutes")
    if not ranges and not wire.complete:
        checks.wrong(f"{path}.minutes", "must not be empty unless `complete` is set")
    return UsageTold(
        ref=LeaseRef(
            checks.lease_id(f"{path}.lease_id", wire.lease_id), checks.within(f"{path}.epoch", wire.epoch, 1, EPOCH_MAX)
        ),
        milli_cards=checks.within(f"{path}.milli_cards", wire.milli_cards, 0, MILLI_CARDS_MAX),
        usage=Usage(
            minutes=minutes(ranges),
            cut_seconds=cut,
            joules=checks.within(f"{path}.joules", wire.joules, 0, JOULES_MAX),
            complete=wire.complete,
        ),
    )


def answer_to_wire(answer: UsageAnswer) -> pb.UsageAnswer:
    """Return what became of one lease's usage."""
    return pb.UsageAnswer(
        lease=pb.LeaseRef(lease_id=lease_text(answer.ref.lease), epoch=answer.ref.epoch),
        minutes_end=answer.minutes_end,
        complete=answer.complete,
        refused=answer.refused or "",
    )
