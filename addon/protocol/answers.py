"""Replies made of an upstream's answers, and of what the mirror knows of its upstream."""

from __future__ import annotations

from dataclasses import replace

from addon.outbound.received import Answer
from addon.protocol.challenges import Challenge, bearer
from addon.protocol.errors import CONTENT_TYPE, format_error
from addon.protocol.headers import API_VERSION, Fields, to_client
from addon.protocol.registry import Registry
from addon.protocol.reply import Reply, whole


def reply_of(answer: Answer, base: str, registry: Registry, realm: str) -> Reply:
    """An upstream's answer for a client; nothing in it sends the client to the upstream.

    Args:
        answer: the upstream's.
        base: the address that was asked.
        registry: whose it is.
        realm: the mirror's.
    """
    fields = to_client(answer.fields, base=base, realm=realm, service=registry.service)
    return Reply(answer.status, fields, answer.length, answer.body)


def ping(registry: Registry, realm: str) -> Reply:
    """The answer to `/v2/` without credentials: the challenge, its realm on the mirror."""
    if not registry.token_service:
        return welcome()
    return challenge(bearer(realm, registry.service))


def welcome() -> Reply:
    """The answer to `/v2/` of a registry that asks for no token."""
    return whole(200, b"{}", [("Content-Type", CONTENT_TYPE)])


def pull_challenge(registry: Registry, realm: str, repository: str) -> Reply:
    """What Docker Hub answers to who shows no token for a repository."""
    asked = bearer(realm, registry.service)
    scope = ("scope", f"repository:{repository}:pull")
    return challenge(replace(asked, parameters=(*asked.parameters, scope)))


def challenge(asked: Challenge) -> Reply:
    """401 with a challenge."""
    fields = [("Content-Type", CONTENT_TYPE), ("WWW-Authenticate", asked.format())]
    return whole(401, format_error("UNAUTHORIZED", "authentication required"), fields)


def with_api_version(reply: Reply) -> Reply:
    """A reply under `/v2/`, which says that this is a registry."""
    return replace(reply, fields=with_field(reply.fields, API_VERSION))


def with_field(fields: Fields, field: tuple[str, str]) -> Fields:
    """Fields with one in place of whatever of its name was there."""
    name = field[0].lower()
    return [*((n, v) for n, v in fields if n.lower() != name), field]
