"""Sessions of browsers: a signed cookie that names a key by its public id. Pure: time and secret come in.

The cookie holds no secret of the key. Whether the key is still good is asked at every request, so a revoked one ends
its sessions within seconds. All brokers of a database that share the policy key take each other's sessions.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LASTS: Final = timedelta(hours=12)
COOKIE_CHARACTERS_MAX: Final = 512
_SESSION: Final = b"xisuan console session 1:"
_FORM: Final = b"xisuan console form 1:"
_SECRET: Final = b"xisuan console secret 1"


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in, and when."""

    key_id: str
    since: datetime
    luck: str  # two sessions of one key differ


def secret_of(private_key: bytes) -> bytes:
    """Return the secret that signs sessions, made from one that all brokers of a database share."""
    return hmac.new(private_key, _SECRET, hashlib.sha256).digest()


def begin(key_id: str, now: datetime) -> Session:
    """Return a new session."""
    return Session(key_id, now, secrets.token_urlsafe(12))


def to_cookie(session: Session, secret: bytes) -> str:
    """Return the cookie of a session."""
    body = _text(json.dumps([session.key_id, int(session.since.timestamp()), session.luck]).encode())
    return f"{body}.{_text(_mac(secret, _SESSION, body))}"


def from_cookie(cookie: str, secret: bytes, now: datetime) -> Session | None:
    """Return the session that a cookie names; None when it is none of ours, too old, or from the future."""
    body, _, mac = cookie[:COOKIE_CHARACTERS_MAX].partition(".")
    if not hmac.compare_digest(mac.encode(), _text(_mac(secret, _SESSION, body)).encode()):
        return None
    try:  # what is signed is ours, but may be of another release
        key_id, since_s, luck = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        since = datetime.fromtimestamp(since_s, now.tzinfo)
    except (ValueError, TypeError, binascii.Error):
        return None
    if not timedelta(minutes=-1) <= now - since < LASTS:
        return None
    return Session(key_id, since, luck)


def form_token(session: Session, secret: bytes) -> str:
    """Return what a form of this session must carry: a page of another site cannot know it."""
    return _text(_mac(secret, _FORM, f"{session.key_id}.{session.luck}"))


def form_token_fits(token: str, session: Session, secret: bytes) -> bool:
    """Tell whether a form was made for this session."""
    return hmac.compare_digest(token.encode(), form_token(session, secret).encode())


def _mac(secret: bytes, purpose: bytes, text: str) -> bytes:
    return hmac.new(secret, purpose + text.encode(), hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
