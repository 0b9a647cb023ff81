"""Who reads a repository: everyone, one client by its credentials, or nobody yet."""

from __future__ import annotations

from addon.answers import pull_challenge
from addon.asked import Asked
from addon.errors import Refusal
from addon.reply import Reply
from addon.sharing import EVERYONE, Reader, audience_of
from addon.tokens import NoToken, pull_scope
from addon.upstream import Upstream


async def reader_of(upstream: Upstream, asked: Asked, repository: str) -> Reader | Reply:
    """Who asks for a repository, or the challenge for who shows no token where one is needed.

    Raises:
        Refusal: without a login of the client's, the repository is not for everyone.
        UpstreamFailure: the registry or its token service did not answer.
    """
    authorization = asked.authorization
    if authorization:
        scheme, _, token = authorization.partition(" ")
        is_ours = scheme.lower() == "bearer" and upstream.tokens.covers(token, repository)
        return Reader(EVERYONE if is_ours else audience_of(authorization), authorization)
    registry = await upstream.learnt.known()
    if not registry.token_service:
        return Reader(EVERYONE)
    if upstream.limits.challenges_clients:
        return pull_challenge(registry, asked.realm, repository)
    return Reader(EVERYONE, await anonymous(upstream, repository))


async def anonymous(upstream: Upstream, repository: str) -> str:
    """The `Authorization` that everyone may show for a repository.

    Raises:
        Refusal: there is none.
        UpstreamFailure: the token service did not answer.
    """
    try:
        token = await upstream.tokens.get(pull_scope(repository))
    except NoToken as e:
        raise not_for_everyone(repository) from e
    return f"Bearer {token.value}"


def not_for_everyone(repository: str) -> Refusal:
    """Why a private image is refused where clients are never asked to log in."""
    return Refusal(
        403,
        "DENIED",
        f"{repository} is private or does not exist, and this mirror takes no login"
        " (docxy_login=none)",
    )
