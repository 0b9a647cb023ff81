from __future__ import annotations

import random

import pytest

from addon.protocol.errors import Refusal
from addon.protocol.names import parse_digest, parse_repository
from addon.protocol.routes import (
    AcmeChallenge,
    Blob,
    Health,
    Manifest,
    Ping,
    Ready,
    Referrers,
    Route,
    Tags,
    Token,
    parse_route,
    route_path,
    take_namespace,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/health", Health(), id="health"),
        pytest.param("/health?x=1", Health(), id="health with a query"),
        pytest.param("/ready", Ready(), id="readiness"),
        pytest.param("/v2/", Ping(), id="ping"),
        pytest.param("/v2", Ping(), id="ping without the slash"),
        pytest.param("/v2/?" + "a" * 8192, Ping(), id="a long query"),
        pytest.param("/v2/?ns=docker.io", Ping(), id="ping with a query"),
        pytest.param("/v2/alpine/manifests/latest", Manifest("alpine", "latest"), id="by tag"),
        pytest.param(f"/v2/a/b/manifests/{DIGEST}", Manifest("a/b", DIGEST), id="by digest"),
        pytest.param(f"/v2/a/b/manifests/{SHA512}", Manifest("a/b", SHA512), id="by sha512"),
        pytest.param("/v2/a/b/c/d/e/manifests/1", Manifest("a/b/c/d/e", "1"), id="a deep name"),
        pytest.param(f"/v2/alpine/blobs/{DIGEST}", Blob("alpine", DIGEST), id="blob"),
        pytest.param("/v2/a/b/tags/list?n=2&last=x", Tags("a/b", "n=2&last=x"), id="tags"),
        pytest.param(
            f"/v2/a/referrers/{DIGEST}?artifactType=x%2Fy",
            Referrers("a", DIGEST, "artifactType=x%2Fy"),
            id="referrers",
        ),
        # The API's own words are names too; what counts is what stands at the end.
        pytest.param("/v2/manifests/manifests/x", Manifest("manifests", "x"), id="named manifests"),
        pytest.param("/v2/blobs/manifests/blobs", Manifest("blobs", "blobs"), id="named blobs"),
        pytest.param(
            f"/v2/a/blobs/uploads/blobs/{DIGEST}", Blob("a/blobs/uploads", DIGEST), id="uploads"
        ),
        pytest.param("/v2/tags/list/tags/list", Tags("tags/list"), id="named tags/list"),
        pytest.param("/v2/tags/tags/list", Tags("tags"), id="named tags"),
        pytest.param("/v2/a/manifests/tags/list", Tags("a/manifests"), id="ends in manifests"),
        pytest.param("/v2/a/tags/manifests/list", Manifest("a/tags", "list"), id="the tag list"),
        pytest.param("/v2/health/manifests/v2", Manifest("health", "v2"), id="named health"),
        pytest.param(
            f"/v2/referrers/referrers/{DIGEST}",
            Referrers("referrers", DIGEST),
            id="named referrers",
        ),
        pytest.param(
            f"/v2/{'a' * 255}/manifests/x", Manifest("a" * 255, "x"), id="a name of 255 characters"
        ),
        pytest.param(
            f"/v2/a/manifests/{'t' * 128}", Manifest("a", "t" * 128), id="a tag of 128 characters"
        ),
        # A query is the upstream's matter: it is kept as it came.
        pytest.param(
            "/v2/a/tags/list?last=%2e%2E/&n=1?&#",
            Tags("a", "last=%2e%2E/&n=1?&#"),
            id="a query of all kinds of characters",
        ),
        pytest.param("/v2/a/tags/list?", Tags("a"), id="an empty query"),
        pytest.param(
            "/.well-known/acme-challenge/aZ09_-", AcmeChallenge("aZ09_-"), id="acme challenge"
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_read_has_a_route(method: str, target: str, expected: Route) -> None:
    assert parse_route(method, target) == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("query", ["", "service=registry.docker.io&scope=repository:a:pull"])
def test_tokens_are_fetched_by_get_and_by_post(method: str, query: str) -> None:
    target = f"/auth/token?{query}" if query else "/auth/token"
    assert parse_route(method, target) == Token(query)


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        *(
            pytest.param(method, target, "GET, HEAD", id=f"{method} {target}")
            for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
            for target in ("/v2/", "/v2/a/manifests/latest", f"/v2/a/blobs/{DIGEST}", "/health")
        ),
        pytest.param("POST", "/v2/a/blobs/uploads/", "GET, HEAD", id="an upload begins"),
        pytest.param(
            "POST", f"/v2/a/blobs/uploads/?mount={DIGEST}&from=b", "GET, HEAD", id="mount"
        ),
        pytest.param("PATCH", "/v2/a/blobs/uploads/uuid", "GET, HEAD", id="an upload goes on"),
        pytest.param("PUT", f"/v2/a/blobs/uploads/1?digest={DIGEST}", "GET, HEAD", id="it ends"),
        # A push of what is malformed is a push all the same.
        pytest.param("PUT", "/v2/A%2e/../manifests/x", "GET, HEAD", id="a push of nonsense"),
        # Methods have case (RFC 9110, section 9.1).
        pytest.param("get", "/v2/", "GET, HEAD", id="get in lower case"),
        pytest.param("", "/v2/", "GET, HEAD", id="an empty method"),
        pytest.param("HEAD", "/auth/token", "GET, POST", id="HEAD for a token"),
        pytest.param("PUT", "/auth/token", "GET, POST", id="PUT for a token"),
        pytest.param("POST", "/.well-known/acme-challenge/a", "GET, HEAD", id="POST a challenge"),
    ],
)
def test_other_methods_are_told_which_are_allowed(method: str, target: str, allowed: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_route(method, target)
    refusal = refused.value
    assert (refusal.status, refusal.code) == (405, "UNSUPPORTED")
    assert refusal.headers == {"Allow": allowed}


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        # Malformed names.
        pytest.param("/v2/Alpine/manifests/x", 400, "NAME_INVALID", id="upper case"),
        pytest.param("/v2/a_/manifests/x", 400, "NAME_INVALID", id="separator at the end"),
        pytest.param(f"/v2/{'a' * 256}/manifests/x", 400, "NAME_INVALID", id="256 characters"),
        pytest.param("/v2//manifests/x", 400, "NAME_INVALID", id="an empty name"),
        pytest.param("/v2//a/manifests/x", 400, "NAME_INVALID", id="two slashes in front"),
        pytest.param("/v2/a//b/tags/list", 400, "NAME_INVALID", id="two slashes inside"),
        pytest.param(f"/v2/a//blobs/{DIGEST}", 400, "NAME_INVALID", id="two slashes behind"),
        pytest.param("/v2/a/tags//list", 400, "NAME_INVALID", id="two slashes in the word"),
        # What a lenient server or client in between would take for another path.
        pytest.param("/v2/../health", 400, "NAME_INVALID", id="parent directory"),
        pytest.param("/v2/a/../b/manifests/x", 400, "NAME_INVALID", id="parent inside a name"),
        pytest.param("/v2/../../manifests/x", 400, "NAME_INVALID", id="parent as a name"),
        pytest.param("/v2/a/./manifests/x", 400, "NAME_INVALID", id="current directory"),
        pytest.param("/v2/a\\b/manifests/x", 400, "NAME_INVALID", id="backslash"),
        pytest.param("/v2/a;b/manifests/x", 400, "NAME_INVALID", id="path parameter"),
        # Percent-encoding would reach the checks as one text and the upstream as another.
        pytest.param("/v2/%61/manifests/x", 400, "NAME_INVALID", id="an encoded letter"),
        pytest.param("/v2/%2e%2e/manifests/x", 400, "NAME_INVALID", id="an encoded parent"),
        pytest.param("/v2/a%2fb/manifests/x", 400, "NAME_INVALID", id="an encoded slash"),
        pytest.param("/v2/a/manifests/x%00", 400, "NAME_INVALID", id="an encoded NUL"),
        pytest.param("/v2/a/m%61nifests/x", 400, "NAME_INVALID", id="an encoded word"),
        pytest.param("/v2/a/manifests/%", 400, "NAME_INVALID", id="a percent sign alone"),
        pytest.param(
            f"/v2/a/blobs/{DIGEST.replace(':', '%3A')}", 400, "NAME_INVALID", id="an encoded colon"
        ),
        # Characters that an address does not have (RFC 3986, section 2), wherever they are.
        pytest.param("/v2/a/manifests/x\r\nHost: b", 400, "NAME_INVALID", id="line end"),
        pytest.param("/v2/a/manifests/x\n", 400, "NAME_INVALID", id="line end at the end"),
        pytest.param("/v2/\0/manifests/x", 400, "NAME_INVALID", id="NUL"),
        pytest.param("/v2/a b/manifests/x", 400, "NAME_INVALID", id="space"),
        pytest.param("/v2/a/manifests/x\t", 400, "NAME_INVALID", id="tab"),
        pytest.param("/v2/a/manifests/\x7f", 400, "NAME_INVALID", id="DEL"),
        pytest.param("/v2/é/manifests/x", 400, "NAME_INVALID", id="beyond ASCII"),
        pytest.param("/v2/\udcff/manifests/x", 400, "NAME_INVALID", id="a byte that is no text"),
        pytest.param("/v2/a/tags/list?n=1\r\nHost: b", 400, "NAME_INVALID", id="line end in query"),
        pytest.param("/health?\x1b", 400, "NAME_INVALID", id="escape in query"),
        pytest.param("/auth/token?scope=\xe9", 400, "NAME_INVALID", id="beyond ASCII in query"),
        # Malformed digests.
        pytest.param("/v2/a/blobs/sha256:abc", 400, "DIGEST_INVALID", id="a short digest"),
        pytest.param(f"/v2/a/blobs/{DIGEST.upper()}", 400, "DIGEST_INVALID", id="in upper case"),
        pytest.param("/v2/a/blobs/latest", 400, "DIGEST_INVALID", id="a blob by tag"),
        pytest.param("/v2/a/blobs/", 400, "DIGEST_INVALID", id="a blob by nothing"),
        pytest.param("/v2/a/blobs/..", 400, "DIGEST_INVALID", id="a blob by parent"),
        pytest.param("/v2/a/manifests/sha256:abc", 400, "DIGEST_INVALID", id="manifest, short"),
        pytest.param(f"/v2/a/manifests/x@{DIGEST}", 400, "DIGEST_INVALID", id="tag and digest"),
        pytest.param("/v2/a/referrers/latest", 400, "DIGEST_INVALID", id="referrers of a tag"),
        # A tag that cannot be is one that is not there.
        pytest.param("/v2/a/manifests/.x", 404, "MANIFEST_UNKNOWN", id="a malformed tag"),
        pytest.param("/v2/a/manifests/..", 404, "MANIFEST_UNKNOWN", id="parent as a tag"),
        pytest.param("/v2/a/manifests/", 404, "MANIFEST_UNKNOWN", id="no tag"),
        pytest.param("/v2/a/manifests/-", 404, "MANIFEST_UNKNOWN", id="a switch as a tag"),
        pytest.param(f"/v2/a/manifests/{'t' * 129}", 404, "MANIFEST_UNKNOWN", id="129 characters"),
        pytest.param("/v2/a/manifests/x#y", 404, "MANIFEST_UNKNOWN", id="a fragment"),
        # Nothing is there.
        pytest.param("/", 404, "UNSUPPORTED", id="root"),
        pytest.param("", 404, "UNSUPPORTED", id="nothing"),
        pytest.param("*", 404, "UNSUPPORTED", id="asterisk form"),
        pytest.param("mirror.example:443", 404, "UNSUPPORTED", id="authority form"),
        pytest.param("http://a/v2/", 404, "UNSUPPORTED", id="absolute form"),
        pytest.param("//v2/", 404, "UNSUPPORTED", id="two slashes in front of all"),
        pytest.param("/V2/", 404, "UNSUPPORTED", id="upper case of all"),
        pytest.param("/v1/_ping", 404, "UNSUPPORTED", id="version 1"),
        pytest.param("/v22/", 404, "UNSUPPORTED", id="another version"),
        pytest.param("/%76%32/", 404, "UNSUPPORTED", id="an encoded v2"),
        pytest.param("/v2/_catalog", 404, "UNSUPPORTED", id="catalog"),
        pytest.param("/v2/alpine", 404, "UNSUPPORTED", id="a name alone"),
        pytest.param("/v2/manifests/latest", 404, "UNSUPPORTED", id="a manifest of no name"),
        pytest.param("/v2/tags/list", 404, "UNSUPPORTED", id="tags of no name"),
        pytest.param(f"/v2/blobs/{DIGEST}", 404, "UNSUPPORTED", id="a blob of no name"),
        pytest.param("/v2/a/manifests/x/", 404, "UNSUPPORTED", id="slash behind a manifest"),
        pytest.param("/v2/a/tags/list/", 404, "UNSUPPORTED", id="slash behind tags"),
        pytest.param(f"/v2/a/blobs/{DIGEST}/", 404, "UNSUPPORTED", id="slash behind a blob"),
        pytest.param("/v2/a/tags/lists", 404, "UNSUPPORTED", id="another word than list"),
        pytest.param("/v2/a/blobs/uploads", 404, "UNSUPPORTED", id="uploads"),
        pytest.param("/v2/a/blobs/uploads/", 404, "UNSUPPORTED", id="uploads with a slash"),
        pytest.param("/v2/a/blobs/uploads/1", 404, "UNSUPPORTED", id="an upload's state"),
        pytest.param("/v2//", 404, "UNSUPPORTED", id="ping with two slashes"),
        pytest.param("/health/", 404, "UNSUPPORTED", id="slash behind health"),
        pytest.param("/metrics", 404, "UNSUPPORTED", id="metrics are on a port of their own"),
        pytest.param("/auth/token/", 404, "UNSUPPORTED", id="slash behind token"),
        pytest.param("/auth/token%3f", 404, "UNSUPPORTED", id="an encoded question mark"),
        # The challenge's name becomes a file's.
        pytest.param("/.well-known/acme-challenge/", 404, "UNSUPPORTED", id="no challenge"),
        pytest.param("/.well-known/acme-challenge/..", 404, "UNSUPPORTED", id="parent of it"),
        pytest.param("/.well-known/acme-challenge/a/b", 404, "UNSUPPORTED", id="a path of it"),
        pytest.param("/.well-known/acme-challenge/a.b", 404, "UNSUPPORTED", id="a dot in it"),
        pytest.param("/.well-known/acme-challenge/%61", 404, "UNSUPPORTED", id="encoded"),
        pytest.param("/auth/token?" + "a" * 8193, 414, "NAME_INVALID", id="too long a query"),
        pytest.param(
            "/.well-known/acme-challenge/" + "a" * 129, 404, "UNSUPPORTED", id="too long a name"
        ),
    ],
)
def test_what_cannot_be_served_is_refused(target: str, status: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_route("GET", target)
    assert (refused.value.status, refused.value.code) == (status, code)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        pytest.param("M" * 60_000, "/v2/", id="method"),
        pytest.param("GET", "/v2/" + "a" * 60_000 + "/manifests/x", id="name"),
        pytest.param("GET", "/v2/a/manifests/" + "x" * 60_000, id="tag"),
        pytest.param("GET", "/v2/a/blobs/" + "x" * 60_000, id="digest"),
    ],
)
def test_a_refusal_does_not_repeat_a_text_of_any_length(method: str, target: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_route(method, target)
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize(
    ("query", "rest", "namespaces"),
    [
        pytest.param("", "", [], id="no query"),
        pytest.param("n=1&last=b", "n=1&last=b", [], id="no namespace"),
        pytest.param("ns=docker.io", "", ["docker.io"], id="a namespace alone"),
        pytest.param(
            "n=1&ns=docker.io&last=%2F", "n=1&last=%2F", ["docker.io"], id="in the middle"
        ),
        pytest.param("n%73=docker%2Eio", "", ["docker.io"], id="percent-encoded"),
        pytest.param("ns=a:5000", "", ["a:5000"], id="with a port"),
        pytest.param("ns=", "", [""], id="empty"),
        pytest.param("ns", "", [""], id="without a value"),
        # Whoever reads only one of the two would answer for the wrong registry.
        pytest.param("ns=a&ns=b", "", ["a", "b"], id="two"),
        pytest.param("NS=a&nsx=b&xns=c", "NS=a&nsx=b&xns=c", [], id="other names"),
        pytest.param("&&a&=&", "&&a&=&", [], id="odd queries stay as they are"),
    ],
)
def test_the_namespace_is_taken_from_a_query(query: str, rest: str, namespaces: list[str]) -> None:
    assert take_namespace(query) == (rest, namespaces)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v2/", id="ping"),
        pytest.param("/v2/a/b/manifests/latest", id="manifest by tag"),
        pytest.param(f"/v2/a/manifests/{DIGEST}", id="manifest by digest"),
        pytest.param(f"/v2/a/blobs/{DIGEST}", id="blob"),
        pytest.param("/v2/a/tags/list?n=5&last=%2f", id="tags"),
        pytest.param(f"/v2/a/referrers/{DIGEST}?artifactType=a/b", id="referrers"),
    ],
)
def test_a_route_is_written_as_it_was_read(path: str) -> None:
    route = parse_route("GET", path)
    assert isinstance(route, Ping | Manifest | Blob | Tags | Referrers)
    repository = "" if isinstance(route, Ping) else route.repository
    assert route_path(route, repository) == path


def test_a_route_is_written_for_the_upstreams_name() -> None:
    path = route_path(Manifest("alpine", "latest"), "library/alpine")
    assert path == "/v2/library/alpine/manifests/latest"


def test_random_targets_have_a_well_formed_route_or_are_refused() -> None:
    source = random.Random(8)
    pieces = [
        *("/", "/", "/", "v2", "/v2/", "a", "b-c", "A", "..", ".", "%2e", "?", "&", "ns=", "#"),
        *("manifests", "blobs", "tags/list", "uploads", "referrers", DIGEST, "sha256:", "latest"),
        *("/auth/token", "/health", "/.well-known/acme-challenge/", " ", "\0", "\r\n", "é", "\\"),
    ]
    served = 0
    for _ in range(8000):
        front = source.choice(("/v2/", "/v2/a", "", "/"))
        end = source.choice(("", "/manifests/x", f"/blobs/{DIGEST}", "/tags/list", "?n=1"))
        target = front + "".join(source.choices(pieces, k=source.randint(0, 4))) + end
        method = source.choice(("GET", "HEAD", "POST", "PUT", ""))
        try:
            route = parse_route(method, target)
        except Refusal:
            continue
        served += 1
        assert method in ("GET", "HEAD") or isinstance(route, Token)
        if isinstance(route, Manifest | Blob | Tags | Referrers):
            assert parse_repository(route.repository) == route.repository
            assert route_path(route, route.repository) == target.removesuffix("?")
        if isinstance(route, Blob | Referrers):
            assert parse_digest(route.digest) == route.digest
    assert served > 200
