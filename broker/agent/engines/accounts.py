"""Which user a job runs as: never root, and not one that owns anything else where the system allows it."""

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

JOB_ACCOUNT: Final = "xisuan-job"
"""The account that is taken when it exists; create it to give jobs access to device files by its groups' owner."""

_EACH_LEASE_BASE: Final = 1_879_048_192
_EACH_LEASE_COUNT: Final = 268_435_455
"""User numbers that no convention gives to anybody (systemd, "Users, Groups, UIDs and GIDs": 1879048192 and above)."""


class AccountRefused(Exception):
    """The user that jobs should run as cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group number of one lease's processes; None: the agent's own user."""

    user: int | None
    group: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """How accounts are given to leases.

    Attributes:
        of_lease: the account of a lease, by the number of its id.
        isolated: leases have accounts of their own, so that no job can touch another one's files or processes.
        detail: what was chosen, for people.
    """

    of_lease: Callable[[int], Account]
    isolated: bool
    detail: str


def choose_accounts(wanted: str) -> Accounts:
    """Return the accounts for `wanted`: "auto", "each-lease", or the name of an account.

    Raises:
        AccountRefused: jobs would run as root, or the agent may not change to that user.
    """
    if os.geteuid() != 0:
        return _own_account(wanted)
    if wanted == "auto":
        if _exists(JOB_ACCOUNT):
            return _named(JOB_ACCOUNT)
        return _each_lease() if _may_become(_EACH_LEASE_BASE + _EACH_LEASE_COUNT) else _named("nobody")
    if wanted == "each-lease":
        if not _may_become(_EACH_LEASE_BASE + _EACH_LEASE_COUNT):
            raise AccountRefused("run_as: this user namespace has no user numbers for single leases: name an account")
        return _each_lease()
    return _named(wanted)


def _own_account(wanted: str) -> Accounts:
    own = pwd.getpwuid(os.geteuid()).pw_name if _known(os.geteuid()) else str(os.geteuid())
    if wanted not in ("auto", own):
        raise AccountRefused(
            f"run_as: the agent runs as {own}, which may not become {wanted}: write auto, or start it as root"
        )
    account = Account(None, None, own)
    return Accounts(
        lambda _lease: account, False, f"jobs run as {own}, the agent's own user, and can read what it can read"
    )


def _each_lease() -> Accounts:
    def of_lease(lease: int) -> Account:
        number = _EACH_LEASE_BASE + lease % _EACH_LEASE_COUNT
        return Account(number, number, JOB_ACCOUNT)

    return Accounts(of_lease, True, "each lease has a user number of its own")


def _named(name: str) -> Accounts:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise AccountRefused(f"run_as: there is no account {name!r}: create it, or write auto") from None
    if entry.pw_uid == 0:
        raise AccountRefused(
            f"run_as: {name} is root, and a job never runs as root: name another account, or write auto"
        )
    account = Account(entry.pw_uid, entry.pw_gid, name)
    return Accounts(
        lambda _lease: account, False, f"all jobs run as {name} and can touch each other's files and processes"
    )


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _known(number: int) -> bool:
    try:
        pwd.getpwuid(number)
    except KeyError:
        return False
    return True


def _may_become(number: int) -> bool:
    """Return whether this user namespace has the number; a container may have few."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [line.split() for line in file]
    return any(int(first) <= number < int(first) + int(count) for first, _outside, count in ranges)
