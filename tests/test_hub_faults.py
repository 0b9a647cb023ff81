"""Each fault does what its name says, and only where and as often as it was set."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from tests.hub import (
    Delay,
    Delivery,
    ExpiredRedirect,
    ExpiredToken,
    Flip,
    Gzip,
    HangUp,
    Header,
    Hub,
    NoRange,
    Redirect,
    Stall,
    Status,
    relative,
)
from tests.hub.background import in_background
from tests.hub.certificates import Kind
from tests.hub.content import InMemory, digest_of
from tests.hub.exchange import Answer, Asked
from tests.hub.faults import End, Fault, Framing
from tests.hub.raw import RawAnswer, ask

CONTENT = bytes(range(256)) * 4000
ADDRESS = f"/v2/demo/notes/blobs/{digest_of(InMemory(CONTENT))}"


@dataclass(frozen=True)
class Puller:
    hub: Hub
    token: str

    async def redirect(self, **headers: str) -> RawAnswer:
        bearer = {"Authorization": f"Bearer {self.token}"}
        return await self.ask(f"{self.hub.registry_url}{ADDRESS}", **bearer, **headers)

    async def blob(self, **headers: str) -> RawAnswer:
        return await self.ask((await self.redirect()).headers["Location"], **headers)

    async def ask(self, url: str, **headers: str) -> RawAnswer:
        return await ask(url, headers=headers, tls=self.hub.client_context())


@dataclass(frozen=True)
class Leaving(Fault):
    """A large body whose client leaves while the Hub makes the next bytes of it."""

    client: socket.socket
    size: ClassVar = 64 * 1024 * 1024

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        return replace(answer, body=self)

    def read(self, start: int, stop: int) -> bytes:
        if start >= 1024 * 1024:
            self.client.close()
        return bytes(stop - start)


@dataclass(frozen=True)
class Gone(Fault):
    """A large body whose connection is lost while the Hub makes the next bytes of it."""

    hub: Hub
    size: ClassVar = 64 * 1024 * 1024

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        return replace(answer, body=self)

    def read(self, start: int, stop: int) -> bytes:
        if start >= 1024 * 1024:
            self.hub.cdn.drop_connections()
        return bytes(stop - start)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        hub.add_artifact("demo/notes", "1", {"application/octet-stream": CONTENT})
        yield hub


@pytest.fixture
async def puller(hub: Hub) -> Puller:
    url = f"{hub.token_url}?service={hub.service}&scope=repository:demo/notes:pull"
    return Puller(hub, (await ask(url, tls=hub.client_context())).json["token"])


class TestSwitch:
    async def test_fault_hits_so_many_requests_and_then_no_more(
        self, hub: Hub, puller: Puller
    ) -> None:
        switch = hub.cdn.faults.add(Status(503, retry_after="1"), times=2, skip=1)
        answers = [await puller.blob() for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 503, 503, 200]
        assert answers[1].headers["Retry-After"] == "1"
        assert switch.hits == 2

    async def test_fault_hits_only_what_it_is_for(self, hub: Hub, puller: Puller) -> None:
        hub.registry.faults.add(Status(500), path="/manifests/")
        hub.registry.faults.add(Status(500), method="HEAD")
        hub.registry.faults.add(Status(500), when=lambda asked: "X-Bad" in asked.headers)
        assert (await puller.redirect()).status == 307
        assert (await puller.redirect(**{"X-Bad": "1"})).status == 500

    async def test_fault_can_be_taken_back(self, hub: Hub, puller: Puller) -> None:
        switch = hub.cdn.faults.add(Status(500))
        assert (await puller.blob()).status == 500
        switch.off()
        assert (await puller.blob()).status == 200
        hub.cdn.faults.add(Status(500))
        hub.cdn.faults.clear()
        assert (await puller.blob()).status == 200


class TestAnswers:
    async def test_flip_changes_one_byte_and_not_the_length(self, hub: Hub, puller: Puller) -> None:
        hub.cdn.faults.add(Flip(at=700_000))
        answer = await puller.blob()
        assert answer.ended == "whole"
        pairs = enumerate(zip(answer.body, CONTENT, strict=True))
        assert [at for at, (got, right) in pairs if got != right] == [700_000]

    async def test_no_range_answers_whole(self, hub: Hub, puller: Puller) -> None:
        assert (await puller.blob(Range="bytes=5-")).status == 206
        hub.cdn.faults.add(NoRange())
        answer = await puller.blob(Range="bytes=5-")
        assert (answer.status, answer.body) == (200, CONTENT)

    async def test_gzip_only_for_who_asks_for_it(self, hub: Hub, puller: Puller) -> None:
        hub.cdn.faults.add(Gzip())
        assert (await puller.blob(**{"Accept-Encoding": "identity"})).body == CONTENT
        answer = await puller.blob(**{"Accept-Encoding": "gzip, deflate"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.body[:2] == b"\x1f\x8b"

    async def test_expired_token_is_challenged_as_invalid(self, hub: Hub, puller: Puller) -> None:
        hub.registry.faults.add(ExpiredToken(), times=1)
        answer = await puller.redirect()
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].endswith(',error="invalid_token"')
        assert (await puller.redirect()).status == 307

    async def test_expired_redirect_is_refused_by_the_cdn(self, hub: Hub, puller: Puller) -> None:
        hub.registry.faults.add(ExpiredRedirect(), times=1)
        assert [(await puller.blob()).status for _ in range(2)] == [403, 200]

    async def test_header_replaces_or_adds_one(self, hub: Hub, puller: Puller) -> None:
        hub.cdn.faults.add(Header("ETag", '"other"'))
        assert (await puller.blob()).headers.getall("ETag") == ['"other"']


class TestRedirects:
    async def test_redirect_may_lead_anywhere(self, hub: Hub, puller: Puller) -> None:
        hub.registry.faults.add(Redirect("http://127.0.0.1:1/x", status=302), times=1)
        answer = await puller.redirect()
        assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:1/x")
        hub.registry.faults.add(Redirect(lambda url: url.replace("https:", "http:")))
        assert (await puller.redirect()).headers["Location"].startswith("http://127.0.0.")

    async def test_cdn_may_redirect_so_many_times_to_itself(self, hub: Hub, puller: Puller) -> None:
        hub.cdn.faults.add(Redirect(lambda target: target), times=3)
        location, hops = (await puller.redirect()).headers["Location"], 0
        while (answer := await puller.ask(location)).status == 307:
            hops += 1
            location = hub.cdn_url + answer.headers["Location"]
        assert (hops, answer.body) == (3, CONTENT)

    async def test_registry_serves_what_it_redirects_to_itself(
        self, hub: Hub, puller: Puller
    ) -> None:
        hub.registry.faults.add(Redirect(relative), times=1)
        location = (await puller.redirect()).headers["Location"]
        assert location.startswith("/")
        assert (await puller.ask(hub.registry_url + location)).body == CONTENT


class TestDelivery:
    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_framing_of_a_whole_body(
        self, hub: Hub, puller: Puller, framing: Framing
    ) -> None:
        hub.cdn.faults.add(Delivery(framing))
        answer = await puller.blob()
        assert (answer.body, answer.ended) == (CONTENT, "whole")
        framed = {"Content-Length", "Transfer-Encoding"} & set(answer.headers)
        assert framed == {
            "length": {"Content-Length"},
            "chunked": {"Transfer-Encoding"},
            "close": set(),
        }[framing]  # fmt: skip
        assert hub.requests[-1].ended == "whole"

    @pytest.mark.parametrize("after", [0, 1, 300_000])
    @pytest.mark.parametrize(
        ("framing", "end", "ended"),
        [
            ("length", "fin", "short"),
            ("length", "rst", "reset"),
            ("chunked", "fin", "short"),
            ("chunked", "rst", "reset"),
            # Nobody can tell this from a whole body but by its digest.
            ("close", "fin", "whole"),
            ("close", "rst", "reset"),
        ],
    )
    async def test_body_breaks_off_after_so_many_bytes(
        self, hub: Hub, puller: Puller, framing: Framing, end: End, ended: str, after: int
    ) -> None:
        hub.cdn.faults.add(Delivery(framing, after=after, end=end))
        answer = await puller.blob()
        assert answer.status == 200
        assert (answer.body, answer.ended) == (CONTENT[:after], ended)
        seen = hub.requests[-1]
        assert (seen.sent, seen.ended) == (after, "broken")

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_stall_in_a_body_lasts(self, hub: Hub, puller: Puller, framing: Framing) -> None:
        hub.cdn.faults.add(Delivery(framing, after=10, end="stall"))
        location = (await puller.redirect()).headers["Location"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(puller.ask(location), 0.1)
        assert hub.requests[-1].sent == 10
        await self._left(hub)

    async def test_stall_is_never_answered(self, hub: Hub, puller: Puller) -> None:
        hub.registry.faults.add(Stall())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(puller.redirect(), 0.1)
        assert hub.requests[-1].status is None
        await self._left(hub)

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_client_that_leaves_in_a_body_is_noticed(
        self, hub: Hub, puller: Puller, framing: Framing
    ) -> None:
        parts = urlsplit((await puller.redirect()).headers["Location"])
        with socket.create_connection((parts.hostname, parts.port)) as plain:
            client = hub.client_context().wrap_socket(
                plain, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
            hub.cdn.faults.add(Leaving(client))
            hub.cdn.faults.add(Delivery(framing))
            target = f"{parts.path}?{parts.query}"
            request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
            await asyncio.to_thread(client.sendall, request.encode())  # the handshake before it
            await self._left(hub)
        assert hub.requests[-1].sent < Leaving.size

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_client_that_is_gone_before_the_handler_is_told_is_no_error_of_the_hubs(
        self, hub: Hub, puller: Puller, framing: Framing, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The next write fails, as it does in the moment between a reset and the cancelling."""
        hub.cdn.faults.add(Gone(hub))
        hub.cdn.faults.add(Delivery(framing))
        answer = await puller.blob()
        assert answer.ended in ("short", "reset")
        assert hub.requests[-1].ended == "left"
        await self._left(hub)
        assert "Error handling request" not in caplog.text

    async def _left(self, hub: Hub) -> None:
        """The client that gave up is noticed: a mirror must let go of its upstream at once."""
        await hub.until(lambda: hub.requests[-1].ended == "left")
        await hub.until(lambda: hub.cdn.open == hub.registry.open == 0)

    @pytest.mark.parametrize(("end", "ended"), [("fin", "short"), ("rst", "reset")])
    async def test_hang_up_gives_no_head(
        self, hub: Hub, puller: Puller, end: End, ended: str
    ) -> None:
        assert end != "stall"
        hub.registry.faults.add(HangUp(end))
        answer = await puller.redirect()
        assert (answer.status, answer.ended) == (0, ended)

    async def test_delay_comes_before_the_answer(self, hub: Hub, puller: Puller) -> None:
        hub.registry.faults.add(Delay(0.1))
        started = asyncio.get_running_loop().time()
        assert (await puller.redirect()).status == 307
        assert asyncio.get_running_loop().time() - started >= 0.1

    async def test_faults_add_up(self, hub: Hub, puller: Puller) -> None:
        faults: list[Fault] = [Flip(at=0), Delivery("chunked", after=2)]
        for fault in faults:
            hub.cdn.faults.add(fault)
        answer = await puller.blob()
        assert (answer.body, answer.ended) == (b"\xff\x01", "short")


class TestConnections:
    async def test_refused_until_it_listens_again_on_the_same_port(
        self, hub: Hub, puller: Puller
    ) -> None:
        port = hub.registry.port
        hub.registry.refuse()
        with pytest.raises(ConnectionRefusedError):
            await puller.redirect()
        await hub.registry.listen()
        assert hub.registry.port == port
        assert (await puller.redirect()).status == 307

    async def test_refusing_drops_what_is_open(self, hub: Hub) -> None:
        reader, writer = await asyncio.open_connection(
            urlsplit(hub.registry_url).hostname, hub.registry.port, ssl=hub.client_context()
        )
        writer.write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert hub.registry.open == 1
        hub.registry.refuse()
        await asyncio.wait_for(reader.read(), 2)
        await hub.until(lambda: not hub.registry.open)
        writer.transport.abort()

    async def test_mute_takes_the_connection_and_hangs_in_the_handshake(
        self, hub: Hub, puller: Puller
    ) -> None:
        hub.registry.mute()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(puller.redirect(), 0.1)
        await hub.registry.listen()
        assert (await puller.redirect()).status == 307

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("other_ca", "unable to get local issuer|self.signed"),
            ("wrong_name", "(?i)ip address mismatch|hostname mismatch"),
            ("expired", "expired"),
        ],
    )
    async def test_wrong_certificate_fails_and_the_good_one_works_again(
        self, hub: Hub, puller: Puller, kind: Kind, message: str
    ) -> None:
        hub.registry.use_certificate(kind)
        with pytest.raises(ssl.SSLCertVerificationError, match=message):
            await puller.redirect()
        hub.registry.use_certificate("good")
        assert (await puller.redirect()).status == 307


def test_hub_runs_in_a_thread_of_its_own() -> None:
    hub = Hub(tls=False)
    with in_background(hub) as background:
        hub.add_image()
        answer = background.run(ask(f"{hub.registry_url}/v2/"))
        assert answer.status == 401
        assert len(hub.requests) == 1
        background.call(hub.registry.refuse)
        with pytest.raises(ConnectionRefusedError):
            background.run(ask(f"{hub.registry_url}/v2/"))
