"""What callers do with jobs: submit, look, cancel, change. One transaction each, in the role that the key allows."""

import re
from asyncio import sleep
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct, structs

from broker.caller import Caller, Role
from broker.errors import BrokerError, FieldProblem, IdempotencyConflict, InvalidRequest, RoleRefused, invalid
from broker.ids import JobId, job_text
from broker.job import Job, JobSpec, PriorityClass
from broker.lifecycle import JOB_FINAL, JobState
from broker.market import access, upstreams
from broker.market.admission import Catalogue
from broker.market.catalogue import REFUSAL_FRESH_SECONDS, Catalogues
from broker.market.deadlines import too_late
from broker.market.green import GreenWaits
from broker.market.intake import Intake, Outcome
from broker.market.paying import voucher_objection
from broker.policy.keys import SignedPolicy
from broker.request_key import stored_key
from broker.store import jobs, policies, submissions, vouchers
from broker.store import upstreams as store_upstreams
from broker.store.catalogue_view import City
from broker.store.database import Database
from broker.store.jobs import CancelledSet
from broker.store.submissions import Draft, Submitted

PARCEL_JOBS_MAX: Final = 1000
"""Jobs that are stored in one transaction: with half as many a batched job takes a tenth more processor."""

DRAFTS_IN_ONE_GO: Final = 250
"""Drafts that are made before others get their turn: hashing a thousand takes some milliseconds."""

PAGE_JOBS: Final = 100
PAGE_JOBS_MAX: Final = 1000
PAGE_SLICE_JOBS: Final = 100
PAGE_CHARACTERS_MAX: Final = 4 * 1024 * 1024
"""Commands and environments after which a page is full, however few jobs are on it."""

CANCEL_JOBS_MAX: Final = 5000
"""Jobs that one transaction cancels: more would lock out rounds for too long."""

_PAGE_TOKEN: Final = re.compile(r"before-([1-9][0-9]{0,17})")


class Receipt(Struct, frozen=True, gc=False):
    """The job is stored; `duplicate` when it had been there before, under the same key with the same body."""

    job: JobId
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and the token of the next page; it is empty on the last one."""

    jobs: tuple[Job, ...]
    next_page_token: str


class Jobs:
    """The use cases of JobService that are about jobs."""

    def __init__(
        self,
        database: Database,
        catalogues: Catalogues,
        *,
        wake: Callable[[], None],
        stop_wanted: Callable[[str], None],
        green: GreenWaits | None = None,
    ) -> None:
        """Work on `database`.

        Args:
            wake: called after jobs were stored or changed: rounds and the numbering of events have work.
            stop_wanted: called with each cluster whose agent has a job to stop now.
            green: knows for which green hours jobs wait; None: none waits for any.
        """
        self._database = database
        self._catalogues = catalogues
        self._intake = Intake(database, stored=wake)
        self._wake = wake
        self._stop_wanted = stop_wanted
        self._green_waits = green

    async def city_to_change(self, caller: Caller, named: str) -> City:
        """Return the city that the caller submits for, with its limits and its standard ceiling.

        Raise RoleRefused, InvalidRequest when an operator names none, CityNotFound.
        """
        city = access.city_to_change(caller, named)
        catalogue = await self._catalogues.current()
        if city not in catalogue.view.cities:
            catalogue = await self._catalogues.current(REFUSAL_FRESH_SECONDS)
        return catalogue.city(city)

    async def submit(self, caller: Caller, city: str, request_key: str, spec: JobSpec, now: datetime) -> Receipt:
        """Store the job, once for each request key.

        Raise RoleRefused, CityNotFound, InvalidRequest, NoPoolCanHold, TooManyPending, IdempotencyConflict.
        """
        [outcome] = await self.submit_many(caller, city, [(request_key, spec)], now)
        if isinstance(outcome, BrokerError):
            raise outcome
        return outcome

    async def submit_many(
        self, caller: Caller, city: str, items: Sequence[tuple[str, JobSpec]], now: datetime
    ) -> list[Receipt | BrokerError]:
        """Store those jobs that can be accepted and return what became of each, in the order given.

        Raise RoleRefused or CityNotFound for the whole; what is wrong with one item is that item's outcome.
        """
        found = await self.city_to_change(caller, city)
        outcomes: list[Receipt | BrokerError] = []
        for start in range(0, len(items), PARCEL_JOBS_MAX):
            outcomes += await self._submit_parcel(caller, found, items[start : start + PARCEL_JOBS_MAX], now)
        return outcomes

    async def _submit_parcel(
        self, caller: Caller, city: City, items: Sequence[tuple[str, JobSpec]], now: datetime
    ) -> list[Receipt | BrokerError]:
        catalogue = await self._catalogues.current()
        owned = [_owned(caller, spec) for _, spec in items]
        items = [(key, mine[0]) for (key, _), mine in zip(items, owned, strict=True)]
        judged: list[BrokerError | None] = [wrong for _, wrong in owned]
        for i, (spec, wrong) in enumerate(owned):
            if wrong is None and not _surely_fine(catalogue, city.city, spec, now):
                judged[i] = await self._objection(catalogue, caller, city.city, spec, now)
        objections = await self._without_upstreams(caller, city.city, items, judged)
        accepted = [item for item, objection in zip(items, objections, strict=True) if objection is None]
        refused = [item for item, objection in zip(items, objections, strict=True) if objection is not None]
        known = iter(await self._known(caller, city.city, await _drafts(caller, city, refused)) if refused else [])
        drafts = await self._green(await _drafts(caller, city, accepted), now)
        stored = iter(await self._intake.put(city, drafts, now) if drafts else [])
        outcomes: list[Receipt | BrokerError] = []
        for (key, _), objection in zip(items, objections, strict=True):
            outcome = next(stored) if objection is None else next(known) or objection
            outcomes.append(_receipt(key, outcome))
        return outcomes

    async def _green(self, drafts: list[Draft], now: datetime) -> list[Draft]:
        """Return the drafts; those that prefer green hours with the one that they wait for."""
        if self._green_waits is None:
            return drafts
        hours = await self._green_waits.of_new([d.spec for d in drafts], now)
        return [d if at is None else structs.replace(d, green_from=at) for d, at in zip(drafts, hours, strict=True)]

    async def _without_upstreams(
        self, caller: Caller, city: str, items: Sequence[tuple[str, JobSpec]], refused: list[BrokerError | None]
    ) -> list[BrokerError | None]:
        """Return the objections, with those against items that want to run after jobs that are not there."""
        ids, keys = upstreams.named(items)
        if not ids and not keys:
            return refused
        stored = {stored_key(caller.enterprise, key): key for key in keys}
        async with self._database.city(city, caller.enterprise) as tx:
            known = await store_upstreams.known(tx, city, ids)
            in_use = await submissions.keys_in_use(tx, city, stored)
        return upstreams.objections(items, refused, known, {stored[key] for key in in_use})

    async def _known(self, caller: Caller, city: str, drafts: Sequence[Draft]) -> list[Submitted | None]:
        """Return what was stored under the keys of drafts that would be refused today.

        A repeated submission is answered as the first one was: time may have passed it, or the catalogue changed.
        """
        async with self._database.city(city, caller.enterprise) as tx:
            return await submissions.find_known(tx, city, drafts)

    async def check(self, caller: Caller, city: str, spec: JobSpec, now: datetime) -> None:
        """Raise InvalidRequest, NoPoolCanHold or RoleRefused if a submission of this job would be refused now."""
        objection = await self._objection(await self._catalogues.current(), caller, city, spec, now)
        if objection is not None:
            raise objection

    async def _objection(
        self, catalogue: Catalogue, caller: Caller, city: str, spec: JobSpec, now: datetime
    ) -> BrokerError | None:
        if spec.priority is PriorityClass.EMERGENCY and caller.role is not Role.OPERATOR:
            return _emergency_refused(caller)
        if spec.start_by is not None and spec.start_by <= now:
            return invalid("spec.start_by", f"must lie after {now.isoformat(timespec='seconds')}: it has passed")
        if spec.vouchers and (refused := await self._voucher_objection(caller, city, spec, now)) is not None:
            return refused
        if _by_catalogue(catalogue, city, spec, now) is None:
            return None
        return _by_catalogue(await self._catalogues.current(REFUSAL_FRESH_SECONDS), city, spec, now)

    async def _voucher_objection(self, caller: Caller, city: str, spec: JobSpec, now: datetime) -> BrokerError | None:
        async with self._database.hub() as tx:  # foreign ones are seen and refused as what is not there
            known = await vouchers.for_payment(tx, spec.vouchers)
        return voucher_objection(city, spec, known, now, own=caller.enterprise)

    async def get(self, caller: Caller, job: JobId) -> Job:
        """Return the job. Raise JobNotFound, also for another city's or enterprise's job; RoleRefused."""
        async with access.transaction_of(self._database, caller) as tx:
            return await jobs.get(tx, job)

    async def look(self, caller: Caller, job: JobId) -> tuple[Job, SignedPolicy | None]:
        """Return the job and the signed policy of its last lease, None when it has none. Raise as `get` does."""
        async with access.transaction_of(self._database, caller) as tx:
            found = await jobs.get(tx, job)
            if found.placement is None:
                return found, None
            lease = found.placement.lease
            return found, (await policies.of_leases(tx, [lease])).get(lease)

    async def list_page(
        self,
        caller: Caller,
        *,
        city: str = "",
        states: Collection[JobState] = (),
        job_set: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> Page:
        """Return jobs, newest first; an empty filter lets everything pass, `page_size` 0 means 100.

        Large jobs make a page shorter than asked for; the token tells whether it is the last one.
        Raise InvalidRequest for a wrong page, RoleRefused for a foreign city.
        """
        if not 0 <= page_size <= PAGE_JOBS_MAX:
            raise invalid("page_size", f"must be 0 (for {PAGE_JOBS}) to {PAGE_JOBS_MAX}")
        size = page_size or PAGE_JOBS
        before = _parse_token(page_token)
        seen = access.city_to_read(caller, city)
        async with access.transaction_of(self._database, caller) as tx:
            page: list[Job] = []
            more, room = True, PAGE_CHARACTERS_MAX
            while more and room > 0 and len(page) < size:
                # A slice at a time: a city can make a thousand jobs that are large, and ask for all of them at once.
                wanted = min(size - len(page), PAGE_SLICE_JOBS)
                found = await jobs.list_page(
                    tx,
                    limit=wanted + 1,
                    city=seen,
                    enterprise=caller.enterprise,
                    states=states,
                    job_set=job_set,
                    before=before,
                )
                more = len(found) > wanted
                page += found[:wanted]
                room -= sum(job.spec.characters for job in found[:wanted])
                before = page[-1].job if page else None
        return Page(tuple(page), token_after(page[-1]) if more else "")

    async def cancel(self, caller: Caller, job: JobId, now: datetime) -> Job:
        """Cancel the job and return it: final when it waited, else with `cancel_requested_at` until its agent confirms.

        Repeating it, or cancelling a final job, changes nothing. Raise JobNotFound, RoleRefused.
        """
        access.may_change(caller)
        async with access.transaction_of(self._database, caller) as tx:
            found = await jobs.cancel(tx, job, now)
        if found.state not in JOB_FINAL and found.placement is not None:
            self._stop_wanted(found.placement.cluster)
        self._wake()
        return found

    async def cancel_set(
        self, caller: Caller, city: str, job_set: str, now: datetime, *, dry_run: bool = False
    ) -> CancelledSet:
        """Cancel all jobs of the set that are not final and not being cancelled, or only count them.

        A large set takes several transactions; when one of them fails, repeating the call does the rest.
        Raise RoleRefused, CityNotFound, InvalidRequest when the set or (by an operator) the city is not named.
        """
        if not job_set:
            raise invalid("job_set", "name the set whose jobs are to be cancelled")
        named = (await self.city_to_change(caller, city)).city
        if dry_run:
            async with self._database.city(named, caller.enterprise) as tx:
                return await jobs.count_set(tx, named, job_set)
        total = CancelledSet(0, 0)
        while True:
            async with self._database.city(named, caller.enterprise) as tx:
                part = await jobs.cancel_set(tx, named, job_set, now, CANCEL_JOBS_MAX)
            for cluster in part.clusters:
                self._stop_wanted(cluster)
            if part.cancelled + part.cancel_requested == 0:
                return total
            self._wake()
            total = CancelledSet(
                total.cancelled + part.cancelled,
                total.cancel_requested + part.cancel_requested,
                total.clusters | part.clusters,
            )

    async def update_priority(self, caller: Caller, job: JobId, priority: PriorityClass, now: datetime) -> Job:
        """Change the class of a waiting job and return it; operators only for EMERGENCY.

        Raise JobNotFound, JobNotWaiting, RoleRefused.
        """
        access.may_change(caller)
        if priority is PriorityClass.EMERGENCY and caller.role is not Role.OPERATOR:
            raise _emergency_refused(caller)
        async with access.transaction_of(self._database, caller) as tx:
            found = await jobs.update_priority(tx, job, priority, now)
        self._wake()
        return found


def _surely_fine(catalogue: Catalogue, city: str, spec: JobSpec, now: datetime) -> bool:
    """Tell whether nothing can stand against the job, as of nearly all; without a coroutine for each of thousands."""
    asks_more = spec.priority is PriorityClass.EMERGENCY or spec.start_by is not None or spec.vouchers
    return not asks_more and _by_catalogue(catalogue, city, spec, now) is None


def _by_catalogue(catalogue: Catalogue, city: str, spec: JobSpec, now: datetime) -> BrokerError | None:
    return catalogue.objection(spec) or too_late(spec, city, now, catalogue.view)


def _owned(caller: Caller, spec: JobSpec) -> tuple[JobSpec, BrokerError | None]:
    """Return the job as the caller's own, and what stands against that."""
    try:
        return access.own_spec(caller, spec), None
    except InvalidRequest as error:
        return spec, error


async def _drafts(caller: Caller, city: City, items: Sequence[tuple[str, JobSpec]]) -> list[Draft]:
    standard, own = city.ceiling_micro_yuan_per_pflops_hour, caller.enterprise
    drafts: list[Draft] = []
    for start in range(0, len(items), DRAFTS_IN_ONE_GO):
        if start:
            await sleep(0)
        some = items[start : start + DRAFTS_IN_ONE_GO]
        drafts += [submissions.draft(stored_key(own, key), spec, standard_ceiling=standard) for key, spec in some]
    return drafts


def _receipt(request_key: str, outcome: Outcome) -> Receipt | BrokerError:
    if not isinstance(outcome, Submitted):
        return outcome
    if outcome.conflict is None:
        return Receipt(outcome.job, outcome.duplicate)
    job = job_text(outcome.job)
    return IdempotencyConflict(
        fields=[FieldProblem(path, f"differs from {job}, which has this request key") for path in outcome.conflict],
        request_key=request_key,
        job=job,
        differs=", ".join(outcome.conflict),
    )


def _emergency_refused(caller: Caller) -> RoleRefused:
    return RoleRefused(role=caller.role, needed="priority emergency is given by operators, choose urgent or ask them")


def token_after(last: Job) -> str:
    """Return the token of the page that begins after this job; for those who hand out less than a whole page."""
    return f"before-{last.job}"


def _parse_token(token: str) -> JobId | None:
    if not token:
        return None
    found = _PAGE_TOKEN.fullmatch(token)
    if found is None:
        raise invalid("page_token", "must be the next_page_token of the page before, or empty for the first page")
    return JobId(int(found[1]))
