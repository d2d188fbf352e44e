"""How log lines look: one an event, to stderr."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor


class LogStyle(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


def open_log(style: LogStyle, **always: object) -> None:
    """Send log lines to stderr; `always` stands in each of them."""
    import structlog  # the command line shall start without it

    drawn: Processor
    if style is LogStyle.JSON:
        drawn = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        # Plain: the default shows local variables, among them API keys and passwords.
        drawn = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )

    def added(_logger: object, _method: str, facts: EventDict) -> EventDict:
        facts.update(always)
        return facts

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            added,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if style is LogStyle.JSON else []),
            drawn,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
