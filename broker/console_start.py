"""Put the console together: the use cases that it may ask, its secret, where it listens and with what."""

from pathlib import Path

from broker.clock import Clock
from broker.config import Settings
from broker.console.desk import UseCases
from broker.console.server import ConsoleServer, application
from broker.console.sessions import secret_of
from broker.market.capacity import Capacity
from broker.market.energy import HubEnergy
from broker.market.logs import Logs
from broker.market.pauses import Pauses
from broker.market.previews import Previews
from broker.market.round_opened import RoundsOpened
from broker.market.rounds import RoundsReader
from broker.market.standing import Standing
from broker.market.voucher_office import VoucherOffice
from broker.market.vouchers import Vouchers
from broker.policy.keys import Signer
from broker.rooms import House
from broker.rpc.tls import CannotListen, ListenAddress, browser_context
from broker.store.database import Database


def console(settings: Settings, database: Database, clock: Clock, signer: Signer, house: House) -> ConsoleServer | None:
    """Return the console, not started; None when it is turned off. Raise CannotListen: no TLS beyond loopback."""
    if not settings.console_listen:
        return None
    ask = UseCases(
        identity=house.identity,
        jobs=house.jobs,
        explain=house.explain,
        logs=Logs(database, house.links),
        operations=house.operations,
        energy=HubEnergy(database, wake=lambda: None),  # it is only asked
        worlds=house.worlds,
        rounds=RoundsReader(database),
        opened=RoundsOpened(database),
        pauses=Pauses(database, wake=house.wakes.work),
        previews=Previews(database, house.policy, jobs_max=settings.round_jobs_max),
        prices=house.prices,
        capacity=Capacity(database),
        standing=Standing(database),
        vouchers=Vouchers(database),
        office=VoucherOffice(database),
    )
    address = ListenAddress.parse(settings.console_listen)
    return ConsoleServer(
        application(ask, clock, secret=secret_of(signer.to_pem())),
        host=address.host,
        port=address.port,
        tls=browser_context(address, settings.tls_cert, settings.tls_key),
    )


async def started(settings: Settings, server: ConsoleServer | None) -> str:
    """Start the console. Return its address for a browser on this machine, "" without one. Raise CannotListen."""
    if server is None:
        return ""
    try:
        port = await server.start()
    except OSError as error:
        raise CannotListen(
            f"{settings.console_listen} cannot be bound for the console ({error.strerror}): choose another address "
            "with --console, or leave the option out"
        ) from error
    return browser_address(settings.console_listen, port, settings.tls_cert)


def browser_address(listen: str, port: int, certificate: Path | None) -> str:
    """Return what to type into a browser on this machine."""
    host = ListenAddress.parse(listen).host
    shown = "localhost" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"{'http' if certificate is None else 'https'}://{shown}:{port}/"
