"""The display draws what it is told, on a terminal or not, from the first moment to the last."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from broker.audit.rules import Finding
from broker.client import Event
from broker.demo import display
from broker.demo.replay import Memory
from broker.demo.summary import RoundFigures, summarise
from broker.wire.v1 import admin_service_pb2 as pb
from broker.wire.v1 import job_pb2, job_service_pb2

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=140, force_terminal=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def overview() -> pb.GetOverviewResponse:
    pool = pb.Pool(pool="train", model="ascend-910b", nodes=2, cards=16, cards_leased=12)
    last = pb.Round(round=42, jobs=7, placed=3, gap_ppm=1_234, plan_millis=88, verify_millis=9)
    return pb.GetOverviewResponse(
        jobs=[
            pb.JobCount(city="ganzhou", state=job_pb2.JOB_STATE_PENDING, jobs=17),
            pb.JobCount(city="nanjing", state=job_pb2.JOB_STATE_RUNNING, jobs=5),
        ],
        clusters=[pb.Cluster(cluster="qingyang-ascend", hub="qingyang", agent=pb.AGENT_STATE_LIVE, pools=[pool])],
        last_round=last,
    )


def memory() -> Memory:
    placement = job_pb2.Placement(
        lease_id="lease-1", cluster="qingyang-ascend", pool="train", nodes=[job_pb2.NodeCards(node="n1", cards=[0, 1])]
    )
    wire = job_service_pb2.JobEvent(cursor=3, job_id="job-9", kind="JOB_EVENT_KIND_LEASED", placement=placement)
    wire.at.FromDatetime(NOON)
    told = Memory(acknowledged={"job-9": "ganzhou"}, submitted_of=80)
    told.seen.append(("ganzhou", Event.of(wire)))
    return told


def test_queue_clusters_round_and_events_are_drawn(console: Console) -> None:
    console.print(display.draw(overview(), memory(), "broker is away"))

    text = printed(console)
    for words in ("1/80", "ganzhou", "17", "12/16", "live", "last round #42", "gap 0.12 % (proven)", "broker is away"):
        assert words in text
    assert "qingyang-ascend/train n1: 0,1" in text


def test_before_the_first_answer_there_is_something_to_look_at(console: Console) -> None:
    console.print(display.draw(pb.GetOverviewResponse(), Memory(submitted_of=80), ""))

    assert "no round yet" in printed(console)


def test_the_summary_names_every_figure(console: Console) -> None:
    display.print_summary(console, summarise([], [RoundFigures(1, 20_000, 50)], cards=48))

    for words in ("card utilisation", "waiting p50 / p99", "proven gap p50 / max", "2.000 %", "median 50 ms"):
        assert words in printed(console)


def test_a_finding_of_the_audit_cannot_be_overlooked(console: Console) -> None:
    display.print_audit(console, [], "12 rules over 80 jobs")
    display.print_audit(console, [Finding("no_job_is_lost", "job-7 is gone")], "")

    assert "Audit clean: 12 rules over 80 jobs" in printed(console)
    assert "AUDIT: 1 findings" in printed(console)
    assert "job-7 is gone" in printed(console)
