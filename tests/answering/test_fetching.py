from __future__ import annotations

import hashlib
import json

import pytest

from addon.ahead.lookahead import AheadLimits
from addon.answering.fetching import Fetcher
from addon.blob.blobs import BlobLimits
from addon.blob.bodies import VerifiedBody
from addon.flows.story import Source, new_story, tell
from addon.memory.upstream import Limits, Upstream
from addon.protocol.answers import ping, with_api_version
from addon.protocol.asked import Asked
from addon.protocol.errors import Refusal, UpstreamFailure
from addon.protocol.registry import Registry, parse_registry
from addon.protocol.reply import Reply
from addon.protocol.routes import Blob, Manifest, Ping, Referrers, RegistryRoute, Tags, Token
from tests.outbounds import FakeOutbound, answer, closings, fake, redirect
from tests.upstreams import Site

HUB = parse_registry("", official="library")
OTHER = Registry("https://r.example")
REALM = "https://mirror.example/auth/token"
CHALLENGE = f'Bearer realm="{REALM}",service="registry.docker.io"'
CDN = "https://cdn.example/data?Signature=a%2Fb"
CREDENTIALS = ("Authorization", "Bearer abc")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
CONTENT = b"a layer"
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
TOKEN_SERVICE = "https://auth.docker.io/token"


def asked(
    *fields: tuple[str, str], method: str = "GET", form: bytes | Refusal | None = None
) -> Asked:
    async def body() -> bytes:
        if isinstance(form, Refusal):
            raise form
        return form or b""

    return Asked(method, fields, REALM, "client", body)


def fetcher_of(outbound: FakeOutbound, registry: Registry = HUB) -> Fetcher:
    limits = BlobLimits(pieces=1, host_connections=1, bytes_in_flight=1)
    upstream = Upstream(registry, outbound.outbound, Limits(), limits)
    return Fetcher(upstream, AheadLimits(1, 0, 1, images=0))


async def fetched(
    outbound: FakeOutbound,
    route: RegistryRoute | Token,
    request: Asked | None = None,
    registry: Registry = HUB,
) -> Reply:
    fetcher = fetcher_of(outbound, registry)
    try:
        return await fetcher.fetch(route, request or asked(CREDENTIALS))
    finally:
        fetcher.close()


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        pytest.param(Ping(), "https://registry-1.docker.io/v2/", id="ping"),
        pytest.param(
            Manifest("alpine", "3"),
            "https://registry-1.docker.io/v2/library/alpine/manifests/3",
            id="an official image",
        ),
        pytest.param(
            Tags("me/a", "n=1&last=%2f"),
            "https://registry-1.docker.io/v2/me/a/tags/list?n=1&last=%2f",
            id="tags",
        ),
        pytest.param(
            Referrers("a", DIGEST),
            f"https://registry-1.docker.io/v2/library/a/referrers/{DIGEST}",
            id="referrers",
        ),
        pytest.param(Token(""), TOKEN_SERVICE, id="a token"),
        pytest.param(
            Token("service=s&scope=repository:a:pull&x=%2f"),
            TOKEN_SERVICE + "?service=s&scope=repository:library/a:pull&x=%2f",
            id="a token with scopes",
        ),
    ],
)
def test_a_route_has_an_upstream_address(route: RegistryRoute | Token, expected: str) -> None:
    assert fetcher_of(fake()).url_for(route) == expected


def test_before_a_token_service_is_learnt_the_registry_stands_for_it() -> None:
    assert fetcher_of(fake(), OTHER).url_for(Token("")) == "https://r.example"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_ping_of_docker_hub_is_answered_at_once(method: str) -> None:
    outbound = fake()
    fetcher = fetcher_of(outbound)
    reply = fetcher.known(Ping(), asked(method=method))
    assert reply is not None
    assert reply.status == 401
    assert ("WWW-Authenticate", CHALLENGE) in reply.fields
    error = json.loads(await reply.body.read())["errors"][0]
    assert error == {
        "code": "UNAUTHORIZED",
        "message": "authentication required",
        "detail": None,
    }
    fetch = await fetcher.fetch(Ping(), asked(method=method))
    assert (fetch.status, fetch.fields) == (reply.status, reply.fields)
    assert outbound.asked == []


@pytest.mark.parametrize(
    ("route", "fields"),
    [
        pytest.param(Ping(), [CREDENTIALS], id="a ping with a token"),
        pytest.param(Ping(), [("AUTHORIZATION", "Basic eDp5")], id="a ping with a password"),
        pytest.param(Manifest("a", "b"), [], id="a manifest"),
        pytest.param(Token(""), [], id="a token"),
    ],
)
def test_nothing_else_is_known_without_asking(
    route: RegistryRoute | Token, fields: list[tuple[str, str]]
) -> None:
    assert fetcher_of(fake()).known(route, asked(*fields)) is None


async def test_a_ping_with_credentials_is_asked_upstream() -> None:
    outbound = fake(answer(200, content=b"{}"))
    reply = await fetched(outbound, Ping(), asked(CREDENTIALS))
    assert reply.status == 200
    assert outbound.asked[0].url == "https://registry-1.docker.io/v2/"
    assert CREDENTIALS in outbound.asked[0].fields


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("route", "fields"),
    [
        pytest.param(Manifest("a", "1"), [], id="a manifest"),
        pytest.param(Manifest("a", "1"), [("Range", "bytes=0-5")], id="a manifest as it is asked"),
        pytest.param(Blob("a", DIGEST), [], id="a blob"),
        pytest.param(Blob("a", DIGEST), [("If-None-Match", '"x"')], id="a blob as it is asked"),
        pytest.param(Tags("a"), [], id="tags"),
        pytest.param(Referrers("a", DIGEST), [], id="referrers"),
    ],
)
async def test_a_token_of_ours_that_has_ended_is_shown_to_no_upstream(
    route: RegistryRoute, fields: list[tuple[str, str]], method: str
) -> None:
    site = Site(Limits(largest_blob=0))
    site.push("1", CONTENT)
    ended = await site.token()
    site.clock.forward(301)
    (await site.ask(route, ended, *fields, method=method)).body.close()
    shown = {r.get("Authorization") for r in site.hub.asked if r.role == "registry"}
    assert shown == {"Bearer anonymous1"}
    site.clock.forward(301)
    site.hub.down("token")
    site.hub.asked.clear()
    with pytest.raises(UpstreamFailure):
        await site.ask(route, ended, ("Range", "bytes=0-5"), *fields, method=method)
    assert not site.hub.count("registry")


async def test_a_ping_of_another_registry_is_learnt_once_and_then_known() -> None:
    upstream = 'Bearer realm="https://auth.example/t",service="s"'
    outbound = fake(answer(401, ("WWW-Authenticate", upstream)))
    fetcher = fetcher_of(outbound, OTHER)
    assert fetcher.known(Ping(), asked()) is None
    reply = await fetcher.fetch(Ping(), asked())
    assert reply.status == 401
    assert ("WWW-Authenticate", f'Bearer realm="{REALM}",service="s"') in reply.fields
    known = fetcher.known(Ping(), asked())
    assert known is not None
    assert known.fields == reply.fields
    assert fetcher.url_for(Token("")) == "https://auth.example/t"
    assert len(outbound.asked) == 1


async def test_a_registry_without_tokens_lets_everyone_in() -> None:
    reply = ping(OTHER, REALM)
    assert reply.status == 200
    assert await reply.body.read() == b"{}"
    assert not any(name == "WWW-Authenticate" for name, _ in reply.fields)


async def test_content_is_asked_for_with_the_clients_own_fields() -> None:
    outbound = fake(answer(200, ("ETag", '"x"'), ("Set-Cookie", "a=b"), content=b"{}"))
    request = asked(CREDENTIALS, ("Accept", "a/b"), ("Cookie", "c=d"), ("Host", "m"), method="HEAD")
    reply = await fetched(outbound, Manifest("alpine", "3"), request)
    (sent,) = outbound.asked
    assert (sent.method, sent.body, sent.redirected) == ("HEAD", None, False)
    assert sent.fields == [("Accept", "a/b"), ("Accept-Encoding", "identity"), CREDENTIALS]
    assert (reply.status, list(reply.fields), reply.length) == (200, [("ETag", '"x"')], 2)
    assert await reply.body.read() == b"{}"


@pytest.mark.parametrize("status", [206, 304, 400, 401, 403, 404, 416, 429, 500, 503])
async def test_status_and_body_are_the_upstreams(status: int) -> None:
    outbound = fake(answer(status, ("WWW-Authenticate", 'Bearer realm="https://u"'), content=b"x"))
    reply = await fetched(outbound, Manifest("alpine", "3"))
    assert reply.status == status
    assert await reply.body.read() == b"x"
    assert list(reply.fields) == [("WWW-Authenticate", f'Bearer realm="{REALM}"')]


@pytest.mark.parametrize(
    ("kind", "is_image"),
    [
        ("application/vnd.oci.image.manifest.v1+json", True),
        ("application/vnd.docker.distribution.manifest.v2+json", True),
        ("application/vnd.oci.image.index.v1+json", False),
        ("application/json", False),
    ],
)
async def test_a_manifest_of_an_image_is_told_from_an_index(kind: str, is_image: bool) -> None:
    tell(story := new_story())
    await fetched(fake(answer(200, ("Content-Type", kind), content=b"{}")), Manifest("a", "1"))
    assert story.gives_image is is_image


async def test_a_link_to_the_next_page_is_on_the_mirror() -> None:
    link = ("Link", '<https://registry-1.docker.io/v2/library/a/tags/list?last=b>; rel="next"')
    reply = await fetched(fake(answer(200, link)), Tags("a"))
    assert list(reply.fields) == [("Link", '</v2/library/a/tags/list?last=b>; rel="next"')]


@pytest.mark.parametrize(("status", "wanted"), [(200, []), (206, [("Range", "bytes=-5")])])
async def test_a_blob_comes_from_where_the_redirect_leads_under_its_digest(
    status: int, wanted: list[tuple[str, str]]
) -> None:
    upstream = answer(status, ("Docker-Content-Digest", "wrong"), ("ETag", '"e"'), content=CONTENT)
    outbound = fake(redirect(CDN), upstream)
    reply = await fetched(outbound, Blob("alpine", DIGEST), asked(CREDENTIALS, *wanted))
    assert [sent.url for sent in outbound.asked] == [
        f"https://registry-1.docker.io/v2/library/alpine/blobs/{DIGEST}",
        CDN,
    ]
    assert [sent.has_authorization for sent in outbound.asked] == [True, False]
    assert (reply.status, reply.length) == (status, len(CONTENT))
    assert list(reply.fields) == [("ETag", '"e"'), ("Docker-Content-Digest", DIGEST)]
    assert await reply.body.read() == CONTENT
    reply.body.close()
    assert closings([upstream]) == [1]


async def test_a_blob_without_framing_is_verified() -> None:
    reply = await fetched(fake(answer(200, content=CONTENT, closes_to_end=True)), Blob("a", DIGEST))
    assert isinstance(reply.body, VerifiedBody)


async def test_a_manifest_without_framing_is_given_only_where_its_digest_is_right() -> None:
    for told, is_right in ((DIGEST, True), ("sha256:" + "a" * 64, False)):
        fields = ("Docker-Content-Digest", told)
        outbound = fake(answer(200, fields, content=CONTENT, closes_to_end=True))
        if is_right:
            assert await (await fetched(outbound, Manifest("a", "b"))).body.read() == CONTENT
        else:
            with pytest.raises(UpstreamFailure, match="broke off"):
                await fetched(outbound, Manifest("a", "b"))


async def test_a_part_without_framing_is_as_long_as_its_range() -> None:
    part = answer(206, ("Content-Range", "bytes 0-9/100"), closes_to_end=True)
    suffix = ("Range", "bytes=-10")
    reply = await fetched(fake(part), Blob("a", DIGEST), asked(CREDENTIALS, suffix))
    assert reply.length == 10


@pytest.mark.parametrize("status", [304, 404, 416])
async def test_what_is_no_blob_has_no_digest(status: int) -> None:
    reply = await fetched(fake(answer(status)), Blob("a", DIGEST))
    assert list(reply.fields) == []


@pytest.mark.parametrize(
    ("method", "fields", "form", "sent"),
    [
        pytest.param("GET", [], None, None, id="GET"),
        pytest.param("GET", [FORM], b"scope=repository:a:pull", None, id="GET with a form"),
        pytest.param(
            "POST",
            [FORM],
            b"grant_type=password&username=u&password=p%26&scope=repository:a:pull",
            b"grant_type=password&username=u&password=p%26&scope=repository:library/a:pull",
            id="POST with a password",
        ),
        pytest.param(
            "POST",
            [("content-type", "Application/X-WWW-Form-URLEncoded ; charset=utf-8")],
            b"scope=repository:a:pull",
            b"scope=repository:library/a:pull",
            id="POST, the type spelt otherwise",
        ),
        pytest.param(
            "POST", [FORM], b"password=\xff\xe9&x=%FF", b"password=\xff\xe9&x=%FF", id="odd bytes"
        ),
        pytest.param("POST", [FORM], b"", b"", id="an empty form"),
        # Nobody said that it is a form.
        pytest.param(
            "POST",
            [("Content-Type", "text/plain")],
            b"scope=repository:a:pull",
            b"scope=repository:a:pull",
            id="another type",
        ),
    ],
)
async def test_a_token_is_asked_for_with_scopes_in_full(
    method: str, fields: list[tuple[str, str]], form: bytes | None, sent: bytes | None
) -> None:
    outbound = fake(answer(200, ("Content-Type", "application/json"), content=b"{}"))
    request = asked(*fields, CREDENTIALS, ("Cookie", "x"), method=method, form=form)
    reply = await fetched(outbound, Token("scope=repository:b:pull&service=s"), request)
    (upstream,) = outbound.asked
    assert upstream.url == TOKEN_SERVICE + "?scope=repository:library/b:pull&service=s"
    assert (upstream.method, upstream.body, upstream.redirected) == (method, sent, False)
    assert upstream.fields == [*fields, CREDENTIALS, ("Accept-Encoding", "identity")]
    assert (reply.status, await reply.body.read()) == (200, b"{}")


async def test_too_large_a_form_asks_nobody() -> None:
    outbound = fake()
    form = Refusal(413, "SIZE_INVALID", "too large")
    with pytest.raises(Refusal, match="too large"):
        await fetched(outbound, Token(""), asked(FORM, method="POST", form=form))
    assert outbound.asked == []


async def test_a_wrong_password_is_answered_as_the_token_service_does() -> None:
    upstream = answer(
        401, ("WWW-Authenticate", 'Bearer realm="https://u"'), content=b'{"details":"x"}'
    )
    reply = await fetched(fake(upstream), Token(""), asked(CREDENTIALS))
    assert reply.status == 401
    assert list(reply.fields) == [("WWW-Authenticate", f'Bearer realm="{REALM}"')]
    assert await reply.body.read() == b'{"details":"x"}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_follow_no_redirect_of_a_token_service(status: int) -> None:
    upstream = redirect("https://elsewhere.example/", status)
    outbound = fake(upstream)
    with pytest.raises(UpstreamFailure, match=r"auth\.docker\.io: .*redirects"):
        await fetched(outbound, Token(""), asked(CREDENTIALS))
    assert len(outbound.asked) == 1
    assert closings([upstream]) == [1]


@pytest.mark.parametrize(
    ("realm", "redirected"),
    [
        # A redirect's rules hold: no private address that the owner did not name.
        pytest.param("https://auth.example/token", True, id="at another host"),
        pytest.param("https://r.example:8443/token", True, id="at another port"),
        # The owner named this very address.
        pytest.param("https://r.example/token", False, id="at the registry itself"),
    ],
)
async def test_a_learnt_token_service_is_where_a_redirect_may_lead(
    realm: str, redirected: bool
) -> None:
    challenge = f'Bearer realm="{realm}",service="s"'
    outbound = fake(answer(401, ("WWW-Authenticate", challenge)), answer(200))
    await fetched(outbound, Token(""), asked(CREDENTIALS), OTHER)
    learning, token = outbound.asked
    assert not learning.has_authorization
    assert (token.url, token.redirected) == (realm, redirected)


async def test_a_token_service_that_the_owner_named_may_be_anywhere() -> None:
    registry = parse_registry("https://r.example", "https://auth.lan/token", "s")
    outbound = fake(answer(200))
    await fetched(outbound, Token(""), asked(), registry)
    assert (outbound.asked[0].url, outbound.asked[0].redirected) == (
        "https://auth.lan/token",
        False,
    )


async def test_there_are_no_tokens_where_the_registry_wants_none() -> None:
    with pytest.raises(UpstreamFailure, match="no token service"):
        await fetched(fake(answer(200)), Token(""), asked(), OTHER)


def test_every_registry_answer_says_its_version_once() -> None:
    fields = [("docker-distribution-api-version", "registry/1.0"), ("X-A", "1")]
    reply = with_api_version(Reply(200, fields))
    assert list(reply.fields) == [
        ("X-A", "1"),
        ("Docker-Distribution-Api-Version", "registry/2.0"),
    ]
    assert with_api_version(reply).fields == reply.fields


async def test_who_is_sent_for_a_token_is_answered_by_the_mirror_itself() -> None:
    story = new_story()
    tell(story)
    outbound = fake()
    reply = await fetched(outbound, Manifest("alpine", "latest"), asked())
    assert (reply.status, outbound.asked) == (401, [])
    assert story.came_from is Source.MIRROR
