"""Where to call and with which key: arguments, then the environment, then the files that `xisuan serve` wrote.

The home folder ($XISUAN_HOME, else ~/.local/share/xisuan) holds `client.json`, for example
{"endpoint": "127.0.0.1:7443", "tls_ca": "/etc/xisuan/ca.pem", "city": "ganzhou"}, where `tls_ca` and `city` (whose key
to use unless told otherwise) may be left out, and the folder `keys` with one key a file: `operator.key`,
`city-<city>.key`, `agent-<cluster>.key`. Key files are readable by their owner only.
"""

import ipaddress
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.client.errors import BadSettings
from broker.ids import SLUG

PROFILE: Final = "client.json"
KEYS: Final = "keys"
FILE_BYTES_MAX: Final = 64 * 1024
_ENDPOINT: Final = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")
_KEY_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,79}")
_KEY: Final = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Everything that a connection needs.

    Attributes:
        endpoint: "host:port".
        api_key: sent as `authorization: Bearer <key>`; never printed.
        tls_ca: file with the certificates to trust (PEM); None trusts the system's.
    """

    endpoint: str
    api_key: str
    tls_ca: Path | None = None

    def __post_init__(self) -> None:
        host_of(self.endpoint)
        if not _KEY.fullmatch(self.api_key):
            raise BadSettings("the API key must be 1 to 512 printable ASCII characters without spaces")

    def __repr__(self) -> str:
        return f"ClientSettings(endpoint={self.endpoint!r}, tls_ca={self.tls_ca!r})"

    @property
    def plaintext(self) -> bool:
        """Whether to talk without TLS: only on loopback, and only when no certificate is named."""
        return self.tls_ca is None and is_loopback(host_of(self.endpoint))


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the profile: $XISUAN_HOME, else ~/.local/share/xisuan."""
    given = environment.get("XISUAN_HOME")
    return Path(given) if given else Path.home() / ".local" / "share" / "xisuan"


def host_of(endpoint: str) -> str:
    """Return the host of "host:port" or "[v6]:port". Raise BadSettings for anything else."""
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise BadSettings(
            f"the endpoint {endpoint[:100]!r} is not host:port; write for example 127.0.0.1:7443, without http://"
        )
    return found["v6"] or found["host"]


def is_loopback(host: str) -> bool:
    """Return whether the host is this machine by definition, so that nothing crosses a wire."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def resolve(
    *,
    endpoint: str | None = None,
    api_key: str | None = None,
    tls_ca: str | Path | None = None,
    home: str | Path | None = None,
    city: str | None = None,
    operator: bool = False,
    office: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> ClientSettings:
    """Return the settings to use; an empty string counts as not given.

    Args:
        endpoint, api_key, tls_ca: taken as they are; else XISUAN_ENDPOINT, XISUAN_API_KEY, XISUAN_TLS_CA; else the
            profile.
        home: folder of the profile; None means `default_home()`.
        city: whose key to take from the profile; None means XISUAN_CITY, else the profile's, else the only one there.
        operator: take the operator's key from the profile, not a city's.
        office: take the voucher office's key from the profile.
        environment: variables to look at.
    Raises: BadSettings: something is missing or cannot be used; the message says where it was looked for.
    """
    folder = Path(home) if home else default_home(environment)
    profile = read_profile(folder)
    ca = str(tls_ca or "") or environment.get("XISUAN_TLS_CA") or profile.get("tls_ca", "")
    where = endpoint or environment.get("XISUAN_ENDPOINT") or profile.get("endpoint", "")
    if not where:
        raise BadSettings(
            f"no endpoint: give --endpoint HOST:PORT or set XISUAN_ENDPOINT; `xisuan serve` on this machine would have "
            f"written it to {folder / PROFILE}"
        )
    key = api_key or ("" if city else environment.get("XISUAN_API_KEY"))
    if not key:
        wanted = city or environment.get("XISUAN_CITY") or profile.get("city", "")
        name = "voucher-office.key" if office else "operator.key" if operator else _city_key_name(folder, wanted)
        key = read_key(folder / KEYS / name)
    return ClientSettings(where, key, Path(ca) if ca else None)


def read_profile(home: Path) -> dict[str, str]:
    """Return the profile's texts by name, empty when there is none. Raise BadSettings when it cannot be used."""
    path = home / PROFILE
    try:
        raw = _read(path)
    except FileNotFoundError:
        return {}
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{path} is not JSON ({error}): start `xisuan serve` again, it writes a new one") from error
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise BadSettings(f'{path} must be an object of texts, such as {{"endpoint": "127.0.0.1:7443"}}')
    return values


def write_profile(home: Path, *, endpoint: str, tls_ca: Path | None = None, city: str = "") -> Path:
    """Write the profile that clients on this machine use from now on, and return its path."""
    values = {"endpoint": endpoint, "tls_ca": str(tls_ca or ""), "city": city}
    content = json.dumps({name: value for name, value in values.items() if value}, indent=2) + "\n"
    return write_private(home / PROFILE, content)


def read_key(path: Path) -> str:
    """Return the key in a file. Raise BadSettings when there is none or others may read it."""
    try:
        key = _read(path, private=True).strip()
    except FileNotFoundError as error:
        raise BadSettings(
            f"no API key: give --api-key or set XISUAN_API_KEY; {path} does not exist either (an operator makes keys "
            "with `xisuan admin keys create`)"
        ) from error
    if not key:
        raise BadSettings(f"{path} is empty: write the API key into it")
    return key


def write_key(home: Path, name: str, key: str) -> Path:
    """Write a key as `<home>/keys/<name>.key`, readable by its owner only, and return its path.

    Args:
        name: "operator", "city-<city>" or "agent-<cluster>".
    """
    if not _KEY_NAME.fullmatch(name):
        raise BadSettings(f"{name[:80]!r} cannot name a key file: use a-z, 0-9 and '-'")
    return write_private(home / KEYS / f"{name}.key", key + "\n")


def write_private(path: Path, content: str) -> Path:
    """Write a file that only its owner may read, whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path


def _city_key_name(home: Path, city: str) -> str:
    if city:
        if not SLUG.fullmatch(city):
            raise BadSettings(f"{city[:80]!r} is no city: write its slug, such as ganzhou")
        return f"city-{city}.key"
    there = sorted(path.name for path in (home / KEYS).glob("city-*.key"))
    if len(there) > 1:
        cities = ", ".join(name.removeprefix("city-").removesuffix(".key") for name in there[:50])
        raise BadSettings(f"which city are you? Give --city or set XISUAN_CITY; there are keys for {cities}")
    return there[0] if there else "city-CITY.key"


def _read(path: Path, *, private: bool = False) -> str:
    try:
        with path.open("rb") as file:
            if private and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BadSettings(f"{path} can be read by others: `chmod 600 {path}`, and have the key replaced")
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            raise BadSettings(f"{path} is larger than {FILE_BYTES_MAX} bytes: that is not a file of ours")
        return raw.decode()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {path}: {error}") from error
