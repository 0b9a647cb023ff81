"""Who may be given what somebody else's request has fetched.

Only what anonymous requests fetched is shared. What a token that is not the mirror's own fetched
is kept for that token alone. And whatever is kept is given for a limited time after the registry
last said yes: a repository that was made private is soon nobody's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

# The audience of all who ask without credentials.
EVERYONE = ""


def audience_of(authorization: str) -> str:
    """The audience of one token or password: its hash, so that no secret is a key."""
    return hashlib.sha256(authorization.encode("latin-1")).hexdigest()


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read a repository: an audience, and the field that proves it upstream."""

    audience: str
    authorization: str = ""

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What an upstream is shown."""
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
        granted = self._granted.get((audience, repository))
        return granted is not None and self._now() - granted < self._recheck
