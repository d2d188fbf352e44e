"""What people see."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from broker.cli import job_facts, jobs
from broker.cli.clusters import _ranges
from broker.cli.output import clean, clock_time, duration, milli, part, percent, table, word, yuan
from broker.client import Job, JobState, PriorityClass, Within
from broker.wire.v1 import job_pb2


def drawn(*rows: tuple[object, ...]) -> list[str]:
    out = StringIO()
    Console(file=out, width=200, markup=False).print(table(["city", "cards>"], rows))
    return out.getvalue().splitlines()


def test_chinese_titles_align() -> None:
    lines = drawn(("赣州 Ganzhou", 8), ("南京", 1024), ("Beijing", 16))

    assert len({cell_len(line) for line in lines}) == 1
    assert {
        cell_len(line[: line.rindex(n)]) + len(n) for line, n in zip(lines[1:], ["8", "1024", "16"], strict=True)
    } == {cell_len(lines[0])}


def test_nothing_that_came_from_outside_steers_the_terminal() -> None:
    """A job's name or an error's text may hold escape sequences, or what looks like our markup."""
    lines = drawn(("\x1b[2J\x07[red]x", "\x9b31m"))

    assert lines[1].split() == [r"\x1b[2J\x07[red]x", r"\x9b31m"]


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert clean(text).isprintable()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0s"), (59.96, "60.0s"), (60, "1m"), (9000, "2h30m"), (90_061, "1d1h"), (86_400, "1d"), (None, "")],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("micro_yuan", "told"),
    [(0, "¥0.0000"), (9_000_000, "¥9.0000"), (1_234_567_890_123, "¥1,234,567.8901"), (-1_999_999, "-¥1.9999")],
)
def test_money_is_cut_never_rounded_up(micro_yuan: int, told: str) -> None:
    assert yuan(micro_yuan) == told


def test_thousandths_and_millionths() -> None:
    assert [milli(value) for value in (0, 500, 8000, 1_234_567, 1_500)] == ["0", "0.5", "8", "1,234.567", "1.5"]
    assert [milli(value) for value in (10_000, 100_000)] == ["10", "100"]
    assert percent(12_345) == "1.23 %"
    assert [part(value) for value in (1_000_000, 800_000, 333_333, 1)] == ["1", "0.8", "0.333333", "0.000001"]


def test_a_time_of_another_day_has_its_date() -> None:
    now = datetime.now(UTC)

    assert len(clock_time(now)) == len("08:00:00")
    assert len(clock_time(now - timedelta(days=2))) == len("2026-01-01 08:00:00")


def test_words_of_the_wire() -> None:
    assert word(job_pb2.JobState, job_pb2.JOB_STATE_RUNNING, "JOB_STATE_") == "running"
    assert word(job_pb2.JobState, 99, "JOB_STATE_") == "unknown (99)"


@pytest.mark.parametrize(("indices", "told"), [([], ""), ([0], "0"), ([0, 1, 2, 3], "0-3"), ([7, 0, 1, 3], "0-1,3,7")])
def test_cards_are_told_in_ranges(indices: list[int], told: str) -> None:
    assert _ranges(indices) == told


def test_words_to_choose_from_are_the_clients() -> None:
    """They are written down twice so that `--help` need not import the client."""
    assert [state.value for state in jobs.State] == [s.value for s in JobState if s is not JobState.UNKNOWN]
    assert [c.value for c in jobs.Priority] == [c.value for c in PriorityClass]
    assert [within.value for within in jobs.Within] == [w.value for w in Within]
    assert job_facts.GREEN_PREFER == job_pb2.GREEN_PREFERENCE_PREFER
    assert (job_facts.WITHIN_DOMAIN, job_facts.WITHIN_NODE) == (job_pb2.WITHIN_DOMAIN, job_pb2.WITHIN_NODE)


def shown(capsys: pytest.CaptureFixture[str], spec: job_pb2.JobSpec, *nodes: job_pb2.NodeCards) -> dict[str, str]:
    """Return what `xisuan job` tells of such a job, by the name of the line."""
    wire = job_pb2.Job(job_id="job-1", city="ganzhou", spec=spec, state=job_pb2.JOB_STATE_RUNNING)
    if nodes:
        wire.placement.CopyFrom(job_pb2.Placement(lease_id="lease-1", epoch=1, cluster="c", pool="p", nodes=nodes))
    capsys.readouterr()
    job_facts.show_job(Job.of(wire))
    lines = capsys.readouterr().out.splitlines()
    return {line[:11].strip(): line[11:].strip() for line in lines}


def test_a_job_tells_what_it_asks_for_and_what_it_got(capsys: pytest.CaptureFixture[str]) -> None:
    """Share, sizes, nearness, data, owners, enterprise; and of a placement the share and size that it runs with."""
    builds = [job_pb2.Build(stack="cann", command=["run"])]
    sizes = [job_pb2.GangSize(tasks=2, speed_ppm=600_000)]
    elastic = job_pb2.JobSpec(
        **{"tasks": 4, "cards_per_task": 8, "walltime_seconds": 3600, "builds": builds, "smaller_sizes": sizes},
        within="WITHIN_DOMAIN",
        input_gib=500,
        staged_hubs=["guian"],
        transfer_seconds_max=7200,
        output_gib=2,
        domestic_only=True,
        allowed_owners=["telecom"],
        enterprise="acme",
    )
    share = job_pb2.JobSpec(tasks=2, cards_per_task=1, walltime_seconds=60, builds=builds, share_milli=300)

    told = shown(capsys, elastic, job_pb2.NodeCards(node="n1", cards=range(8), tasks=1))
    shared = shown(capsys, share, job_pb2.NodeCards(node="n1", cards=[3, 3], tasks=2, share_milli=500))

    assert told["asks for"] == "4 x 8 cards or 2 (speed 0.6), within one domain, at most 1h"
    assert told["only on"] == "domestic models; owners telecom"
    assert told["data"] == "500 GiB in, at guian already, within 2h, 2 GiB out"
    assert (told["for"], told["runs with"]) == ("acme", "1 task")
    assert shared["asks for"] == "2 x 0.3 card, at most 1m"
    assert (shared["runs with"], shared["cards"]) == ("2 tasks of 0.5 card each", "n1: 3,3")


def test_a_promised_job_tells_by_when_it_starts_and_what_was_promised_first(capsys: pytest.CaptureFixture[str]) -> None:
    wire = job_pb2.Job(job_id="job-1", city="ganzhou", state=job_pb2.JOB_STATE_PENDING, waiting_reason="PROMISED")
    wire.promised.CopyFrom(job_pb2.Promised(cluster="c", pool="p"))
    wire.promised.starts_at.FromDatetime(datetime(2026, 3, 1, 9, 0, tzinfo=UTC))
    wire.promised.first_starts_at.FromDatetime(datetime(2026, 3, 1, 8, 0, tzinfo=UTC))
    job = Job.of(wire)
    by, first = (clock_time(datetime(2026, 3, 1, hour, 0, tzinfo=UTC)) for hour in (9, 8))

    job_facts.show_job(job)
    out = capsys.readouterr().out

    assert f"to start by {by} on c/p (first promised {first})" in out
    assert job_facts.row(job)[-1] == f"promised to start by {by} on c/p (first promised {first})"


def test_a_waiting_job_tells_when_it_is_likely_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    """To the next whole minute, in words; half of the jobs are left out when their time has passed."""
    wire = job_pb2.Job(job_id="job-1", city="ganzhou", state=job_pb2.JOB_STATE_PENDING, waiting_reason="CARDS_SHORT")
    wire.expected_start.p50_at.FromDatetime(datetime(2026, 3, 1, 8, 0, tzinfo=UTC))
    wire.expected_start.p90_at.FromDatetime(datetime(2026, 3, 1, 9, 0, 1, tzinfo=UTC))
    half, most = (clock_time(datetime(2026, 3, 1, h, m, tzinfo=UTC)).removesuffix(":00") for h, m in ((8, 0), (9, 1)))
    both = f"to start by {half} (half of the jobs like it), by {most} (nine of ten)"
    job_facts.show_job(Job.of(wire))
    shown = capsys.readouterr().out

    later = job_pb2.Job()
    later.CopyFrom(wire)
    later.expected_start.ClearField("p50_at")

    assert [line.split(maxsplit=1) for line in shown.splitlines() if "expected" in line] == [["expected", both]]
    assert job_facts.row(Job.of(wire))[-1] == f"CARDS_SHORT, expected {both}"
    assert job_facts.row(Job.of(later))[-1] == f"CARDS_SHORT, expected to start by {most} (nine of ten jobs like it)"


def test_a_job_across_domains_tells_its_speed(capsys: pytest.CaptureFixture[str]) -> None:
    spec = job_pb2.JobSpec(tasks=2, cards_per_task=1, walltime_seconds=60, spread_speed_ppm=800_000)

    assert shown(capsys, spec)["asks for"] == "2 x 1 cards, across domains at speed 0.8, at most 1m"
