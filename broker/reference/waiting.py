"""The page of reasons: why a job waits, and what would help."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import broker.lifecycle
import scheduler.levers
import scheduler.reasons
from broker.lifecycle import Held
from broker.market.expecting import STARTS_BY_WAITING
from broker.market.explain import FITS
from broker.reference import markdown as md
from scheduler.levers import Lever
from scheduler.reasons import Reason

HELP: Final[Mapping[Reason, str]] = {
    Reason.NO_MATCHING_MODEL: "Add a build for the pool's stack, or name its model in a build.",
    Reason.MODEL_WITHOUT_FIGURE: "An operator enters the figure, with its source, in the world.",
    Reason.DOMESTIC_ONLY: "Add a build for a domestic model, or leave `domestic_only` out.",
    Reason.OWNER_NOT_ALLOWED: "Add the owner to `allowed_owners`, or leave the list empty.",
    Reason.CARD_NOT_SHARED: "Ask for a smaller share or for whole cards, or allow models that are split.",
    Reason.HUB_NOT_ALLOWED: "Add the hub to `allowed_hubs`, or leave the list empty.",
    Reason.ROUND_TRIP_TOO_LONG: "Raise `round_trip_micros_max`; for an unknown one an operator enters it in the world.",
    Reason.TRANSFER_TOO_LONG: "Raise `transfer_seconds_max`, or stage the input there and say so in `staged_hubs`; "
    "for an unknown way an operator enters its speed in the world.",
    Reason.TOO_LATE: "Ask for a shorter walltime or a later `finish_by`, or allow pools where less is to be moved.",
    Reason.RESERVED: "Ask for a shorter walltime, or wait until the maintenance is over (`xisuan window list`).",
    Reason.PRICE_BELOW_ASK: "Raise the ceiling by what the explanation says.",
    Reason.GANG_TOO_LARGE: "Fewer or smaller tasks, or another pool.",
    Reason.POOL_CLOSED: "Wait for the agent, or an operator uncordons nodes.",
    Reason.CARDS_SHORT: "Wait; or ask for fewer cards, or add a build. The explanation says how many are short.",
    Reason.CPU_SHORT: "Wait, or ask for less CPU for each task.",
    Reason.MEMORY_SHORT: "Wait, or ask for less memory for each task.",
    Reason.FABRIC_SHORT: "Wait; or ask for less nearness (`within`), or name smaller sizes.",
    Reason.POWER_SHORT: "Wait, allow other hubs, or name smaller sizes. `xisuan admin power show` says what a hub has "
    "left.",
    Reason.QUOTA_SHORT: "Wait until other work of the city or enterprise ends, allow other hubs, or name "
    "smaller sizes; an operator sets quotas.",
    Reason.OUTBID: "Raise the ceiling to the clearing price that the explanation names, raise the priority, or wait: "
    "waiting adds worth.",
    Reason.CHOSEN: "Nothing to do.",
    Reason.BETTER_ELSEWHERE: "Nothing to do.",
}
HELD: Final[Mapping[Held, str]] = {
    Held.NOT_YET: "Wait; or submit it without `earliest_start`.",
    Held.UPSTREAM_RUNS: "Wait for the jobs of `after` and `after_request_keys`; `xisuan explain` names them. "
    "With `after_data_ready` their data are enough.",
    Held.GREEN_WAITS: "Wait: `xisuan explain` says until when; or submit it without `green`, or raise its priority to "
    "urgent.",
    Held.PROMISED: "Wait: `xisuan job` says by when it starts.",
    Held.QUEUE_PAUSED: "Wait until operators resume the queue of the city; `xisuan explain` says why they paused it.",
    Held.FUNDS_SHORT: "Deposit what `xisuan explain` says is short, name a voucher, or ask for less time or "
    "fewer cards. Money that other jobs of the payer give back counts as soon as they end.",
}
INTRODUCTION: Final = """\
A job that a round leaves waiting carries one reason, that of the pool that came nearest to taking it:
`Job.waiting_reason`, the column "why" of `xisuan jobs`, and `refused_by_reason` of the round. `xisuan explain JOB`
(ExplainJob) gives one for every pool, with the cards that are short and the price at which the pool cleared in the last
round. A job that rounds do not look at yet says so with `NOT_YET`, `GREEN_WAITS`, `UPSTREAM_RUNS` or
`QUEUE_PAUSED`, one that is promised a start with `PROMISED`."""

CHANGES: Final = """\
`xisuan explain JOB` (`ExplainJobResponse.changes`) also offers single changes that would start a job that waits, in
this order. Each is proved. `STARTS_NOW`: the changed job is placed into the free room at the last round's prices; of
each lever the least that does it is offered. `PLANNED`, where nothing starts it now: the last round, or the part of it
at stake, is planned again with the changed job; the first change found is offered. -1 is no limit."""

EXPECTED: Final = """\
`Job.expected_start`, shown by `xisuan job`, `jobs` and `explain`, is an estimate and no promise: by P50 half of the
jobs like it have started, by P90 nine of ten. Each round makes it anew from what runs and what is offered for more,
times a factor that is learned from earlier ones, so that one in ten is late (`broker_expected_starts_total` counts). It
is told anew when it has moved by more than a minute and by more than a twentieth of the time left. It is not told where
a start is promised, where it is more than a year away, and once its P90 has passed: then no round has looked at the job
since. It is told of jobs that wait because of {reasons};
with any other reason somebody has to change something first."""


def page() -> str:
    """Return the page."""
    lines = md.generated("Why a job waits", "`scheduler/reasons.py` and `broker/reference/waiting.py`", INTRODUCTION)
    meanings = md.enum_comments(Reason, Path(scheduler.reasons.__file__))
    rows = [(md.code(reason), md.prose(meanings[reason.name]), HELP[reason]) for reason in Reason]
    held = md.enum_comments(Held, Path(broker.lifecycle.__file__))
    rows += [(md.code(reason), f"not of a pool: {md.prose(held[reason.name])}", HELD[reason]) for reason in Held]
    rows.append(
        (md.code(FITS), "only in explanations: it would fit now at the last round's prices", "Wait for a round.")
    )
    reasons = md.table(["reason", "what it says about a pool", "what would help"], rows)
    units = md.enum_comments(Lever, Path(scheduler.levers.__file__))
    levers = [(md.code(lever), md.prose(units[lever.name])) for lever in Lever]
    changes = [
        "",
        "## What would start it",
        "",
        CHANGES,
        "",
        *md.table(["lever", "what is changed, and its unit"], levers),
        "## When it is likely to start",
        "",
        EXPECTED.format(reasons=", ".join(md.code(reason) for reason in Reason if reason in STARTS_BY_WAITING)),
    ]
    return md.text([*lines, *reasons, *changes])
