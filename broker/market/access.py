"""Who may see and change which city's jobs. A city's own transactions are fenced by row-level security as well.

An enterprise acts in its city and sees there what is its own: the same checks, and a narrower fence.
"""

from contextlib import AbstractAsyncContextManager

from msgspec import structs

from broker.caller import Caller, Role
from broker.errors import RoleRefused, invalid
from broker.job import JobSpec
from broker.store.database import Connection, Database


def city_to_read(caller: Caller, named: str) -> str | None:
    """Return the city whose jobs the caller asks to see; None for all of them. Raise RoleRefused."""
    if caller.city:
        return _own_city(caller, named)
    if caller.role in (Role.OPERATOR, Role.OBSERVER, Role.AUDITOR):
        return named or None
    raise RoleRefused(
        role=caller.role, needed="jobs are for keys of cities, enterprises, operators, observers and auditors"
    )


def one_city_to_read(caller: Caller, named: str) -> str:
    """Return the one city that the caller asks to see. Raise RoleRefused, or InvalidRequest when it names none."""
    return _named(city_to_read(caller, named))


def city_to_change(caller: Caller, named: str) -> str:
    """Return the city whose jobs the caller asks to change. Raise RoleRefused, or InvalidRequest when it names none."""
    may_change(caller)
    return _named(city_to_read(caller, named))


def may_change(caller: Caller) -> None:
    """Raise RoleRefused for a caller who may change no job at all."""
    if not caller.city and caller.role is not Role.OPERATOR:
        raise RoleRefused(role=caller.role, needed="changing jobs takes a key of their city, enterprise or an operator")


def transaction_of(database: Database, caller: Caller) -> AbstractAsyncContextManager[Connection]:
    """Open a transaction that sees the jobs that the caller may see: its own, or all. Raise RoleRefused for agents."""
    return database.hub() if city_to_read(caller, "") is None else own_rows(database, caller)


def own_rows(database: Database, caller: Caller) -> AbstractAsyncContextManager[Connection]:
    """Open a transaction that sees what is the caller's own: for keys of cities and enterprises."""
    return database.city(caller.city, caller.enterprise)


def own_enterprise(caller: Caller, named: str, field: str) -> str:
    """Return the enterprise that is meant: an enterprise means itself. Raise InvalidRequest when it names another."""
    if caller.enterprise and named not in ("", caller.enterprise):
        raise invalid(field, f"must be {caller.enterprise}, whose key this is, or empty")
    return named or caller.enterprise


def own_spec(caller: Caller, spec: JobSpec) -> JobSpec:
    """Return the job as the caller's own: of an enterprise it is that enterprise's. Raise InvalidRequest."""
    enterprise = own_enterprise(caller, spec.enterprise, "spec.enterprise")
    return spec if enterprise == spec.enterprise else structs.replace(spec, enterprise=enterprise)


def _own_city(caller: Caller, named: str) -> str:
    if named not in ("", caller.city):
        raise RoleRefused(role=caller.role, needed=f"it is for {caller.subject}, leave the field city empty")
    return caller.city


def _named(city: str | None) -> str:
    if city is None:
        raise invalid("city", "this key is for all cities: name the one that is meant")
    return city
