"""Put money into the demo, through the exchange's own calls: prepaid cities, a programme, enterprises, vouchers."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

from broker.client.accounts import AccountClient
from broker.client.admin import AdminClient
from broker.client.settings import KEYS, write_key
from broker.client.vouchers import VoucherClient
from broker.demo.stage import PATIENT, Stage, stacks_in
from broker.vouchers.programme import load_programmes
from broker.wire.v1 import voucher_service_pb2 as pb
from broker.wire.v1.job_pb2 import WorkloadClass

OFFICE: Final = "voucher-office"
"""Name of the office's key in the profile."""

OFFICER: Final = "Li Wei"
YUAN: Final = 1_000_000
CITY_DEPOSIT_YUAN: Final = 1_000
ENTERPRISE_DEPOSIT_YUAN: Final = 20
GRANT_MICRO_YUAN: Final = 5 * YUAN
"""Far more than a city's jobs of a demo can hold at a time, so that none is refused for a voucher that is used up."""


@dataclass(frozen=True, slots=True)
class Purse:
    """Who pays first for the jobs of a city: one of its enterprises, with its voucher."""

    enterprise: str
    voucher: str


@dataclass(frozen=True, slots=True)
class Funds:
    """Who pays in the demo.

    Attributes:
        programme: its name; empty: nobody pays anything.
        purses: by city.
        stacks: with which a job can run in the hub where the vouchers pay.
    """

    programme: str = ""
    purses: Mapping[str, Purse] = field(default_factory=dict)
    stacks: frozenset[str] = frozenset()


def document(name: str) -> str:
    """Return a programme of the demo: "programme" or "rush"."""
    return resources.files("broker.demo").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


async def fund(stage: Stage) -> Funds:
    """Let every city pay in advance, and give one enterprise of each a voucher. The same again changes nothing.

    Raises: XisuanError.
    """
    text = document("programme")
    programme = load_programmes(text).programmes[0]
    await prepay(stage, CITY_DEPOSIT_YUAN * YUAN)
    async with office(stage) as li_wei:
        await li_wei.set_programmes(text, officer=OFFICER)
        there = {v.city: Purse(v.enterprise, v.voucher) async for v in li_wei.vouchers(programme=programme.programme)}
        purses = [there.get(city) or await _voucher(stage, li_wei, city, programme.programme) for city in stage.cities]
    await _deposit(stage, {f"enterprise/{c}/{p.enterprise}": ENTERPRISE_DEPOSIT_YUAN * YUAN
                           for c, p in zip(stage.cities, purses, strict=True)})  # fmt: skip
    return Funds(programme.programme, dict(zip(stage.cities, purses, strict=True)), stacks_in(programme.hub))


async def prepay(stage: Stage, micro_yuan: int) -> None:
    """Deposit so much for every city, let it pay in advance from now on, and make the voucher office's key."""
    await _deposit(stage, {f"city/{city}": micro_yuan for city in stage.cities})
    async with AccountClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as books:
        await asyncio.gather(*(books.set_billing(city, "prepaid") for city in stage.cities))
    if not (stage.home / KEYS / f"{OFFICE}.key").exists():
        async with AdminClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as admin:
            write_key(stage.home, OFFICE, (await admin.create_key("voucher_office", note="of the demo")).api_key)


def office(stage: Stage, *, own_connection: bool = False) -> VoucherClient:
    """Return a client of the voucher office."""
    return VoucherClient(stage.endpoint, stage.key(OFFICE), retry=PATIENT, own_connection=own_connection)


async def _deposit(stage: Stage, micro_yuan: Mapping[str, int]) -> None:
    async with AccountClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as books:
        for account, amount in micro_yuan.items():
            await books.deposit(account, amount, request_key=f"demo-{account}", reference="the demo's money")


async def _voucher(stage: Stage, li_wei: VoucherClient, city: str, programme: str) -> Purse:
    """Walk the whole way to a voucher: registered, applied, reviewed, granted."""
    enterprise = f"{city}-ai"
    async with AsyncExitStack() as stack:
        applicant = await stack.enter_async_context(
            VoucherClient(stage.endpoint, stage.key(f"city-{city}"), retry=PATIENT)
        )
        await li_wei.set_enterprise(registered(city, enterprise), officer=OFFICER)
        applied = await applicant.apply(
            pb.ApplyForVoucherRequest(
                request_key=f"demo-{enterprise}",
                enterprise=enterprise,
                programme=programme,
                side=pb.CLAIM_SIDE_DEMAND,
                provider="longdong-computing",
                contract=f"demo/{enterprise}",
                micro_yuan=GRANT_MICRO_YUAN,
                scale_milli_pflops=2_500_000,
                workload_classes=[
                    WorkloadClass.WORKLOAD_CLASS_TRAINING,
                    WorkloadClass.WORKLOAD_CLASS_SPEECH,
                    WorkloadClass.WORKLOAD_CLASS_IMAGE,
                    WorkloadClass.WORKLOAD_CLASS_AUTONOMOUS_DRIVING,
                    WorkloadClass.WORKLOAD_CLASS_RESEARCH,
                ],
                papers=["contract", "target-letter", "power-use", "proof-of-service"],
            )
        )
        application = applied.application.application_id
        await li_wei.review(application, refuse=False, officer=OFFICER)
        granted = await li_wei.grant(pb.GrantVoucherRequest(application_id=application, officer=OFFICER))
    return Purse(enterprise, granted.voucher)


def registered(city: str, enterprise: str) -> pb.Enterprise:
    """Return an enterprise as the voucher office registers it."""
    return pb.Enterprise(
        city=city,
        enterprise=enterprise,
        title=f"{enterprise} (emulated)",
        registration=f"demo-{enterprise}",
        plant=f"{enterprise}, site 1",
        applicant_type=pb.APPLICANT_TYPE_COMPANY,
    )
