"""The scenario "voucher-rush": enterprises fight for the last of a budget, then for cards; the books prove it right.

Each enterprise has clients with TCP connections of their own. All apply at once; each application goes to one of a few
officers, so that as many grants as there are enterprises are on their way at the same time.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from broker.audit.rules import Finding
from broker.client import Build, Client, JobSpec, WorkloadClass
from broker.client.accounts import AccountClient
from broker.client.errors import NotPossibleNow, XisuanError
from broker.client.results import Job
from broker.client.vouchers import VoucherClient
from broker.demo import display, money, rush_books, rush_plan, rush_screen
from broker.demo.auditing import audit
from broker.demo.funding import YUAN, office, prepay, registered
from broker.demo.options import DemoOptions
from broker.demo.programs import DemoFailed
from broker.demo.replay import watch
from broker.demo.rush_plan import Bid
from broker.demo.rush_screen import Fight, Won
from broker.demo.stage import PATIENT, Stage, stacks_in
from broker.demo.work import command
from broker.vouchers.money import budget_account
from broker.vouchers.programme import Programme, load_programmes
from broker.wire.v1 import voucher_service_pb2 as pb
from broker.wire.v1.job_pb2 import WorkloadClass as WireClass

OFFICERS: Final = ("Li Wei", "Wang Fang", "Zhang Min", "Liu Yang", "Chen Jing", "Yang Li", "Zhao Lei", "Sun Na")
CITY_DEPOSIT_YUAN: Final = 1_000_000
"""A month on all of the world's cards is held at once: nobody waits because its city is short."""

FIGHT_SECONDS_MAX: Final = 240.0
CHAIN_SECONDS_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class Entrant:
    """An enterprise with its two clients, and the officer to whose desk its application goes."""

    bid: Bid
    applicant: VoucherClient
    submitter: Client
    desk: VoucherClient
    officer: str


async def play(stage: Stage, options: DemoOptions, console: Console) -> list[Finding]:
    """Play it, show it, check the books, audit it; return what was found. Raise DemoFailed."""
    text = rush_plan.programme(options.enterprises)
    programme = load_programmes(text).programmes[0]
    fight = Fight(rush_plan.bids(stage.cities, options.enterprises, options.seed), programme.budget.micro_yuan)
    try:
        async with asyncio.timeout(FIGHT_SECONDS_MAX), AsyncExitStack() as stack:
            await prepay(stage, CITY_DEPOSIT_YUAN * YUAN)
            desks = [await stack.enter_async_context(office(stage, own_connection=True)) for _ in OFFICERS]
            await desks[0].set_programmes(text, officer=OFFICERS[0])
            await asyncio.gather(
                *(
                    desks[n % len(desks)].set_enterprise(registered(bid.city, bid.enterprise), officer=OFFICERS[0])
                    for n, bid in enumerate(fight.bids)
                )
            )
            await _fought(stage, console, fight, programme, desks)
        await money.settled(stage)
        left, at_end = await _left(stage, programme.programme)
        books = await _books(stage, programme)
        jobs = await _jobs(stage)
    except TimeoutError:
        raise DemoFailed(f"it did not end in time: {fight.told()}; see the logs in {stage.folder}") from None
    except XisuanError as error:
        raise DemoFailed(f"a call failed: {error}; see the logs in {stage.folder}") from None
    found, checked = await audit(stage, fight.memory, jobs)
    found += [Finding("voucher_rush", told) for told in (*books.problems, *_disagreements(fight, books, left))]
    rush_screen.print_end(console, fight, books, jobs, at_end)
    display.print_audit(console, found, checked)
    return found


async def _fought(
    stage: Stage, console: Console, fight: Fight, programme: Programme, desks: Sequence[VoucherClient]
) -> None:
    """Let all enterprises in at once, and wait until every job has ended."""
    shown = asyncio.create_task(rush_screen.show(stage, console, fight, programme.programme))
    watchers = [asyncio.create_task(watch(stage, city, fight.memory)) for city in stage.cities]
    gate = asyncio.Event()
    try:
        async with AsyncExitStack() as stack:
            entrants = [
                await _entrant(stack, stage, bid, desks[n % len(desks)], OFFICERS[n % len(OFFICERS)])
                for n, bid in enumerate(fight.bids)
            ]
            async with asyncio.TaskGroup() as group:
                for who in entrants:
                    group.create_task(_fight(stage, fight, programme, who, gate))
                gate.set()
            while not fight.memory.complete:
                for task in (shown, *watchers):
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)
    except* XisuanError as errors:
        raise errors.exceptions[0] from None
    finally:
        for task in (shown, *watchers):
            task.cancel()
        await asyncio.gather(shown, *watchers, return_exceptions=True)


async def _entrant(stack: AsyncExitStack, stage: Stage, bid: Bid, desk: VoucherClient, officer: str) -> Entrant:
    key = stage.key(f"city-{bid.city}")
    return Entrant(
        bid,
        await stack.enter_async_context(VoucherClient(stage.endpoint, key, retry=PATIENT, own_connection=True)),
        await stack.enter_async_context(Client(stage.endpoint, key, retry=PATIENT, own_connection=True)),
        desk,
        officer,
    )


async def _fight(stage: Stage, fight: Fight, programme: Programme, who: Entrant, gate: asyncio.Event) -> None:
    """What one enterprise does: apply, get a voucher or a refusal, and submit its job in any case."""
    await gate.wait()
    bid, voucher = who.bid, ""
    applied = await who.applicant.apply(_application(bid, programme))
    fight.applied += 1
    application = applied.application.application_id
    await who.desk.review(application, refuse=False, officer=who.officer)
    try:
        request = pb.GrantVoucherRequest(application_id=application, officer=who.officer)
        granted = await who.desk.grant(request)
        voucher = granted.voucher
        fight.win(bid, Won(voucher, granted.micro_yuan, granted.budget_left_micro_yuan))
    except NotPossibleNow as refused:
        fight.lose(bid, refused.reason)
        await who.desk.review(application, refuse=True, officer=who.officer, note="the budget has not so much left")
    receipt = await who.submitter.submit(_job(stage, bid, voucher, programme.hub), request_key=bid.enterprise)
    fight.memory.acknowledged[receipt.job_id] = bid.city
    fight.jobs[bid.enterprise] = receipt.job_id


def _application(bid: Bid, programme: Programme) -> pb.ApplyForVoucherRequest:
    return pb.ApplyForVoucherRequest(
        request_key=bid.enterprise,
        enterprise=bid.enterprise,
        programme=programme.programme,
        side=pb.CLAIM_SIDE_DEMAND,
        provider="longdong-computing",
        contract=f"rush/{bid.enterprise}",
        micro_yuan=bid.micro_yuan,
        workload_classes=[WireClass.WORKLOAD_CLASS_TRAINING, WireClass.WORKLOAD_CLASS_RESEARCH],
        papers=["contract"],
    )


def _job(stage: Stage, bid: Bid, voucher: str, hub: str) -> JobSpec:
    """Return the job: with a voucher it wants the hub where that pays, without one it takes any."""
    stacks = sorted(stacks_in(hub)) if voucher else stage.stacks
    return JobSpec(
        name=bid.enterprise,
        cards_per_task=bid.cards,
        cpu_milli_per_task=1000,
        memory_mib_per_task=2048,
        walltime_seconds=rush_plan.WALLTIME_SECONDS,
        workload_class=WorkloadClass(bid.workload_class),
        enterprise=bid.enterprise,
        vouchers=[voucher] if voucher else [],
        allowed_hubs=[hub] if voucher else [],
        builds=[Build(stack=stack, command=list(command(bid.run_seconds))) for stack in stacks],
    )


async def _left(stage: Stage, programme: str) -> tuple[int, money.Money]:
    async with office(stage) as desk:
        vouchers = [v async for v in desk.vouchers(programme=programme)]
        return (await desk.programmes(programme))[0].left_micro_yuan, money.Money(vouchers=vouchers)


async def _books(stage: Stage, programme: Programme) -> rush_books.Books:
    """Return what the exported chain says, once it has everything: hashes come a moment after the commit."""
    budget = budget_account(programme.hub, programme.programme)
    clock = asyncio.get_running_loop()
    end = clock.time() + CHAIN_SECONDS_MAX
    async with AccountClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as account:
        while True:
            vouchers = [one async for one in account.accounts(kind="voucher")]
            there = sum(v.available_micro_yuan for v in vouchers), sum(v.held_micro_yuan for v in vouchers)
            lines = [
                json.dumps({"position": e.position, "sha256": e.sha256.hex(), "text": e.text})
                async for e in account.chain()
            ]
            books = rush_books.read(lines, budget, programme.budget.micro_yuan)
            if books.on_vouchers == there or clock.time() > end:
                return books
            await asyncio.sleep(0.5)


async def _jobs(stage: Stage) -> list[Job]:
    found = []
    for city in stage.cities:
        async with Client(stage.endpoint, stage.key(f"city-{city}"), retry=PATIENT) as client:
            found += [job async for job in client.jobs()]
    return found


def _disagreements(fight: Fight, books: rush_books.Books, left: int) -> list[str]:
    """Return where what enterprises and office were told differs from the books."""
    told = sum(won.micro_yuan for won in fight.won.values())
    return [
        *(
            [f"enterprises were told of {told} granted, the books have {books.granted}"]
            if told != books.granted
            else []
        ),
        *([f"the office is told of {left} left, the books have {books.left}"] if left != books.left else []),
    ]
