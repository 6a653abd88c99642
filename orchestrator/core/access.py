"""Who may do what over the API: roles, and tokens kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class AccessRole(StrEnum):
    """Each role may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: AccessRole) -> bool:
        """Whether this role may do what `needed` may."""
        order = tuple(AccessRole)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Token:
    """One bearer token by its hash. 256 random bits need no salt and no slow hash."""

    name: str
    role: AccessRole
    sha256: str
    clusters: tuple[str, ...] = ()  # empty: all
    expires_s: float | None = None  # wall time, seconds since the Unix epoch

    def reaches(self, cluster: str) -> bool:
        """Whether it is good for that cluster."""
        return not self.clusters or cluster in self.clusters


def find_token(secret: str, tokens: Iterable[Token], wall_s: float) -> Token | None:
    """The valid token with that secret; every hash is compared, in constant time, so that timing tells nothing."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    found = None
    for token in tokens:
        same = hmac.compare_digest(digest, token.sha256)
        if same and (token.expires_s is None or wall_s < token.expires_s):
            found = token
    return found
