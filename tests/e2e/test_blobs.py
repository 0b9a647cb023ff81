"""Blobs: whole, in ranges, broken off, and never from where no CDN is."""

from __future__ import annotations

import asyncio
import hashlib
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.client import Answer, Headers, ask, bearer, connect, session
from tests.e2e.conftest import ONE_STREAM
from tests.e2e.mirrors import mirror_with
from tests.hub import (
    Delivery,
    ExpiredRedirect,
    Flip,
    Header,
    Hub,
    Image,
    NoRange,
    Redirect,
    Stall,
    Status,
)
from tests.hub.images import Blob
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LARGE = 200 * MIB


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return ONE_STREAM


@pytest.fixture(scope="module")
def image(shared_hub: Hub) -> Image:
    return shared_hub.add_image("library/layers", layers=[600_000, 5000])


@pytest.fixture(scope="module")
def large(shared_hub: Hub) -> Image:
    return shared_hub.add_image("library/large", layers=[LARGE], compression=None)


@pytest.fixture
def layer(image: Image) -> Blob:
    return image.layers[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    """A mirror that follows redirects to public addresses alone."""
    confdir = tmp_path_factory.mktemp("confdir")
    async with mirror_with(shared_hub, confdir, {"docxy_redirect_private": None}) as mirror:
        yield mirror


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mirror]:
    """A mirror that waits one second for an upstream's byte."""
    confdir = tmp_path_factory.mktemp("confdir")
    async with mirror_with(shared_hub, confdir, {"docxy_stall_timeout": "1"}) as mirror:
        yield mirror


def target_of(blob: Blob, name: str = "layers") -> str:
    return f"/v2/{name}/blobs/{blob.digest}"


def content(blob: Blob) -> bytes:
    return blob.content.read(0, blob.size)


async def get(mirror: Mirror, blob: Blob, method: str = "GET", **headers: str) -> Answer:
    """A blob asked for with a token, which is not in the Hub's log."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    token = await bearer(mirror, "layers")
    return await ask(mirror, target_of(blob), method, {**token, **fields})


class TestWhole:
    async def test_content_is_right(self, hub: Hub, mirror: Mirror, layer: Blob) -> None:
        answer = await get(mirror, layer)
        assert (answer.status, answer.ended) == (200, "length")
        assert answer.body == content(layer)

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_however_the_cdn_frames_it(
        self, hub: Hub, mirror: Mirror, layer: Blob, framing: str
    ) -> None:
        hub.cdn.faults.add(Delivery(framing))  # type: ignore[arg-type]
        answer = await get(mirror, layer)
        assert answer.ended == ("length" if framing == "length" else "chunks")
        assert answer.body == content(layer)

    async def test_head_tells_the_true_length(self, hub: Hub, mirror: Mirror, layer: Blob) -> None:
        answer = await get(mirror, layer, "HEAD")
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(layer.size))
        assert answer.headers["Docker-Content-Digest"] == layer.digest
        assert [seen.method for seen in hub.requests.of("cdn")] == ["HEAD"]

    async def test_not_modified(self, hub: Hub, mirror: Mirror, layer: Blob) -> None:
        etag = (await get(mirror, layer, "HEAD")).headers["ETag"]
        answer = await get(mirror, layer, If_None_Match=etag)
        assert (answer.status, answer.headers["ETag"], answer.body) == (304, etag, b"")

    async def test_wrong_content_is_the_clients_to_find(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        hub.cdn.faults.add(Flip(at=1000), times=1)
        answer = await get(mirror, layer)
        assert len(answer.body) == layer.size
        assert hashlib.sha256(answer.body).hexdigest() != layer.digest.removeprefix("sha256:")

    async def test_200_mib_come_whole_and_leave_the_mirrors_memory_level(
        self, hub: Hub, mirror: Mirror, large: Image
    ) -> None:
        (blob,) = large.layers
        token = await bearer(mirror, "large")
        await get(mirror, large.config)
        before, most, sha256 = mirror.memory(), 0, hashlib.sha256()
        target = target_of(blob, "large")
        async with session(mirror) as client, client.get(target, headers=token) as response:
            async for chunk in response.content.iter_chunked(4 * MIB):
                sha256.update(chunk)
                most = max(most, mirror.memory())
        assert f"sha256:{sha256.hexdigest()}" == blob.digest
        assert most - before < 24 * MIB

    async def test_empty_blob(self, hub: Hub, mirror: Mirror) -> None:
        image = hub.add_artifact("library/layers", "empty", {"text/plain": b""})
        answer = await get(mirror, image.layers[0])
        assert (answer.status, answer.body, answer.ended) == (200, b"", "length")

    async def test_blob_of_another_repository_is_the_hubs_to_refuse(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        other = hub.add_image("library/other", layers=[1234])
        answer = await get(mirror, other.layers[0])
        assert answer.error == (404, "BLOB_UNKNOWN")
        assert not hub.requests.of("cdn")

    async def test_redirects_that_are_all_expired_pass_as_the_cdns_refusal(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        hub.registry.faults.add(ExpiredRedirect())
        answer = await get(mirror, layer)
        assert answer.status == 403
        assert b"expired" in answer.body
        assert "Docker-Content-Digest" not in answer.headers


class TestRanges:
    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            pytest.param("bytes=0-0", 0, 0, id="first byte"),
            pytest.param("bytes=0-", 0, -1, id="all"),
            pytest.param("bytes=300000-400000", 300_000, 400_000, id="middle"),
            pytest.param("bytes=500000-", 500_000, -1, id="open"),
            pytest.param("bytes=-1", -1, -1, id="last byte"),
            pytest.param("bytes=-4096", -4096, -1, id="suffix"),
            pytest.param("bytes=500000-99999999", 500_000, -1, id="beyond the end"),
        ],
    )
    async def test_is_answered_with_what_was_asked(
        self, hub: Hub, mirror: Mirror, layer: Blob, asked: str, first: int, last: int
    ) -> None:
        whole = content(layer)
        start, stop = first % layer.size, last % layer.size + 1
        answer = await get(mirror, layer, Range=asked)
        assert (answer.status, answer.ended) == (206, "length")
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{layer.size}"
        assert answer.body == whole[start:stop]
        assert answer.headers["Docker-Content-Digest"] == layer.digest

    async def test_not_satisfiable(self, hub: Hub, mirror: Mirror, layer: Blob) -> None:
        answer = await get(mirror, layer, Range=f"bytes={layer.size}-")
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{layer.size}")

    @pytest.mark.parametrize("same", [True, False], ids=["the same ETag", "another ETag"])
    async def test_if_range(self, hub: Hub, mirror: Mirror, layer: Blob, same: bool) -> None:
        etag = (await get(mirror, layer, "HEAD")).headers["ETag"] if same else '"other"'
        answer = await get(mirror, layer, Range="bytes=100-199", If_Range=etag)
        expected = (206, content(layer)[100:200]) if same else (200, content(layer))
        assert (answer.status, answer.body) == expected

    async def test_cdn_that_knows_no_ranges_answers_whole(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        hub.cdn.faults.add(NoRange())
        answer = await get(mirror, layer, Range="bytes=100-199")
        assert (answer.status, answer.body) == (200, content(layer))

    async def test_pieces_side_by_side_are_the_whole(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        ranges = [(at, min(at + 100_000, layer.size)) for at in range(0, layer.size, 100_000)]
        answers = await asyncio.gather(
            *(get(mirror, layer, Range=f"bytes={a}-{b - 1}") for a, b in ranges)
        )
        assert b"".join(answer.body for answer in answers) == content(layer)


class TestRedirects:
    async def test_cdn_gets_the_presigned_address_byte_for_byte_and_no_credentials(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        answer = await get(mirror, layer, User_Agent="docker/29.0", Cookie="mine=secret")
        assert answer.status == 200
        (seen,) = hub.requests.of("cdn")
        assert "Key-Pair-Id=K1%2Fdocxy+test%2fa%7Eb~c%3D" in seen.target
        assert sorted(seen.asked.headers.items()) == [
            ("Accept-Encoding", "identity"),
            ("Host", hub.cdn_url.removeprefix("https://")),
            ("User-Agent", "docker/29.0"),
        ]

    async def test_relative_one_is_the_registrys_own_and_keeps_the_credentials(
        self, hub: Hub, mirror: Mirror, image: Image, layer: Blob
    ) -> None:
        hub.registry.faults.add(Redirect(f"./{image.config.digest}"), times=1)
        answer = await get(mirror, layer)
        assert (answer.status, answer.body) == (200, content(image.config))
        first, second = (seen.asked.headers for seen in hub.requests.of("registry"))
        assert first["Authorization"] == second["Authorization"]
        (seen,) = hub.requests.of("cdn")
        assert "Authorization" not in seen.asked.headers

    async def test_way_back_from_the_cdn_has_no_credentials(
        self, hub: Hub, mirror: Mirror, image: Image, layer: Blob
    ) -> None:
        hub.cdn.faults.add(Redirect(f"{hub.registry_url}/v2/library/layers/tags/list"))
        answer = await get(mirror, layer)
        assert answer.error == (401, "UNAUTHORIZED")
        assert mirror.authority in answer.headers["WWW-Authenticate"]
        assert "Authorization" not in hub.requests[-1].asked.headers

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_of_any_status_is_followed(
        self, hub: Hub, mirror: Mirror, layer: Blob, status: int
    ) -> None:
        hub.registry.faults.add(Redirect(lambda location: location, status))
        answer = await get(mirror, layer)
        assert (answer.status, answer.body) == (200, content(layer))

    async def test_five_are_followed(self, hub: Hub, mirror: Mirror, layer: Blob) -> None:
        hub.cdn.faults.add(Redirect(lambda target: target), times=4)
        answer = await get(mirror, layer)
        assert (answer.status, answer.body) == (200, content(layer))
        assert len(hub.requests.of("cdn")) == 5

    async def test_six_are_not(self, hub: Hub, mirror: Mirror, layer: Blob) -> None:
        hub.cdn.faults.add(Redirect(lambda target: target))
        answer = await get(mirror, layer)
        assert answer.error == (502, "UNAVAILABLE")
        assert "more than 5 redirects" in answer.message
        assert hub.cdn_url.removeprefix("https://") in answer.message
        assert len(hub.requests.of("cdn")) == 5

    @pytest.mark.parametrize(
        ("location", "cause"),
        [
            pytest.param("http://127.0.0.4:1/x", "not to https", id="plain http"),
            pytest.param("ftp://127.0.0.4/x", "not to https", id="ftp"),
            pytest.param("file:///etc/passwd", "no address", id="file"),
            pytest.param("https://", "no address", id="no host"),
            pytest.param("https://a:b@127.0.0.4/x", "no address", id="credentials"),
            pytest.param("https://127.0.0.4:99999/", "no address", id="no such port"),
            pytest.param("https://[::1/", "no address", id="bracket that does not close"),
            pytest.param("https://127.1/", "not valid", id="short form of an address"),
            pytest.param("https://127.0.0.4/a b", "not allowed", id="space"),
            pytest.param("https://127.0.0.4/\u00e4", "not allowed", id="not ASCII"),
        ],
    )
    async def test_that_leads_nowhere_good_is_refused(
        self, hub: Hub, mirror: Mirror, layer: Blob, location: str, cause: str
    ) -> None:
        hub.registry.faults.add(Redirect(location))
        answer = await get(mirror, layer)
        assert answer.error == (502, "UNAVAILABLE")
        assert cause in answer.message
        assert not hub.requests.of("cdn")

    @pytest.mark.parametrize(
        ("host", "address"),
        [
            pytest.param("127.0.0.1", "127.0.0.1", id="loopback"),
            pytest.param("127.0.0.4", "127.0.0.4", id="loopback where a CDN listens"),
            pytest.param("169.254.169.254", "169.254.169.254", id="metadata service"),
            pytest.param("10.1.2.3", "10.1.2.3", id="private"),
            pytest.param("192.168.0.1", "192.168.0.1", id="private, home"),
            pytest.param("100.64.1.1", "100.64.1.1", id="shared"),
            pytest.param("198.18.0.7", "198.18.0.7", id="fake IP"),
            pytest.param("0.0.0.0", "0.0.0.0", id="this host"),
            pytest.param("[::1]", "::1", id="IPv6 loopback"),
            pytest.param("[::ffff:127.0.0.1]", "::ffff:", id="IPv4-mapped"),
            pytest.param("[64:ff9b::7f00:1]", "64:ff9b::7f00:1", id="NAT64"),
            pytest.param("[2002:7f00:1::]", "2002:7f00:1::", id="6to4"),
            pytest.param("[fd00::1]", "fd00::1", id="unique local"),
            pytest.param("[fe80::1]", "fe80::1", id="link-local"),
            pytest.param("localhost", "127.0.0.1", id="name of loopback"),
            pytest.param("0x7f000004", "127.0.0.4", id="one number"),
        ],
    )
    async def test_to_where_no_cdn_is_is_refused_by_name(
        self, hub: Hub, strict: Mirror, layer: Blob, host: str, address: str
    ) -> None:
        accepted = hub.cdn.accepted
        hub.registry.faults.add(Redirect(f"https://{host}:{hub.cdn.port}/x"))
        answer = await get(strict, layer)
        assert answer.error == (502, "UNAVAILABLE")
        assert address in answer.message
        assert "docxy_redirect_private" in answer.message
        assert hub.cdn.accepted == accepted

    async def test_registry_may_be_private_since_the_owner_named_it(
        self, hub: Hub, strict: Mirror, image: Image
    ) -> None:
        token = await bearer(strict, "layers")
        answer = await ask(strict, "/v2/layers/tags/list", headers=token)
        assert answer.json["tags"][-1] == "latest"

    async def test_second_hop_is_checked_as_the_first(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        hub.cdn.faults.add(Redirect("https://169.254.169.254/latest/meta-data/"))
        answer = await get(mirror, layer)
        assert answer.error == (502, "UNAVAILABLE")
        assert "169.254.169.254" in answer.message


class TestLeaving:
    async def test_client_in_the_middle_of_a_blob(
        self, hub: Hub, large: Image, tmp_path: Path
    ) -> None:
        # A piece could be on its way as a whole.
        async with mirror_with(hub, tmp_path, {"docxy_pieces": "1"}) as mirror:
            token = await bearer(mirror, "large")
            async with connect(mirror) as connection:
                await connection.request(target_of(large.layers[0], "large"), headers=token)
                assert (await connection.head()).status == 200
                await connection.reader.readexactly(MIB)
                (seen,) = hub.requests.of("cdn")
                assert seen.ended == "open"
            # Not "whole", as a transfer would be that ran to its end.
            await hub.until(lambda: seen.ended == "left", 2)

    @pytest.mark.parametrize("role", ["registry", "cdn"])
    async def test_client_before_the_head(
        self, hub: Hub, mirror: Mirror, layer: Blob, role: str
    ) -> None:
        token = await bearer(mirror, "layers")
        hub.requests.clear()
        faults = hub.registry.faults if role == "registry" else hub.cdn.faults
        faults.add(Stall())
        async with connect(mirror) as connection:
            await connection.request(target_of(layer), headers=token)
            await hub.until(lambda: bool(hub.requests) and hub.requests[-1].role == role)
        await hub.until(lambda: hub.requests[-1].ended == "left", 2)

    async def test_slow_client_holds_the_upstream_back(
        self, hub: Hub, mirror: Mirror, large: Image
    ) -> None:
        token = await bearer(mirror, "large")
        async with connect(mirror) as connection:
            await connection.request(target_of(large.layers[0], "large"), headers=token)
            assert (await connection.head()).status == 200
            (seen,) = hub.requests.of("cdn")
            sent = -1
            async with asyncio.timeout(10):
                while sent != seen.sent:
                    sent = seen.sent
                    await asyncio.sleep(0.3)
            assert sent < LARGE / 4
            # And it goes on as soon as the client does.
            await connection.reader.readexactly(100 * MIB)


def break_for_good(hub: Hub, how: Delivery) -> None:
    """The first transfer breaks off, and none can go on where it did."""
    hub.cdn.faults.add(how, times=1)
    hub.cdn.faults.add(Status(404), skip=1)


class TestBroken:
    @pytest.mark.parametrize("end", ["fin", "rst"])
    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_upstream_that_breaks_off_is_never_a_clean_end(
        self, hub: Hub, mirror: Mirror, layer: Blob, framing: str, end: str
    ) -> None:
        break_for_good(hub, Delivery(framing, 200_000, end))  # type: ignore[arg-type]
        answer = await get(mirror, layer)
        assert (answer.status, answer.ended) == (200, "broken")
        assert len(answer.body) < layer.size
        assert content(layer).startswith(answer.body)

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_range_that_breaks_off_is_never_a_clean_end(
        self, hub: Hub, mirror: Mirror, layer: Blob, framing: str
    ) -> None:
        break_for_good(hub, Delivery(framing, 1000))  # type: ignore[arg-type]
        answer = await get(mirror, layer, Range="bytes=100000-399999")
        assert (answer.status, answer.ended) == (206, "broken")
        assert len(answer.body) < 300_000

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_manifest_that_breaks_off_is_never_a_clean_end(
        self, hub: Hub, mirror: Mirror, image: Image, framing: str
    ) -> None:
        headers = {**await bearer(mirror, "layers"), "Accept": image.manifest.media_type}
        hub.registry.faults.add(Delivery(framing, 100))  # type: ignore[arg-type]
        answer = await ask(mirror, "/v2/layers/manifests/latest", headers=headers)
        if framing == "length":
            # Small enough to be kept in the flow, so the client's head was not yet sent.
            assert answer.error == (502, "UNAVAILABLE")
        else:
            assert answer.ended == "broken"

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_manifest_by_digest_that_breaks_off_is_a_failure(
        self, hub: Hub, mirror: Mirror, image: Image, framing: str
    ) -> None:
        headers = {**await bearer(mirror, "layers"), "Accept": image.manifest.media_type}
        hub.registry.faults.add(Delivery(framing, 100))  # type: ignore[arg-type]
        hub.registry.faults.add(Header("Docker-Content-Digest", ""))
        target = f"/v2/layers/manifests/{image.manifest.digest}"
        assert (await ask(mirror, target, headers=headers)).error == (502, "UNAVAILABLE")

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_curl_says_so(self, hub: Hub, mirror: Mirror, layer: Blob, framing: str) -> None:
        token = await bearer(mirror, "layers")
        break_for_good(hub, Delivery(framing, 200_000))  # type: ignore[arg-type]
        url = mirror.url + target_of(layer)
        header = f"Authorization: {token['Authorization']}"
        process = await asyncio.create_subprocess_exec(
            "curl", "-s", "-H", header, url, stdout=DEVNULL
        )
        # 18: a part of the file; 56: failure in receiving.
        assert await process.wait() in (18, 56)

    async def test_http_1_0_client_sees_it_by_the_length(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        token = await bearer(mirror, "layers")
        break_for_good(hub, Delivery("length", 200_000))
        async with connect(mirror) as connection:
            authorization = f"Authorization: {token['Authorization']}"
            request = f"GET {target_of(layer)} HTTP/1.0\r\n{authorization}\r\n\r\n"
            await connection.send(request.encode())
            answer = await connection.answer()
        assert answer.ended == "broken"

    async def test_stalled_body_ends_with_the_time_out(
        self, hub: Hub, hasty: Mirror, layer: Blob
    ) -> None:
        break_for_good(hub, Delivery("length", 200_000, "stall"))
        started = time.monotonic()
        answer = await get(hasty, layer)
        assert (answer.status, answer.ended) == (200, "broken")
        assert 0.9 < time.monotonic() - started < 8

    async def test_next_request_is_served_on_a_new_connection(
        self, hub: Hub, mirror: Mirror, layer: Blob
    ) -> None:
        token = await bearer(mirror, "layers")
        break_for_good(hub, Delivery("length", 200_000))
        headers: Headers = token
        async with connect(mirror) as connection:
            answer = await connection.ask(target_of(layer), headers=headers)
            assert answer.ended == "broken"
            assert await connection.is_closed()
        got = len(answer.body)
        hub.cdn.faults.clear()
        answer = await ask(mirror, target_of(layer), headers={**token, "Range": f"bytes={got}-"})
        assert (answer.status, answer.body) == (206, content(layer)[got:])
