"""Anonymous tokens: asked for once, shared, refreshed before they are needed.

Docker token specification, "Requesting a Token": `expires_in` is in seconds, and 60 where it is
missing. What carries credentials never comes here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote_plus

from cachetools import LRUCache

from addon.outbound import WholeAnswer
from addon.singleflight import SingleFlight

logger = logging.getLogger(__name__)

# Seconds before its end that a token is given no more, and before that asked for anew.
SPARE = 60.0
REFRESH_BEFORE = 60.0
DEFAULT_LIFETIME = 60.0
# Parameters of a request that asks for nothing but a token for everyone.
_ANONYMOUS = frozenset({"service", "scope", "client_id"})

Scopes = frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """A token for everyone, and the answer that it came in; `ends` on the monotonic clock."""

    value: str
    scopes: Scopes
    ends: float
    answer: Mapping[str, object]


class NoToken(Exception):
    """The token service gave none; what it said is passed on to whoever asked."""

    def __init__(self, reply: WholeAnswer) -> None:
        super().__init__(f"the token service answered {reply.status}")
        self.reply = reply


class Tokens:
    """Anonymous tokens of one token service, by their scopes."""

    def __init__(
        self,
        ask: Callable[[Scopes], Awaitable[WholeAnswer]],
        entries: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask` gives the token service's answer, or raises."""
        self._ask = ask
        self._now = now
        self._kept: LRUCache[Scopes, Token] = LRUCache(entries)
        self._ours: LRUCache[bytes, Token] = LRUCache(4 * entries)
        self._flights: SingleFlight[Token] = SingleFlight()

    async def get(self, scopes: Scopes) -> Token:
        """A token that holds for a while yet.

        Raises:
            NoToken: the service gave none.
            UpstreamFailure: it did not answer.
        """
        token = self._kept.get(scopes)
        if token and self.seconds_left(token) > 0:
            return token
        return await self._fetch(scopes)

    async def refresh(self) -> None:
        """Ask anew for the tokens that end soon; whoever calls knows that they are in use."""
        soon = [s for s, t in self._kept.items() if self.seconds_left(t) < REFRESH_BEFORE]
        for scopes in soon:
            del self._kept[scopes]  # used since: it is asked for again by who needs it
            await self._fetch(scopes)

    def seconds_left(self, token: Token) -> int:
        """For how long a token may still be given."""
        return int(token.ends - SPARE - self._now())

    def covers(self, value: str, repository: str) -> bool:
        """Whether a token is one of ours, holds, and is good for pulling from a repository."""
        token = self._ours.get(_hash(value))
        if token is None or token.ends <= self._now():
            return False
        return any(_grants(scope, repository) for scope in token.scopes)

    def answer(self, token: Token) -> bytes:
        """The token service's answer with the seconds that are left, counted from now."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        left = {"expires_in": int(token.ends - self._now()), "issued_at": now}
        return json.dumps({**token.answer, **left}).encode()

    async def _fetch(self, scopes: Scopes) -> Token:
        async def fetch() -> Token:
            asked_at = self._now()
            token = _parse(await self._ask(scopes), scopes, asked_at)
            self._kept[scopes] = token
            self._ours[_hash(token.value)] = token
            return token

        return await self._flights.once(scopes, fetch)


def anonymous_scopes(query: str, service: str) -> Scopes | None:
    """The scopes that a request asks for everyone, None where it asks for more than that."""
    parameters = parse_qsl(query, keep_blank_values=True)
    if any(name not in _ANONYMOUS for name, _ in parameters):
        return None
    if [value for name, value in parameters if name == "service"] != [service]:
        return None
    scopes = [scope for name, value in parameters if name == "scope" for scope in value.split()]
    return frozenset(scopes)


def token_query(service: str, scopes: Scopes) -> str:
    """The query that asks for a token for everyone."""
    parameters = [("service", service), *(("scope", scope) for scope in sorted(scopes))]
    return "&".join(f"{name}={quote_plus(value, safe=':/,()')}" for name, value in parameters)


def pull_scope(repository: str) -> Scopes:
    """The scopes for pulling from a repository."""
    return frozenset({f"repository:{repository}:pull"})


def _grants(scope: str, repository: str) -> bool:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind == "repository" and name == repository and "pull" in actions.split(",")


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("latin-1", "replace")).digest()


def _parse(reply: WholeAnswer, scopes: Scopes, asked_at: float) -> Token:
    if reply.status != 200:
        raise NoToken(reply)
    try:
        answer: Any = json.loads(reply.content)
        value = answer.get("token") or answer["access_token"]
        lifetime = float(answer.get("expires_in") or DEFAULT_LIFETIME)
        value.encode("ascii")
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise NoToken(reply) from e
    return Token(value, scopes, asked_at + lifetime, answer)
