"""The load on a whole exchange: what is drawn, the fake engine, and a short run with faults, audited."""

import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from benchmarks.brokers import broker
from benchmarks.load.agents import Links
from benchmarks.load.arrivals import arrivals, followed_by, in_sweeps
from benchmarks.load.clients import Way
from benchmarks.load.engine import ENDED, RUN_SECONDS, RUNNING, STARTING, FakeEngine, Faults
from benchmarks.load.figures import with_prices
from benchmarks.load.histogram import histogram, merged, millis, of_seconds, record
from benchmarks.load.outcome import Outcome
from benchmarks.load.run import Live, LoadPlan, run
from benchmarks.load.worlds import WORLDS, PoolStock, world
from benchmarks.worlds.trace import real_jobs
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import job_pb2

AT = datetime(2026, 11, 26, 8, tzinfo=UTC)
POOL = PoolStock("train", "ascend-910b", 2, 8, 128_000, 1_048_576, 16)


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_are_valid_and_the_same_for_the_same_seed(name: str) -> None:
    found = world(name, 7)

    assert found == world(name, 7)
    assert found.cards == sum(p.nodes * p.cards for pools in found.clusters.values() for p in pools)
    if name == "national":
        assert (len(found.clusters), found.nodes, found.cards, len(found.cities)) == (40, 45_000, 360_000, 34)
        assert sum(len(pools) for pools in found.clusters.values()) == 120
        assert found != world(name, 8)


def test_arrivals_keep_their_rate_and_their_seed() -> None:
    cities = world("qingyang", 1).cities

    drawn, again = (arrivals(3, cities, 50, 600, real_jobs(None)) for _ in range(2))

    assert abs(drawn.at_seconds.size / (50 * 600) - 1) < 0.05
    assert np.array_equal(drawn.at_seconds, again.at_seconds)
    assert np.all(np.diff(drawn.at_seconds) >= 0)
    assert 0 <= drawn.at_seconds[0] <= drawn.at_seconds[-1] < 600
    assert np.all(drawn.walltime_seconds > drawn.run_seconds)
    assert set(np.unique(drawn.city)) <= set(range(len(cities)))
    by_second = np.bincount(drawn.at_seconds.astype(int), minlength=600)
    assert by_second.var() > 1.5 * by_second.mean()  # bursts: more than a plain Poisson process has


def test_a_citys_sweep_comes_at_once_and_holds_the_same_jobs() -> None:
    drawn = arrivals(3, ("ganzhou", "nanjing"), 20, 60, real_jobs(None))

    swept = in_sweeps(drawn, 50)

    for city in (0, 1):
        was, comes = (each.of(np.array([city])) for each in (drawn, swept))
        assert (drawn.cards[was] == swept.cards[comes]).all()
        times, counts = np.unique(swept.at_seconds[comes], return_counts=True)
        assert (counts[:-1] == 50).all()
        assert (times[0], times[-1]) == (drawn.at_seconds[was][49], drawn.at_seconds[was][was.size // 50 * 50])
    assert (np.diff(swept.at_seconds) >= 0).all()
    assert (in_sweeps(drawn, 1).at_seconds == drawn.at_seconds).all()


def test_a_flood_comes_when_all_others_have_come() -> None:
    cities = world("laptop", 1).cities
    first, later = (arrivals(seed, cities, 20, 30, real_jobs(None)) for seed in (3, 4))

    both = followed_by(first, later, 30)
    short = arrivals(3, cities, 4_000, 0.25, real_jobs(None))

    assert 0 < short.at_seconds.max() < 0.25  # all of it can be sent

    count = first.at_seconds.size
    assert np.all(np.diff(both.at_seconds) >= 0)
    assert both.at_seconds[count:].min() >= 30 > both.at_seconds[:count].max()
    for name in ("city", "tasks", "cards", "run_seconds", "walltime_seconds"):
        assert np.array_equal(getattr(both, name), np.append(getattr(first, name), getattr(later, name)))


def test_histograms_add_up_to_what_was_recorded() -> None:
    parts = [histogram(), histogram()]
    for seconds, part in ((0.001, parts[0]), (0.1, parts[1]), (1e9, parts[1])):
        record(part, seconds)

    found = merged(part.encode() for part in parts)

    assert found.get_total_count() == 3
    assert millis(found, 50) == pytest.approx(100, rel=0.002)
    assert millis(found, 100) == pytest.approx(600_000, rel=0.002)
    assert millis(of_seconds([]), 99) == 0


def order(lease: int, seconds: float, *, epoch: int = 1, walltime: int = 60) -> wire.LeaseOrder:
    """An order for two cards of the first node."""
    return wire.LeaseOrder(
        lease_id=f"lease-{lease}",
        epoch=epoch,
        job_id=f"job-{lease}",
        build=job_pb2.Build(stack="cann", command=["x"], environment={RUN_SECONDS: str(seconds)}),
        nodes=[job_pb2.NodeCards(node=POOL.node(0), cards=[0, 1], tasks=2)],
        cards_per_task=1,
        walltime_seconds=walltime,
    )


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine([POOL], tmp_path, random.Random(1), Faults(), start_seconds=0.1)


def phases(engine: FakeEngine) -> list[int]:
    return [report.phase for report in engine.told().leases]


def test_a_fake_gang_starts_runs_and_ends_as_its_record_says(engine: FakeEngine, tmp_path: Path) -> None:
    took = engine.obey(wire.Desired(start=[order(1, 5.0)]), 100.0, AT)
    again = engine.obey(wire.Desired(start=[order(1, 5.0)]), 100.0, AT)
    before = phases(engine)
    engine.advance(100.2, AT)
    running = phases(engine)
    engine.advance(106.0, AT)
    ended = engine.told().leases[0]
    engine.obey(wire.Desired(settled=[wire.LeaseRef(lease_id="lease-1", epoch=1)]), 107.0, AT)
    engine.close()

    assert (took, again) == (True, False)
    assert (before, running) == ([STARTING], [RUNNING])
    assert (ended.phase, ended.end.reason) == (ENDED, job_pb2.END_REASON_COMPLETED)
    assert not engine.told().leases
    lines = [json.loads(line) for line in (tmp_path / "engine.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["start", "start", "end", "end", "closed"]
    assert [line["cards"] for line in lines[:2]] == [[0], [1]]


def test_a_fake_gang_is_killed_at_its_walltime_stopped_on_order_and_never_started_late(engine: FakeEngine) -> None:
    engine.obey(wire.Desired(start=[order(1, 500.0, walltime=10), order(2, 500.0)]), 0.0, AT)
    engine.advance(1.0, AT)
    stop = wire.LeaseStop(lease=wire.LeaseRef(lease_id="lease-2", epoch=1))
    stranger = wire.LeaseStop(lease=wire.LeaseRef(lease_id="lease-9", epoch=1))
    engine.obey(wire.Desired(stop=[stop, stranger]), 2.0, AT)
    engine.advance(12.0, AT)

    reasons = {report.lease_id: report.end.reason for report in engine.told().leases}
    late = engine.obey(wire.Desired(start=[order(9, 1.0)]), 13.0, AT)

    assert reasons == {
        "lease-1": job_pb2.END_REASON_WALLTIME,
        "lease-2": job_pb2.END_REASON_CANCELLED,
        "lease-9": job_pb2.END_REASON_CANCELLED,
    }
    assert not late


def test_a_node_that_fails_ends_what_runs_there_and_comes_back(tmp_path: Path) -> None:
    one = PoolStock("train", "ascend-910b", 1, 8, 128_000, 1_048_576, 16)
    engine = FakeEngine([one], tmp_path, random.Random(1), Faults(3600.0, repair_seconds=30.0), start_seconds=0.1)
    engine.obey(wire.Desired(start=[order(1, 5000.0, walltime=9000)]), 0.0, AT)
    engine.advance(0.0, AT)

    while not engine.failures:
        engine.advance(engine.next_due(), AT)
    report, down = engine.told().leases[0], [node.node for node in engine.down()]

    assert (report.phase, down) == (ENDED, [one.node(0)])
    assert (report.end.reason, report.end.signal) in (
        (job_pb2.END_REASON_SIGNAL, 9),
        (job_pb2.END_REASON_START_FAILED, 0),
    )


def test_who_came_before_there_were_prices_is_told_apart() -> None:
    """The first round that is committed ends at 13; a rejected one before it made no prices."""
    leases = np.array([[10.0, 13.0, 14.0], [12.9, 13.0, 14.0], [13.0, 13.1, 14.0], [20.0, 20.1, 21.0]])
    rounds = np.array([[10.0, 1.0, 1, 0, 0, 0, 0], [11.0, 2.0, 2, 2, 0, 0, 1], [30.0, 1.0, 1, 0, 0, 0, 1]])
    nothing = np.zeros((0, 2))

    found = with_prices(Outcome(4, leases, rounds, nothing))

    assert found["with_prices_submit_to_lease_p99_ms"] == pytest.approx(100, rel=0.01)
    assert with_prices(Outcome(4, leases, rounds[:1], nothing)) == {}
    assert with_prices(Outcome(2, leases[:2], rounds, nothing)) == {}


@pytest.mark.e2e
def test_a_short_load_with_faults_is_clean_and_counted(tmp_path: Path) -> None:
    """Everything that was due is acknowledged, refused or counted as not sent, and what was acknowledged is stored."""
    json_file, html = tmp_path / "load.json", tmp_path / "load.html"
    options = ["--rate", "15", "--minutes", "0.1", "--run-seconds", "1", "--drain", "20", "--way", "stream"]
    options += ["--cuts", "600", "--node-failures", "300", "--json", str(json_file), "--html", str(html)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "load", *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(json_file.read_text())
    figures = told["figures"]
    assert (told["benchmark"], told["audit"]) == ("load", {"violations": 0})
    assert figures["due"] == figures["submitted"] + figures["refused"] + figures["not_sent"]
    assert figures["submitted"] > 0
    assert figures["placed"] > 0
    assert figures["cuts"] + figures["node_failures"] > 0
    assert 0 < figures["ack_p50_ms"] <= figures["ack_p99_ms"]
    assert html.read_text().count("<svg") == 10
    both = subprocess.run(
        [sys.executable, "-m", "benchmarks", "load", "--compare", str(json_file), str(json_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1.00" in both.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("way", [Way.UNARY, Way.BATCH])
def test_a_run_whose_broker_is_killed_ends_and_is_void(way: Way) -> None:
    """Everything that was due is still accounted for, and nobody takes its figures for those of an exchange."""
    on = world("laptop", 1)
    due = arrivals(1, on.cities, 20.0, 6.0, real_jobs(None), hour=10.0, run_seconds_max=1.0, gang_cards_max=8)
    plan = LoadPlan(on, due, 6.0, 1.0, way, 1, 64, 1, Faults(0.0), Links())

    with broker(world=on.document) as running:

        def watched(live: Live) -> None:
            if live.counts.acknowledged > 10:
                os.kill(running.pid, signal.SIGKILL)

        ran = run(running, plan, watched)

    assert [finding.rule for finding in ran.findings] == ["the_broker_lives_to_the_end"]
    counts = [result.counts for result in ran.results]
    lost = sum(sum(each.refused.values()) for each in counts) + sum(result.not_sent for result in ran.results)
    assert sum(each.acknowledged for each in counts) + lost == due.at_seconds.size
    assert lost > 0
