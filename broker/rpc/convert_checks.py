"""Checks of outside input: every wrong field is collected, so that a caller learns all of them at once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.errors import FieldProblem, InvalidRequest
from broker.ids import SLUG, JobId, LeaseId, parse_job, parse_lease

PROBLEMS_MAX: Final = 20
"""Problems that one error names; a hostile request could be wrong in a million places."""

SHOWN_CHARACTERS_MAX: Final = 40
REQUEST_KEY_CHARACTERS_MAX: Final = 128
NANOS_IN_SECOND: Final = 1_000_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SLUG_RULE: Final = "must be 1 to 63 characters of a-z, 0-9 and '-', starting with a letter and not ending with '-'"


def shown(text: str) -> str:
    """Return hostile text so that it can be read in a message: quoted, escaped and cut."""
    return repr(text) if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]!r}..."


def utf8_bytes(text: str) -> int:
    """Return how long the text is as UTF-8; lone surrogates count as three bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Checks:
    """What was found wrong in one request.

    Every check returns a value that is safe to go on with, so that later fields are looked at as well;
    `done` raises when anything was wrong.
    """

    def __init__(self) -> None:
        self._problems: list[FieldProblem] = []
        self._more = 0

    def wrong(self, field: str, description: str) -> None:
        """Note one problem."""
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(FieldProblem(field, description))
        else:
            self._more += 1

    @property
    def none_wrong(self) -> bool:
        """Whether nothing was noted yet."""
        return not self._problems

    def done(self) -> None:
        """Raise InvalidRequest with everything that was noted, if anything was."""
        if self._more:
            last = self._problems[-1]
            self._problems[-1] = FieldProblem(last.field, f"{last.description} (and {self._more} problems more)")
        if self._problems:
            raise InvalidRequest(*self._problems)

    def within(self, field: str, value: int, low: int, high: int) -> int:
        """Check low <= value <= high."""
        if low <= value <= high:
            return value
        self.wrong(field, f"is {value}, must be {low} to {high}")
        return low

    def count(self, field: str, values: Sequence[object], low: int, high: int) -> int:
        """Check how many there are; return how many of them are worth looking at."""
        found = len(values)
        if not low <= found <= high:
            self.wrong(field, f"has {found} entries, must have {low} to {high}")
        return min(found, high)

    def slug(self, field: str, text: str) -> str:
        """Check that it is a name as the catalogue has them."""
        if SLUG.fullmatch(text) is None:
            self.wrong(field, f"{SLUG_RULE}, not {shown(text)}")
        return text

    def slug_or_empty(self, field: str, text: str) -> str:
        """Check that it is a name as the catalogue has them, or empty."""
        return text and self.slug(field, text)

    def printable(self, field: str, text: str, characters_max: int) -> str:
        """Check that it is 1 to `characters_max` printable characters; control, invisible, direction ones are not."""
        if not 1 <= len(text) <= characters_max:
            self.wrong(field, f"has {len(text)} characters, must have 1 to {characters_max}")
        elif not text.isprintable():
            at = next(i for i, c in enumerate(text) if not c.isprintable())
            self.wrong(field, f"character {at + 1} is {text[at]!r}: only printable characters are allowed")
        return text

    def printable_ascii(self, field: str, text: str, characters_max: int) -> str:
        """Check that it is 1 to `characters_max` printable ASCII characters."""
        if not 1 <= len(text) <= characters_max:
            self.wrong(field, f"has {len(text)} characters, must have 1 to {characters_max} of printable ASCII")
        elif not (text.isascii() and text.isprintable()):
            self.wrong(field, f"must be printable ASCII, not {shown(text)}")
        return text

    def job_id(self, field: str, text: str) -> JobId:
        """Check that it is the id of a job, such as "job-42"."""
        job = parse_job(text)
        if job is None:
            self.wrong(field, f'must be an id such as "job-42", not {shown(text)}')
            return JobId(0)
        return job

    def lease_id(self, field: str, text: str) -> LeaseId:
        """Check that it is the id of a lease, such as "lease-42"."""
        lease = parse_lease(text)
        if lease is None:
            self.wrong(field, f'must be an id such as "lease-42", not {shown(text)}')
            return LeaseId(0)
        return lease

    def moment(self, field: str, at: Timestamp, *, after: datetime, until: datetime) -> datetime | None:
        """Check after < at <= until. Microseconds are kept, what is finer is cut off."""
        if not 0 <= at.nanos < NANOS_IN_SECOND:
            self.wrong(field, f"has {at.nanos} nanos, must have 0 to {NANOS_IN_SECOND - 1}")
            return None
        # Compared as integers first: a timestamp may lie outside the years that a datetime can hold.
        if not int(after.timestamp()) - 1 <= at.seconds <= int(until.timestamp()) + 1:
            moment = None
        else:
            moment = EPOCH + timedelta(seconds=at.seconds, microseconds=at.nanos // 1000)
        if moment is None or not after < moment <= until:
            self.wrong(field, f"must lie after {_text(after)} and not after {_text(until)}")
            return None
        return moment


def job_id(field: str, text: str) -> JobId:
    """Return the job that `text` names. Raise InvalidRequest when it names none."""
    checks = Checks()
    job = checks.job_id(field, text)
    checks.done()
    return job


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
