"""The file of the broker's private key: made once, private, shared by all brokers of one home."""

import os
import secrets
from pathlib import Path
from typing import Final

from broker.policy.keys import BadKey, Signer
from broker.private_file import seen_by_others

NAME: Final = "keys/policy-signing.pem"
"""Where it lies in the broker's home; beside it, with the ending .pub, the public key for agents and auditors."""


def read_or_make(home: Path) -> Signer:
    """Return the signer of a broker's home, made when there is none yet. Raise BadKey.

    Of brokers that start at once one makes the key and the others read it.
    """
    path = home / NAME
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make(path, exist_ok=True)
    signer = read(path)
    public = path.with_suffix(".pub")
    if not public.exists() or public.read_text(encoding="ascii") != signer.public_key + "\n":
        _write(public, (signer.public_key + "\n").encode(), replace=True)
    return signer


def make(path: Path, *, exist_ok: bool = False) -> None:
    """Write a new private key, mode 0600. Raise FileExistsError unless `exist_ok`: then what is there stays."""
    try:
        _write(path, Signer.generate().to_pem(), replace=False)
    except FileExistsError:
        if not exist_ok:
            raise


def read(path: Path) -> Signer:
    """Return the signer of a file. Raise BadKey when it cannot be used or others can read it."""
    try:
        found = path.stat()
        pem = path.read_bytes()
    except OSError as error:
        raise BadKey(f"{path} cannot be read ({error.strerror}): make one with `xisuan policy keygen`") from error
    if seen_by_others(found):
        raise BadKey(f"others can read {path}, the key that signs placement policies: chmod 600 {path}")
    try:
        return Signer.from_pem(pem)
    except BadKey as error:
        raise BadKey(f"{path} {error}") from error


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file whole or not at all; without `replace` raise FileExistsError when there is one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(draft, path)
        else:
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
