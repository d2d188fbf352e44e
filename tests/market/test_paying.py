"""Who pays for a job: its vouchers by their rules, then its enterprise, then its city; and which jobs are not taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from broker.errors import VoucherRefused
from broker.job import WorkloadClass
from broker.market.paying import voucher_objection
from broker.vouchers.paying import Voucher
from broker.vouchers.states import VoucherState
from tests.small_world import a_spec
from tests.voucher_world import VOUCHER_OF_ACME

NOW = datetime(2026, 11, 26, tzinfo=UTC)
VOUCHER = replace(VOUCHER_OF_ACME, valid_until=NOW + timedelta(days=1))
JOB = a_spec(enterprise="acme", vouchers=(VOUCHER.voucher,), workload_class=WorkloadClass.TRAINING)


def test_a_job_with_a_voucher_that_could_pay_for_it_somewhere_is_taken() -> None:
    """Where it cannot, on the cards of a related party for example, the others pay."""
    assert voucher_objection("ganzhou", JOB, {VOUCHER.voucher: VOUCHER}, NOW) is None
    assert (
        voucher_objection("ganzhou", structs.replace(JOB, allowed_hubs=("qingyang",)), {VOUCHER.voucher: VOUCHER}, NOW)
        is None
    )


@pytest.mark.parametrize(
    ("city", "job", "voucher", "why"),
    [
        ("ganzhou", JOB, None, "VOUCHER_NOT_FOUND"),
        ("nanjing", JOB, VOUCHER, "VOUCHER_NOT_FOUND"),
        ("ganzhou", structs.replace(JOB, enterprise="other"), VOUCHER, "VOUCHER_OF_ANOTHER_ENTERPRISE"),
        ("ganzhou", JOB, replace(VOUCHER, valid_until=NOW), "VOUCHER_EXPIRED"),
        ("ganzhou", JOB, replace(VOUCHER, state=VoucherState.SUSPENDED), "VOUCHER_SUSPENDED"),
        ("ganzhou", structs.replace(JOB, allowed_hubs=("guian",)), VOUCHER, "VOUCHER_OF_ANOTHER_HUB"),
        ("ganzhou", structs.replace(JOB, workload_class=WorkloadClass.SPEECH), VOUCHER, "VOUCHER_NOT_FOR_THIS_WORK"),
    ],
)
def test_a_job_with_a_voucher_that_can_pay_for_it_nowhere_is_refused_by_name(
    city: str, job: object, voucher: Voucher | None, why: str
) -> None:
    """Expired, suspended, foreign, or for other work: nothing is stored, and the reason says the way out."""
    known = {} if voucher is None else {voucher.voucher: voucher}

    found = voucher_objection(city, job, known, NOW)  # type: ignore[arg-type]

    assert isinstance(found, VoucherRefused)
    assert (found.reason, found.metadata["refusal"]) == ("VOUCHER_REFUSED", why)
