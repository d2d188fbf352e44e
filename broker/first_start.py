"""What the first broker on an empty database does: apply the world, and make the keys of this machine's profile."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from broker.api_key import ApiKey
from broker.caller import Caller, Role
from broker.client.errors import BadSettings
from broker.client.settings import read_key, write_key, write_profile
from broker.config import Settings
from broker.errors import KeyRefused, invalid
from broker.market.identity import Identity
from broker.market.worlds import Worlds
from broker.policy import key_file
from broker.policy.keys import BadKey, Signer
from broker.worlds.document import DOCUMENT_BYTES_MAX
from broker.worlds.loader import bundled

UNFINISHED: Final = "first-start-unfinished"

log = structlog.get_logger("broker")


async def prepare(settings: Settings, worlds: Worlds, identity: Identity, caller: Caller, now: datetime) -> None:
    """Apply the world when there is no catalogue yet, and write keys that are missing from the profile.

    Key files are written for the operator, and, when the world was applied here, for the voucher office, the world's
    cities and its clusters: on one machine everything then works at once. With `operator_key` nothing is written: that
    key is made known instead.

    Raises: InvalidRequest: the world or the operator's key is not valid or not there.
    """
    catalogue = await worlds.catalogue(now)
    if settings.operator_key is not None:
        if not catalogue.hubs and settings.world:
            await _apply(settings, worlds, caller, now)
        await _make_known(settings.operator_key, identity, now)
        return
    unfinished = settings.home / UNFINISHED  # there from before the world is applied until the last key is written
    fresh = not catalogue.hubs or unfinished.exists()
    if not catalogue.hubs and settings.world:
        unfinished.touch(mode=0o600)
        await _apply(settings, worlds, caller, now)
        catalogue = await worlds.catalogue(now)
    await _key(settings.home, identity, Role.OPERATOR, "", now)
    if fresh:
        await _key(settings.home, identity, Role.VOUCHER_OFFICE, "", now)
        for city in catalogue.cities:
            await _key(settings.home, identity, Role.CITY, city, now)
        for cluster in catalogue.clusters:
            await _key(settings.home, identity, Role.AGENT, cluster, now)
    unfinished.unlink(missing_ok=True)


def policy_signer(settings: Settings) -> Signer:
    """Return the key that signs placement policies, made at the first start. Raise InvalidRequest: it is unusable."""
    try:
        if settings.policy_key is not None:
            return key_file.read(settings.policy_key)
        return key_file.read_or_make(settings.home)
    except BadKey as error:
        raise invalid("policy_key", str(error)) from error


def tell_clients(settings: Settings, endpoint: str) -> None:
    """Write the profile of clients on this machine, unless this broker keeps nothing of that kind."""
    if settings.operator_key is None:
        write_profile(
            settings.home,
            endpoint=endpoint,
            tls_ca=settings.tls_ca or settings.tls_cert,
            city=home_city(settings.home),
        )


def home_city(home: Path) -> str:
    """Return the city that clients on this machine are unless they say otherwise: the first one with a key here."""
    cities = sorted(path.name.removeprefix("city-").removesuffix(".key") for path in (home / "keys").glob("city-*.key"))
    return cities[0] if cities else ""


async def _apply(settings: Settings, worlds: Worlds, caller: Caller, now: datetime) -> None:
    document = await asyncio.to_thread(_document, settings.world)
    changes = await worlds.apply(caller, document, now=now)
    log.info("world applied", world=settings.world, changes=len(changes))


async def _make_known(file: Path, identity: Identity, now: datetime) -> None:
    """Make the key in the file an operator's, if the database does not know it yet. Raise InvalidRequest."""
    try:
        key = ApiKey.parse(await asyncio.to_thread(read_key, file))
    except BadSettings as error:
        raise invalid("operator_key", str(error)) from error
    if key is None:
        raise invalid("operator_key", f"{file} holds no API key: make one with `xisuan admin keys generate`")
    if await identity.adopt(key, "the brokers' operator_key", now):
        log.info("operator's key made known", key=key.key_id)
        return
    try:
        role = (await identity.caller(key.text, now)).role
    except KeyRefused as error:
        raise invalid("operator_key", f"the key in {file} was revoked: generate another one") from error
    if role is not Role.OPERATOR:
        raise invalid("operator_key", f"the key in {file} is not an operator's: generate another one")


async def _key(home: Path, identity: Identity, role: Role, subject: str, now: datetime) -> None:
    """Write a key file unless there is one that works."""
    name = f"{role}-{subject}" if subject else str(role).replace("_", "-")
    path = home / "keys" / f"{name}.key"
    if path.exists():
        try:
            await identity.caller(read_key(path), now)
        except KeyRefused:
            log.warning("replacing a key file that this database does not know", path=str(path))
        else:
            return
    key = await identity.create(role, subject, "made at the first start", now)
    write_key(home, name, key.text)


def _document(world: str) -> str:
    path = Path(world)
    if path.suffix in (".yaml", ".yml", ".json") or path.exists():
        try:
            with path.open("rb") as file:
                return file.read(DOCUMENT_BYTES_MAX + 1).decode()  # what is longer is refused, however long it is
        except (OSError, UnicodeDecodeError) as error:
            raise invalid("world", f"cannot be read ({error}): give a bundled name or a YAML file") from error
    return bundled(world)
