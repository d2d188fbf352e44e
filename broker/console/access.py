"""Who may see and do what in the console. What is not listed is for nobody; it follows the table of the calls."""

from collections.abc import Mapping
from typing import Final

from broker.caller import Role

MARKET: Final = frozenset({Role.CITY, Role.OWNER, Role.OPERATOR, Role.OBSERVER, Role.AUDITOR})
PEOPLE: Final = MARKET | {Role.VOUCHER_OFFICE}
HUB: Final = frozenset({Role.OPERATOR, Role.OBSERVER, Role.AUDITOR})
CLUSTERS: Final = HUB | {Role.OWNER}
JOBS: Final = HUB | {Role.CITY}
OPERATOR: Final = frozenset({Role.OPERATOR})
OFFICE: Final = frozenset({Role.VOUCHER_OFFICE})
VOUCHERS: Final = frozenset({Role.CITY, Role.VOUCHER_OFFICE, Role.OPERATOR, Role.AUDITOR})

MAY_SEE: Final[Mapping[str, frozenset[Role]]] = {
    "GET /": PEOPLE,
    "GET /shortcuts": PEOPLE,
    "GET /clusters": CLUSTERS,
    "GET /cards": CLUSTERS,
    "GET /clusters/{cluster}": CLUSTERS,
    "GET /clusters/{cluster}/cards": CLUSTERS,
    "GET /clusters/{cluster}/nodes/{node}": CLUSTERS,
    "GET /clusters/{cluster}/close": HUB,
    "POST /clusters/{cluster}/close": OPERATOR,
    "POST /clusters/{cluster}/open": OPERATOR,
    "GET /queue": JOBS,
    "GET /jobs": JOBS,
    "GET /jobs/{job}": JOBS,
    "GET /jobs/{job}/log": JOBS,
    "GET /rounds": HUB,
    "GET /rounds/{round}": HUB,
    "GET /pause": HUB,
    "POST /pause": OPERATOR,
    "POST /resume": OPERATOR,
    "GET /prices": MARKET,
    "GET /prices/{cluster}/{pool}": MARKET,
    "GET /vouchers": VOUCHERS,
    "GET /vouchers/applications/{application}": VOUCHERS,
    "POST /vouchers/applications/{application}": OFFICE,
    "GET /vouchers/applications/{application}/grant": OFFICE,
    "POST /vouchers/applications/{application}/grant": OFFICE,
    "POST /logout": PEOPLE,
}

OPEN: Final = frozenset({"GET /login", "POST /login", "GET /static/{name}"})
"""For everybody: there is nothing in them but the way in."""


def may(role: Role, what: str) -> bool:
    """Tell whether a role may see or do something, named as in the table."""
    return role in MAY_SEE.get(what, frozenset())
