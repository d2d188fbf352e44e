"""A snapshot holds only what can be, never changes, and is the same bytes wherever it is written."""

from __future__ import annotations

import io
import pickle
import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_worlds import arrays, random_world, snapshot

from scheduler.arrays import those_there
from scheduler.errors import BadSnapshot
from scheduler.snapshot import Snapshot


def test_the_same_content_gives_the_same_bytes_and_the_same_hash() -> None:
    """Rounds are stored by hash and replayed from bytes: neither may depend on the clock or on who wrote it."""
    first, second = (
        random_world(7, jobs=20, pools=3, nodes_per_pool=4),
        random_world(7, jobs=20, pools=3, nodes_per_pool=4),
    )

    again = Snapshot.from_bytes(first.to_bytes())

    assert first.to_bytes() == second.to_bytes() == again.to_bytes()
    assert first.input_hash() == again.input_hash()
    assert first.input_hash() != random_world(8, jobs=20, pools=3, nodes_per_pool=4).input_hash()


def test_what_numpy_writes_can_be_read() -> None:
    """Anybody can bring an instance with `numpy.savez` alone."""
    world = {name: np.array(value) for name, value in arrays(jobs=3).items()}
    file = io.BytesIO()

    np.savez(file, **world)

    assert Snapshot.from_bytes(file.getvalue()).to_bytes() == snapshot(jobs=3).to_bytes()


def test_nodes_of_two_pools_may_have_the_same_name() -> None:
    world = random_world(7, jobs=3, pools=2, nodes_per_pool=2)

    named = replace(world, node_names=("n1", "n2", "n1", "n2"))

    assert named.node_pool.tolist() == [0, 0, 1, 1]


def test_arrays_are_frozen_copies() -> None:
    """A plan made while somebody edits the arrays behind it would be a plan for no world at all."""
    mine = np.array([8, 8])
    world = snapshot(node_free_cards=mine)

    mine[0] = 0

    assert world.node_free_cards.tolist() == [8, 8]
    with pytest.raises(ValueError, match="read-only"):
        world.node_free_cards[0] = 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node_free_cards", [float("nan"), 8.0]),
        ("node_free_cards", [-1, 8]),
        ("node_free_cards", [9, 8]),
        ("node_free_cpu_milli", [10**6, 0]),
        ("node_free_memory_mib", [8]),
        ("node_pool", [0, 1]),
        ("node_pool", [-1, 0]),
        ("node_names", ("same", "same")),
        ("node_names", ("bell\x07", "b")),
        ("node_names", ("", "b")),
        ("node_open", [1, 0]),
        ("pool_hub", [1]),
        ("pool_ask_micro_yuan_per_card_hour", [2**63 - 1]),
        ("pool_names", "cluster/pool"),
        ("pool_names", (5,)),
        ("model_origin", ("elsewhere",)),
        ("model_fp16_programme_milli_tflops", [2**62]),
        ("round_trip_micros", [20_000]),
        ("round_trip_micros", [[1], [2]]),
        ("shape_tasks", [0]),
        ("shape_tasks", [2**21]),
        ("shape_cards_per_task", [0]),
        ("shape_cards_per_task", [[1]]),
        ("build_start", [0, 2]),
        ("build_start", [1, 1]),
        ("build_start", [0]),
        ("build_models", [[1]]),
        ("build_speed_ppm", [0]),
        ("job_shape", [0, 0, 1]),
        ("job_city", [0, 0, 2**40]),
        ("job_priority", [0, 1, 4]),
        ("job_id", ("a", "b", "a")),
        ("job_ceiling_micro_yuan_per_pflops_hour", [0, 1, 2**63 - 1]),
        ("job_ceiling_micro_yuan_per_pflops_hour", np.array([0, 1, 2**63], dtype=np.uint64)),
        ("job_ceiling_micro_yuan_per_pflops_hour", [0, 1, 2**70]),
        ("job_walltime_seconds", [0, 1, 1]),
        ("job_submitted_at_s", [[1], [1, 2], [3]]),
        ("taken_at_s", -1),
        ("taken_at_s", "now"),
        ("taken_at_s", True),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(field: str, value: Any) -> None:
    """The error names the array, so that whoever built it knows where to look."""
    with pytest.raises(BadSnapshot) as refused:
        snapshot(**{field: value})

    assert refused.value.field == field
    assert refused.value.why


def test_what_a_quota_uses_counts_to_those_above() -> None:
    """Otherwise a world in which more runs would break rules that it kept before."""
    tree: dict[str, Any] = {"quota_names": ("hub", "city", "works"), "quota_parent": [-1, 0, 1]}
    tree |= {f"quota_{name}_milli_tflops": [9, 9, 9] for name in ("guaranteed", "borrow", "lend")}

    assert snapshot(**tree, quota_used_milli_tflops=[5, 5, 4]).quota_names
    with pytest.raises(BadSnapshot, match="city uses 3, its children 4") as refused:
        snapshot(**tree, quota_used_milli_tflops=[5, 3, 4])
    assert refused.value.field == "quota_used_milli_tflops"


def test_nodes_must_be_sorted_by_pool() -> None:
    """Pools are slices of the node arrays."""
    with pytest.raises(BadSnapshot, match="sort the nodes by pool"):
        snapshot(pools=2, nodes_per_pool=1, node_pool=[1, 0])


def test_the_error_survives_the_way_between_processes() -> None:
    """Rounds run in a process of their own."""
    error = BadSnapshot("node_pool", "must ascend")

    assert pickle.loads(pickle.dumps(error)).field == "node_pool"  # noqa: S301 (our own bytes)


def _archive(compression: int = zipfile.ZIP_STORED, **changes: bytes | None) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(snapshot().to_bytes()))
    members: dict[str, bytes | None] = {info.filename: source.read(info) for info in source.infolist()}
    members |= {f"{name}.npy": data for name, data in changes.items()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)
    return target.getvalue()


def _pickled() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "file"),
        (b"not an archive", "file"),
        (_archive(node_pool=None), "node_pool"),
        (_archive(surprise=b"x"), "file"),
        (_archive(node_pool=b""), "node_pool"),
        (_archive(node_pool=b"\x93NUMPY\x01\x00garbage"), "node_pool"),
        (_archive(node_pool=_pickled()), "node_pool"),
        (_archive(zipfile.ZIP_DEFLATED), "taken_at_s"),
    ],
    ids=["empty", "text", "missing", "unknown", "hollow", "garbage", "pickle", "compressed"],
)
def test_a_file_that_is_no_snapshot_is_refused(data: bytes, field: str) -> None:
    """Snapshots come from disks and strangers: nothing in them is executed, unpacked or guessed."""
    with pytest.raises(BadSnapshot) as refused:
        Snapshot.from_bytes(data)

    assert refused.value.field == field


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 12_000))
def test_damaged_bytes_give_a_snapshot_or_a_typed_error(at: int, byte: int, cut: int) -> None:
    """A flipped byte or a cut file never crashes the reader."""
    data = bytearray(snapshot().to_bytes())
    data[at % len(data)] = byte

    for damaged in (bytes(data), bytes(data[:cut])):
        with suppress(BadSnapshot):
            Snapshot.from_bytes(damaged)


def test_what_is_free_can_be_said_anew_and_is_checked() -> None:
    world = random_world(7, jobs=20, pools=3, nodes_per_pool=4)
    none = np.zeros_like(world.node_free_cards)
    full = world.with_free(node_free_cards=none)
    assert full.input_hash() == replace(world, node_free_cards=none).input_hash()
    assert full.job_id is world.job_id
    with pytest.raises(BadSnapshot, match="node_free_cards"):
        world.with_free(node_free_cards=world.node_cards + 1)
    with pytest.raises(BadSnapshot, match="node_cards"):
        world.with_free(node_cards=world.node_cards)


@given(st.data(), st.integers(1, 2_000))
def test_numbers_are_told_as_numpy_tells_them(data: st.DataObject, end: int) -> None:
    """Few of many are sorted, many are looked at in one pass: the answer is the same, none at all included."""
    numbers = np.array(data.draw(st.lists(st.integers(0, end - 1), max_size=80)), dtype=np.int64)

    there, place = those_there(numbers, end)

    expected, inverse = np.unique(numbers, return_inverse=True)
    assert there.tolist() == expected.tolist()
    assert place.tolist() == inverse.reshape(-1).tolist()
