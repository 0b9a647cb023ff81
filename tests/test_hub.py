"""The stand-in behaves as Docker Hub does."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from functools import partial
from operator import add
from urllib.parse import urlencode, urlsplit

import pytest

from tests.hub import Hub, Image
from tests.hub.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.hub.raw import RawAnswer, ask

ALPINE = "repository:library/alpine:pull"


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


@pytest.fixture
def image(hub: Hub) -> Image:
    return hub.add_image()


async def token(hub: Hub, *scopes: str, login: str = "") -> str:
    answer = await ask(
        f"{hub.token_url}?{urlencode([('service', hub.service), *(('scope', s) for s in scopes)])}",
        headers=basic(login) if login else {},
        tls=hub.client_context(),
    )
    assert answer.status == 200
    return str(answer.json["token"])


def basic(login: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


async def get(
    hub: Hub,
    target: str,
    scope: str = ALPINE,
    *,
    method: str = "GET",
    login: str = "",
    **headers: str,
) -> RawAnswer:
    """Ask the registry with a token for the scope; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    bearer = {"Authorization": f"Bearer {await token(hub, scope, login=login)}"}
    url = f"{hub.registry_url}{target}"
    return await ask(url, method=method, headers=bearer | named, tls=hub.client_context())


async def redirect(hub: Hub, digest: str, method: str = "GET") -> str:
    answer = await get(hub, f"/v2/library/alpine/blobs/{digest}", method=method)
    assert answer.status == 307
    return answer.headers["Location"]


class TestChallenge:
    async def test_ping_without_a_token_names_realm_and_service(self, hub: Hub) -> None:
        answer = await ask(f"{hub.registry_url}/v2/", tls=hub.client_context())
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == (
            f'Bearer realm="{hub.token_url}",service="{hub.service}"'
        )
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
        assert answer.json == {
            "errors": [
                {"code": "UNAUTHORIZED", "message": "authentication required", "detail": None}
            ]
        }

    async def test_ping_with_a_token_for_anything_is_answered(self, hub: Hub) -> None:
        assert (await get(hub, "/v2/")).status == 200

    async def test_manifest_without_a_token_names_the_scope(self, hub: Hub, image: Image) -> None:
        url = f"{hub.registry_url}/v2/library/alpine/manifests/latest"
        answer = await ask(url, tls=hub.client_context())
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].endswith(f',scope="{ALPINE}"')

    @pytest.mark.parametrize(
        "scope",
        [
            pytest.param("repository:library/other:pull", id="another repository"),
            pytest.param("repository:alpine:pull", id="the short name opens nothing"),
            pytest.param("repository:library/alpine:push", id="another action"),
        ],
    )
    async def test_token_for_something_else_is_insufficient(
        self, hub: Hub, image: Image, scope: str
    ) -> None:
        answer = await get(hub, "/v2/library/alpine/manifests/latest", scope)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].endswith(',error="insufficient_scope"')

    async def test_token_of_someone_else_is_invalid(self, hub: Hub, image: Image) -> None:
        async with Hub() as other:
            other.add_image()
            bearer = {"Authorization": f"Bearer {await token(other, ALPINE)}"}
        url = f"{hub.registry_url}/v2/library/alpine/manifests/latest"
        answer = await ask(url, headers=bearer, tls=hub.client_context())
        assert answer.headers["WWW-Authenticate"].endswith(',error="invalid_token"')

    async def test_token_is_good_until_it_expires(self, hub: Hub, image: Image) -> None:
        url = f"{hub.registry_url}/v2/library/alpine/manifests/latest"
        bearer = {"Authorization": f"Bearer {await token(hub, ALPINE)}", "Accept": OCI_MANIFEST}
        now = hub.settings.now()
        for later, status in ((299, 200), (301, 401)):
            hub.settings.now = partial(add, now, later)
            answer = await ask(url, headers=bearer, tls=hub.client_context())
            assert answer.status == status


class TestTokenService:
    async def test_one_parameter_may_hold_several_scopes(self, hub: Hub, image: Image) -> None:
        hub.add_image("library/busybox")
        both = f"{ALPINE} repository:library/busybox:pull"
        for scopes in ([both], both.split()):
            granted = hub.state.signer.check(await token(hub, *scopes), hub.settings.now())[1]
            assert [access.name for access in granted] == ["library/alpine", "library/busybox"]

    async def test_answer_says_when_the_token_ends(self, hub: Hub) -> None:
        url = f"{hub.token_url}?service={hub.service}"
        answer = await ask(url, tls=hub.client_context())
        assert answer.json["expires_in"] == 300
        assert answer.json["token"] == answer.json["access_token"]
        assert answer.json["issued_at"].endswith("Z")
        assert "refresh_token" not in answer.json

    async def test_wrong_password_is_401_with_details(self, hub: Hub) -> None:
        url = f"{hub.token_url}?service={hub.service}"
        answer = await ask(url, headers=basic("alice:wrong"), tls=hub.client_context())
        assert answer.status == 401
        assert answer.json == {"details": "incorrect username or password"}

    @pytest.mark.parametrize(
        ("login", "status"),
        [
            pytest.param("", 401, id="anonymous"),
            pytest.param("bob:builder", 401, id="another user"),
            pytest.param("alice:wonderland", 200, id="the reader"),
        ],
    )
    async def test_private_repository_is_for_its_readers(
        self, hub: Hub, image: Image, login: str, status: int
    ) -> None:
        hub.set_private("library/alpine", "alice")
        answer = await get(
            hub, "/v2/library/alpine/manifests/latest", login=login, Accept=OCI_MANIFEST
        )
        assert answer.status == status

    async def test_repository_may_become_private_under_a_token(
        self, hub: Hub, image: Image
    ) -> None:
        bearer = {"Authorization": f"Bearer {await token(hub, ALPINE)}"}
        hub.set_private("library/alpine")
        url = f"{hub.registry_url}/v2/library/alpine/manifests/latest"
        assert (await ask(url, headers=bearer, tls=hub.client_context())).status == 401

    async def test_password_grant_gives_a_refresh_token_that_gives_a_token(self, hub: Hub) -> None:
        hub.add_image("demo/private", private=True)
        common = {"service": hub.service, "scope": "repository:demo/private:pull"}
        form = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        first = await self._post(hub, {**common, **form, "access_type": "offline"})
        refresh = first.json["refresh_token"]
        second = await self._post(
            hub, {**common, "grant_type": "refresh_token", "refresh_token": refresh}
        )
        user, granted = hub.state.signer.check(second.json["access_token"], hub.settings.now())
        assert user == "alice"
        assert granted[0].name == "demo/private"

    async def test_token_for_another_service_is_not_given(self, hub: Hub) -> None:
        for query in ("", "?service=other"):
            assert (await ask(hub.token_url + query, tls=hub.client_context())).status == 400

    async def test_unknown_refresh_token_is_401(self, hub: Hub) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": "x", "service": hub.service}
        assert (await self._post(hub, form)).status == 401

    async def _post(self, hub: Hub, form: dict[str, str]) -> RawAnswer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        return await ask(
            hub.token_url, method="POST", headers=kind, body=body, tls=hub.client_context()
        )


class TestManifest:
    async def test_get_and_head_agree(self, hub: Hub, image: Image) -> None:
        for reference in ("latest", image.digest):
            target = f"/v2/library/alpine/manifests/{reference}"
            whole = await get(hub, target, Accept=OCI_MANIFEST)
            head = await get(hub, target, method="HEAD", Accept=OCI_MANIFEST)
            assert whole.body == image.manifest.raw
            assert f"sha256:{hashlib.sha256(whole.body).hexdigest()}" == image.digest
            for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
                assert head.headers[name] == whole.headers[name]
            assert whole.headers["Docker-Content-Digest"] == image.digest
            assert whole.headers["ETag"] == f'"{image.digest}"'

    async def test_known_etag_is_304(self, hub: Hub, image: Image) -> None:
        answer = await get(
            hub,
            "/v2/library/alpine/manifests/latest",
            Accept=OCI_MANIFEST,
            If_None_Match=f'"{image.digest}"',
        )
        assert (answer.status, answer.body) == (304, b"")

    async def test_range_is_answered_whole(self, hub: Hub, image: Image) -> None:
        answer = await get(
            hub, "/v2/library/alpine/manifests/latest", Accept=OCI_MANIFEST, Range="bytes=0-"
        )
        assert answer.status == 200
        assert "Content-Range" not in answer.headers
        assert answer.body == image.manifest.raw

    async def test_accept_chooses_between_list_and_manifest(self, hub: Hub) -> None:
        image = hub.add_image(platforms=["linux/arm64", "linux/amd64"], form="docker")
        target = "/v2/library/alpine/manifests/latest"
        several = f"{DOCKER_MANIFEST}, {DOCKER_LIST};q=0.5"
        assert (await get(hub, target, Accept=several)).body == image.manifest.raw
        single = await get(hub, target, Accept=DOCKER_MANIFEST)
        assert single.headers["Docker-Content-Digest"] == image.manifests[1].digest

    @pytest.mark.parametrize("accept", ["", "*/*", OCI_MANIFEST])
    async def test_index_is_unknown_to_who_does_not_accept_it(self, hub: Hub, accept: str) -> None:
        hub.add_image(platforms=["linux/amd64"])
        target = "/v2/library/alpine/manifests/latest"
        answer = await get(hub, target, Accept=accept)
        assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
        assert (await get(hub, target, Accept=OCI_INDEX)).status == 200

    async def test_unknown_reference_is_404(self, hub: Hub, image: Image) -> None:
        answer = await get(hub, "/v2/library/alpine/manifests/none", Accept=OCI_MANIFEST)
        assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")


class TestPullLimit:
    async def test_only_a_get_counts_and_only_a_get_is_refused(
        self, hub: Hub, image: Image
    ) -> None:
        hub.settings.pull_limit = 2
        target = "/v2/library/alpine/manifests/latest"
        seen = [
            await get(hub, target, method=method, Accept=OCI_MANIFEST)
            for method in ("HEAD", "GET", "GET", "HEAD", "GET")
        ]
        assert [answer.status for answer in seen] == [200, 200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in seen] == [
            f"{left};w=21600" for left in (2, 1, 0, 0, 0)
        ]
        assert seen[0].headers["ratelimit-limit"] == "2;w=21600"
        assert seen[0].headers["docker-ratelimit-source"] == "127.0.0.1"
        assert seen[-1].code == "TOOMANYREQUESTS"

    async def test_account_has_a_limit_of_its_own(self, hub: Hub, image: Image) -> None:
        hub.settings.pull_limit = 1
        target = "/v2/library/alpine/manifests/latest"
        for login in ("", "alice:wonderland", "bob:builder"):
            assert (await get(hub, target, login=login, Accept=OCI_MANIFEST)).status == 200
        assert (await get(hub, target, login="bob:builder", Accept=OCI_MANIFEST)).status == 429


class TestBlob:
    async def test_redirect_gives_the_bytes(self, hub: Hub, image: Image) -> None:
        for blob in image.manifest.blobs:
            answer = await ask(await redirect(hub, blob.digest), tls=hub.client_context())
            assert f"sha256:{hashlib.sha256(answer.body).hexdigest()}" == blob.digest

    async def test_redirect_of_head_gives_the_length(self, hub: Hub, image: Image) -> None:
        location = await redirect(hub, image.config.digest, "HEAD")
        answer = await ask(location, method="HEAD", tls=hub.client_context())
        assert answer.headers["Content-Length"] == str(image.config.size)

    async def test_blob_is_given_only_under_a_repository_that_names_it(
        self, hub: Hub, image: Image
    ) -> None:
        other = hub.add_image("library/other", layers=[7])
        answer = await get(hub, f"/v2/library/alpine/blobs/{other.config.digest}")
        assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda url: url.replace("%2F", "%2f", 1), id="escape in lower case"),
            pytest.param(lambda url: url.replace("%7E", "~", 1), id="escape undone"),
            pytest.param(lambda url: url.replace("docxy+", "docxy%20", 1), id="plus as a space"),
            pytest.param(lambda url: url.replace("docxy+", "docxy%2B", 1), id="plus escaped"),
            pytest.param(lambda url: url + "&x=1", id="parameter added"),
            pytest.param(lambda url: url.replace("/registry/v2/", "/registry/v3/"), id="path"),
        ],
    )
    async def test_altered_address_is_refused(
        self, hub: Hub, image: Image, spoil: Callable[[str], str]
    ) -> None:
        location = await redirect(hub, image.config.digest)
        assert spoil(location) != location
        assert (await ask(spoil(location), tls=hub.client_context())).status == 403

    async def test_address_is_for_one_method(self, hub: Hub, image: Image) -> None:
        location = await redirect(hub, image.config.digest, "HEAD")
        assert (await ask(location, tls=hub.client_context())).status == 403

    async def test_address_expires(self, hub: Hub, image: Image) -> None:
        location = await redirect(hub, image.config.digest)
        now = hub.settings.now()
        hub.settings.now = lambda: now + hub.settings.redirect_seconds + 1
        answer = await ask(location, tls=hub.client_context())
        assert answer.status == 403
        assert b"expired" in answer.body

    async def test_authorization_at_the_cdn_is_400(self, hub: Hub, image: Image) -> None:
        location = await redirect(hub, image.config.digest)
        bearer = {"Authorization": "Bearer x"}
        answer = await ask(location, headers=bearer, tls=hub.client_context())
        assert answer.status == 400

    @pytest.mark.parametrize(
        ("wanted", "status", "answered"),
        [
            ("bytes=0-0", 206, slice(0, 1)),
            ("bytes=10-19", 206, slice(10, 20)),
            ("bytes=90-", 206, slice(90, 100)),
            ("bytes=-5", 206, slice(95, 100)),
            ("bytes=50-1000", 206, slice(50, 100)),
            ("bytes=100-", 416, None),
            ("bytes=-0", 416, None),
            ("bytes=9-1", 200, slice(0, 100)),
            ("bytes=0-1,5-6", 200, slice(0, 100)),
            ("lines=1-2", 200, slice(0, 100)),
        ],
    )
    async def test_cdn_answers_ranges(
        self, hub: Hub, wanted: str, status: int, answered: slice | None
    ) -> None:
        content = bytes(range(100))
        hub.add_artifact("library/alpine", "a", {"application/octet-stream": content})
        location = await redirect(hub, f"sha256:{hashlib.sha256(content).hexdigest()}")
        answer = await ask(location, headers={"Range": wanted}, tls=hub.client_context())
        assert answer.status == status
        assert answer.headers.get("Accept-Ranges", "bytes") == "bytes"
        if answered is None:
            assert answer.headers["Content-Range"] == "bytes */100"
        else:
            assert answer.body == content[answered]
        if status == 206 and answered is not None:
            named = f"bytes {answered.start}-{answered.stop - 1}/100"
            assert answer.headers["Content-Range"] == named

    async def test_if_range_with_another_etag_gives_the_whole(self, hub: Hub, image: Image) -> None:
        location, tls = await redirect(hub, image.config.digest), hub.client_context()
        etag = (await ask(location, tls=tls)).headers["ETag"]
        for known, status in ((etag, 206), ('"other"', 200)):
            headers = {"Range": "bytes=5-", "If-Range": known}
            assert (await ask(location, headers=headers, tls=tls)).status == status

    async def test_known_etag_at_the_cdn_is_304(self, hub: Hub, image: Image) -> None:
        location, tls = await redirect(hub, image.config.digest), hub.client_context()
        known = {"If-None-Match": (await ask(location, tls=tls)).headers["ETag"]}
        answer = await ask(location, headers=known, tls=tls)
        assert (answer.status, answer.body) == (304, b"")

    async def test_push_is_unsupported(self, hub: Hub, image: Image) -> None:
        answer = await get(hub, "/v2/library/alpine/blobs/uploads/", method="POST")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")

    async def test_redirect_says_nothing_but_the_address(self, hub: Hub, image: Image) -> None:
        answer = await get(hub, f"/v2/library/alpine/blobs/{image.config.digest}")
        assert "Docker-Content-Digest" not in answer.headers
        assert answer.headers["Location"].replace("&", "&amp;") in answer.body.decode()


class TestLists:
    @pytest.mark.parametrize("form", ["relative", "absolute"])
    async def test_tags_come_in_pages(self, hub: Hub, form: str) -> None:
        image = hub.add_image(tag="a")
        for tag in "bcde":
            hub.tag(image, tag)
        hub.settings.link = "absolute" if form == "absolute" else "relative"
        target, pages = "/v2/library/alpine/tags/list?n=2", []
        while target:
            answer = await get(hub, target)
            pages.append(answer.json["tags"])
            link = answer.headers.get("Link", "<>").partition(">")[0].removeprefix("<")
            if link:
                assert link.startswith(hub.registry_url if form == "absolute" else "/v2/")
            target = link.removeprefix(hub.registry_url)
        assert pages == [["a", "b"], ["c", "d"], ["e"]]

    async def test_referrers_are_an_index_and_may_be_filtered(self, hub: Hub, image: Image) -> None:
        notes = hub.add_artifact("library/alpine", subject=image)
        hub.add_artifact("library/alpine", subject=image, artifact_type="application/other")
        target = f"/v2/library/alpine/referrers/{image.digest}"
        every = await get(hub, target)
        assert every.headers["Content-Type"] == OCI_INDEX
        assert len(every.json["manifests"]) == 2
        some = await get(hub, f"{target}?artifactType=application/vnd.example.notes.v1")
        assert [each["digest"] for each in some.json["manifests"]] == [notes.digest]
        assert some.headers["OCI-Filters-Applied"] == "artifactType"


class TestWhatAMirrorKeepsToItself:
    async def test_each_role_sends_cookies_and_rules_of_its_own_host(
        self, hub: Hub, image: Image
    ) -> None:
        tls = hub.client_context()
        location = await redirect(hub, image.config.digest)
        for url in (f"{hub.registry_url}/v2/", f"{hub.token_url}?service={hub.service}", location):
            answer = await ask(url, tls=tls)
            for name in ("Set-Cookie", "Strict-Transport-Security", "Alt-Svc"):
                assert name in answer.headers

    async def test_containerd_ns_parameter_is_refused_and_recorded(
        self, hub: Hub, image: Image
    ) -> None:
        answer = await get(hub, "/v2/library/alpine/manifests/latest?ns=docker.io")
        assert answer.status == 400
        assert hub.requests.of("registry", text="ns=docker.io")


class TestLog:
    async def test_target_is_recorded_byte_for_byte(self, hub: Hub) -> None:
        target = "/v2/library%2Falpine/../x/manifests/a%2fb?c=%7E+d"
        await ask(hub.registry_url, target, tls=hub.client_context())
        assert hub.requests[-1].target == target

    async def test_connections_and_requests_are_counted(self, hub: Hub, image: Image) -> None:
        await get(hub, "/v2/library/alpine/manifests/latest", Accept=OCI_MANIFEST)
        assert [(s.role, s.method, s.status, s.ended) for s in hub.requests] == [
            ("token", "GET", 200, "whole"),
            ("registry", "GET", 200, "whole"),
        ]
        await get(hub, "/v2/library/alpine/manifests/none", Accept=OCI_MANIFEST)
        assert (hub.manifest_gets, hub.pulls) == (2, 1)
        assert (hub.token.accepted, hub.registry.accepted, hub.cdn.accepted) == (2, 2, 0)
        assert hub.requests[0].connection != hub.requests[1].connection


class TestTls:
    async def test_only_its_own_ca_is_good_for_it(self, hub: Hub) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(f"{hub.registry_url}/v2/", tls=ssl.create_default_context())

    async def test_without_tls_all_addresses_are_http(self) -> None:
        async with Hub(tls=False) as hub:
            assert {
                url.split(":")[0] for url in (hub.registry_url, hub.token_url, hub.cdn_url)
            } == {"http"}
            assert (await ask(f"{hub.registry_url}/v2/")).status == 401

    async def test_names_stand_in_the_addresses_and_the_certificates(self) -> None:
        names = ("registry.test", "token.test", "cdn.test")
        async with Hub(names=names) as hub:
            urls = (hub.registry_url, hub.token_url, hub.cdn_url)
            assert [urlsplit(url).hostname for url in urls] == list(names)
            for server, name in zip((hub.registry, hub.token, hub.cdn), names, strict=True):
                _, writer = await asyncio.open_connection(
                    server.host, server.port, ssl=hub.client_context(), server_hostname=name
                )
                writer.transport.abort()

    async def test_one_address_with_three_ports_will_do(self) -> None:
        async with Hub(hosts=("127.0.0.1", "127.0.0.1", "127.0.0.1")) as hub:
            image = hub.add_image()
            location = await redirect(hub, image.config.digest)
            assert (await ask(location, tls=hub.client_context())).status == 200
            assert len({hub.registry.port, hub.token.port, hub.cdn.port}) == 3

    async def test_roles_are_three_hosts_where_the_loopback_has_them(self, hub: Hub) -> None:
        urls = (hub.registry_url, hub.token_url, hub.cdn_url)
        assert len({url.split("/")[2] for url in urls}) == 3
