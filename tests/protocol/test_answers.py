from __future__ import annotations

import json

from addon.protocol.answers import (
    challenge,
    ping,
    pull_challenge,
    reply_of,
    with_api_version,
    with_field,
)
from addon.protocol.challenges import bearer
from addon.protocol.registry import Registry, parse_registry
from addon.protocol.reply import Reply
from tests.outbounds import answer
from tests.upstreams import read, value

REALM = "https://mirror.example/auth/token"
HUB = parse_registry("", official="library")


def test_an_upstreams_answer_names_the_mirror_or_nothing() -> None:
    upstream = answer(
        401,
        ("WWW-Authenticate", 'Bearer realm="https://auth.docker.io/token",service="x"'),
        ("Set-Cookie", "a=b"),
        ("Location", "https://elsewhere.example/"),
        ("X-Other", "1"),
        content=b"{}",
    )
    reply = reply_of(upstream, "https://registry-1.docker.io/v2/", HUB, REALM)
    assert (reply.status, reply.length, reply.body) == (401, 2, upstream.body)
    challenged = ("WWW-Authenticate", f'Bearer realm="{REALM}",service="x"')
    assert list(reply.fields) == [("X-Other", "1"), challenged]


async def test_a_challenge_is_an_error_that_clients_read() -> None:
    reply = challenge(bearer(REALM, "s"))
    assert reply.status == 401
    assert json.loads(await read(reply))["errors"][0]["code"] == "UNAUTHORIZED"
    assert value(reply, "WWW-Authenticate") == f'Bearer realm="{REALM}",service="s"'


def test_a_challenge_for_a_repository_says_its_scope() -> None:
    reply = pull_challenge(HUB, REALM, "library/a")
    scope = 'scope="repository:library/a:pull"'
    expected = f'Bearer realm="{REALM}",service="registry.docker.io",{scope}'
    assert value(reply, "WWW-Authenticate") == expected


def test_a_registry_that_wants_no_token_welcomes_all() -> None:
    assert ping(Registry("https://r.example"), REALM).status == 200


def test_a_field_takes_the_place_of_its_name() -> None:
    assert with_field([("etag", "1"), ("X", "2"), ("ETAG", "3")], ("ETag", "4")) == [
        ("X", "2"),
        ("ETag", "4"),
    ]


def test_the_apis_version_is_said_once() -> None:
    reply = with_api_version(with_api_version(Reply(200)))
    assert reply.fields == [("Docker-Distribution-Api-Version", "registry/2.0")]
