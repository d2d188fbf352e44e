"""The command logs: output of a task, as it is or as it comes."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.errors import run
from broker.cli.options import AsJson, AsOperator, City, JobId, examples
from broker.cli.output import note, print_line
from broker.cli.settings import city_client

if TYPE_CHECKING:
    from broker.client import Client


class Stream(StrEnum):
    """The two outputs of a process."""

    STDOUT = "stdout"
    STDERR = "stderr"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "xisuan logs job-42",
            "xisuan logs -f job-42 --task 3 --stream stderr",
            "xisuan logs job-42 --attempt 1 > first-attempt.txt",
        )
    )(logs)


def logs(
    ctx: typer.Context,
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for the start, and go on until the attempt ends.")
    ] = False,
    task: Annotated[int, typer.Option(min=0, help="Task of the gang, from 0.")] = 0,
    stream: Annotated[Stream, typer.Option(help="Which output.")] = Stream.STDOUT,
    attempt: Annotated[int, typer.Option(min=0, help="Attempt, from 1; 0 means the last one.")] = 0,
    offset: Annotated[int, typer.Option(min=0, help="First byte.")] = 0,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Print the output of one task. With --json one line for each piece: {"offset", "text"}."""

    async def printed() -> None:
        async with city_client(ctx, city, operator=operator) as xisuan:
            if follow and attempt == 0:
                await _started(xisuan, job_id)
            position = offset
            async for piece in xisuan.logs(
                job_id, attempt=attempt, task=task, stream=stream.value, offset=offset, follow=follow
            ):
                if as_json:
                    print_line({"offset": position, "text": piece.decode(errors="replace")})
                    position += len(piece)
                else:
                    write(piece)

    run(printed(), as_json=as_json)


def write(piece: bytes) -> None:
    """Write output of a job as it is, at once."""
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


async def _started(xisuan: "Client", job_id: str) -> None:
    job = await xisuan.job(job_id)
    if not job.final and job.attempt == 0:
        note(f"{job_id} waits for cards; its output follows as soon as it starts (xisuan explain {job_id} tells why)")
    await xisuan.wait_started(job_id)
