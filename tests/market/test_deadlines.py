"""A deadline is refused only when it certainly cannot be kept, and the error names the earliest one that can."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.market.deadlines import earliest_start, too_late
from broker.store.catalogue_view import CatalogueView, NodeKind, PoolSize
from tests.small_world import T0, a_spec

KIND = (NodeKind(4, 8, 64_000, 524_288),)
NEAR = PoolSize("longdong", "ascend", "qingyang", "ascend-910b", KIND)
FAR = PoolSize("qian", "cuda", "guian", "a800", KIND)
HOUR = 3600


def view(*pools: PoolSize, **speeds: int) -> CatalogueView:
    """Hubs and models of the small world; from ganzhou to each hub so many MiB a second."""
    return CatalogueView(
        cities={},
        stack_of_model={"ascend-910b": "cann", "a800": "cuda"},
        hubs=frozenset({"qingyang", "guian"}),
        pools=pools,
        mib_per_second={("ganzhou", hub): speed for hub, speed in speeds.items()},
    )


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


MOVES = {"input_gib": 100}  # 102,400 MiB: 1,024 s at 100 MiB/s

CASES: list[tuple[str, dict[str, Any], CatalogueView, int]] = [
    ("nothing to move: walltime alone", {}, view(NEAR, qingyang=1), HOUR),
    ("later start", {"earliest_start": at(60)}, view(NEAR), HOUR + 60),
    ("a start that has passed", {"earliest_start": at(-60)}, view(NEAR), HOUR),
    ("input on its way", MOVES, view(NEAR, qingyang=100), HOUR + 1024),
    ("moved after the start is allowed", MOVES | {"earliest_start": at(60)}, view(NEAR, qingyang=100), HOUR + 1084),
    ("staged there", MOVES | {"staged_hubs": ("qingyang",)}, view(NEAR, qingyang=100), HOUR),
    ("a way that nobody measured", MOVES, view(NEAR), HOUR),
    ("the better of two hubs", MOVES, view(NEAR, FAR, qingyang=100, guian=1000), HOUR + 103),
    ("only where it may run", MOVES | {"allowed_hubs": ("qingyang",)}, view(NEAR, FAR, qingyang=100), HOUR + 1024),
    ("no pool that it may use yet", MOVES | {"allowed_hubs": ("guian",)}, view(NEAR, qingyang=1), HOUR),
]


@pytest.mark.parametrize(("changes", "world", "ends"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_earliest_end_is_the_border(changes: dict[str, Any], world: CatalogueView, ends: int) -> None:
    def judged(second: float) -> Any:
        return too_late(a_spec(finish_by=at(second), **changes), "ganzhou", T0, world)

    assert judged(ends) is None
    refused = judged(ends - 1)
    assert [problem.field for problem in refused.fields] == ["spec.finish_by"]
    assert f"ends at {at(ends).isoformat()} at the earliest" in refused.fields[0].description


def test_without_a_deadline_nothing_is_too_late() -> None:
    assert too_late(a_spec(), "ganzhou", T0, view()) is None


@given(
    walltime=st.integers(1, 31_536_000),
    gib=st.integers(0, 2**20),
    speed=st.integers(0, 10**9),
    wait=st.integers(-10_000, 366 * 86_400),
    micros=st.integers(0, 999_999),
)
def test_the_time_that_is_named_can_be_kept(walltime: int, gib: int, speed: int, wait: int, micros: int) -> None:
    world = view(NEAR, **({"qingyang": speed} if speed else {}))
    now = T0 + timedelta(microseconds=micros)
    changes: dict[str, Any] = {"walltime_seconds": walltime, "input_gib": gib, "earliest_start": at(wait)}

    refused = too_late(a_spec(finish_by=T0, **changes), "ganzhou", now, world)

    assert refused is not None
    named = datetime.fromisoformat(re.findall(r"ends at (\S+) at", refused.fields[0].description)[0])
    assert too_late(a_spec(finish_by=named, **changes), "ganzhou", now, world) is None
    assert earliest_start(a_spec(**changes), "ganzhou", NEAR, now, world) >= now
