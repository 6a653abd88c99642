"""Sessions of browsers: a signed cookie that names a token by its hash, and what proves that a form was ours.

The cookie holds no secret of the token: a revoked or expired token ends its sessions at once, at every orchestrator.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.core.access import Token

COOKIE = "kembar_session"
IDLE_S = 30 * 60
WHOLE_S = 12 * 3600
RENEW_S = 60  # a session that is used is prolonged no more often than this
COOKIE_MAX = 1024  # characters


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in, by the hash of the token; wall times in seconds. `nonce` makes each login another."""

    sha256: str
    nonce: str
    began_s: float
    used_s: float

    def alive(self, wall_s: float) -> bool:
        """Neither idle for too long nor too old; one from the future is none."""
        return 0 <= wall_s - self.used_s < IDLE_S and 0 <= wall_s - self.began_s < WHOLE_S

    def used(self, wall_s: float) -> Session:
        """Prolonged."""
        return replace(self, used_s=wall_s)

    def token(self, tokens: Iterable[Token], wall_s: float) -> Token | None:
        """The token of this session, as long as it is valid."""
        return next((one for one in tokens if one.sha256 == self.sha256 and one.valid(wall_s)), None)


def sealed(session: Session, key: bytes) -> str:
    """The cookie's value."""
    text = base64.urlsafe_b64encode(
        json.dumps([session.sha256, session.nonce, session.began_s, session.used_s]).encode()
    ).decode()
    return f"{text}.{_mac(key, 'session', text)}"


def opened(cookie: str, key: bytes, wall_s: float) -> Session | None:
    """The session in a cookie, if it is one of ours and alive."""
    text, _, mac = cookie.partition(".")
    given = mac.encode(errors="replace")  # a header may hold bytes that are no text
    if len(cookie) > COOKIE_MAX or not hmac.compare_digest(given, _mac(key, "session", text).encode()):
        return None
    try:
        sha256, nonce, began_s, used_s = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error):
        return None  # signed by another version
    session = Session(str(sha256), str(nonce), float(began_s), float(used_s))
    return session if session.alive(wall_s) else None


def csrf(session: Session, key: bytes) -> str:
    """What a form of this session carries, and no other site can know."""
    return _mac(key, "form", f"{session.sha256}{session.nonce}")


def _mac(key: bytes, purpose: str, text: str) -> str:
    return hmac.new(key, f"{purpose}:{text}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
