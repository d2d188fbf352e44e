"""Where the broker listens, and with what: in the clear on loopback only."""

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import grpc

_FORM: Final = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:\s]*)):(?P<port>[0-9]{1,5})")


class CannotListen(Exception):
    """The broker cannot listen as it is told to; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on.

    Attributes:
        host: IPv4 or IPv6 address, or host name; empty means every interface.
        port: 0 takes any free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address in "127.0.0.1:7443", "[::1]:7443", "broker.example:7443", ":7443". Raise CannotListen."""
        found = _FORM.fullmatch(text)
        if found is None or int(found["port"]) > 65_535:
            raise CannotListen(
                f"listen address {text!r} must be HOST:PORT with a port of 0 to 65535, "
                "for example 127.0.0.1:7443 or [::1]:7443"
            )
        return cls(found["ipv6"] or found["host"] or "", int(found["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A host name other than localhost is taken as reachable."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def text(self) -> str:
        """The address as gRPC takes it."""
        host = self.host or "[::]"
        return f"[{host}]:{self.port}" if ":" in host and not host.startswith("[") else f"{host}:{self.port}"


def server_credentials(
    listen: ListenAddress, certificate: Path | None, private_key: Path | None
) -> grpc.ServerCredentials | None:
    """Return what the server proves itself with; None stands for plain text, on loopback only.

    Args:
        listen: where the server will listen.
        certificate: chain in PEM, the server's own first.
        private_key: its key in PEM, without a passphrase.
    Raises: CannotListen: plain text beyond loopback; one file without the other; files that do not fit together.
    """
    if certificate is None and private_key is None:
        if listen.is_loopback:
            return None
        raise CannotListen(
            f"{listen.text} can be reached from other machines, and API keys must not travel in the clear: "
            "give a certificate and its key (--tls-cert, --tls-key), or listen on 127.0.0.1"
        )
    if certificate is None or private_key is None:
        raise CannotListen("a certificate and its private key belong together: give both (--tls-cert, --tls-key)")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            certificate, private_key, password=_no_passphrase
        )
        return grpc.ssl_server_credentials([(private_key.read_bytes(), certificate.read_bytes())])
    except ssl.SSLError as error:
        raise CannotListen(
            f"{certificate} and {private_key} are no PEM certificate chain and its private key: {error.reason or error}"
        ) from error
    except OSError as error:
        raise CannotListen(f"{error.filename or certificate} cannot be read: {error.strerror}") from error


def browser_context(listen: ListenAddress, certificate: Path | None, private_key: Path | None) -> ssl.SSLContext | None:
    """Return the same for a server that browsers talk to. Raises: CannotListen, as `server_credentials` does."""
    if server_credentials(listen, certificate, private_key) is None or certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    """Answer for OpenSSL, which would otherwise ask at the terminal."""
    raise CannotListen("the private key has a passphrase: store it without one, readable by the broker only")
