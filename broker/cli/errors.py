"""How a command ends: what is wrong on stderr, and an exit code that scripts can rely on."""

import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from broker.cli.output import clean

if TYPE_CHECKING:
    from broker.client import XisuanError

Result = TypeVar("Result")


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0
    REFUSED = 1  # the broker refused it, a job failed, an audit or a replay found a difference
    USAGE = 2  # options, settings or files are wrong; nothing was sent
    UNAVAILABLE = 3  # the broker or an agent could not be reached, or did not answer in time
    INTERRUPTED = 130


def run(work: Coroutine[Any, Any, Result], *, as_json: bool = False) -> Result:
    """Run a command's work; a known error is told on stderr and ends the program with its exit code."""
    from broker.client import XisuanError

    try:
        return asyncio.run(work)
    except XisuanError as error:
        fail(error, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:  # the reader has seen enough, as in `xisuan jobs | head`
        sys.stderr.close()
        raise typer.Exit(ExitCode.OK) from None


def fail(error: "XisuanError", *, as_json: bool = False) -> NoReturn:
    """Tell a known error and end the program."""
    complain(
        _message(error),
        reason=error.reason,
        code=error.code,
        fields=[(problem.field, problem.description) for problem in error.fields],
        retry_after_seconds=error.retry_after_seconds,
        facts=error.facts,
        as_json=as_json,
    )
    raise typer.Exit(exit_code(error))


def usage(message: str, *, as_json: bool = False, fields: Sequence[tuple[str, str]] = ()) -> NoReturn:
    """Tell what is wrong with options or files, and end the program."""
    complain(message, reason="USAGE", code="INVALID_ARGUMENT", fields=fields, as_json=as_json)
    raise typer.Exit(ExitCode.USAGE)


def exit_code(error: "XisuanError") -> ExitCode:
    """Return the exit code for a known error."""
    from broker.client import BadJobFile, BadSettings, Unavailable

    if isinstance(error, BadSettings | BadJobFile):
        return ExitCode.USAGE
    return ExitCode.UNAVAILABLE if isinstance(error, Unavailable) else ExitCode.REFUSED


def complain(
    message: str,
    *,
    reason: str,
    code: str,
    fields: Sequence[tuple[str, str]] = (),
    retry_after_seconds: float | None = None,
    facts: Mapping[str, str] | None = None,
    as_json: bool = False,
) -> None:
    """Write an error to stderr: what is wrong, which fields, and when to try again."""
    if as_json:
        told: dict[str, Any] = {
            "code": code,
            "reason": reason,
            "message": message,
            "fields": [{"field": field, "description": description} for field, description in fields],
            "retry_after_seconds": retry_after_seconds,
            "facts": dict(facts or {}),
        }
        print(json.dumps({"error": told}, ensure_ascii=False), file=sys.stderr)
        return
    head = typer.style("error:", fg="red", bold=True) if sys.stderr.isatty() else "error:"
    lines = [f"{head} {clean(message)} [{reason}]"]
    lines += [f"  {clean(field)}: {clean(description)}" for field, description in fields]
    if retry_after_seconds is not None:
        lines.append(f"  try again in {retry_after_seconds:.1f} s")
    print("\n".join(lines), file=sys.stderr)


def _message(error: "XisuanError") -> str:
    if error.reason in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:  # nobody gave a reason: the broker was not reached
        return f"the broker does not answer: is `xisuan serve` running, and is the endpoint right? ({error.message})"
    return error.message
