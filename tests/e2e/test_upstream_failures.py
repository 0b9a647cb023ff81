"""Upstreams that fail: an OCI error that names host and cause, soon, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from tests.e2e.client import Answer, ask
from tests.e2e.mirrors import mirror_with
from tests.hub import HangUp, Hub, Image, Redirect, Stall, Status
from tests.hub.hub import SERVICE
from tests.hub.server import RoleServer
from tests.hub.tokens import parse_scopes
from tests.running import Mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

Role = Literal["registry", "token", "cdn"]
ROLES: list[Role] = ["registry", "token", "cdn"]
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def image(shared_hub: Hub) -> Image:
    return shared_hub.add_image()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    """A mirror with short time-outs, whose log must hold no traceback at the end."""
    confdir = tmp_path_factory.mktemp("confdir")
    options = {"docxy_connect_timeout": "1", "docxy_stall_timeout": "1"}
    async with mirror_with(shared_hub, confdir, options) as mirror:
        yield mirror
        assert (await ask(mirror, "/health")).status == 200
    assert "Traceback" not in mirror.text
    assert "Signature=" not in mirror.text


@pytest_asyncio.fixture(loop_scope="module")
async def restored(hub: Hub) -> AsyncIterator[Hub]:
    """A Hub that listens again, with good certificates, when the test has ended."""
    yield hub
    for role in (hub.registry, hub.token, hub.cdn):
        await role.listen()
        role.use_certificate("good")


@pytest.fixture
def token(hub: Hub) -> dict[str, str]:
    """A token that the Hub's registry takes, got without the mirror."""
    signer, now = hub.state.signer, hub.settings.now()
    (access,) = parse_scopes(["repository:library/alpine:pull"])
    return {"Authorization": f"Bearer {signer.issue('', [access], now, 300)}"}


def server(hub: Hub, role: Role) -> RoleServer:
    return {"registry": hub.registry, "token": hub.token, "cdn": hub.cdn}[role]


def host(hub: Hub, role: Role) -> str:
    return server(hub, role).url.removeprefix("https://")


async def ask_for(
    mirror: Mirror, role: Role, image: Image, token: dict[str, str], method: str = "GET"
) -> Answer:
    """A request that needs this role of the Hub; it must not take longer than it may."""
    target = {
        "registry": "/v2/alpine/tags/list",
        "token": f"/auth/token?service={SERVICE}",
        "cdn": f"/v2/alpine/blobs/{image.config.digest}",
    }[role]
    started = time.monotonic()
    answer = await ask(mirror, target, method, {} if role == "token" else token)
    assert time.monotonic() - started < TIMEOUT + 2
    return answer


def check(answer: Answer, status: int, host: str, cause: str) -> None:
    assert answer.error == (status, "UNAVAILABLE")
    assert answer.headers["Content-Type"] == "application/json"
    assert host in answer.message
    assert cause in answer.message
    assert "Signature" not in answer.message
    assert "<" not in answer.message


@pytest.mark.parametrize("role", ROLES)
class TestConnections:
    async def test_refused(
        self, restored: Hub, mirror: Mirror, image: Image, token: dict[str, str], role: Role
    ) -> None:
        server(restored, role).refuse()
        answer = await ask_for(mirror, role, image, token)
        check(answer, 502, host(restored, role), "refused")

    @pytest.mark.parametrize(
        ("kind", "cause"),
        [
            pytest.param("other_ca", "unable to get local issuer", id="another CA"),
            pytest.param("wrong_name", "not valid for", id="another's name"),
            pytest.param("expired", "expired", id="expired"),
        ],
    )
    async def test_certificate(
        self,
        restored: Hub,
        mirror: Mirror,
        image: Image,
        token: dict[str, str],
        role: Role,
        kind: Literal["other_ca", "wrong_name", "expired"],
        cause: str,
    ) -> None:
        server(restored, role).use_certificate(kind)
        answer = await ask_for(mirror, role, image, token)
        check(answer, 502, host(restored, role), "TLS certificate is not valid")
        assert cause in answer.message
        assert not restored.requests.of(role)

    async def test_comes_back_by_itself(
        self, restored: Hub, mirror: Mirror, image: Image, token: dict[str, str], role: Role
    ) -> None:
        server(restored, role).refuse()
        assert (await ask_for(mirror, role, image, token)).status == 502
        await server(restored, role).listen()
        assert (await ask_for(mirror, role, image, token)).status == 200


@pytest.mark.parametrize("role", ROLES)
class TestAnswers:
    @pytest.mark.parametrize("end", ["fin", "rst"])
    async def test_hang_up_instead(
        self,
        hub: Hub,
        mirror: Mirror,
        image: Image,
        token: dict[str, str],
        role: Role,
        end: Literal["fin", "rst"],
    ) -> None:
        server(hub, role).faults.add(HangUp(end))
        answer = await ask_for(mirror, role, image, token)
        check(answer, 502, host(hub, role), "connection")

    @pytest.mark.parametrize("end", ["fin", "rst"])
    async def test_kept_connection_that_the_upstream_has_ended_is_not_the_clients_trouble(
        self,
        hub: Hub,
        mirror: Mirror,
        image: Image,
        token: dict[str, str],
        role: Role,
        end: Literal["fin", "rst"],
    ) -> None:
        assert (await ask_for(mirror, role, image, token)).status == 200
        server(hub, role).faults.add(HangUp(end), times=1)
        assert (await ask_for(mirror, role, image, token)).status == 200

    @pytest.mark.parametrize("status", [500, 503, 504])
    async def test_5xx_passes_as_it_is(
        self,
        hub: Hub,
        mirror: Mirror,
        image: Image,
        token: dict[str, str],
        role: Role,
        status: int,
    ) -> None:
        page = b"<html>upstream connect error</html>\n"
        server(hub, role).faults.add(Status(status, "17", page, "text/html"))
        answer = await ask_for(mirror, role, image, token)
        assert (answer.status, answer.body) == (status, page)
        assert answer.headers["Retry-After"] == "17"
        assert answer.headers["Content-Type"] == "text/html"


class TestSilence:
    """All roles at once, because each test waits for a time-out."""

    async def test_tls_handshake_that_never_ends(
        self, restored: Hub, mirror: Mirror, image: Image, token: dict[str, str]
    ) -> None:
        for role in ROLES[:2]:
            server(restored, role).mute()
        answers = [ask_for(mirror, role, image, token) for role in ROLES[:2]]
        for role, answer in zip(ROLES, await asyncio.gather(*answers), strict=False):
            check(answer, 504, host(restored, role), "time-out while connecting")

    async def test_tls_handshake_of_a_cdn_that_never_ends(
        self, restored: Hub, mirror: Mirror, image: Image, token: dict[str, str]
    ) -> None:
        restored.cdn.mute()
        answer = await ask_for(mirror, "cdn", image, token)
        check(answer, 504, host(restored, "cdn"), "time-out while connecting")

    async def test_answer_that_never_comes(
        self, hub: Hub, mirror: Mirror, image: Image, token: dict[str, str]
    ) -> None:
        hub.registry.faults.add(Stall(), path="/tags/list")
        hub.token.faults.add(Stall())
        hub.cdn.faults.add(Stall())
        asked = [ask_for(mirror, role, image, token) for role in ROLES]
        heads = [ask_for(mirror, role, image, token, "HEAD") for role in ("registry", "cdn")]
        answers = await asyncio.gather(*asked, *heads)
        for role, answer in zip(ROLES, answers, strict=False):
            check(answer, 504, host(hub, role), "time-out")
        for answer in answers[len(ROLES) :]:
            assert (answer.status, answer.body) == (504, b"")


async def test_token_service_that_redirects_is_not_followed(hub: Hub, mirror: Mirror) -> None:
    hub.token.faults.add(Redirect(f"{hub.cdn_url}/token"))
    answer = await ask(mirror, f"/auth/token?service={SERVICE}")
    check(answer, 502, host(hub, "token"), "redirects")
    assert not hub.requests.of("cdn")


async def test_listener_that_takes_no_connection(
    hub: Hub, mirror: Mirror, token: dict[str, str], image: Image
) -> None:
    """A full backlog: the kernel drops what would connect, as a line that is down does."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.5", 0))
        full.listen(0)
        for filling in (one, two):
            filling.setblocking(False)
            filling.connect_ex(full.getsockname())
        authority = f"127.0.0.5:{full.getsockname()[1]}"
        hub.registry.faults.add(Redirect(f"https://{authority}/x"), path="/blobs/")
        answer = await ask_for(mirror, "cdn", image, token)
    check(answer, 504, authority, "time-out while connecting")


async def test_name_of_a_cdn_that_does_not_exist(
    hub: Hub, mirror: Mirror, token: dict[str, str], image: Image
) -> None:
    hub.registry.faults.add(Redirect("https://name.invalid/x?Signature=secret"), path="/blobs/")
    answer = await ask_for(mirror, "cdn", image, token)
    check(answer, 502, "name.invalid", "DNS")


async def test_name_of_a_registry_that_does_not_exist(hub: Hub, tmp_path: Path) -> None:
    options = {"docxy_registry": "https://name.invalid", "docxy_token_service": None}
    async with mirror_with(hub, tmp_path, options) as mirror:
        for target in ("/v2/", "/v2/alpine/tags/list", "/auth/token?service=x"):
            check(await ask(mirror, target), 502, "name.invalid", "DNS")
        await mirror.log_line("name.invalid")
        assert "Traceback" not in mirror.text


class TestNotHttp:
    """An upstream that talks TLS, and then anything."""

    @staticmethod
    @asynccontextmanager
    async def talking(hub: Hub, folder: Path, reply: bytes) -> AsyncIterator[str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*hub.issue_certificate(folder, "127.0.0.5"))

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            writer.close()

        listener = await asyncio.start_server(talk, "127.0.0.5", 0, ssl=context)
        async with listener:
            yield f"127.0.0.5:{listener.sockets[0].getsockname()[1]}"

    @pytest.mark.parametrize(
        ("reply", "cause"),
        [
            pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP", id="another protocol"),
            pytest.param(b"\x00\x01\x02\x03" * 100, "not HTTP", id="binary"),
            pytest.param(b"HTTP/1.1 abc\r\n\r\n", "not HTTP", id="no status"),
            pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "not HTTP", id="no colon"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not HTTP", id="no length"
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
                "not HTTP",
                id="endless field",
            ),
            pytest.param(b"HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n", "700", id="status"),
            pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "without an answer", id="only 100"),
            pytest.param(b"", "without an answer", id="nothing"),
        ],
    )
    async def test_is_a_failure(
        self,
        hub: Hub,
        mirror: Mirror,
        token: dict[str, str],
        image: Image,
        tmp_path: Path,
        reply: bytes,
        cause: str,
    ) -> None:
        async with self.talking(hub, tmp_path, reply) as authority:
            hub.registry.faults.add(Redirect(f"https://{authority}/x"), path="/blobs/")
            answer = await ask_for(mirror, "cdn", image, token)
        check(answer, 502, authority, cause)

    async def test_chunks_that_are_none_are_a_broken_transfer(
        self, hub: Hub, mirror: Mirror, token: dict[str, str], image: Image, tmp_path: Path
    ) -> None:
        reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"
        async with self.talking(hub, tmp_path, reply) as authority:
            hub.registry.faults.add(Redirect(f"https://{authority}/x"), path="/blobs/")
            answer = await ask_for(mirror, "cdn", image, token)
        assert answer.ended == "broken" or answer.error == (502, "UNAVAILABLE")

    async def test_early_hints_are_passed_over(
        self, hub: Hub, mirror: Mirror, token: dict[str, str], image: Image, tmp_path: Path
    ) -> None:
        reply = (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        )
        async with self.talking(hub, tmp_path, reply) as authority:
            hub.registry.faults.add(Redirect(f"https://{authority}/x"), path="/blobs/")
            answer = await ask_for(mirror, "cdn", image, token)
        assert (answer.status, answer.body) == (200, b"hello")

    @pytest.mark.parametrize(
        "field",
        [
            pytest.param(b"X-Odd: a\tb", id="tab"),
            pytest.param("X-Odd: \u00e4".encode(), id="UTF-8"),
            pytest.param(b"X-Odd: \xe4\xff", id="Latin-1"),
            pytest.param(b"X-Odd:", id="empty"),
        ],
    )
    async def test_odd_field_passes(
        self,
        hub: Hub,
        mirror: Mirror,
        token: dict[str, str],
        image: Image,
        tmp_path: Path,
        field: bytes,
    ) -> None:
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + field + b"\r\n\r\nok"
        async with self.talking(hub, tmp_path, reply) as authority:
            hub.registry.faults.add(Redirect(f"https://{authority}/x"), path="/blobs/")
            answer = await ask_for(mirror, "cdn", image, token)
        assert (answer.status, answer.body) == (200, b"ok")
        value = field.partition(b":")[2].strip().decode("latin-1")
        assert answer.headers["X-Odd"] == value
