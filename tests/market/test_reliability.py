"""Scores of owners: shares of what went well, weighed, of what is known."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.job import Ending
from broker.lifecycle import EndReason
from broker.market.reliability import PPM, WEIGHTS, Part, Reliability, score
from broker.store.database import Database
from broker.store.reliability import ClusterRecord
from tests.cluster_world import ClusterWorld, ended

NOTHING = ClusterRecord("o", "c", 0, 0, 0, 0, 0, 0, 0)
GOOD = ClusterRecord("o", "c", 10, 0, 0, 10, 10, 320_000, 320_000)


def parts(record: ClusterRecord) -> dict[Part, int]:
    return {part.part: part.ppm for part in score("o", "c", [record]).parts}


def test_weights_are_a_hundred() -> None:
    assert sum(WEIGHTS.values()) == 100


def test_of_nothing_nothing_is_known() -> None:
    found = score("o", "c", [NOTHING])

    assert (found.parts, found.score_ppm) == ((), None)


def test_what_all_went_well_is_a_whole() -> None:
    assert score("o", "c", [GOOD]).score_ppm == PPM


@pytest.mark.parametrize(
    ("changes", "part", "ppm"),
    [
        ({"lost": 1}, Part.KEPT, 900_000),
        ({"start_failed": 10}, Part.STARTS, 500_000),
        ({"started_promptly": 7}, Part.PROMPT, 700_000),
        ({"measured": 240_000}, Part.SPEED, 750_000),
        ({"measured": 400_000}, Part.SPEED, PPM),
    ],
)
def test_each_part_is_its_share(changes: dict[str, int], part: Part, ppm: int) -> None:
    bad = replace(GOOD, **changes)

    assert parts(bad)[part] == ppm
    assert score("o", "c", [bad]).score_ppm == PPM - (PPM - ppm) * WEIGHTS[part] // 100


def test_a_part_of_which_nothing_is_known_weighs_nothing() -> None:
    found = score("o", "c", [replace(GOOD, measured=0, rated=0, lost=5)])

    assert Part.SPEED not in {part.part for part in found.parts}
    assert found.score_ppm == (50 * 500_000 + 35 * PPM) // 85


@given(st.lists(st.integers(0, 10**9), min_size=7, max_size=7))
def test_a_score_is_a_share(figures: list[int]) -> None:
    """Whatever the counts are, as long as a part is no more than its whole."""
    attempts, lost, failed, started, prompt, measured, rated = figures
    record = ClusterRecord(
        "o", "c", attempts, min(lost, attempts), failed, started, min(prompt, started), measured, rated
    )

    found = score("o", "c", [record, record])

    assert all(0 <= part.ppm <= PPM for part in found.parts)
    assert found.score_ppm is None or 0 <= found.score_ppm <= PPM
    assert len(fields(record)) == 9


async def test_what_became_of_attempts_is_read_from_the_leases(database: Database) -> None:
    """Of a job that fails by itself the owner is not to blame; of one from long ago nothing is held against him."""
    world = await ClusterWorld(database).lay()
    session = await world.attach()
    endings = [EndReason.COMPLETED, EndReason.EXIT_CODE, EndReason.VANISHED, EndReason.START_FAILED]
    for sequence, reason in enumerate(endings, start=1):
        _, ref = await world.running(session, 2 * sequence - 1)
        world.advance(1)
        await world.report(session, 2 * sequence, ended(ref, Ending(reason)))
    await world.attach("west", "two")
    reliability = Reliability(database)

    now = await reliability.scores("", "", now=world.now)
    later = await reliability.scores("owner", "east", now=world.now + timedelta(days=31))

    assert [(each.owner, each.cluster) for each in now] == [("owner", ""), ("owner", "east"), ("owner", "west")]
    assert {p.part: (p.good, p.of) for p in now[1].parts} == {
        Part.KEPT: (3, 4),
        Part.STARTS: (4, 5),
        Part.PROMPT: (4, 4),
    }
    assert (now[2].score_ppm, [each.score_ppm for each in later]) == (None, [None])
