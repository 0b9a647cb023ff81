"""Twisted requests at a real mirror: nothing goes out but what a route asks for.

A trap counts connections to an address that requests name; the Hub counts its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aioquic.asyncio.client import connect as connect_quic
from aioquic.quic.configuration import QuicConfiguration

from tests import running
from tests.e2e.client import Answer, Connection, ask, bearer, connect, format_request
from tests.hub import Hub
from tests.ports import free_port
from tests.running import Mirror, page_line, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "d29uZGVybGFuZA-never-in-a-log"


class Trap:
    """An address that must never be reached."""

    def __init__(self) -> None:
        self.accepted = 0
        self.port = 0

    def met(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        writer.close()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trap() -> AsyncIterator[Trap]:
    trap = Trap()
    server = await asyncio.start_server(trap.met, "127.0.0.1", 0)
    trap.port = server.sockets[0].getsockname()[1]
    async with server:
        yield trap


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tls_mirror(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    folder = tmp_path_factory.mktemp("certificate")
    pair = shared_hub.issue_certificate(folder, "127.0.0.1", "mirror.test")
    confdir = tmp_path_factory.mktemp("confdir")
    async with running_mirror(
        shared_hub, confdir, certificate=pair, ca_file=shared_hub.ca_file
    ) as mirror:
        yield mirror


@pytest.fixture(params=["plain", "tls"])
def entrance(request: pytest.FixtureRequest, mirror: Mirror, tls_mirror: Mirror) -> Mirror:
    return mirror if request.param == "plain" else tls_mirror


def accepted(hub: Hub) -> int:
    return hub.registry.accepted + hub.token.accepted + hub.cdn.accepted


def assert_in_the_mirrors_form(answer: Answer) -> None:
    """No page, no product, no version; an error is an OCI error."""
    shown = repr(answer).lower()
    for word in ("mitmproxy", "html", "python", "aiohttp", "traceback"):
        assert word not in shown
    assert "server" not in answer.headers
    assert "via" not in answer.headers
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.error[0] == answer.status


async def answer_or_end(connection: Connection) -> Answer | None:
    """The final answer, or None where the connection was closed without one."""
    try:
        answer = await connection.answer()
        return await connection.answer() if answer.status == 100 else answer
    except (EOFError, ConnectionError):
        return None


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, "Host: {trap}", *fields, "", ""]).encode("latin-1")


SMUGGLED = b"GET /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: a\r\n\r\n"

# What is sent → the status that it gets, None where the connection is closed without an answer.
TWISTED: Mapping[str, tuple[bytes, int | None]] = {
    # where it is to go
    "absolute form to another host": (head("GET http://{trap}/v2/ HTTP/1.1"), 401),
    "absolute form with https": (head("GET https://{trap}/v2/ HTTP/1.1"), 401),
    "absolute form, no path of ours": (head("GET http://{trap}/api HTTP/1.1"), 404),
    "absolute form with a user": (head("GET http://u:" + SECRET + "@{trap}/ HTTP/1.1"), 400),
    "absolute form with ftp": (head("GET ftp://{trap}/v2/ HTTP/1.1"), 400),
    "a scheme and nothing": (head("GET http:// HTTP/1.1"), 400),
    "CONNECT": (head("CONNECT {trap} HTTP/1.1"), 400),
    "CONNECT in lower case": (head("connect {trap} HTTP/1.1"), 400),
    "CONNECT with a path": (head("CONNECT /v2/ HTTP/1.1"), 400),
    "a foreign Host": (head("GET / HTTP/1.1"), 404),
    "mitmproxy's magic host": (b"GET / HTTP/1.1\r\nHost: mitm.it\r\n\r\n", 404),
    "mitmproxy's magic host, absolute": (head("GET http://mitm.it/ HTTP/1.1"), 404),
    "no Host": (b"GET /v2/ HTTP/1.1\r\n\r\n", 401),
    "two Hosts": (head("GET /v2/ HTTP/1.1", "Host: mitm.it"), 401),
    "two slashes and a host": (head("GET //{trap}/v2/ HTTP/1.1"), 404),
    "an authority as the target": (head("GET {trap} HTTP/1.1"), 400),
    "a host and an at": (head("GET @{trap}/v2/ HTTP/1.1"), 400),
    "OPTIONS *": (head("OPTIONS * HTTP/1.1"), 404),
    "GET *": (head("GET * HTTP/1.1"), 404),
    "TRACE": (head("TRACE /v2/ HTTP/1.1", "Max-Forwards: 1"), 405),
    "forwarded for another": (head("GET /v2/ HTTP/1.1", "X-Forwarded-Host: {trap}"), 401),
    # what it is to become
    "an upgrade to WebSocket": (
        head(
            "GET /v2/ HTTP/1.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        401,
    ),
    "an upgrade to HTTP/2": (
        head(
            "GET /v2/ HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ),
        401,
    ),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", None),
    "a version that is not": (head("GET /v2/ HTTP/2.0"), 401),
    "a version of letters": (head("GET /v2/ HTTP/x.y"), 400),
    "HTTP/0.9": (b"GET /v2/\r\n\r\n", 400),
    "HTTP/1.0": (b"GET /v2/ HTTP/1.0\r\n\r\n", 401),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
    "SOCKS": (b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50\r\n\r\n", 400),
    "bytes": (bytes(range(32)) + b"\r\n\r\n", 400),
    # where it is to end
    "length and chunks": (
        head("POST /auth/token HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked")
        + b"0\r\n\r\n"
        + SMUGGLED,
        400,
    ),
    "two lengths": (
        head("POST /auth/token HTTP/1.1", "Content-Length: 0", f"Content-Length: {len(SMUGGLED)}")
        + SMUGGLED,
        400,
    ),
    "two lengths in one field": (
        head("POST /auth/token HTTP/1.1", f"Content-Length: 0, {len(SMUGGLED)}") + SMUGGLED,
        400,
    ),
    "a length below zero": (head("POST /auth/token HTTP/1.1", "Content-Length: -1"), 400),
    "a length with a plus": (head("POST /auth/token HTTP/1.1", "Content-Length: +3") + b"abc", 400),
    "chunks under another name": (
        head("POST /auth/token HTTP/1.1", "Transfer-Encoding: xchunked") + b"0\r\n\r\n" + SMUGGLED,
        400,
    ),
    "chunks twice": (
        head("POST /auth/token HTTP/1.1", "Transfer-Encoding: chunked, chunked")
        + b"0\r\n\r\n"
        + SMUGGLED,
        400,
    ),
    "chunks in HTTP/1.0": (
        head("POST /auth/token HTTP/1.0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    "a space before the colon": (
        head("POST /auth/token HTTP/1.1", "Content-Length : 5") + b"abcde",
        400,
    ),
    "a chunk of no size": (
        head("POST /auth/token HTTP/1.1", "Transfer-Encoding: chunked")
        + b"password="
        + SECRET.encode()
        + b"\r\n\r\n",
        None,
    ),
    "a chunk of a negative size": (
        head("POST /auth/token HTTP/1.1", "Transfer-Encoding: chunked") + b"-1\r\nabc\r\n",
        None,
    ),
    "a field that is folded": (head("GET /v2/ HTTP/1.1", "X-Long: a", "\tb"), 401),
    "a first field that is folded": (b"GET /v2/ HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a field without a colon": (head("GET /v2/ HTTP/1.1", "Authorization Basic " + SECRET), 400),
    "line feeds alone": (b"GET /v2/ HTTP/1.1\nHost: a\n\n", 401),
    "a carriage return in the target": (head("GET /v2/\rX: HTTP/1.1"), 400),
    "a nul in the target": (head("GET /v2/\0 HTTP/1.1"), 400),
    "not ASCII in the target": (head("GET /v2/\xff\xfe HTTP/1.1"), 400),
    "an escape in the method": (head("G\x1b[31mT /v2/ HTTP/1.1"), 405),
}


@pytest.mark.parametrize(("data", "status"), TWISTED.values(), ids=list(TWISTED))
async def test_a_twisted_request_reaches_nobody(
    entrance: Mirror, hub: Hub, trap: Trap, data: bytes, status: int | None
) -> None:
    before = accepted(hub)
    async with connect(entrance) as connection:
        await connection.send(data.replace(b"{trap}", trap.authority.encode()))
        answer = await answer_or_end(connection)
    assert (answer.status if answer else None) == status
    if answer:
        assert_in_the_mirrors_form(answer)
    assert trap.accepted == 0
    assert hub.requests == []
    assert accepted(hub) == before


async def test_a_refused_requests_connection_is_closed_so_that_nothing_hides_in_it(
    entrance: Mirror, hub: Hub
) -> None:
    data, _ = TWISTED["length and chunks"]
    async with connect(entrance) as connection:
        await connection.send(data)
        assert (await connection.answer()).status == 400
        assert await connection.is_closed()
    assert hub.requests == []


async def test_requests_sent_ahead_are_each_answered_in_order(entrance: Mirror, hub: Hub) -> None:
    targets = ("/v2/", "/health", "/nope", "/v2/", "/health")
    async with connect(entrance) as connection:
        await connection.send(b"".join(format_request(target) for target in targets))
        answers = [await connection.answer() for _ in targets]
    assert [answer.status for answer in answers] == [401, 200, 404, 401, 200]
    assert hub.requests == []


async def test_a_body_is_never_read_as_a_request(entrance: Mirror, hub: Hub) -> None:
    async with connect(entrance) as connection:
        answer = await connection.ask("/v2/", headers=(), body=SMUGGLED)
        assert answer.status == 401
        assert await connection.is_closed()
    assert hub.requests == []


async def test_a_push_is_refused_before_its_body_is_sent(entrance: Mirror) -> None:
    fields = {"Expect": "100-continue", "Content-Length": "1000000"}
    async with connect(entrance) as connection:
        await connection.request("/v2/a/blobs/uploads/1", "PUT", fields)
        answer = await connection.answer()
    assert answer.error == (405, "UNSUPPORTED")


async def test_a_form_is_asked_for_where_the_client_waits(entrance: Mirror, hub: Hub) -> None:
    body = b"grant_type=password&service=registry.hub.test&username=alice&password=wonderland"
    fields = {
        "Expect": "100-continue",
        "Content-Length": str(len(body)),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with connect(entrance) as connection:
        await connection.request("/auth/token", "POST", fields)
        assert (await connection.head()).status == 100
        await connection.send(body)
        assert (await connection.answer()).status == 200
    (seen,) = hub.requests.of("token", "POST")
    assert seen.asked.body == body


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("a/b,\r\n c/d", "a/b, c/d", id="a fold"),
        pytest.param("a/b\rX-Evil: 1", "a/b X-Evil: 1", id="a carriage return"),
        pytest.param("a/b\0c", "a/b c", id="a nul"),
    ],
)
async def test_a_field_cannot_become_two_on_its_way_upstream(
    mirror: Mirror, hub: Hub, value: str, expected: str
) -> None:
    """RFC 9110, section 5.5, and RFC 9112, section 5.2."""
    hub.add_image()
    token = await bearer(mirror, "library/alpine")
    hub.requests.clear()
    async with connect(mirror) as connection:
        fields = {**token, "Accept": "*/*", "User-Agent": value}
        answer = await connection.ask("/v2/alpine/manifests/latest", headers=fields)
    assert answer.status == 404, "the stand-in takes */* for no type that it has"
    (seen,) = hub.requests
    assert seen.asked.header("User-Agent") == expected
    assert "X-Evil" not in seen.asked.headers


# TLS.


@pytest.mark.parametrize(
    "name", ["registry-1.docker.io", "127.0.0.1", "mitm.it", "xn--nxasmq6b.test", None]
)
async def test_no_server_name_leads_anywhere(
    tls_mirror: Mirror, hub: Hub, trap: Trap, name: str | None
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = accepted(hub)
    reader, writer = await asyncio.open_connection(
        tls_mirror.host, tls_mirror.port, ssl=context, server_hostname=name or ""
    )
    answer = await Connection(reader, writer).ask("/v2/", headers={"Host": name or "a"})
    writer.transport.abort()
    assert answer.status == 401
    assert trap.accepted == 0
    assert accepted(hub) == before


async def test_tls_within_tls_is_not_http(tls_mirror: Mirror, hub: Hub) -> None:
    async with connect(tls_mirror) as connection:
        await connection.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n")
        answer = await answer_or_end(connection)
    assert answer is not None
    assert answer.status == 400
    assert hub.requests == []


# UDP.


def listens_on_udp(port: int) -> bool:
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)


async def test_a_request_over_http3_reaches_nobody(mirror: Mirror, hub: Hub) -> None:
    assert listens_on_udp(mirror.port), "nothing is shown where mitmproxy does not listen"
    before = accepted(hub)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind((hub.registry.host, hub.registry.port))
        upstream.setblocking(False)
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, server_name="a"
        )
        with pytest.raises((ConnectionError, TimeoutError)):
            async with (
                asyncio.timeout(1),
                connect_quic(mirror.host, mirror.port, configuration=configuration),
            ):
                raise AssertionError("a QUIC connection was accepted")
        with pytest.raises(BlockingIOError):
            upstream.recv(1)
    assert accepted(hub) == before
    assert (await ask(mirror, "/health")).status == 200


# mitmweb, whose page is on this machine too (CVE-2025-23217).


async def test_the_web_page_of_mitmweb_is_not_reached_through_the_mirror(
    shared_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = free_port()
    monkeypatch.setattr(running, "MITMDUMP", running.MITMDUMP.with_name("mitmweb"))
    options = ["--set", "web_open_browser=false", "--set", f"web_port={web}"]
    async with running_mirror(shared_hub, tmp_path, *options) as mirror:
        await mirror.log_line(page_line())
        for target in (f"http://127.0.0.1:{web}/flows", "/flows", f"http://localhost:{web}/"):
            answer = await ask(mirror, target, headers={"Host": f"127.0.0.1:{web}"})
            assert answer.status == 404
            assert_in_the_mirrors_form(answer)


async def test_the_magic_host_stays_away_when_host_fields_are_kept(
    shared_hub: Hub, tmp_path: Path
) -> None:
    """mitmproxy's own page answers for mitm.it on port 80 wherever it sees that name."""
    port = free_port()
    mode = ["--mode", f"reverse:http://127.0.0.9:80@127.0.0.1:{port}"]
    options = ["--set", "keep_host_header=true"]
    async with running_mirror(shared_hub, tmp_path, *options, modes=mode, port=port) as mirror:
        answer = await ask(mirror, "/", headers={"Host": "mitm.it"})
    assert answer.error == (404, "UNSUPPORTED")


# A fault in the mirror itself.

BROKEN = {
    "the answer": "from addon.answering.answering import Answering as where; name = 'answer'",
    "the reading of a request": "from addon import hooks as where; name = 'to_incoming'",
}
BROKEN_SCRIPT = """
{found}

def fail(*_):
    raise RuntimeError("broken on purpose")

setattr(where, name, fail)
"""


@pytest.mark.parametrize("found", BROKEN.values(), ids=list(BROKEN))
async def test_a_fault_in_a_hook_is_a_500_and_nothing_goes_out(
    hub: Hub, tmp_path: Path, found: str
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN_SCRIPT.format(found=found))
    before = accepted(hub)
    async with running_mirror(hub, tmp_path / "confdir", "-s", str(script)) as mirror:
        # An error that is logged before this ends the start.
        await mirror.log_line("daemon.json")
        for method, body in (("GET", None), ("POST", b"service=a"), ("PUT", b"layer")):
            answer = await ask(mirror, "/auth/token", method, {"Authorization": SECRET}, body)
            assert answer.error == (500, "UNKNOWN")
            assert_in_the_mirrors_form(answer)
        await mirror.log_line("broken on purpose")
        assert SECRET not in mirror.text
    assert accepted(hub) == before
    assert hub.requests == []


# Who is served.


@dataclass(frozen=True)
class Asked:
    """One request of a peer in a namespace of its own."""

    source: str
    target: str = "/health"
    tls: bool = False
    fields: tuple[tuple[str, str], ...] = ()


PUBLIC, PUBLIC6, PRIVATE = "203.0.113.7", "2001:db8::7", "10.1.2.3"
CHALLENGE = "/.well-known/acme-challenge/token"
PEERS: Mapping[str, tuple[Asked, int]] = {
    "public": (Asked(PUBLIC), 403),
    "public, IPv6": (Asked(PUBLIC6), 403),
    "public, for the registry": (Asked(PUBLIC, "/v2/"), 403),
    "public, for a token": (Asked(PUBLIC, "/auth/token"), 403),
    "public, says that it is local": (
        Asked(PUBLIC, fields=(("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1"))),
        403,
    ),
    "public, over mitmproxy's own TLS": (Asked(PUBLIC, tls=True), 403),
    "public, the authority's challenge": (Asked(PUBLIC, CHALLENGE), 200),
    "public, out of the challenges": (Asked(PUBLIC, CHALLENGE + "/../../secret"), 404),
    "private": (Asked(PRIVATE), 200),
    "private, for the registry": (Asked(PRIVATE, "/v2/"), 401),
    "loopback": (Asked("127.0.0.1"), 200),
    "loopback, IPv6": (Asked("::1"), 200),
}


async def ask_from(asked: Asked, port: int) -> Answer:
    context = None
    if asked.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        asked.source, port, ssl=context, local_addr=(asked.source, 0)
    )
    answer = await Connection(reader, writer).ask(asked.target, headers=asked.fields)
    writer.transport.abort()
    return answer


async def ask_as_all_peers(folder: Path) -> None:
    """Runs in a network namespace of its own, whose loopback has the peers' addresses."""
    webroot = folder / "webroot"
    (webroot / CHALLENGE[1:]).parent.mkdir(parents=True)
    (webroot / CHALLENGE[1:]).write_text("proof")
    (webroot / "secret").write_text(SECRET)
    port = free_port()
    arguments = ["--set", f"docxy_acme_webroot={webroot}", "--set", "docxy_service=a"]
    arguments += ["--set", "docxy_token_service=https://127.0.0.9/token"]
    modes = ["--mode", f"reverse:http://127.0.0.9:443@{port}"]
    async with running_mirror(
        None, folder / "confdir", *arguments, modes=modes, port=port
    ) as mirror:
        statuses = {}
        for name, (asked, _) in PEERS.items():
            answer = await ask_from(asked, mirror.port)
            statuses[name] = answer.status
            assert SECRET.encode() not in answer.body
    print(json.dumps(statuses))


NAMESPACE = """
set -e
ip link set lo up
for address in 203.0.113.7/32 10.1.2.3/32; do ip addr add $address dev lo; done
ip addr add 2001:db8::7/128 dev lo nodad
exec "$0" -c 'import asyncio, pathlib, sys; from tests.e2e import test_safety
asyncio.run(test_safety.ask_as_all_peers(pathlib.Path(sys.argv[1])))' "$1"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def statuses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    folder = str(tmp_path_factory.mktemp("peers"))
    own = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
    command = ["unshare", *own, "sh", "-c", NAMESPACE, sys.executable, folder]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=running.PROJECT, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, int] = json.loads(output.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", PEERS)
async def test_without_a_certificate_only_local_peers_are_served(
    statuses: dict[str, int], name: str
) -> None:
    _, expected = PEERS[name]
    assert statuses[name] == expected


# Behind a proxy.

PROXY, SECOND_PROXY, STRANGER = "127.0.0.21", "127.0.0.22", "127.0.0.23"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    settings = {
        "docxy_behind_proxy": f"{PROXY},{SECOND_PROXY}/32",
        "docxy_public_url": "https://mirror.example.com",
    }
    confdir = tmp_path_factory.mktemp("confdir")
    arguments = running.settings_arguments(settings)
    async with running_mirror(shared_hub, confdir, *arguments) as mirror:
        yield mirror


@contextlib.asynccontextmanager
async def from_address(mirror: Mirror, source: str) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(mirror.host, mirror.port, local_addr=(source, 0))
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("source", "forwarded", "client"),
    [
        pytest.param(PROXY, "198.51.100.9", "198.51.100.9", id="one proxy"),
        pytest.param(PROXY, f"198.51.100.10, {SECOND_PROXY}", "198.51.100.10", id="two proxies"),
        pytest.param(PROXY, "6.6.6.6, 198.51.100.11", "198.51.100.11", id="a made up one before"),
        pytest.param(PROXY, "no address", PROXY, id="nonsense"),
    ],
)
async def test_a_proxy_in_front_is_served_and_says_who_asks(
    behind: Mirror, source: str, forwarded: str, client: str
) -> None:
    async with from_address(behind, source) as connection:
        answer = await connection.ask("/v2/", headers={"X-Forwarded-For": forwarded})
    assert answer.status == 401
    assert 'realm="https://mirror.example.com/auth/token"' in answer.headers["WWW-Authenticate"]
    await behind.log_line(f" {client} GET /v2/: 401")


@pytest.mark.parametrize("target", ["/v2/", "/auth/token"])
async def test_behind_a_proxy_nobody_else_is_served(behind: Mirror, target: str) -> None:
    async with from_address(behind, STRANGER) as connection:
        answer = await connection.ask(target, headers={"X-Forwarded-For": PROXY})
    assert answer.error == (403, "DENIED")
    await behind.log_line(f" {STRANGER} GET {target}: 403")


# The log.


async def test_the_log_holds_no_secret_and_no_control_character(
    mirror: Mirror, tls_mirror: Mirror
) -> None:
    for text in (mirror.text, tls_mirror.text):
        assert SECRET not in text
        assert "wonderland" not in text
        assert "Traceback" not in text
        assert "crashed" not in text
        assert [c for c in text if ord(c) < 32 and c != "\n"] == []


async def test_the_log_names_an_upstream_only_where_one_was_asked(mirror: Mirror, hub: Hub) -> None:
    assert (await ask(mirror, "/v2/refused", "PUT", body=b"a")).status == 405
    assert "<-" not in await mirror.log_line("PUT /v2/refused: 405")
    hub.add_image()
    await bearer(mirror, "library/alpine")
    assert hub.token_url in await mirror.log_line("GET /auth/token: 200")
