"""Secrets at a real mirror: they pass by, and stand in nothing that it shows, saves or logs."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlencode

import aiohttp
import pytest
import pytest_asyncio
from mitmproxy import version

from tests import running
from tests.e2e.client import ask, connect, format_request
from tests.hub import Header, Hub
from tests.hub.hub import SERVICE
from tests.hub.media_types import OCI_MANIFEST
from tests.ports import free_port
from tests.running import Mirror, page_line, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Another in each of the forms in which one may stand somewhere.
PASSWORD = "sw0rd+fish/&%of=alice"
COOKIE = "c00kie-0f-an-0ld-l0gin"
IN_A_QUERY = "p4ss-in-the-query"
SIGNATURE = "5ign4ture%2Fof%2Ban%2Baddress%3D"
HALF_SENT = "bmV2ZXItZmluaXNoZWQtaGVhZA"
NO_COLON = "d2l0aG91dC1hLWNvbG9u"
IN_A_NAME = "aW4tdGhlLW5hbWUtaXRzZWxm"
IN_A_CHUNK = "w0rd-where-a-chunk-begins"
WEB_PASSWORD = "0f-the-page"  # of mitmweb's, for whoever started it

REPOSITORY = "me/private"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SCOPE = {"service": SERVICE, "scope": f"repository:{REPOSITORY}:pull", "client_id": "docker"}


@dataclass
class Pulled:
    """What a client got, byte for byte, and the secrets in it or in what it sent."""

    sent: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)

    @property
    def shown_where_asked(self) -> list[str]:
        """What a flow holds where its owner asks for secrets."""
        secrets = [PASSWORD, COOKIE, IN_A_QUERY, SIGNATURE, *self.tokens, *self.refresh_tokens]
        return [*secrets, b64encode(f"alice:{PASSWORD}".encode()).decode()]


class Client:
    """Asks a mirror, each time over a connection that ends with the answer."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.pulled = Pulled()

    async def ask(
        self,
        target: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        form: str = "",
    ) -> bytes:
        """The answer's body; its bytes are kept, but for the time in them."""
        fields = {"Connection": "close", "Cookie": f"sid={COOKIE}", **(headers or {})}
        raw = await self.send(format_request(target, method, fields, form.encode() or None))
        self.pulled.answers.append(re.sub(rb"(?i)\r\ndate:[^\r]*", b"", raw))
        return raw.partition(b"\r\n\r\n")[2]

    async def send(self, data: bytes, *, then_leave: bool = False) -> bytes:
        """Whatever comes back until the mirror ends the connection."""
        self.pulled.sent.append(data)
        async with connect(self._mirror) as connection:
            await connection.send(data)
            if then_leave:
                connection.writer.write_eof()
            async with asyncio.timeout(10):
                return await connection.reader.read()

    async def token(self, target: str, *asked: Any, **more: Any) -> dict[str, str]:
        answer = json.loads(_unchunked(await self.ask(target, *asked, **more)))
        self.pulled.tokens.append(answer["token"])
        if "refresh_token" in answer:
            self.pulled.refresh_tokens.append(answer["refresh_token"])
        return {"Authorization": f"Bearer {answer['token']}"}


def _unchunked(body: bytes) -> bytes:
    return re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body) if body[:1] != b"{" else body


async def pull(mirror: Mirror, hub: Hub) -> Pulled:
    """A private image, with a login of each kind."""
    client = Client(mirror)
    image = hub.state.repository(REPOSITORY)
    await client.ask("/v2/")
    query = urlencode({**SCOPE, "account": "alice", "offline_token": "true"})
    basic = {"Authorization": "Basic " + b64encode(f"alice:{PASSWORD}".encode()).decode()}
    await client.token(f"/auth/token?{query}&password={IN_A_QUERY}", headers=basic)
    login = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    form = urlencode({**login, **SCOPE, "access_type": "offline"})
    await client.token("/auth/token", "POST", FORM, form=form)
    refresh = {"grant_type": "refresh_token", "refresh_token": client.pulled.refresh_tokens[-1]}
    form = urlencode({**refresh, **SCOPE})
    bearer = await client.token("/auth/token", "POST", FORM, form=form)
    await client.ask(f"/health?X-Amz-Date=1&X-Amz-Signature={SIGNATURE}")
    accept = {**bearer, "Accept": OCI_MANIFEST}
    await client.ask(f"/v2/{REPOSITORY}/manifests/latest", "HEAD", accept)
    manifest = json.loads(await client.ask(f"/v2/{REPOSITORY}/manifests/latest", headers=accept))
    for blob in (manifest["config"], *manifest["layers"]):
        await client.ask(f"/v2/{REPOSITORY}/blobs/{blob['digest']}", headers=bearer)
    assert len(client.pulled.answers) == 7 + len(manifest["layers"]) + 1
    assert all(b"HTTP/1.1 200" in answer for answer in client.pulled.answers[1:]), image
    return client.pulled


async def fail(mirror: Mirror) -> list[str]:
    """Requests that never become one, each with a secret."""
    client = Client(mirror)
    start = "GET /auth/token HTTP/1.1\r\nHost: a\r\n"
    await client.send(f"{start}Authorization: Basic {HALF_SENT}".encode(), then_leave=True)
    await client.send(f"{start}Authorization Basic {NO_COLON}\r\n\r\n".encode())
    await client.send(f"{start}Authorization Basic {IN_A_NAME}: x\r\n\r\n".encode())
    chunk = f"Transfer-Encoding: chunked\r\n\r\npassword={IN_A_CHUNK}\r\n\r\n"
    await client.send(start.replace("GET", "POST").encode() + chunk.encode())
    return [HALF_SENT, NO_COLON, IN_A_NAME, IN_A_CHUNK]


def presigned(hub: Hub) -> list[str]:
    """What opens the blobs that the Hub's CDN was asked for."""
    targets = [seen.target for seen in hub.requests.of("cdn")]
    signatures = [re.findall(r"[?&]Signature=([^&]+)", target) for target in targets]
    return [form for (signature,) in signatures for form in (signature, unquote(signature))]


def forms_of(secret: str) -> Iterator[str]:
    """A secret as it may stand somewhere."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret), quote(secret))
    yield json.dumps(secret)[1:-1]
    # In base64 what stands before it decides which of three forms it has; its ends are others'.
    for before in range(3):
        encoded = b64encode(b"\0" * before + secret.encode()).decode()
        yield encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4]
    yield secret.rpartition(".")[2]  # of a token: its signature


def found(secrets: Sequence[str], content: bytes) -> list[str]:
    """The secrets that stand in `content` in one form or another."""
    return [s for s in secrets if any(form.encode() in content for form in forms_of(s))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_hub() -> AsyncIterator[Hub]:
    async with Hub(users={"alice": PASSWORD}) as hub:
        hub.add_image(REPOSITORY, layers=(2000, 300_000), platforms="linux/amd64", private=True)
        yield hub


def options(shows_secrets: bool) -> list[str]:
    shown = ["--set", "docxy_show_secrets=true"] if shows_secrets else []
    return ["--set", "docxy_remember=false", *shown]


async def test_the_search_finds_each_form() -> None:
    for written in (PASSWORD, quote_plus(PASSWORD), f"x{json.dumps({'a': PASSWORD})}"):
        assert found([PASSWORD], written.encode())
    for before in ("", "u", "us", "use", "alice:"):
        for after in ("", "1", "12"):
            encoded = b64encode(f"{before}{PASSWORD}{after}".encode())
            assert found([PASSWORD], b"Basic " + encoded)
    assert not found([PASSWORD, COOKIE], b"alice:[redacted]")


@pytest.mark.parametrize("shows_secrets", [False, True], ids=["redacted", "shown"])
async def test_what_mitmdump_saves_and_says(hub: Hub, tmp_path: Path, shows_secrets: bool) -> None:
    saved, har = tmp_path / "flows.mitm", tmp_path / "flows.har"
    recorders = ["-w", str(saved), "--set", f"hardump={har}"]
    # All that mitmproxy can say: each flow with its bodies, and each byte that comes and goes.
    # (-v would set another flow_detail.)
    loud = ["--set", "termlog_verbosity=debug", "--flow-detail", "4", "--set", "proxy_debug=true"]
    async with running_mirror(
        hub, tmp_path / "confdir", *options(shows_secrets), *recorders, *loud
    ) as mirror:
        pulled = await pull(mirror, hub)
        failed = await fail(mirror)
        await mirror.log_line("head was not valid HTTP")
        assert await mirror.stop() == 0
    places = {"-w": saved.read_bytes(), "hardump": har.read_bytes()}
    places["log"] = mirror.text.encode()
    places["-r"] = await read_again(saved)
    assert all(REPOSITORY.encode() in content for content in places.values())
    asked = pulled.shown_where_asked
    if shows_secrets:
        # A view shows a token's answer, and shows no token whatever is set.
        sent = found(asked, b"".join(pulled.sent))
        assert len(sent) > 5
        for name, content in places.items():
            expected = sent if name in ("log", "-r") else asked
            assert (name, [s for s in expected if s not in found(asked, content)]) == (name, [])
        return
    secrets = [*asked, *failed, *presigned(hub)]
    assert len(secrets) > 12
    for name, content in places.items():
        assert (name, found(secrets, content)) == (name, [])
        assert b"[redacted]" in content


async def read_again(saved: Path) -> bytes:
    """What `mitmdump -nr` says of a file."""
    words = ["-n", "-r", str(saved), "--flow-detail", "4", "--set", f"confdir={saved.parent}"]
    process = await asyncio.create_subprocess_exec(
        str(running.MITMDUMP), *words, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return said


async def test_a_pull_is_the_same_byte_for_byte(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a client's own cookie, and where a token comes in the answer."""
    issue = hub.state.signer.issue
    issued: dict[object, str] = {}

    def once(subject: str, granted: Any, *rest: Any) -> str:
        return issued.setdefault((subject, tuple(granted)), issue(subject, granted, *rest))

    now = hub.state.settings.now()
    monkeypatch.setattr(hub.state.signer, "issue", once)
    monkeypatch.setattr(hub.state.settings, "now", lambda: now)
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "r3fresh-t0ken")
    answers = []
    for shows_secrets in (False, True):
        folder = tmp_path / str(shows_secrets)
        port = free_port()
        hub.state.pulls.clear()  # which are counted in the answers
        async with running_mirror(hub, folder, *options(shows_secrets), port=port) as mirror:
            pulled = await pull(mirror, hub)
        # The challenge names the port.
        answers.append([a.replace(str(port).encode(), b"port") for a in pulled.answers])
    assert answers[0] == answers[1]
    assert pulled.tokens[0].encode() in answers[0][1]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_an_answers_fields_say_reaches_the_client_alone(
    hub: Hub, tmp_path: Path, method: str
) -> None:
    """Whether its body is streamed, kept, or not there at all."""
    hub.registry.faults.add(Header("X-Auth-Token", COOKIE))
    saved = tmp_path / "flows.mitm"
    pair = hub.issue_certificate(tmp_path, "127.0.0.1")
    words = [*options(False), "-w", str(saved)]
    confdir = tmp_path / "confdir"
    async with running_mirror(
        hub, confdir, *words, certificate=pair, ca_file=hub.ca_file
    ) as mirror:
        kept = await ask(mirror, "/v2/", method, {"Authorization": "Bearer x"})
        plain = replace(mirror, ca_file=None)
        redirect = await ask(plain, f"/auth/token?password={IN_A_QUERY}", method)
        assert await mirror.stop() == 0
    assert (kept.status, kept.headers["X-Auth-Token"]) == (401, COOKIE)
    assert redirect.status == 308
    assert redirect.headers["Location"].endswith(f"/auth/token?password={IN_A_QUERY}")
    content = saved.read_bytes()
    assert found([COOKIE, IN_A_QUERY], content) == []
    assert b"/auth/token?password=[redacted]" in content
    assert b"X-Auth-Token" in content


async def test_what_mitmweb_shows(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = free_port()
    monkeypatch.setattr(running, "MITMDUMP", running.MITMDUMP.with_name("mitmweb"))
    words = ["-v", "--set", "web_open_browser=false", "--set", f"web_port={web}"]
    if has_web_password():
        words += ["--set", f"web_password={WEB_PASSWORD}"]
    async with running_mirror(hub, tmp_path, *options(False), *words) as mirror:
        await mirror.log_line(page_line())
        async with Page(web) as page:
            pulled = await pull(mirror, hub)
            failed = await fail(mirror)
            places = await page.everything()
    secrets = [*pulled.shown_where_asked, *failed, *presigned(hub)]
    for name, content in places.items():
        assert (name, found(secrets, content)) == (name, [])
    for name in ("/flows", "/updates", "/flows/dump"):
        assert REPOSITORY.encode() in places[name]
        assert b"Basic [redacted]" in places[name]
    bodies = b"".join(places.values())
    assert b"password=[redacted]" in bodies
    assert b'"refresh_token": "[redacted]"' in bodies


async def test_what_mitmweb_shows_when_secrets_are_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the search above could find them."""
    web = free_port()
    monkeypatch.setattr(running, "MITMDUMP", running.MITMDUMP.with_name("mitmweb"))
    words = ["-v", "--set", "web_open_browser=false", "--set", f"web_port={web}"]
    if has_web_password():
        words += ["--set", f"web_password={WEB_PASSWORD}"]
    async with running_mirror(hub, tmp_path, *options(True), *words) as mirror:
        await mirror.log_line(page_line())
        async with Page(web) as page:
            pulled = await pull(mirror, hub)
            places = await page.everything()
    asked = pulled.shown_where_asked
    assert found(asked, b"".join(places.values())) == asked


def has_web_password() -> bool:
    return int(version.VERSION.split(".")[0]) >= 12


class Page:
    """mitmweb's page: what it is told while flows come and go, and what it can ask for."""

    def __init__(self, port: int) -> None:
        fields = {"Authorization": f"Bearer {WEB_PASSWORD}"} if has_web_password() else {}
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=fields)
        self._told: list[bytes] = []

    async def __aenter__(self) -> Page:
        self._socket = await self._session.ws_connect("/updates")
        self._listening = asyncio.ensure_future(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.cancel()
        await self._session.close()

    async def everything(self) -> dict[str, bytes]:
        await asyncio.sleep(0.3)  # what it is told comes after what happened
        places = {"/updates": b"\n".join(self._told)}
        for path in ("/flows", "/flows/dump", "/events", "/state", "/options"):
            places[path] = await self._get(path)
        for flow in json.loads(places["/flows"]):
            for message in ("request", "response"):
                for what in ("content.data", "content/auto.json"):
                    path = f"/flows/{flow['id']}/{message}/{what}"
                    places[path] = await self._get(path)
        return places

    async def _listen(self) -> None:
        async for message in self._socket:
            self._told.append(str(message.data).encode())

    async def _get(self, path: str) -> bytes:
        async with self._session.get(path) as answer:
            return await answer.read()
