"""The agent's log: one line an event, for people or for programs. No global set-up: whoever embeds it keeps theirs."""

import sys
from typing import Literal

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def open_log(style: Literal["console", "json"], **context: str) -> FilteringBoundLogger:
    """Return a logger that writes to standard error, with `context` in every line."""
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain: the default shows local variables, among them the agent's key.
        drawn = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        processors.append(drawn)
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        context_class=dict,
    ).bind(**context)
    return log
