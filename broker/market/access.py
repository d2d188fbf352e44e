"""Who may see and change which city's jobs. A city's own transactions are fenced by row-level security as well."""

from contextlib import AbstractAsyncContextManager

from broker.caller import Caller, Role
from broker.errors import RoleRefused, invalid
from broker.store.database import Connection, Database


def city_to_read(caller: Caller, named: str) -> str | None:
    """Return the city whose jobs the caller asks to see; None for all of them. Raise RoleRefused."""
    if caller.role is Role.CITY:
        return _own_city(caller, named)
    if caller.role in (Role.OPERATOR, Role.OBSERVER, Role.AUDITOR):
        return named or None
    raise RoleRefused(role=caller.role, needed="jobs are for keys of cities, operators, observers and auditors")


def one_city_to_read(caller: Caller, named: str) -> str:
    """Return the one city that the caller asks to see. Raise RoleRefused, or InvalidRequest when it names none."""
    return _named(city_to_read(caller, named))


def city_to_change(caller: Caller, named: str) -> str:
    """Return the city whose jobs the caller asks to change. Raise RoleRefused, or InvalidRequest when it names none."""
    may_change(caller)
    return _named(city_to_read(caller, named))


def may_change(caller: Caller) -> None:
    """Raise RoleRefused for a caller who may change no job at all."""
    if caller.role not in (Role.CITY, Role.OPERATOR):
        raise RoleRefused(role=caller.role, needed="changing jobs takes a key of their city or of an operator")


def transaction_of(database: Database, caller: Caller) -> AbstractAsyncContextManager[Connection]:
    """Open a transaction that sees what the caller may see: one city's jobs, or all. Raise RoleRefused for agents."""
    city = city_to_read(caller, "")
    return database.hub() if city is None else database.city(city)


def _own_city(caller: Caller, named: str) -> str:
    if named not in ("", caller.subject):
        raise RoleRefused(role=caller.role, needed=f"it is for {caller.subject}, leave the field city empty")
    return caller.subject


def _named(city: str | None) -> str:
    if city is None:
        raise invalid("city", "this key is for all cities: name the one that is meant")
    return city
