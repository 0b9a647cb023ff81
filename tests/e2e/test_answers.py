"""What the mirror answers to each kind of request, and which header fields pass."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from multidict import CIMultiDict

from tests.e2e.client import Headers, ask, bearer, connect, format_request, session
from tests.hub import Delivery, Hub, Image
from tests.hub.hub import SERVICE
from tests.hub.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCEPT = ("Accept", ", ".join([OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST]))
API_VERSION = "Docker-Distribution-Api-Version"
DIGEST = "sha256:" + "a" * 64
MIB = 1024 * 1024


@pytest.fixture
def image(hub: Hub) -> Image:
    return hub.add_image()


def challenge(mirror: Mirror, hub: Hub) -> str:
    return f'Bearer realm="{mirror.url}/auth/token",service="{hub.service}"'


def arrived(hub: Hub) -> CIMultiDict[str]:
    """The fields of the last request that reached the Hub, but for Host."""
    fields = CIMultiDict(hub.requests[-1].asked.headers)
    fields.popall("Host")
    return fields


async def authorized(hub: Hub, mirror: Mirror, *repositories: str) -> list[tuple[str, str]]:
    """The fields of a client that has a token; the Hub's log is empty again."""
    token = await bearer(mirror, *(repositories or ("alpine",)))
    hub.requests.clear()
    return [*token.items(), ACCEPT]


class TestHealth:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_no_upstream_is_involved(self, hub: Hub, mirror: Mirror, method: str) -> None:
        accepted = [role.accepted for role in (hub.registry, hub.token, hub.cdn)]
        answer = await ask(mirror, "/health", method)
        assert answer.status == 200
        assert bool(answer.body) == (method == "GET")
        assert not hub.requests
        assert accepted == [role.accepted for role in (hub.registry, hub.token, hub.cdn)]


class TestPing:
    @pytest.mark.parametrize("target", ["/v2/", "/v2"])
    async def test_challenge_comes_from_the_mirror_itself(
        self, hub: Hub, mirror: Mirror, target: str
    ) -> None:
        answer = await ask(mirror, target)
        assert answer.error == (401, "UNAUTHORIZED")
        assert answer.headers.getall("WWW-Authenticate") == [challenge(mirror, hub)]
        assert answer.headers.getall(API_VERSION) == ["registry/2.0"]
        assert not hub.requests

    async def test_head_has_the_length_of_the_body_that_get_has(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        answer = await ask(mirror, "/v2/", "HEAD")
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == challenge(mirror, hub)
        assert answer.headers["Content-Length"] == str(len((await ask(mirror, "/v2/")).body))

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"Host": "evil.example"}, id="Host"),
            pytest.param({"Host": "evil.example:8080"}, id="Host with a port"),
            pytest.param({"X-Forwarded-Host": "evil.example"}, id="X-Forwarded-Host"),
            pytest.param({"X-Forwarded-Proto": "https"}, id="X-Forwarded-Proto"),
            pytest.param({"Forwarded": "host=evil.example;proto=https"}, id="Forwarded"),
        ],
    )
    async def test_forged_header_changes_no_realm(
        self, hub: Hub, mirror: Mirror, headers: Headers
    ) -> None:
        answer = await ask(mirror, "/v2/", headers=headers)
        assert answer.headers["WWW-Authenticate"] == challenge(mirror, hub)

    async def test_good_token_is_asked_upstream(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        answer = await ask(mirror, "/v2/", headers=await authorized(hub, mirror))
        assert answer.status == 200
        assert [seen.line for seen in hub.requests] == ["registry GET /v2/ 200"]

    async def test_bad_token_gets_the_hubs_refusal_with_the_mirrors_realm(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        answer = await ask(mirror, "/v2/", headers={"Authorization": "Bearer nonsense"})
        assert answer.error == (401, "UNAUTHORIZED")
        assert answer.headers.getall("WWW-Authenticate") == [
            challenge(mirror, hub) + ',error="invalid_token"'
        ]
        assert len(hub.requests) == 1


class TestApiVersion:
    @pytest.mark.parametrize(
        ("method", "target", "status"),
        [
            pytest.param("GET", "/v2/", 200, id="ping"),
            pytest.param("GET", "/v2/alpine/manifests/latest", 200, id="manifest"),
            pytest.param("HEAD", "/v2/alpine/manifests/latest", 200, id="head of a manifest"),
            pytest.param("GET", "/v2/alpine/manifests/no-such", 404, id="unknown manifest"),
            pytest.param("GET", "/v2/other/manifests/latest", 401, id="token does not cover it"),
            pytest.param("GET", "/v2/alpine/tags/list", 200, id="tags"),
            pytest.param("GET", f"/v2/alpine/blobs/{DIGEST}", 404, id="unknown blob"),
            pytest.param("GET", f"/v2/alpine/referrers/{DIGEST}", 200, id="referrers"),
            pytest.param("PUT", "/v2/alpine/manifests/latest", 405, id="push"),
            pytest.param("GET", "/v2/ALPINE/manifests/latest", 400, id="malformed name"),
            pytest.param("GET", "/v2/nothing-there", 404, id="unknown address"),
        ],
    )
    async def test_stands_on_all_under_v2(
        self, hub: Hub, mirror: Mirror, image: Image, method: str, target: str, status: int
    ) -> None:
        answer = await ask(mirror, target, method, await authorized(hub, mirror))
        assert answer.status == status
        assert answer.headers.getall(API_VERSION) == ["registry/2.0"]

    async def test_stands_on_a_blob_though_no_cdn_says_it(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        target = f"/v2/alpine/blobs/{image.config.digest}"
        answer = await ask(mirror, target, headers=await authorized(hub, mirror))
        assert answer.status == 200
        assert answer.headers.getall(API_VERSION) == ["registry/2.0"]


class TestManifests:
    @pytest.mark.parametrize("by", ["tag", "digest"])
    @pytest.mark.parametrize("name", ["alpine", "library/alpine"])
    async def test_content_comes_unchanged(
        self, hub: Hub, mirror: Mirror, image: Image, name: str, by: str
    ) -> None:
        reference = image.digest if by == "digest" else image.tag
        target = f"/v2/{name}/manifests/{reference}"
        answer = await ask(mirror, target, headers=await authorized(hub, mirror))
        assert (answer.status, answer.body, answer.ended) == (200, image.manifest.raw, "length")
        assert answer.headers["Docker-Content-Digest"] == image.digest
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert answer.headers["ETag"] == f'"{image.digest}"'
        assert hub.requests[-1].target == f"/v2/library/alpine/manifests/{reference}"

    async def test_head_tells_length_type_and_digest(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        headers = await authorized(hub, mirror)
        answer = await ask(mirror, "/v2/alpine/manifests/latest", "HEAD", headers)
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str(len(image.manifest.raw))
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert answer.headers["Docker-Content-Digest"] == image.digest
        assert [seen.method for seen in hub.requests] == ["HEAD"]

    async def test_name_of_any_depth(self, hub: Hub, mirror: Mirror) -> None:
        image = hub.add_image("a/b/c/d/e", "1.0")
        headers = await authorized(hub, mirror, "a/b/c/d/e")
        answer = await ask(mirror, "/v2/a/b/c/d/e/manifests/1.0", headers=headers)
        assert answer.body == image.manifest.raw

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_not_modified(self, hub: Hub, mirror: Mirror, image: Image, method: str) -> None:
        headers = [*await authorized(hub, mirror), ("If-None-Match", f'"{image.digest}"')]
        async with connect(mirror) as connection:
            answer = await connection.ask("/v2/alpine/manifests/latest", method, headers)
            assert (answer.status, answer.headers["ETag"]) == (304, f'"{image.digest}"')
            # Nothing of a body is in the way of the next answer.
            assert (await connection.ask("/health")).status == 200

    @pytest.mark.parametrize("accepted", [OCI_INDEX, OCI_MANIFEST])
    async def test_accept_chooses(self, hub: Hub, mirror: Mirror, accepted: str) -> None:
        index = hub.add_image("library/both", platforms=["linux/amd64", "linux/arm64"])
        token = await bearer(mirror, "both")
        headers = [*token.items(), ("Accept", accepted)]
        answer = await ask(mirror, "/v2/both/manifests/latest", headers=headers)
        if accepted == OCI_INDEX:
            assert answer.body == index.manifest.raw
        else:
            assert answer.error == (404, "MANIFEST_UNKNOWN")
        child = index.manifests[1]
        answer = await ask(mirror, f"/v2/both/manifests/{child.digest}", headers=headers)
        assert (answer.body == child.raw) == (accepted == OCI_MANIFEST)

    async def test_several_accept_fields_all_arrive(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        token = await bearer(mirror, "alpine")
        accepts = [("Accept", DOCKER_MANIFEST), ("Accept", f"{OCI_MANIFEST};q=0.5")]
        target = "/v2/alpine/manifests/latest"
        answer = await ask(mirror, target, headers=[*token.items(), *accepts])
        assert answer.body == image.manifest.raw
        assert arrived(hub).getall("Accept") == [value for _, value in accepts]

    async def test_rate_limit_passes(self, hub: Hub, mirror: Mirror, image: Image) -> None:
        headers = await authorized(hub, mirror)
        answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
        assert answer.headers["ratelimit-limit"] == "100;w=21600"
        assert answer.headers["ratelimit-remaining"] == "99;w=21600"
        assert answer.headers["docker-ratelimit-source"] == "127.0.0.1"

    async def test_too_many_requests_pass_with_their_body(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        headers = await authorized(hub, mirror)
        hub.state.pulls["127.0.0.1"] = hub.settings.pull_limit
        answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
        assert answer.error == (429, "TOOMANYREQUESTS")
        assert "pull rate limit" in answer.message
        assert answer.headers["ratelimit-remaining"] == "0;w=21600"
        # HEAD is free.
        assert (await ask(mirror, "/v2/alpine/manifests/latest", "HEAD", headers)).status == 200

    async def test_range_that_containerd_sends_is_answered_whole(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        headers = [*await authorized(hub, mirror), ("Range", "bytes=0-")]
        answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
        assert (answer.status, answer.body) == (200, image.manifest.raw)
        assert "Content-Range" not in answer.headers

    async def test_401_names_the_mirror_and_keeps_the_scope(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        answer = await ask(mirror, "/v2/alpine/manifests/latest")
        assert answer.error == (401, "UNAUTHORIZED")
        assert answer.headers.getall("WWW-Authenticate") == [
            challenge(mirror, hub) + ',scope="repository:library/alpine:pull"'
        ]


class TestLists:
    @pytest.mark.parametrize("form", ["relative", "absolute"])
    async def test_pages_of_tags_lead_through_the_mirror_to_the_end(
        self, hub: Hub, mirror: Mirror, form: str
    ) -> None:
        image = hub.add_image("library/paged", "1.0")
        for number in range(1, 7):
            hub.tag(image, f"1.{number}")
        hub.settings.link = "absolute" if form == "absolute" else "relative"
        token = await bearer(mirror, "paged")
        target, tags, pages = "/v2/paged/tags/list?n=3", [], 0
        while target:
            answer = await ask(mirror, target, headers=token)
            assert answer.status == 200
            assert answer.json["name"] == "library/paged"
            tags += answer.json["tags"]
            pages += 1
            link = answer.headers.get("Link", "")
            assert not link or link.endswith('>; rel="next"')
            target = link.removeprefix("<").partition(">")[0]
            assert target.startswith("/") or not link, "the mirror, or nothing"
        assert (tags, pages) == ([f"1.{number}" for number in range(7)], 3)

    @pytest.mark.parametrize(
        ("query", "count", "filters"),
        [
            pytest.param("", 2, None, id="all"),
            pytest.param("?artifactType=application/x.sbom", 1, "artifactType", id="of a type"),
            pytest.param("?artifactType=application%2Fx.sbom", 1, "artifactType", id="encoded"),
        ],
    )
    async def test_referrers(
        self, hub: Hub, mirror: Mirror, query: str, count: int, filters: str | None
    ) -> None:
        image = hub.add_image("library/signed")
        sbom = hub.add_artifact("library/signed", artifact_type="application/x.sbom", subject=image)
        hub.add_artifact("library/signed", artifact_type="application/x.sig", subject=image)
        token = await bearer(mirror, "signed")
        target = f"/v2/signed/referrers/{image.digest}{query}"
        answer = await ask(mirror, target, headers=token)
        assert answer.headers["Content-Type"] == OCI_INDEX
        assert len(answer.json["manifests"]) == count
        assert sbom.digest in [manifest["digest"] for manifest in answer.json["manifests"]]
        assert answer.headers.get("OCI-Filters-Applied") == filters
        assert hub.requests[-1].target == target.replace("signed", "library/signed")


class TestFraming:
    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    @pytest.mark.parametrize(
        "target", ["/v2/alpine/tags/list", f"/auth/token?service={SERVICE}"], ids=["tags", "token"]
    )
    async def test_answer_comes_whole_and_the_connection_serves_on(
        self,
        hub: Hub,
        mirror: Mirror,
        image: Image,
        target: str,
        framing: Literal["length", "chunked", "close"],
    ) -> None:
        headers = await authorized(hub, mirror) if target.startswith("/v2/") else []
        hub.registry.faults.add(Delivery(framing))
        hub.token.faults.add(Delivery(framing))
        async with connect(mirror) as connection:
            for _ in range(2):
                answer = await connection.ask(target, headers=headers)
                assert answer.ended == ("length" if framing == "length" else "chunks")
                assert {"tags", "token"} & set(answer.json)


class TestFieldsUpstream:
    async def test_what_names_the_content_and_who_asks_passes_and_nothing_else(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        passed = {
            **await bearer(mirror, "alpine"),
            "Accept": OCI_MANIFEST,
            "User-Agent": "docker/29.0 go/1.25 (linux)",
            "Range": "bytes=0-",
            "If-Match": "*",
            "If-None-Match": '"other"',
            "If-Modified-Since": "Wed, 01 May 2024 12:00:00 GMT",
            "If-Range": '"other"',
        }
        dropped = {
            "Cookie": "mine=secret",
            "X-Forwarded-For": "192.0.2.1",
            "Forwarded": "for=192.0.2.1",
            "Via": "1.1 proxy",
            "Origin": "https://evil.example",
            "Referer": "https://evil.example/",
            "Connection": "keep-alive, X-Mine",
            "X-Mine": "1",
            "TE": "trailers",
            "Proxy-Authorization": "Basic c2VjcmV0",
            "Accept-Encoding": "zstd;q=1.0, gzip;q=0.8",
            "Accept-Language": "ko",
        }
        headers = {**passed, **dropped}
        answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=headers)
        assert answer.body == image.manifest.raw
        expected = {**passed, "Accept-Encoding": "identity"}
        assert sorted(arrived(hub).items()) == sorted(expected.items())
        assert hub.requests[-1].asked.headers["Host"] == hub.registry_url.removeprefix("https://")

    async def test_mirror_adds_nothing_of_its_own(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        token = await bearer(mirror, "alpine")
        assert arrived(hub) == CIMultiDict({"Accept-Encoding": "identity"})
        await ask(mirror, "/v2/alpine/manifests/latest", headers=token)
        expected = {**token, "Accept-Encoding": "identity"}
        assert sorted(arrived(hub).items()) == sorted(expected.items())

    @pytest.mark.parametrize("encodings", ["gzip", "zstd;q=1.0, gzip;q=0.8", "*"])
    async def test_bytes_come_uncompressed_whatever_the_client_takes(
        self, hub: Hub, mirror: Mirror, image: Image, encodings: str
    ) -> None:
        headers = [*await authorized(hub, mirror), ("Accept-Encoding", encodings)]
        target = f"/v2/alpine/blobs/{image.config.digest}"
        answer = await ask(mirror, target, headers=headers)
        assert answer.body == image.config.content.read(0, image.config.size)
        assert [seen.asked.header("Accept-Encoding") for seen in hub.requests] == ["identity"] * 2

    @pytest.mark.parametrize(
        ("query", "sent"),
        [
            pytest.param("?ns=docker.io", "", id="alone"),
            pytest.param("?n=2&ns=docker.io&last=a%2fb", "?n=2&last=a%2fb", id="among others"),
            pytest.param("?%6es=docker.io&n=2", "?n=2", id="encoded name"),
            pytest.param("?ns=docker%2Eio", "", id="encoded value"),
            pytest.param("?ns=index.docker.io", "", id="another name of Hub's"),
        ],
    )
    async def test_ns_is_containerds_and_stays_here(
        self, hub: Hub, mirror: Mirror, image: Image, query: str, sent: str
    ) -> None:
        headers = await authorized(hub, mirror)
        answer = await ask(mirror, f"/v2/alpine/tags/list{query}", headers=headers)
        assert answer.status == 200
        assert hub.requests[-1].target == f"/v2/library/alpine/tags/list{sent}"

    @pytest.mark.parametrize("namespace", ["ghcr.io", "quay.io", "docker.io.evil.example", ""])
    async def test_another_ns_is_refused(
        self, hub: Hub, mirror: Mirror, image: Image, namespace: str
    ) -> None:
        headers = await authorized(hub, mirror)
        target = f"/v2/alpine/manifests/latest?ns={namespace}"
        answer = await ask(mirror, target, headers=headers)
        assert answer.error == (404, "NAME_UNKNOWN")
        assert not hub.requests


class TestFieldsToTheClient:
    @pytest.mark.parametrize("kind", ["manifests", "blobs", "tags", "token", "error"])
    async def test_what_speaks_for_the_upstreams_host_is_dropped(
        self, hub: Hub, mirror: Mirror, image: Image, kind: str
    ) -> None:
        headers = await authorized(hub, mirror)
        target = {
            "manifests": "/v2/alpine/manifests/latest",
            "blobs": f"/v2/alpine/blobs/{image.config.digest}",
            "tags": "/v2/alpine/tags/list",
            "token": f"/auth/token?service={hub.service}",
            "error": "/v2/other/manifests/latest",
        }[kind]
        if kind == "token":
            headers = []
        answer = await ask(mirror, target, headers=headers)
        assert answer.status == (401 if kind == "error" else 200)
        assert hub.requests
        unwanted = {"Set-Cookie", "Strict-Transport-Security", "Alt-Svc", "Location"}
        assert not unwanted & set(answer.headers)
        text = repr(answer.headers)
        for url in (hub.registry_url, hub.token_url, hub.cdn_url):
            assert url.removeprefix("https://").partition("/")[0] not in text

    async def test_blob_says_its_digest_once_and_keeps_the_cdns_own_fields(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        target = f"/v2/alpine/blobs/{image.config.digest}"
        answer = await ask(mirror, target, headers=await authorized(hub, mirror))
        assert answer.headers.getall("Docker-Content-Digest") == [image.config.digest]
        assert answer.headers["ETag"] == f'"{image.config.digest[-32:]}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Cache-Control"] == "public, max-age=14400"
        assert answer.headers["Last-Modified"] == "Wed, 01 May 2024 12:00:00 GMT"


class TestPushes:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize(
        "target", ["/v2/alpine/blobs/uploads/", "/v2/alpine/manifests/latest", "/v2/"]
    )
    async def test_are_refused_and_asked_nowhere(
        self, hub: Hub, mirror: Mirror, method: str, target: str
    ) -> None:
        answer = await ask(mirror, target, method, body=b"{}")
        assert answer.error == (405, "UNSUPPORTED")
        assert answer.headers["Allow"] == "GET, HEAD"
        assert not hub.requests

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_large_body_is_dropped_not_kept(
        self, hub: Hub, mirror: Mirror, framing: str
    ) -> None:
        chunk = bytes(MIB)
        length = [("Content-Length", str(50 * MIB))]
        headers = length if framing == "length" else [("Transfer-Encoding", "chunked")]
        target = "/v2/alpine/blobs/uploads/1"
        # What the first such request costs (code, buffers) is not what a body costs.
        await ask(mirror, target, "PATCH", body=chunk)
        before = mirror.memory()
        async with connect(mirror) as connection:
            await connection.send(format_request(target, "PATCH", headers))
            for _ in range(50):
                sent = chunk if framing == "length" else b"100000\r\n" + chunk + b"\r\n"
                await connection.send(sent)
            if framing == "chunked":
                await connection.send(b"0\r\n\r\n")
            answer = await connection.answer("PATCH")
        assert answer.error == (405, "UNSUPPORTED")
        assert mirror.memory() - before < 12 * MIB

    async def test_refusal_does_not_wait_for_the_body(self, hub: Hub, mirror: Mirror) -> None:
        async with connect(mirror) as connection:
            headers = [("Content-Length", "1000000")]
            await connection.request("/v2/alpine/blobs/uploads/", "POST", headers)
            assert (await connection.answer("POST")).error == (405, "UNSUPPORTED")

    async def test_client_that_waits_for_100_continue_is_refused(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        async with connect(mirror) as connection:
            headers = [("Content-Length", "5"), ("Expect", "100-continue")]
            await connection.request("/v2/alpine/blobs/uploads/", "POST", headers)
            answer = await connection.answer("POST")
            if answer.status == 100:
                await connection.send(b"hello")
                answer = await connection.answer("POST")
            assert answer.error == (405, "UNSUPPORTED")


class TestMalformed:
    @pytest.mark.parametrize(
        ("target", "error"),
        [
            pytest.param("/v2/ALPINE/manifests/1", (400, "NAME_INVALID"), id="upper case"),
            pytest.param("/v2/a//b/manifests/1", (400, "NAME_INVALID"), id="empty part"),
            pytest.param("/v2/-a/manifests/1", (400, "NAME_INVALID"), id="dash first"),
            pytest.param("/v2/a/../b/manifests/1", (400, "NAME_INVALID"), id="dot dot"),
            pytest.param("/v2/../health", (400, "NAME_INVALID"), id="dot dot first"),
            pytest.param("/v2/a%2fb/manifests/1", (400, "NAME_INVALID"), id="percent-encoding"),
            pytest.param("/v2/a%00b/manifests/1", (400, "NAME_INVALID"), id="encoded control"),
            pytest.param("/v2/a/manifests/1%0d", (400, "NAME_INVALID"), id="encoded line end"),
            pytest.param("/v2/a\x01b/manifests/1", (400, "NAME_INVALID"), id="control character"),
            pytest.param("/v2/\xe4/manifests/1", (400, "NAME_INVALID"), id="not ASCII"),
            pytest.param("/v2/a/tags/list?n=\x02", (400, "NAME_INVALID"), id="control in query"),
            pytest.param(f"/v2/{'a' * 256}/tags/list", (400, "NAME_INVALID"), id="too long"),
            pytest.param("/v2/a/blobs/sha256:12", (400, "DIGEST_INVALID"), id="short digest"),
            pytest.param(
                f"/v2/a/blobs/sha256:{'A' * 64}", (400, "DIGEST_INVALID"), id="upper case digest"
            ),
            pytest.param("/v2/a/blobs/latest", (400, "DIGEST_INVALID"), id="blob by tag"),
            pytest.param(
                "/v2/a/manifests/sha256:12", (400, "DIGEST_INVALID"), id="short reference"
            ),
            pytest.param("/v2/a/referrers/1", (400, "DIGEST_INVALID"), id="referrers of a tag"),
            pytest.param("/v2/a/manifests/.hidden", (404, "MANIFEST_UNKNOWN"), id="dotted tag"),
            pytest.param(
                f"/v2/a/manifests/{'1' * 129}", (404, "MANIFEST_UNKNOWN"), id="tag too long"
            ),
            pytest.param("/", (404, "UNSUPPORTED"), id="root"),
            pytest.param("/v1/search", (404, "UNSUPPORTED"), id="version 1"),
            pytest.param("/v2/_catalog", (404, "UNSUPPORTED"), id="catalog"),
            pytest.param("/v2/a/tags/other", (404, "UNSUPPORTED"), id="no list"),
            pytest.param("/auth/token/x", (404, "UNSUPPORTED"), id="below the token"),
            pytest.param("/healthz", (404, "UNSUPPORTED"), id="beside health"),
        ],
    )
    async def test_is_refused_here(
        self, hub: Hub, mirror: Mirror, target: str, error: tuple[int, str]
    ) -> None:
        answer = await ask(mirror, target)
        assert answer.error == error
        assert answer.headers["Content-Type"] == "application/json"
        assert not hub.requests


class TestOldAndSlowClients:
    async def test_http_1_0_gets_a_blob_and_then_the_end(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        (_, token), _ = await authorized(hub, mirror)
        target = f"/v2/alpine/blobs/{image.config.digest}"
        async with connect(mirror) as connection:
            await connection.send(
                f"GET {target} HTTP/1.0\r\nAuthorization: {token}\r\n\r\n".encode()
            )
            answer = await connection.answer()
            assert answer.body == image.config.content.read(0, image.config.size)
            assert await connection.is_closed()

    async def test_head_that_comes_byte_by_byte(self, hub: Hub, mirror: Mirror) -> None:
        async with connect(mirror) as connection:
            for byte in format_request("/v2/"):
                await connection.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await connection.answer()).error == (401, "UNAUTHORIZED")

    async def test_requests_sent_ahead_are_answered_in_order(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        headers = await authorized(hub, mirror)
        layers = [*image.layers, image.config]
        async with connect(mirror) as connection:
            for layer in layers:
                await connection.request(f"/v2/alpine/blobs/{layer.digest}", headers=headers)
            for layer in layers:
                assert (await connection.answer()).body == layer.content.read(0, layer.size)

    async def test_a_whole_pull_over_one_connection(
        self, hub: Hub, mirror: Mirror, image: Image
    ) -> None:
        async with session(mirror) as client:
            async with client.get("/v2/") as response:
                assert response.status == 401
            query = {"service": hub.service, "scope": "repository:library/alpine:pull"}
            async with client.get("/auth/token", params=query) as response:
                token = (await response.json())["token"]
            headers = [("Authorization", f"Bearer {token}"), ACCEPT]
            async with client.get(
                "/v2/library/alpine/manifests/latest", headers=headers
            ) as response:
                manifest = await response.json(content_type=None)
            for part in [manifest["config"], *manifest["layers"]]:
                target = f"/v2/library/alpine/blobs/{part['digest']}"
                async with client.get(target, headers=headers) as response:
                    assert len(await response.read()) == part["size"]
        roles = [(seen.role, seen.method, seen.status) for seen in hub.requests]
        blob = [("registry", "GET", 307), ("cdn", "GET", 200)]
        assert roles == [("token", "GET", 200), ("registry", "GET", 200), *blob * 3]
