"""Who reads a repository: everyone, one client by its credentials, or nobody yet."""

from __future__ import annotations

import logging
from dataclasses import replace

from addon.memory.sharing import EVERYONE, Reader, audience_of, end_of, token_of
from addon.memory.tokens import NoToken, pull_scope
from addon.memory.upstream import Upstream
from addon.outbound.received import Answer, WholeAnswer
from addon.protocol.answers import pull_challenge
from addon.protocol.asked import Asked
from addon.protocol.errors import MirrorError, Refusal, UpstreamFailure, failure
from addon.protocol.headers import Fields
from addon.protocol.registry import authority
from addon.protocol.reply import Reply

logger = logging.getLogger(__name__)


async def reader_of(upstream: Upstream, asked: Asked, repository: str) -> Reader | Reply:
    """Who asks for a repository, or the challenge for who shows no token where one is needed.

    A token of ours that has ended is not shown upstream: the mirror takes a new one itself.

    Raises:
        Refusal: without a login of the client's, the repository is not for everyone.
        UpstreamFailure: the registry or its token service did not answer.
    """
    authorization = asked.authorization
    was_ours = upstream.tokens.covered(token_of(authorization), repository)
    if authorization and not was_ours:
        return _own_reader(upstream, authorization, repository)
    registry = await upstream.learnt.known()
    if not registry.token_service:
        return Reader(EVERYONE)
    if upstream.limits.challenges_clients and not (was_ours or asked.is_replayed):
        return pull_challenge(registry, asked.realm, repository)
    try:
        return await _everyone(upstream, repository)
    except Refusal:
        if not upstream.limits.challenges_clients:
            raise
        # As to any token that is not accepted: whoever may read it can log in.
        return pull_challenge(registry, asked.realm, repository)


async def _everyone(upstream: Upstream, repository: str) -> Reader:
    """Everyone, with a token of the mirror's if there is one.

    Raises:
        Refusal: the repository is not for everyone.
    """
    try:
        return Reader(EVERYONE, await anonymous(upstream, repository))
    except UpstreamFailure as e:
        # What is remembered may be given without a token.
        return Reader(EVERYONE, failure=e)


def _own_reader(upstream: Upstream, authorization: str, repository: str) -> Reader:
    token = token_of(authorization)
    if upstream.tokens.covers(token, repository):
        return Reader(EVERYONE, authorization)
    audience = audience_of(authorization)
    if end_of(token) <= upstream.wall_clock():
        upstream.forget(audience)
    return Reader(audience, authorization)


async def anonymous(upstream: Upstream, repository: str) -> str:
    """The `Authorization` that everyone may show for a repository.

    Raises:
        Refusal: there is none.
        UpstreamFailure: the token service did not answer, or with no token.
    """
    try:
        token = await upstream.tokens.get(pull_scope(repository))
    except NoToken as e:
        if e.is_denial:
            raise not_for_everyone(repository) from e
        raise _no_token(upstream, e.reply.status) from e
    return f"Bearer {token.value}"


def _no_token(upstream: Upstream, status: int) -> UpstreamFailure:
    host = authority(upstream.learnt.now.token_service)
    if status == 429:
        return UpstreamFailure(429, "TOOMANYREQUESTS", f"upstream {host}: too many requests")
    return failure(host, f"it gave no token, but answered {status}")


class Visit:
    """A reader who asks for one repository, for longer than its token may last.

    A token of the mirror's own is replaced by a new one once the registry takes it no longer;
    a client's own credentials are what they are.
    """

    def __init__(self, upstream: Upstream, reader: Reader, repository: str) -> None:
        self._upstream = upstream
        self._reader = reader
        self._repository = repository

    @property
    def fields(self) -> Fields:
        """What the registry is shown.

        Raises:
            UpstreamFailure: there is no proof to be had.
        """
        return self._reader.fields

    async def renew(self) -> bool:
        """The registry has refused what it was shown: whether there is something new to show."""
        reader = self._reader
        if reader.audience != EVERYONE or not reader.authorization:
            return False
        try:
            authorization = await anonymous(self._upstream, self._repository)
        except MirrorError as e:
            logger.info("There is no new token for %s: %s", self._repository, e)
            return False
        self._reader = replace(reader, authorization=authorization)
        return authorization != reader.authorization

    def hear(self, status: int) -> None:
        """Note what the registry itself has answered."""
        self._upstream.hear(self._reader, self._repository, status)


def not_for_everyone(repository: str) -> Refusal:
    """Why a private image is refused where clients are never asked to log in."""
    return Refusal(
        403,
        "DENIED",
        f"{repository} is private or does not exist, and this mirror takes no login"
        " (docxy_login=none)",
    )


def refuse_login(
    upstream: Upstream, answer: Answer | WholeAnswer | Reply, asked: Asked, repository: str
) -> None:
    """See that no client is asked for a login where the mirror takes none.

    Raises:
        Refusal: the registry wants one; the answer is closed.
    """
    is_wanted = answer.status == 401 and not asked.authorization
    if not is_wanted or upstream.limits.challenges_clients:
        return
    if not isinstance(answer, WholeAnswer):
        answer.body.close()
    raise not_for_everyone(repository)
