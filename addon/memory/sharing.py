"""Who may be given what somebody else's request has fetched.

Only what anonymous requests fetched is shared. What a token that is not the mirror's own fetched
is kept for that token alone. And whatever is kept is given for a limited time after the registry
last said yes: a repository that was made private is soon nobody's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from addon.protocol.errors import UpstreamFailure

# The audience of all who ask without credentials.
EVERYONE = ""


def audience_of(authorization: str) -> str:
    """The audience of one token or password: its hash, so that no secret is a key."""
    return hashlib.sha256(authorization.encode("latin-1")).hexdigest()


def end_of(authorization: str) -> float:
    """When a token says that it ends, in seconds since 1970; infinite where it does not say.

    Hub's tokens are JWTs (RFC 7519, section 4.1.4). Nothing is verified: the registry does that,
    and a token that lies has lied of nobody's memory but its own.
    """
    try:
        claims = authorization.split(".")[1]
        padded = claims + "=" * (-len(claims) % 4)
        end = json.loads(base64.urlsafe_b64decode(padded))["exp"]
        return float(end)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return math.inf


def token_of(authorization: str) -> str:
    """The token that is shown (RFC 6750, section 2.1), empty where it is something else."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme.lower() == "bearer" else ""


class BlobKey(NamedTuple):
    """A blob for those who may read it: what was fetched for one audience is no other's."""

    audience: str
    repository: str
    digest: str

    def is_of(self, audience: str, repository: str) -> bool:
        """Whether it is one of a repository's, as an audience was given it."""
        return (self.audience, self.repository) == (audience, repository)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read a repository: an audience, and the field that proves it upstream."""

    audience: str
    authorization: str = ""
    failure: UpstreamFailure | None = None
    """Why there is no proof, where one is needed: what is remembered may still be given."""

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What an upstream is shown.

        Raises:
            UpstreamFailure: there is no proof to be had.
        """
        if self.failure:
            raise self.failure
        return [("Authorization", self.authorization)] if self.authorization else []


class Access:
    """When an audience was last let into a repository."""

    def __init__(
        self, recheck_seconds: float, entries: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._recheck = recheck_seconds
        self._granted: LRUCache[tuple[str, str], float] = LRUCache(entries)
        self._now = now

    def grant(self, audience: str, repository: str) -> None:
        """The registry said yes just now."""
        self._granted[audience, repository] = self._now()

    def revoke(self, audience: str, repository: str) -> None:
        """The registry said no."""
        self._granted.pop((audience, repository), None)

    def holds(self, audience: str, repository: str) -> bool:
        """Whether the last yes is recent enough to give what is kept."""
        return self.age(audience, repository) < self._recheck

    def age(self, audience: str, repository: str) -> float:
        """Seconds since the last yes, infinite where there was none."""
        granted = self._granted.get((audience, repository))
        return math.inf if granted is None else self._now() - granted

    def ended(self) -> list[tuple[str, str]]:
        """Audiences of one token, and repositories, whose last yes is not recent enough.

        Nobody may come back to them; what everyone is given is worth keeping for a check.
        """
        ends = self._now() - self._recheck
        return [key for key, at in self._granted.items() if key[0] != EVERYONE and at <= ends]

    def of(self, audience: str) -> list[str]:
        """The repositories that an audience was let into."""
        return [repository for whose, repository in self._granted if whose == audience]
