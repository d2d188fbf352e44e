"""Statements for tests: one that is right, and any that can be."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from broker.policy.statement import ORIGINS, PlacementPolicy

slugs = st.text("abz09", max_size=6).map(lambda text: f"n{text}")
_names = st.lists(slugs, max_size=4, unique=True).map(lambda names: tuple(sorted(names)))


def statement(**changes: Any) -> PlacementPolicy:
    right = PlacementPolicy(
        key_id="0" * 16,
        lease="lease-1",
        epoch=1,
        job="job-1",
        city="ganzhou",
        domestic_only=False,
        allowed_owners=(),
        allowed_hubs=(),
        cluster="lab",
        hub="qingyang",
        owner="lab-owner",
        pool="ascend",
        model="ascend-910b",
        origin="domestic",
    )
    return replace(right, **changes)


statements = st.builds(
    PlacementPolicy,
    key_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    lease=st.integers(1, 10**18 - 1).map(lambda n: f"lease-{n}"),
    epoch=st.integers(1, 2**31 - 1),
    job=st.integers(1, 10**18 - 1).map(lambda n: f"job-{n}"),
    city=slugs,
    domestic_only=st.booleans(),
    allowed_owners=_names,
    allowed_hubs=_names,
    cluster=slugs,
    hub=slugs,
    owner=slugs,
    pool=slugs,
    model=slugs,
    origin=st.sampled_from(ORIGINS),
)
