"""The statement: for one lease, what its job allows and where it was placed. Plain data in one canonical form of JSON.

One statement has exactly one text: names sorted, no spaces, ASCII. Whatever else says the same is refused, so that a
signature covers every byte and there is nothing to be read in two ways.
"""

import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, Self

from broker.ids import SLUG, parse_job, parse_lease

VERSION: Final = 1
"""Of the form of a statement; a form that says more gets another number."""

TEXT_CHARACTERS_MAX: Final = 262_144
"""Longest statement: owners and hubs are limited to some thousand names at submission."""

_EPOCH_MAX: Final = 2**31 - 1
_KEY_ID_CHARACTERS: Final = 16
_LISTS: Final = ("allowed_hubs", "allowed_owners")
_SLUGS: Final = ("city", "cluster", "hub", "owner", "pool", "model")
ORIGINS: Final = ("domestic", "foreign")


class PolicyFault(StrEnum):
    """Why a lease may not start; stable codes, with which the detail of an end begins."""

    MISSING = "POLICY_MISSING"  # the order carries no statement
    MALFORMED = "POLICY_MALFORMED"  # the statement is not in its one form
    KEY_UNKNOWN = "POLICY_KEY_UNKNOWN"  # signed with a key that is not trusted
    SIGNATURE_WRONG = "POLICY_SIGNATURE_WRONG"  # changed after it was signed, or never signed with that key
    OTHER_LEASE = "POLICY_OTHER_LEASE"  # it is for another lease, epoch, job or city: stale, or a copy
    OTHER_CLUSTER = "POLICY_OTHER_CLUSTER"  # it is for another cluster
    POOL_UNKNOWN = "POLICY_POOL_UNKNOWN"  # the cluster has no such pool, or the named nodes are not in it
    HUB_NOT_ALLOWED = "POLICY_HUB_NOT_ALLOWED"  # the job does not allow the hub in which the cluster says it stands
    OWNER_NOT_ALLOWED = "POLICY_OWNER_NOT_ALLOWED"  # the job does not allow the owner whom the cluster says it has
    ORIGIN_NOT_ALLOWED = "POLICY_ORIGIN_NOT_ALLOWED"  # domestic only, and the cluster says that the pool is not


class PolicyRefused(ValueError):
    """A statement does not hold: `fault` says in which way, the message is for people and begins with it."""

    def __init__(self, fault: PolicyFault, why: str) -> None:
        super().__init__(f"{fault}: {why}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class PlacementPolicy:
    """What a job allows, and the lease that was made of it; ids as on the wire.

    Attributes:
        key_id: the key that signs it.
        allowed_owners, allowed_hubs: sorted; empty: every one.
        hub, owner, model, origin: of the cluster and the pool, as the broker's catalogue had them when it was made.
    """

    key_id: str
    lease: str
    epoch: int
    job: str
    city: str
    domestic_only: bool
    allowed_owners: tuple[str, ...]
    allowed_hubs: tuple[str, ...]
    cluster: str
    hub: str
    owner: str
    pool: str
    model: str
    origin: str

    def to_text(self) -> str:
        """Return its one text."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values | {"version": VERSION}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what the text says. Raise PolicyRefused (MALFORMED) when it is not the one text of a statement."""
        try:
            values = json.loads(text) if len(text) <= TEXT_CHARACTERS_MAX else None
        except (ValueError, RecursionError):
            values = None
        names = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != names | {"version"}:
            raise _malformed("it does not have the fields of a statement")
        if type(values["version"]) is not int or values.pop("version") != VERSION:
            raise _malformed(f"it is not of version {VERSION}, the one known here")
        for name, value in values.items():
            if not _is_right(name, value):
                raise _malformed(f"{name} is not as it must be")
        policy = cls(**(values | {name: tuple(values[name]) for name in _LISTS}))
        if policy.to_text() != text:
            raise _malformed("it is not written in its one form")
        return policy

    def objection(self) -> PolicyRefused | None:
        """Return in what the placement breaks the job's rules by the statement's own words, None when it keeps them."""
        return objection(self, hub=self.hub, owner=self.owner, origin=self.origin)


def objection(policy: PlacementPolicy, *, hub: str, owner: str, origin: str) -> PolicyRefused | None:
    """Return why a job with this policy may not run on a pool of this hub, owner and origin; None when it may."""
    if policy.allowed_hubs and hub not in policy.allowed_hubs:
        allowed = ", ".join(policy.allowed_hubs[:8])
        return PolicyRefused(PolicyFault.HUB_NOT_ALLOWED, f"the cluster stands in {hub}; the job allows {allowed}")
    if policy.allowed_owners and owner not in policy.allowed_owners:
        allowed = ", ".join(policy.allowed_owners[:8])
        return PolicyRefused(
            PolicyFault.OWNER_NOT_ALLOWED, f"the cluster is owned by {owner}; the job allows {allowed}"
        )
    if policy.domestic_only and origin != "domestic":
        return PolicyRefused(
            PolicyFault.ORIGIN_NOT_ALLOWED, f"pool {policy.pool} is of {origin} origin; the job wants domestic models"
        )
    return None


def _malformed(why: str) -> PolicyRefused:
    return PolicyRefused(PolicyFault.MALFORMED, why)


def _is_right(name: str, value: object) -> bool:
    if name == "domestic_only":
        return isinstance(value, bool)
    if name == "epoch":
        return type(value) is int and 0 < value <= _EPOCH_MAX
    if name in _LISTS:
        return isinstance(value, list) and all(_is_slug(v) for v in value) and value == sorted(set(value))
    if not isinstance(value, str):
        return False
    if name in _SLUGS:
        return _is_slug(value)
    rules = {
        "lease": parse_lease(value) is not None,
        "job": parse_job(value) is not None,
        "origin": value in ORIGINS,
        "key_id": len(value) == _KEY_ID_CHARACTERS and value.isascii() and value.isalnum(),
    }
    return rules[name]


def _is_slug(value: object) -> bool:
    return isinstance(value, str) and SLUG.fullmatch(value) is not None
