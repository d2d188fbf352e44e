"""Store new jobs, once for each request key: set-based, so that a stream of 50,000 takes seconds."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from msgspec import Struct, structs

from broker.ids import JobId
from broker.job import JobSpec, canonical_text, differences, text_sha256
from broker.request_key import beside
from broker.store import upstreams
from broker.store.database import Connection

SUBMISSIONS_LOCK: Final = 0x7869_0002
"""Class of the advisory locks under which a city's submissions are counted, one lock for each city."""

SHAPES_REMEMBERED_MAX: Final = 2000
"""Requirements whose text is kept at hand; the largest that the wire allows take some 30 KiB each."""

_SHAPES: Final[dict[Hashable, tuple[str, bytes]]] = {}

LOCK_SUBMISSIONS: Final[LiteralString] = "SELECT pg_advisory_xact_lock($1, hashtext($2))"
INSERT_SHAPES: Final[LiteralString] = """
    INSERT INTO shapes (sha256, requirement)
    SELECT g.sha256, g.requirement::jsonb
      FROM unnest($1::bytea[], $2::text[]) AS g (sha256, requirement)
     WHERE NOT EXISTS (SELECT FROM shapes s WHERE s.sha256 = g.sha256)
     ORDER BY g.sha256  -- two at once wait for each other in one order, not in a circle
        ON CONFLICT (sha256) DO NOTHING
"""
INSERT_JOBS: Final[LiteralString] = """
    WITH terms AS MATERIALIZED (
        SELECT t.*, s.shape_id, string_to_array(t.voucher_names, ',') AS vouchers
          FROM unnest($7::bytea[], $8::text[], $9::text[], $10::bigint[], $11::int[], $12::timestamptz[], $13::text[],
                      $14::smallint[], $15::text[], $16::timestamptz[], $17::timestamptz[], $18::bool[], $19::int[],
                      $20::bool[], $21::text[], $22::int[], $23::bigint[], $24::text[])
               WITH ORDINALITY
               AS t (shape_sha256, job_set, priority, ceiling, walltime_seconds, start_by, if_lost,
                     attempts_max, enterprise, earliest_start, finish_by, preemptible, checkpoint_interval_seconds,
                     upstreams_open, waiting_reason, grace_seconds, job_ceiling, voucher_names, number)
          JOIN shapes s ON s.sha256 = t.shape_sha256
    ), given AS (
        SELECT nextval('job_ids') AS job_id, j.*  -- ids follow the order of submission
          FROM unnest($3::text[], $4::bytea[], $5::text[], $6::int[]) AS j (request_key, body_sha256, spec, terms)
    ), added AS (
        INSERT INTO jobs (job_id, city, request_key, body_sha256, spec, shape_id, job_set, priority,
                          ceiling_micro_yuan_per_pflops_hour, walltime_seconds, start_by, if_lost, attempts_max,
                          enterprise, earliest_start, finish_by, preemptible, checkpoint_interval_seconds,
                          upstreams_open, waiting_reason, grace_seconds, ceiling_micro_yuan_per_job, vouchers,
                          submitted_at)
        SELECT g.job_id, $1::slug, g.request_key, g.body_sha256, g.spec::jsonb, t.shape_id, t.job_set, t.priority,
               t.ceiling, t.walltime_seconds, t.start_by, t.if_lost, t.attempts_max, t.enterprise,
               t.earliest_start, t.finish_by, t.preemptible, t.checkpoint_interval_seconds, t.upstreams_open,
               t.waiting_reason, t.grace_seconds, t.job_ceiling, t.vouchers, $2
          FROM given g JOIN terms t ON t.number = g.terms
         ORDER BY g.request_key  -- two at once wait for each other in one order, not in a circle
            ON CONFLICT (city, request_key) DO NOTHING
        RETURNING job_id, request_key
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at)
        SELECT $1::slug, job_id, 'submitted', $2 FROM added ORDER BY job_id
    )
    SELECT job_id, request_key FROM added
"""
OWNERS_OF_KEYS: Final[LiteralString] = """
    SELECT j.request_key, g.body_sha256 AS given, j.job_id, j.body_sha256,
           CASE WHEN j.body_sha256 <> g.body_sha256 THEN j.spec END AS spec
      FROM unnest($2::text[], $3::bytea[]) AS g (request_key, body_sha256)
      JOIN jobs j ON j.city = $1 AND j.request_key = g.request_key
"""
KEYS_IN_USE: Final[LiteralString] = "SELECT request_key FROM jobs WHERE city = $1 AND request_key = ANY($2)"
COUNT_PENDING: Final[LiteralString] = """
    SELECT (SELECT count(*) FROM jobs WHERE city = $1 AND state = 'pending') AS pending,
           coalesce((SELECT max(job_id) FROM jobs WHERE city = $1), 0) AS last_job
"""
COUNT_SINCE: Final[LiteralString] = """
    SELECT count(*) AS jobs, coalesce(max(job_id), $2) AS last_job FROM jobs WHERE city = $1 AND job_id > $2
"""


class Draft(Struct, frozen=True, gc=False):
    """A submission with its hashes, ready to be written."""

    request_key: str
    spec: JobSpec
    body_text: str
    body_sha256: bytes
    requirement_text: str
    requirement_sha256: bytes
    ceiling_micro_yuan_per_pflops_hour: int  # that counts: never 0
    green_from: datetime | None = None  # the green hour that it waits for; later than its `earliest_start`


class Submitted(Struct, frozen=True, gc=False):
    """What became of one submission.

    Attributes:
        job: the job that the request key stands for.
        duplicate: it had been there before, with the same body.
        conflict: fields in which the body differs from that of `job`; None when it does not: then nothing is wrong.
    """

    job: JobId
    duplicate: bool
    conflict: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PendingCount:
    """How many jobs of a city wait, counting those up to the id `last_job`."""

    pending: int
    last_job: JobId


def draft(request_key: str, spec: JobSpec, *, standard_ceiling: int) -> Draft:
    """Return the submission with its hashes: the costly part, done before the transaction.

    `standard_ceiling` counts for a spec that names none, and is no part of its body: the same submission is recognised
    when the city's standard has changed.
    """
    body_text = spec.body_text()
    return Draft(
        request_key,
        spec,
        body_text,
        text_sha256(body_text),
        *_shape(spec),
        spec.ceiling_micro_yuan_per_pflops_hour or standard_ceiling,
    )


def _shape(spec: JobSpec) -> tuple[str, bytes]:
    """Return the text of the spec's requirement, and its hash; thousands of jobs have few of them."""
    needs = spec.needs
    known = _SHAPES.get(needs)
    if known is None:
        text = canonical_text(spec.requirement())
        known = text, text_sha256(text)
        if len(_SHAPES) >= SHAPES_REMEMBERED_MAX:
            _SHAPES.clear()
        _SHAPES[needs] = known
    return known


async def insert_many(
    tx: Connection, city: str, items: Sequence[tuple[str, JobSpec]], at: datetime, *, standard_ceiling: int = 0
) -> list[Submitted]:
    """Store jobs by request key and spec, and tell what became of each, in the order given; see `insert_drafts`."""
    drafts = [draft(key, spec, standard_ceiling=standard_ceiling) for key, spec in items]
    return await insert_drafts(tx, city, drafts, at)


async def insert_shapes(tx: Connection, drafts: Iterable[Draft]) -> None:
    """Store the shapes of drafts that are not stored yet; others who store the same wait for this transaction's end."""
    shapes = {d.requirement_sha256: d.requirement_text for d in drafts}
    await tx.execute(INSERT_SHAPES, list(shapes.keys()), list(shapes.values()))


async def insert_drafts(tx: Connection, city: str, drafts: Sequence[Draft], at: datetime) -> list[Submitted]:
    """Store those drafts whose request key is new, and tell what became of each, in the order given.

    A key that is in use, earlier in `drafts` too, gives its job: as a duplicate when the bodies are equal, else as a
    conflict. Of two transactions with one key the second waits for the first one's end. Needs READ COMMITTED.
    """
    firsts: dict[str, Draft] = {}
    for d in drafts:
        firsts.setdefault(d.request_key, d)
    await insert_shapes(tx, firsts.values())
    added = await _insert_new(tx, city, list(firsts.values()), at)
    taken = [d for d in drafts if d.request_key not in added]
    owners = await _owners(tx, city, taken) if taken else {}

    results: list[Submitted] = []
    for d in drafts:
        first = firsts[d.request_key]
        if d is first and d.request_key in added:
            results.append(Submitted(added[d.request_key], duplicate=False))
        elif d.request_key in added:
            results.append(_repeated(d, added[d.request_key], first.body_sha256, first.spec.to_json()))
        else:
            results.append(_repeated(d, *owners[d.request_key, d.body_sha256]))
    return results


async def find_known(tx: Connection, city: str, drafts: Sequence[Draft]) -> list[Submitted | None]:
    """Tell of each draft which job its request key stands for already, None where it is new. Nothing is stored."""
    owners = await _owners(tx, city, drafts)
    return [
        _repeated(d, *owners[d.request_key, d.body_sha256]) if (d.request_key, d.body_sha256) in owners else None
        for d in drafts
    ]


def _repeated(given: Draft, job: JobId, body_sha256: bytes, body: Mapping[str, Any] | None) -> Submitted:
    if given.body_sha256 == body_sha256:
        return Submitted(job, duplicate=True)
    return Submitted(job, duplicate=False, conflict=tuple(differences(given.spec.to_json(), body or {})))


async def _insert_new(tx: Connection, city: str, drafts: Sequence[Draft], at: datetime) -> dict[str, JobId]:
    if not drafts:
        return {}
    # Most jobs that come together share their terms: those are handed over once, and each job names its own by number.
    numbers: dict[tuple[Any, ...], int] = {}
    terms = [numbers.setdefault(_terms(d, at), len(numbers) + 1) for d in drafts]
    rows = await tx.fetch(
        INSERT_JOBS,
        city,
        at,
        [d.request_key for d in drafts],
        [d.body_sha256 for d in drafts],
        [d.body_text for d in drafts],
        terms,
        *zip(*numbers, strict=True),
    )
    added = {key: JobId(job) for job, key in rows}
    later = (d for d in drafts if d.request_key in added and (d.spec.after or d.spec.after_request_keys))
    await upstreams.insert(tx, city, [(added[d.request_key], _by_stored_keys(d)) for d in later])
    return added


def _terms(given: Draft, at: datetime) -> tuple[Any, ...]:
    """Return all that is stored of a job in columns, save what is its own: key, body and hash."""
    spec = given.spec
    return (
        given.requirement_sha256,
        spec.job_set,
        spec.priority,
        given.ceiling_micro_yuan_per_pflops_hour,
        spec.walltime_seconds,
        spec.latest_start,
        spec.if_lost,
        spec.attempts_max,
        spec.enterprise,
        _first_start(given, at),
        spec.finish_by,
        spec.preemptible,
        spec.checkpoint_interval_seconds,
        bool(spec.after or spec.after_request_keys),
        upstreams.held_at_first(spec, at, given.green_from),
        spec.grace_seconds,
        spec.ceiling_micro_yuan_per_job or None,
        ",".join(spec.vouchers),
    )


def _by_stored_keys(given: Draft) -> JobSpec:
    """Return the job with the keys that it runs after as they are stored: they are keys of the same caller."""
    if not given.spec.after_request_keys:
        return given.spec
    return structs.replace(
        given.spec, after_request_keys=tuple(beside(given.request_key, key) for key in given.spec.after_request_keys)
    )


def _first_start(given: Draft, at: datetime) -> datetime | None:
    """Return the time before which rounds do not look at a new job; None: it has come."""
    first = given.green_from or given.spec.earliest_start
    return first if first and first > at else None


async def _owners(
    tx: Connection, city: str, taken: Sequence[Draft]
) -> dict[tuple[str, bytes], tuple[JobId, bytes, Mapping[str, Any] | None]]:
    """Return job, hash and (where it differs) body of the jobs that use these keys, by key and hash of the draft."""
    rows = await tx.fetch(OWNERS_OF_KEYS, city, [d.request_key for d in taken], [d.body_sha256 for d in taken])
    return {(r["request_key"], r["given"]): (JobId(r["job_id"]), r["body_sha256"], r["spec"]) for r in rows}


async def lock_submissions(tx: Connection, city: str) -> None:
    """Wait until no other transaction holds this lock for the city, and hold it until the transaction ends.

    Whoever counts what waits and then adds to it holds it, so that the sum is exact.
    """
    await tx.execute(LOCK_SUBMISSIONS, SUBMISSIONS_LOCK, city)


async def keys_in_use(tx: Connection, city: str, request_keys: Collection[str]) -> set[str]:
    """Return those of the keys that a job of the city uses."""
    return {r["request_key"] for r in await tx.fetch(KEYS_IN_USE, city, list(request_keys))}


async def count_pending(tx: Connection, city: str) -> PendingCount:
    """Return how many jobs of the city wait; it takes some 0.2 µs for each of them."""
    [row] = await tx.fetch(COUNT_PENDING, city)
    return PendingCount(row["pending"], JobId(row["last_job"]))


async def count_on(tx: Connection, city: str, known: PendingCount) -> PendingCount:
    """Return what was known plus the jobs submitted since, as if they all still waited.

    Under the submissions lock none is missed: ids grow from one holder of the lock to the next.
    """
    [row] = await tx.fetch(COUNT_SINCE, city, known.last_job)
    return PendingCount(known.pending + row["jobs"], JobId(row["last_job"]))
