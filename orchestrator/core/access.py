"""Who may do what over the API: roles, and tokens kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    made_s: float = 0.0  # wall time; 0: in a file, which does not say
    made_by: str = ""

    @property
    def fingerprint(self) -> str:
        """What tells two tokens of one name apart, and helps nobody to guess either."""
        return self.sha256[:12]

    def valid(self, wall_s: float) -> bool:
        """Whether it has not expired."""
        return self.expires_s is None or wall_s < self.expires_s

    def reaches(self, cluster: str) -> bool:
        """Whether it is good for that cluster."""
        return not self.clusters or cluster in self.clusters


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that one cluster keeps itself; each is good for that cluster alone, whatever it says."""

    tokens: tuple[Token, ...] = ()

    def with_token(self, token: Token) -> Tokens:
        """With one more, in place of one of its name that has expired."""
        return Tokens((*self.without(token.name).tokens, token))

    def without(self, name: str) -> Tokens:
        """Without the one of that name."""
        return Tokens(tuple(one for one in self.tokens if one.name != name))

    def of(self, cluster: str) -> tuple[Token, ...]:
        """As they are good for that cluster."""
        return tuple(replace(one, clusters=(cluster,)) for one in self.tokens)


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def find_token(secret: str, tokens: Iterable[Token], wall_s: float) -> Token | None:
    """The valid token with that secret; every hash is compared, in constant time, so that timing tells nothing."""
    wanted = digest(secret)
    found = None
    for token in tokens:
        same = hmac.compare_digest(wanted, token.sha256)
        if same and token.valid(wall_s):
            found = token
    return found
