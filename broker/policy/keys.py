"""Keys: the broker's private one signs statements, anybody who has the public one can check them. Ed25519."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.policy.statement import PlacementPolicy, PolicyFault, PolicyRefused

_PREFIX: Final = "ed25519:"
_CONTEXT: Final = b"xisuan placement policy\n"
"""Before what is signed, so that no signature of anything else can pass for one of a statement."""


class BadKey(ValueError):
    """A text or file is no key; the message says what would be one."""


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """The text of a statement and its signature of 64 bytes; not checked yet."""

    statement: str
    signature: bytes


class Signer:
    """The broker's private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = _text(private.public_key())
        """The public half, as agents' configurations name it: "ed25519:" and 32 bytes in Base64."""
        self.key_id = key_id(self.public_key)
        """Names the key in statements."""

    @classmethod
    def generate(cls) -> Self:
        """Return a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Return the key of a PEM file (PKCS 8, no password). Raise BadKey."""
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise BadKey("must be an Ed25519 private key as PEM, without a password") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise BadKey("must be an Ed25519 private key; this one is of another kind")
        return cls(private)

    def to_pem(self) -> bytes:
        """Return the private key as a PEM file holds it: a secret."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, policy: PlacementPolicy) -> SignedPolicy:
        """Return the statement signed. Raise ValueError when it names another key."""
        if policy.key_id != self.key_id:
            raise ValueError(f"the statement names key {policy.key_id}, and this is {self.key_id}")
        text = policy.to_text()
        return SignedPolicy(text, self._private.sign(_CONTEXT + text.encode()))


class TrustedKeys:
    """Public keys whose statements are believed: the broker's own, and while keys change the next or last one."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Return the keys that the texts name. Raise BadKey."""
        return cls({key_id(text): Ed25519PublicKey.from_public_bytes(_raw(text)) for text in texts})

    def __contains__(self, wanted: str) -> bool:
        return wanted in self._keys

    def verified(self, signed: SignedPolicy) -> PlacementPolicy:
        """Return the statement. Raise PolicyRefused: it is malformed, or not signed by a trusted key."""
        policy = PlacementPolicy.from_text(signed.statement)
        key = self._keys.get(policy.key_id)
        if key is None:
            raise PolicyRefused(
                PolicyFault.KEY_UNKNOWN, f"signed with key {policy.key_id}; trusted: {', '.join(self._keys) or 'none'}"
            )
        try:
            key.verify(signed.signature, _CONTEXT + signed.statement.encode())
        except InvalidSignature:
            raise PolicyRefused(
                PolicyFault.SIGNATURE_WRONG, f"the signature is not that of key {policy.key_id} for this statement"
            ) from None
        return policy


def key_id(public_key: str) -> str:
    """Return the name of a public key in statements: 16 hexadecimal digits of its hash. Raise BadKey."""
    return hashlib.sha256(_raw(public_key)).hexdigest()[:16]


def _text(public: Ed25519PublicKey) -> str:
    return _PREFIX + base64.b64encode(public.public_bytes_raw()).decode()


def _raw(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        raw = b""
    if not text.startswith(_PREFIX) or len(raw) != 32:
        raise BadKey(f"{text[:80]!r} is no public key: must be {_PREFIX!r} and 32 bytes in Base64")
    return raw
