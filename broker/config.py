"""The broker's settings: one place, each with its unit, range and meaning; `--help` and the docs read them here."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from broker.errors import FieldProblem, InvalidRequest


def default_home() -> Path:
    """Return the folder for data, keys and logs: $XISUAN_HOME, else ~/.local/share/xisuan."""
    given = os.environ.get("XISUAN_HOME")
    return Path(given).absolute() if given else Path.home() / ".local" / "share" / "xisuan"


class Settings(BaseModel):
    """Everything that can be set for `xisuan serve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Annotated[Path, Field(description="Folder for the embedded database, key files and client profile.")] = Field(
        default_factory=default_home
    )
    listen: Annotated[str, Field(description="Address of the gRPC API; port 0 takes any free one.")] = "127.0.0.1:7443"
    metrics_listen: Annotated[
        str,
        Field(description="Address of /metrics for Prometheus, and of /livez and /readyz; empty turns them off."),
    ] = "127.0.0.1:7490"
    call_processes: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            description="Processes that take the API's calls, so that these use more cores and no round disturbs them. "
            "Each has as many database connections, and its own /metrics at one of the ports after metrics_listen. "
            "0: the broker's own process takes them.",
        ),
    ] = 0
    console_listen: Annotated[
        str,
        Field(
            description="Address of the console for browsers; port 0 takes any free one, empty turns it off. It uses "
            "the certificate of the API, and needs it beyond loopback."
        ),
    ] = ""
    tls_cert: Annotated[Path | None, Field(description="Certificate chain (PEM); needed beyond loopback.")] = None
    tls_key: Annotated[Path | None, Field(description="Private key of the certificate (PEM).")] = None
    tls_ca: Annotated[
        Path | None,
        Field(
            description="Certificates (PEM) that clients on this machine trust; empty: tls_cert itself, as self-signed."
        ),
    ] = None
    policy_key: Annotated[
        Path | None,
        Field(
            description="Ed25519 private key (PEM) that signs placement policies, one for all brokers of a database; "
            "empty: made in the home folder at the first start."
        ),
    ] = None
    operator_key: Annotated[
        Path | None,
        Field(
            description="File with an operator's API key, one for all brokers of a database, made known to it where it "
            "is not; with it no key files and no client profile are written, and policy_key is needed."
        ),
    ] = None
    dsn: Annotated[
        str,
        Field(
            description="PostgreSQL to use, as a user who may SET ROLE to xisuan_city and xisuan_hub; @FILE: what that "
            "file holds; empty: embedded."
        ),
    ] = ""
    dsn_owner: Annotated[
        str,
        Field(
            description="DSN, or @FILE, for migrations when the broker's own user does not own the tables; empty: the "
            "same as dsn."
        ),
    ] = ""
    world: Annotated[
        str, Field(description="World to apply at the first start: a bundled name or a YAML file; empty applies none.")
    ] = "laptop"
    city_connections: Annotated[int, Field(ge=1, le=200, description="Database connections for cities' calls.")] = 8
    hub_connections: Annotated[
        int, Field(ge=3, le=200, description="Database connections for loops, agents and operators.")
    ] = 12

    round_interval_seconds: Annotated[
        float, Field(ge=0.02, le=600, description="Shortest time between the starts of two rounds.")
    ] = 0.25
    round_budget_seconds: Annotated[
        float, Field(ge=0, le=600, description="Time that a round may spend on improving its first answer.")
    ] = 1.0
    round_jobs_max: Annotated[
        int,
        Field(ge=1, le=2_000_000, description="Waiting jobs that one round looks at, the oldest first in each class."),
    ] = 100_000
    round_records_kept: Annotated[
        int, Field(ge=1, le=100_000, description="Rounds whose input is kept for replay.")
    ] = 200
    price_changes_days: Annotated[
        int, Field(ge=1, le=3_660, description="For how many days every change of prices is kept.")
    ] = 31
    price_hours_days: Annotated[
        int, Field(ge=1, le=36_600, description="For how many days prices are kept hour by hour.")
    ] = 1_830
    round_recheck_seconds: Annotated[
        float,
        Field(ge=0.1, le=3600, description="An unchanged world is planned again after this long (waiting jobs age)."),
    ] = 15.0
    round_effort: Annotated[
        int, Field(ge=0, le=100_000, description="Improvement steps at most in one round; 0 gives the greedy plan.")
    ] = 100
    planner_niceness: Annotated[
        int,
        Field(ge=0, le=19, description="How far the planning process steps back for calls where processors are short."),
    ] = 5
    promises_max: Annotated[
        int,
        Field(ge=0, le=10_000, description="Waiting gangs that are promised a start at a time; 0 promises nothing."),
    ] = 8
    promises_overdue: Annotated[
        int,
        Field(
            ge=0, le=10_000, description="So many of them at most because they are overdue, the others by their gain."
        ),
    ] = 2
    promises_cards_percent: Annotated[
        int,
        Field(ge=0, le=100, description="Those hold so many percent of the cards of a pool at most, or 64 cards."),
    ] = 3
    patience_seconds: Annotated[
        int, Field(ge=0, le=2**31, description="A job is overdue when it has waited so long ...")
    ] = 86_400
    patience_walltime_percent: Annotated[
        int, Field(ge=0, le=100_000, description="... and so many percent of its walltime on top of it.")
    ] = 400
    lease_end_margin_seconds: Annotated[
        int,
        Field(ge=0, le=86_400, description="How long after its end a lease may still hold its cards, for promises."),
    ] = 60
    churn_card_seconds_max: Annotated[
        int,
        Field(
            ge=0,
            le=2**50,
            description="Work, in seconds times cards, that stopping preemptible jobs for guarantees and emergencies "
            "may cost in any hour; 0 stops nobody.",
        ),
    ] = 360_000
    reclaim_seconds_max: Annotated[
        int,
        Field(
            ge=0,
            le=86_400,
            description="Jobs with a longer grace are not stopped: who may have their cards gets them by then.",
        ),
    ] = 900
    green_patience_hours: Annotated[
        int, Field(ge=0, le=744, description="A job that prefers green hours waits for one so long at most.")
    ] = 24
    green_saving_percent: Annotated[
        int, Field(ge=0, le=100, description="... and only for one in which cards ask so many percent less.")
    ] = 5
    quote_valid_seconds: Annotated[int, Field(ge=10, le=86_400, description="How long a quote can be accepted.")] = 300
    quote_ahead_days: Annotated[
        int, Field(ge=1, le=366, description="How many days ahead the window of a quote may begin.")
    ] = 31
    quote_credit_ppm: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="What is given back of the price of an accepted quote whose job does not start in its window, "
            "in millionths.",
        ),
    ] = 100_000
    quote_cancel_fee_ppm: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="What the owner gets of that price when the city cancels before the start, in millionths.",
        ),
    ] = 0
    quote_settlement_days: Annotated[
        int,
        Field(ge=1, le=366, description="How long after its latest end a quoted job can be paid out of what is held."),
    ] = 7
    place_at_once: Annotated[
        bool, Field(description="Lease arriving jobs beside the rounds where the last round's prices allow it.")
    ] = True
    settlement_hours: Annotated[
        int,
        Field(
            ge=1,
            le=8_760,
            description="For so long after its latest end a lease of a prepaid city can still be charged.",
        ),
    ] = 72
    charge_interval_seconds: Annotated[
        int, Field(ge=60, le=86_400, description="Leases of prepaid cities that run are charged this often.")
    ] = 3_600
    fee_ppm: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="Millionths of what is charged that the exchange keeps; owners get the rest.",
        ),
    ] = 0
    leader_lease_seconds: Annotated[
        float, Field(ge=1, le=60, description="A leader that does not renew for this long is replaced.")
    ] = 5.0

    report_interval_seconds: Annotated[
        float, Field(ge=0.1, le=10, description="Agents report at least this often.")
    ] = 2.0
    suspect_after_seconds: Annotated[
        float, Field(ge=0.5, le=10, description="Silence after which an agent gets no new work.")
    ] = 10.0
    lost_after_seconds: Annotated[
        float, Field(ge=1, le=60, description="Silence after which an agent's leases are LOST.")
    ] = 60.0
    kill_after_seconds: Annotated[
        float, Field(ge=0.5, le=59, description="Silence after which an agent has killed its if_lost: restart leases.")
    ] = 45.0
    kill_margin_seconds: Annotated[
        float, Field(ge=0, le=600, description="Time after LOST at which an if_lost: restart job may start elsewhere.")
    ] = 15.0
    usage_interval_seconds: Annotated[
        float, Field(ge=1, le=3600, description="Agents tell this often what running leases have used.")
    ] = 300.0
    usage_skew_seconds: Annotated[
        int,
        Field(ge=0, le=3600, description="Minutes that agents tell may be so far ahead of the broker's clock."),
    ] = 120
    restarts_max: Annotated[
        int,
        Field(
            ge=0, le=1000, description="Restarts of a job for reasons that are not its own fault, such as a lost agent."
        ),
    ] = 20

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.report_interval_seconds < self.suspect_after_seconds < self.lost_after_seconds:
            raise ValueError("needs report_interval_seconds < suspect_after_seconds < lost_after_seconds")
        if not self.kill_after_seconds < self.lost_after_seconds:
            raise ValueError(
                "needs kill_after_seconds < lost_after_seconds: an agent must have killed before we restart"
            )
        if not self.home.is_absolute():
            raise ValueError(f"home must be an absolute path, not {str(self.home)!r}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or none")
        if self.operator_key is not None and self.policy_key is None:
            raise ValueError("operator_key needs policy_key: brokers without key files of their own share both")
        return self

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return settings from names and values. Raise InvalidRequest that names each wrong one and the way out."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise InvalidRequest(
                *(
                    FieldProblem(
                        ".".join(map(str, e["loc"])) or "settings", str(e["msg"]).removeprefix("Value error, ")
                    )
                    for e in error.errors()
                )
            ) from None
