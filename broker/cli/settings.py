"""The options before the command: where to call, with which key, and how patiently."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from broker.client import AdminClient, Client, MarketClient, RetryPolicy
    from broker.client.accounts import AccountClient
    from broker.client.hub_month import HubMonthClient
    from broker.client.measure import MeasureClient
    from broker.client.papers import PaperClient
    from broker.client.settings import ClientSettings
    from broker.client.vouchers import VoucherClient


@dataclass(frozen=True, slots=True)
class Globals:
    """What was given before the command; empty texts mean "not given"."""

    endpoint: str = ""
    api_key: str = ""
    tls_ca: str = ""
    home: str = ""
    patience_seconds: float = 5.0


def given(ctx: typer.Context) -> Globals:
    """Return the options before the command."""
    found = ctx.find_object(Globals)
    return found if found is not None else Globals()


def home_of(ctx: typer.Context) -> Path:
    """Return the folder for data, keys and the client's profile."""
    from broker.client.settings import default_home

    home = given(ctx).home
    return Path(home) if home else default_home()


def city_client(ctx: typer.Context, city: str, *, operator: bool = False) -> "Client":
    """Return a client that acts for a city. Raise BadSettings when endpoint or key are missing.

    The city is named in requests only when the key is not the city's own, for only operators may name one.
    """
    from broker.client import Client

    options = given(ctx)
    found = _found(options, city, operator=operator)
    named = city if operator or options.api_key else ""
    return Client(found.endpoint, found.api_key, found.tls_ca, city=named, retry=_retry(options))


def admin_client(ctx: typer.Context) -> "AdminClient":
    """Return a client that acts as operator. Raise BadSettings when endpoint or key are missing."""
    from broker.client import AdminClient

    options = given(ctx)
    return AdminClient.from_environment(
        endpoint=options.endpoint,
        api_key=options.api_key,
        tls_ca=options.tls_ca,
        home=options.home,
        retry=_retry(options),
    )


def market_client(ctx: typer.Context, city: str = "", *, operator: bool = False) -> "MarketClient":
    """Return a client for prices and capacity, with the key of a city or of the operator. Raise BadSettings."""
    from broker.client import MarketClient

    found = _found(given(ctx), city, operator=operator)
    return MarketClient(found.endpoint, found.api_key, found.tls_ca, retry=_retry(given(ctx)))


def measure_client(ctx: typer.Context, city: str = "", *, operator: bool = False) -> "MeasureClient":
    """Return a client for what is measured, with the key of a city or of the operator. Raise BadSettings."""
    from broker.client.measure import MeasureClient

    found = _found(given(ctx), city, operator=operator)
    return MeasureClient(found.endpoint, found.api_key, found.tls_ca, retry=_retry(given(ctx)))


def month_client(ctx: typer.Context) -> "HubMonthClient":
    """Return a client for months of hubs, with the operator's key; --api-key may be an auditor's. Raise BadSettings."""
    from broker.client.hub_month import CALL_SECONDS_MAX, HubMonthClient

    found = _found(given(ctx), "", operator=True)
    return HubMonthClient(
        found.endpoint, found.api_key, found.tls_ca, retry=_retry(given(ctx)), call_seconds_max=CALL_SECONDS_MAX
    )


def account_client(ctx: typer.Context, city: str, *, operator: bool = False) -> "AccountClient":
    """Return a client that looks at money with the key of a city, or with the operator's; --api-key may be anybody's.

    Raise BadSettings when endpoint or key are missing.
    """
    from broker.client.accounts import AccountClient

    found = _found(given(ctx), city, operator=operator)
    return AccountClient(found.endpoint, found.api_key, found.tls_ca, retry=_retry(given(ctx)))


def paper_client(ctx: typer.Context, city: str, *, operator: bool = False) -> "PaperClient":
    """Return a client that asks for papers, with a key as `account_client` takes it. Raise BadSettings."""
    from broker.client.papers import PaperClient

    found = _found(given(ctx), city, operator=operator)
    return PaperClient(found.endpoint, found.api_key, found.tls_ca, retry=_retry(given(ctx)))


def voucher_client(
    ctx: typer.Context, city: str = "", *, office: bool = False, operator: bool = False
) -> "VoucherClient":
    """Return a client for vouchers, with the key of a city, of the voucher office, or of the operator.

    Raise BadSettings when endpoint or key are missing.
    """
    from broker.client.vouchers import VoucherClient

    found = _found(given(ctx), city, operator=operator, office=office)
    return VoucherClient(found.endpoint, found.api_key, found.tls_ca, retry=_retry(given(ctx)))


def _found(options: Globals, city: str, *, operator: bool, office: bool = False) -> "ClientSettings":
    from broker.client.settings import resolve

    return resolve(
        endpoint=options.endpoint,
        api_key=options.api_key,
        tls_ca=options.tls_ca,
        home=options.home,
        city=None if operator or office else city,
        operator=operator,
        office=office,
    )


def _retry(options: Globals) -> "RetryPolicy":
    from broker.client import RetryPolicy

    return RetryPolicy(give_up_after_seconds=options.patience_seconds)
