"""Anonymous tokens: asked for once, shared, refreshed before they are needed.

Docker token specification, "Requesting a Token": `expires_in` is in seconds, and 60 where it is
missing. What carries credentials never comes here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote_plus

from cachetools import LRUCache

from addon.flows.story import Source, current
from addon.memory.singleflight import SingleFlight
from addon.outbound.received import WholeAnswer
from addon.protocol.errors import UpstreamFailure

logger = logging.getLogger(__name__)

# Seconds before its end that a token is given no more, and before that asked for anew.
SPARE = 60.0
REFRESH_BEFORE = 60.0
# Seconds that a token must still hold to be given because the service gives no new one.
LAST_RESORT = 10.0
DEFAULT_LIFETIME = 60.0
# Seconds for which a client is told to go on with a token that has ended, or is about to. Docker
# and Podman take anything less for 60, and containerd would come for a token at each request;
# anything more would keep them from a new one when the service is back.
GIVEN_ON = 60.0
# Seconds before its end from which a registry may take a token for ended: JWTs end at a whole
# second (RFC 7519, section 4.1.4: `exp`), and its clock is not quite ours.
CLOCKS_APART = 2.0
# Characters of a query that is remembered; engines send some hundred.
MAX_QUERY = 2048
# Parameters of a request that asks for nothing but a token for everyone.
_ANONYMOUS = frozenset({"service", "scope", "client_id"})
# RFC 6750, section 2.1, and a little more: what may stand in a field.
_TOKEN = re.compile(r"[!-~]+")
_DENIED = frozenset({401, 403, 404})

Scopes = frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """A token for everyone, and the answer that it came in; times on the monotonic clock."""

    value: str
    scopes: Scopes
    asked: float
    ends: float
    answer: Mapping[str, object]

    @property
    def given_until(self) -> float:
        """Until when it is given to anybody."""
        return self.ends - SPARE

    @property
    def refreshed_from(self) -> float:
        """From when on a new one is asked for, if it is in use."""
        return self.given_until - min(REFRESH_BEFORE, (self.given_until - self.asked) / 3)


class NoToken(Exception):
    """The token service gave none; what it said is passed on to whoever asked."""

    def __init__(self, reply: WholeAnswer) -> None:
        super().__init__(f"the token service answered {reply.status}")
        self.reply = reply

    @property
    def is_denial(self) -> bool:
        """Whether the service said no, and did not merely fail."""
        return self.reply.status in _DENIED

    @property
    def may_pass(self) -> bool:
        """Whether the service cannot give one now, and said no more than that."""
        return self.reply.status == 429 or self.reply.status >= 500


class Tokens:
    """Anonymous tokens of one token service, by their scopes."""

    def __init__(
        self,
        ask: Callable[[Scopes], Awaitable[WholeAnswer]],
        entries: int,
        now: Callable[[], float] = time.monotonic,
        stale_time: float = 0.0,
        longest: float = 86400.0,
        use_time: float = 120.0,
    ) -> None:
        """Keep at most so many.

        Args:
            ask: gives the token service's answer, or raises.
            entries: how many are kept, 0 for none.
            now: the clock.
            stale_time: seconds since its end for which a token of ours still stands for everyone.
            longest: seconds that one is kept at most, whatever is said of its end.
            use_time: seconds since somebody used it for which it counts as in use.
        """
        self._longest = longest
        self._use_time = use_time
        self._ask = ask
        self._now = now
        self._stale_time = stale_time
        self._keeps = entries > 0
        self._kept: LRUCache[Scopes, Token] = LRUCache(max(1, entries))
        self._used: LRUCache[Scopes, float] = LRUCache(max(1, entries))
        # Those that were given before are still used by clients.
        self._ours: LRUCache[bytes, tuple[Scopes, float]] = LRUCache(4 * max(1, entries))
        self._flights: SingleFlight[Token] = SingleFlight()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held(self) -> int:
        """Bytes of the tokens that are kept."""
        return sum(len(token.value) for token in self._kept.values())

    async def get(self, scopes: Scopes) -> Token:
        """A token that holds for a while yet.

        Raises:
            NoToken: the service gave none.
            UpstreamFailure: it did not answer.
        """
        self._note_use(scopes)
        token = self._kept.get(scopes)
        if token and self._now() < token.given_until:
            return token
        try:
            return await self._fetch(scopes)
        except (NoToken, UpstreamFailure) as e:
            if isinstance(e, NoToken) and e.is_denial:
                # When the service is down next, what it has refused must not come back.
                self._kept.pop(scopes, None)
                raise
            if token is None or token.ends - self._now() < LAST_RESORT:
                raise
            logger.info("A token is given although it soon ends: %s", e)
            return token

    async def give(self, scopes: Scopes) -> bytes:
        """The answer for a client: a token, and the seconds that are left of it.

        While the service gives none, it is our last one, even if that has ended: it opens nothing
        upstream any more, but with it the client may ask for what is remembered.

        Raises:
            NoToken: the service gave none.
            UpstreamFailure: it did not answer.
        """
        try:
            token = await self.get(scopes)
        except (NoToken, UpstreamFailure) as e:
            last = self._last(scopes)
            if last is None or (isinstance(e, NoToken) and not e.may_pass):
                raise
            logger.warning("The last token is given on, since there is no new one: %s", e)
            current().given(Source.STALE, max(0.0, self._now() - last.ends))
            return _answer(last, GIVEN_ON)
        return _answer(token, token.ends - self._now())

    def _last(self, scopes: Scopes) -> Token | None:
        token = self._kept.get(scopes)
        is_recent = token and self._now() < token.ends + self._stale_time
        return token if is_recent and self._stale_time > 0 else None

    def forget(self, repository: str) -> None:
        """A token did not open a repository; the next one may, if it has been made public."""
        for scopes in [s for s in self._kept if any(_grants(scope, repository) for scope in s)]:
            del self._kept[scopes]

    async def refresh(self) -> None:
        """Ask anew for the tokens that are in use and end soon."""
        for scopes in [s for s, token in self._kept.items() if self._is_to_be_refreshed(s, token)]:
            try:
                await self._fetch(scopes)
            except (NoToken, UpstreamFailure, OSError) as e:
                logger.info("A token could not be refreshed: %s", e)

    def _is_to_be_refreshed(self, scopes: Scopes, token: Token) -> bool:
        now = self._now()
        used = self._used.get(scopes, -math.inf)
        is_due = token.refreshed_from <= now < token.ends
        return is_due and token.given_until > token.asked and now - used < self._use_time

    def _note_use(self, scopes: Scopes) -> None:
        if self._keeps:
            self._used[scopes] = self._now()

    def covers(self, value: str, repository: str) -> bool:
        """Whether a token is one of ours, holds, and is good for pulling from a repository."""
        scopes, ends = self._ours_for(value, repository)
        if ends <= self._now():
            return False
        self._note_use(scopes)
        return True

    def covered(self, value: str, repository: str) -> bool:
        """Whether a token was such a one, and has ended no longer ago than copies may be stale."""
        _, ends = self._ours_for(value, repository)
        return ends <= self._now() < ends + self._stale_time

    def _ours_for(self, value: str, repository: str) -> tuple[Scopes, float]:
        """Scopes and end of a token; one that is not ours, or not for a repository, never began."""
        scopes, ends = self._ours.get(_hash(value), (frozenset(), -math.inf))
        is_for_it = any(_grants(scope, repository) for scope in scopes)
        return scopes, ends if is_for_it else -math.inf

    def is_spent(self, value: str) -> bool:
        """Whether a token is one of ours that a registry takes for ended, or soon does."""
        _, ends = self._ours.get(_hash(value), (frozenset(), math.inf))
        return ends - CLOCKS_APART <= self._now()

    async def _fetch(self, scopes: Scopes) -> Token:
        async def fetch() -> Token:
            asked_at = self._now()
            token = _parse(await self._ask(scopes), scopes, asked_at, self._longest)
            if self._keeps:
                self._kept[scopes] = token
                self._ours[_hash(token.value)] = (scopes, token.ends)
            return token

        return await self._flights.once(scopes, fetch)


def anonymous_scopes(query: str, service: str) -> Scopes | None:
    """The scopes that a request asks for everyone, None where it asks for more than that."""
    if len(query) > MAX_QUERY:
        return None
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


def _answer(token: Token, seconds: float) -> bytes:
    """The token service's answer with so many seconds, counted from now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    left = {"expires_in": max(0, int(seconds)), "issued_at": now}
    return json.dumps({**token.answer, **left}).encode()


def _grants(scope: str, repository: str) -> bool:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind == "repository" and name == repository and "pull" in actions.split(",")


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("latin-1", "replace")).digest()


def _parse(reply: WholeAnswer, scopes: Scopes, asked_at: float, longest: float) -> Token:
    if reply.status != 200:
        raise NoToken(reply)
    try:
        answer: Any = json.loads(reply.content)
        value = answer.get("token") or answer["access_token"]
        lifetime = float(answer.get("expires_in") or DEFAULT_LIFETIME)
        is_token = _TOKEN.fullmatch(value) is not None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as e:
        raise NoToken(reply) from e
    if not is_token or not lifetime > 0:  # no number is not greater either
        raise NoToken(reply)
    return Token(value, scopes, asked_at, asked_at + min(lifetime, longest), answer)
