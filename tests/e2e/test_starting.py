"""How a mirror starts, refuses to start, takes options while it runs, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio
from mitmproxy import http, io

from tests.e2e.client import ask, bearer, connect
from tests.hub import Hub
from tests.ports import free_port
from tests.running import ADDON, MITMDUMP, reverse_mode, running_mirror

T = TypeVar("T")

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSTREAM = "https://127.0.0.9"
UNANSWERED = ["--set", "docxy_service=a", "--set", "docxy_token_service=https://127.0.0.9/token"]


async def mitmdump(confdir: Path, *words: str) -> tuple[int, str]:
    """A start that is to fail: exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(str(MITMDUMP), "-s", str(ADDON), "--set", f"confdir={confdir}"),
        *("--set", "docxy_acme_home=", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode()


def options(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


# What is said → the words that the one line about it holds.
WRONG: Mapping[str, tuple[list[str], str]] = {
    "an option of ours that is not": (
        options("docxy_regsitry=a"),
        "docxy_regsitry is not an option",
    ),
    "an option of mitmproxy's that is not": (
        options("uptream_cert=false"),
        "uptream_cert is not an option",
    ),
    "no number": (options("docxy_http_port=many"), "docxy_http_port"),
    "no seconds": (options("docxy_connect_timeout=0"), "docxy_connect_timeout: 0 is less"),
    # mitmproxy's own words, said before an addon is loaded.
    "no boolean of mitmproxy's": (options("ssl_insecure=perhaps"), "oolean must be"),
    "no network": (options("docxy_redirect_private=10.0.0.0/99"), "docxy_redirect_private: "),
    "a network with too many bits": (
        options("docxy_behind_proxy=10.0.0.1/8", "docxy_public_url=https://a"),
        "docxy_behind_proxy: ",
    ),
    "no address of ours": (options("docxy_public_url=mirror.example.com"), "docxy_public_url: "),
    "an address of ours with a path": (options("docxy_public_url=https://a/b"), "has more than"),
    "no registry": (options("docxy_registry=ftp://a"), "docxy_registry"),
    "no token service": (options("docxy_token_service=token"), "docxy_token_service"),
    "no namespace": (options("docxy_official=Library!"), "docxy_official: "),
    "no folder": (options("docxy_acme_webroot=/nowhere/at/all"), "docxy_acme_webroot: "),
    "behind a proxy without an address": (
        options("docxy_behind_proxy=10.0.0.0/8"),
        "docxy_behind_proxy needs docxy_public_url",
    ),
    "a trusted authority that is not there": (
        options("ssl_verify_upstream_trusted_ca=/nowhere.pem"),
        "ssl_verify_upstream_trusted_ca",
    ),
    "a bound for bodies": (options("body_size_limit=1m"), "body_size_limit breaks pulls"),
    "streams of mitmproxy's": (options("stream_large_bodies=1"), "stream_large_bodies breaks"),
    "an open proxy": (["--mode", "regular"], "mode: 'regular' is not served"),
    "an open proxy beside a registry": (
        ["--mode", "regular", *options("docxy_registry=https://127.0.0.9")],
        "mode: 'regular' is not served",
    ),
    "a SOCKS proxy": (["--mode", "socks5"], "mode: 'socks5' is not served"),
    "a proxy for a proxy": (["--mode", f"upstream:{UPSTREAM}"], "mode: 'upstream:"),
    "a reverse proxy for TCP": (["--mode", "reverse:tcp://a:1"], "mode: 'reverse:tcp://a:1'"),
    "two registries": (
        ["--mode", f"reverse:https://127.0.0.8@{free_port()}"],
        "mode: one registry is served, not 2",
    ),
}
# mitmproxy 12 alone has it; 11 calls it what it is there, no option.
STORED = options("store_streamed_bodies=true")

Ended = Mapping[str, tuple[int, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """How each wrong start ended; a few at once, since each takes a second."""
    at_once = asyncio.Semaphore(4)

    async def end(words: list[str]) -> tuple[int, str]:
        alone = "--mode" in words and not words[1].startswith("reverse:https")
        mode = [] if alone else reverse_mode(UPSTREAM, "127.0.0.1", free_port())
        async with at_once:
            listen = ["--listen-host", "127.0.0.1", "--listen-port", str(free_port())]
            # In one folder they would meet in writing mitmproxy's own CA.
            return await mitmdump(tmp_path_factory.mktemp("confdir"), *mode, *listen, *words)

    cases = {**{name: words for name, (words, _) in WRONG.items()}, "stored": STORED}
    found = await asyncio.gather(*(end(words) for words in cases.values()))
    return dict(zip(cases, found, strict=True))


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_option_ends_the_start_with_one_line_that_names_it(
    ended: Ended, name: str
) -> None:
    _, words = WRONG[name]
    code, output = ended[name]
    assert code != 0
    assert len([line for line in output.splitlines() if words in line]) == 1, output
    assert "Traceback" not in output
    # It would stand around the line that matters.
    assert "Set for a mirror" not in output


async def test_streamed_bodies_are_not_to_be_stored(ended: Ended) -> None:
    code, output = ended["stored"]
    assert code != 0
    assert len([line for line in output.splitlines() if "store_streamed_bodies" in line]) == 1
    assert "Traceback" not in output


# Starting well.


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_both_ways_to_name_an_https_registry_start(tmp_path: Path, scheme: str) -> None:
    port = free_port()
    address = "https://127.0.0.9" if scheme == "https" else "http://127.0.0.9:443"
    modes = reverse_mode(address, "127.0.0.1", port)
    async with running_mirror(None, tmp_path, *UNANSWERED, modes=modes, port=port) as mirror:
        line = await mirror.log_line("Docxy ")
        assert f"mirrors 127.0.0.9 at http://127.0.0.1:{port}" in line
        docker = await mirror.log_line("daemon.json")
        assert json.loads(re.findall(r"\{.*\}", docker)[0]) == {
            "registry-mirrors": [f"http://127.0.0.1:{port}"]
        }
        said = [line for line in mirror.log if "Set for a mirror: " in line]
        assert len(said) == 1
        for option in ("block_global=false", 'connection_strategy="lazy"', "http2=false"):
            assert option in said[0]
        assert (await ask(mirror, "/v2/")).status == 401
        assert await mirror.stop() == 0


async def test_what_the_user_says_wins_even_where_it_is_mitmproxys_default(
    tmp_path: Path,
) -> None:
    port = free_port()
    modes = reverse_mode(UPSTREAM, "127.0.0.1", port)
    said = options("http2=true", "block_global=true", "flow_detail=1")
    async with running_mirror(None, tmp_path, *UNANSWERED, *said, modes=modes, port=port) as mirror:
        line = await mirror.log_line("Set for a mirror: ")
        assert "http2" not in line
        assert "block_global" not in line
        assert "flow_detail" not in line
        assert "upstream_cert=false" in line


def with_hangup(how: str) -> list[str]:
    """Words before a command that give it a terminal, and make it ignore SIGHUP (nohup) or not."""
    code = f"""
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.{how})
held, terminal = os.openpty()
os.set_inheritable(held, True)  # it is there as long as somebody has its other end
os.setsid()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_mirror_that_is_ended_leaves_no_file_behind(
    hub: Hub, tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    pair = hub.issue_certificate(tmp_path, "127.0.0.1")
    async with running_mirror(
        hub,
        tmp_path / "confdir",
        certificate=pair,
        ca_file=hub.ca_file,
        environ={"TMPDIR": str(temporary)},
        prefix=with_hangup("SIG_DFL"),
    ) as mirror:
        await mirror.log_line("daemon.json")
        assert (await ask(mirror, "/v2/")).status == 401
        assert list(temporary.iterdir())
        async with connect(mirror) as idle, connect(mirror) as asking:
            assert (await idle.ask("/v2/")).status == 401
            await asking.send(b"GET /v2/")
            mirror.process.send_signal(number)
            async with asyncio.timeout(10):
                assert await mirror.process.wait() == 0
            assert await idle.is_closed()
        assert list(temporary.iterdir()) == []
        assert "Traceback" not in mirror.text


async def test_a_mirror_under_nohup_outlives_its_terminal(hub: Hub, tmp_path: Path) -> None:
    async with running_mirror(hub, tmp_path, prefix=with_hangup("SIG_IGN")) as mirror:
        await mirror.log_line("daemon.json")
        mirror.process.send_signal(signal.SIGHUP)
        assert (await ask(mirror, "/health")).status == 200
        assert await mirror.stop() == 0


# Options while it runs, and other addons.

SET_OPTIONS = """
import json
from mitmproxy import ctx, exceptions, http

def request(flow):
    if flow.request.path != "/set":
        return
    try:
        ctx.options.update(**json.loads(flow.request.headers["x-options"]))
        said = "taken"
    except exceptions.OptionsError as error:
        said = str(error)
    flow.response = http.Response.make(200, json.dumps([said, ctx.options.docxy_public_url]))
"""
OTHERS = """
from mitmproxy import http

def requestheaders(flow):
    if flow.request.path == "/early":
        flow.response = http.Response.make(418, b"early")

def request(flow):
    if flow.request.path == "/answered":
        flow.response = http.Response.make(418, b"answered")
    if flow.request.path == "/killed":
        flow.kill()

def response(flow):
    flow.response.headers["x-seen"] = flow.request.pretty_url
"""


async def test_options_set_while_it_runs_hold_or_are_rolled_back(hub: Hub, tmp_path: Path) -> None:
    script = tmp_path / "set.py"
    script.write_text(SET_OPTIONS)

    async def set_options(**values: object) -> list[str]:
        answer = await ask(mirror, "/set", headers={"X-Options": json.dumps(values)})
        found: list[str] = answer.json
        return found

    async def realm() -> str:
        return (await ask(mirror, "/v2/")).headers["WWW-Authenticate"]

    async with running_mirror(hub, tmp_path / "confdir", "-s", str(script)) as mirror:
        await mirror.log_line("daemon.json")
        good = "https://mirror.example.com"
        assert await set_options(docxy_public_url=good) == ["taken", good]
        assert f'realm="{good}/auth/token"' in await realm()
        said, left = await set_options(docxy_public_url="nonsense")
        assert said.startswith("docxy_public_url: 'nonsense'")
        assert left == good
        for name, value in (("body_size_limit", "1m"), ("mode", ["regular"])):
            said, _ = await set_options(**{name: value})
            assert name in said
        # mitmproxy stops listening, soon or now, and begins again.
        assert f'realm="{good}/auth/token"' in await once_it_listens(realm)
        put = await once_it_listens(lambda: ask(mirror, "/v2/", "PUT", body=b"a" * 100))
        assert put.status == 405
        assert "Traceback" not in mirror.text


async def once_it_listens(asking: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError, EOFError):
                return await asking()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("first", [True, False], ids=["before the mirror", "after the mirror"])
async def test_scripts_of_the_users_keep_working(hub: Hub, tmp_path: Path, first: bool) -> None:
    script = tmp_path / "others.py"
    script.write_text(OTHERS)
    flows = tmp_path / "flows.mitm"
    image = hub.add_image()
    own = ["-w", str(flows), "--modify-headers", "/~s/X-Modified/yes"]
    own += [] if first else ["-s", str(script)]
    # The mirror is named first by `running_mirror`; its own options follow.
    before = running_before(script) if first else None
    async with running_mirror(hub, tmp_path / "confdir", *own, environ=before) as mirror:
        await mirror.log_line("daemon.json")
        for target, body in (("/answered", None), ("/early", None), ("/early", b"a" * 1000)):
            answer = await ask(mirror, target, "POST" if body else "GET", body=body)
            assert (answer.status, answer.body) == (418, target[1:].encode())
        with pytest.raises((EOFError, ConnectionError)):
            await ask(mirror, "/killed")
        token = await bearer(mirror, "library/alpine")
        blob = image.layers[0]
        answer = await ask(mirror, f"/v2/alpine/blobs/{blob.digest}", headers=token)
        assert (answer.status, len(answer.body)) == (200, blob.size)
        assert answer.headers["X-Modified"] == "yes"
        assert "Traceback" not in mirror.text
        assert await mirror.stop() == 0
    with flows.open("rb") as file:
        written = [flow for flow in io.FlowReader(file).stream() if isinstance(flow, http.HTTPFlow)]
    pulled = next(flow for flow in written if "/blobs/" in flow.request.path)
    assert pulled.request.url == f"{hub.registry_url}/v2/library/alpine/blobs/{blob.digest}"
    assert all("inner.invalid" not in flow.request.url for flow in written)


def running_before(script: Path) -> dict[str, str]:
    """mitmdump's scripts load in their order; this one is loaded by the mirror's own start."""
    site = script.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0].endswith('mitmdump') and '-s' in sys.argv:\n"
        f"    at = sys.argv.index('-s'); sys.argv[at:at] = ['-s', {str(script)!r}]\n"
    )
    inherited = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(site), inherited]))}
