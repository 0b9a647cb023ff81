"""The demo as a user runs it, and what it says of each request."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from tests.demo import lines, show
from tests.demo.asked import Asked, Attribution, kind_of
from tests.demo.show import Failure, fill, follow, show_pull
from tests.hub import Flip, HangUp, Hub, Seen, Status
from tests.hub.exchange import Asked as HubAsked, Role
from tests.running import PROJECT, Mirror, running_mirror

ADDRESS = re.compile(r"127\.0\.0\.\d:\d+")
DIGEST = "0123456789ab" + 52 * "c"
SECONDS = 60


class Demo:
    """A demo in a process group and with a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.process: subprocess.Popen[str] | None = None
        self.output = ""

    def start(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.demo", *options],
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(self.temporary), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        return self.process

    def read_until(self, part: str) -> None:
        """Read what it prints up to a line; pytest's time-out ends a wait for nothing."""
        assert self.process is not None
        assert self.process.stdout is not None
        while part not in self.output:
            line = self.process.stdout.readline()
            assert line, f"it ended without {part!r}:\n{self.output}"
            self.output += line

    def press_ctrl_c(self) -> None:
        """As a terminal does it: to all of the group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said to stderr, once it has ended."""
        assert self.process is not None
        output, errors = self.process.communicate(timeout=SECONDS)
        self.output += output or ""  # None where nobody reads it
        return self.process.returncode, errors

    def assert_nothing_is_left(self) -> None:
        assert self.process is not None
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        assert list(self.temporary.iterdir()) == []
        for address in set(ADDRESS.findall(self.output)):
            host, port = address.split(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)), timeout=5)


@pytest.fixture(scope="class")
def alone() -> Iterator[None]:
    """Another run of these tests waits: all demos want port 8080, and leave it free."""
    with open(__file__) as own:
        fcntl.flock(own, fcntl.LOCK_EX)
        yield


@pytest.fixture
def demo(alone: None, tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    if demo.process and demo.process.poll() is None:
        os.killpg(demo.process.pid, signal.SIGKILL)
        demo.process.communicate()


@pytest.fixture(scope="class")
def whole(alone: None, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One that has ended."""
    demo = Demo(tmp_path_factory.mktemp("whole"))
    demo.start()
    assert demo.end() == (0, "")
    return demo


class TestWhole:
    def test_shows_each_request_and_what_became_of_it(self, whole: Demo) -> None:
        pairs = re.findall(
            r"^(\w+) +GET (\S+) .*\n +→ (.*?)(?: +\d+)?(?: +ahead)?$", whole.output, re.MULTILINE
        )
        assert [(kind, re.sub(r"[0-9a-f]{12}…", "D", asked)) for kind, asked, _ in pairs] == [
            ("ping", "/v2/"),
            ("token", "/auth/token?…&scope=repository:alpine:pull"),
            ("index", "/v2/alpine/manifests/latest"),
            ("manifest", "/v2/alpine/manifests/sha256:D"),
            ("config", "/v2/alpine/blobs/sha256:D"),
            ("layer", "/v2/alpine/blobs/sha256:D"),
            ("layer", "/v2/alpine/blobs/sha256:D"),
        ]
        assert pairs[0][2] == "nothing: answered by the mirror itself"
        assert pairs[1][2] == "token    GET /token?…&scope=repository:library/alpine:pull"
        for _, asked, became in pairs[2:]:
            assert became == f"registry GET {asked.replace('/alpine/', '/library/alpine/')}"

    def test_leaves_nothing_behind(self, whole: Demo) -> None:
        whole.assert_nothing_is_left()

    def test_shows_where_each_blob_came_from(self, whole: Demo) -> None:
        asked = re.findall(r"GET /v2/alpine/blobs/sha256:(\S+…)", whole.output)
        cdn = re.findall(r"cdn +GET /registry-v2/…/(\S+…)/data\?…&Signature=…  ", whole.output)
        assert len(asked) == 3
        assert cdn == asked

    def test_sums_up_and_names_other_clients(self, whole: Demo) -> None:
        assert re.search(
            r"^7 requests, \d+ to the Hub, 15\.4 MB in .*; all digests right\.$",
            whole.output,
            re.MULTILINE,
        )
        assert re.search(r"^  docker pull 127\.0\.0\.1:\d+/alpine$", whole.output, re.MULTILINE)
        assert re.search(r"^  skopeo copy .* dir:alpine$", whole.output, re.MULTILINE)
        assert max(map(len, whole.output.splitlines())) <= 100

    def test_does_not_care_for_what_is_set_for_a_real_mirror(self, demo: Demo) -> None:
        nowhere = "http://127.0.0.1:9"
        demo.start(
            CERT_PATH="/nowhere", DOMAIN="example.com", HTTPS_PROXY=nowhere, http_proxy=nowhere
        )
        assert demo.end() == (0, "")

    def test_takes_another_port_where_8080_is_taken(self, demo: Demo) -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody else has it, which is as good
                other.bind(("127.0.0.1", 8080))
                other.listen()
            demo.start()
            assert demo.end() == (0, "")
        assert "127.0.0.1:8080" not in demo.output

    def test_prints_also_where_arrows_are_unknown(self, demo: Demo) -> None:
        demo.start(PYTHONIOENCODING="ascii")
        assert demo.end() == (0, "")
        assert "? registry GET /v2/library/alpine/manifests/latest" in demo.output


def ask(url: str) -> int:
    """The status, asked for as another client does it; no proxy of the environment's is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return int(response.status)


class TestStay:
    def test_serves_and_shows_other_clients_until_ctrl_c(self, demo: Demo) -> None:
        demo.start("--stay")
        demo.read_until("Serving until Ctrl-C")
        demo.read_until("skopeo copy")
        address = re.findall(r"docker pull (\S+)/alpine", demo.output)[0]
        assert ask(f"http://{address}/health") == 200
        demo.read_until("GET /health")
        scope = "service=registry.hub.test&scope=repository:alpine:pull"
        assert ask(f"http://{address}/auth/token?{scope}") == 200
        demo.read_until("→ token    GET /token?…&scope=repository:library/alpine:pull        200\n")
        demo.press_ctrl_c()
        assert demo.end() == (0, "")
        assert demo.output.endswith("\n\nStopped; nothing is left running.\n")
        demo.assert_nothing_is_left()

    def test_shows_none_of_its_own_requests_twice(self, demo: Demo) -> None:
        demo.start("--stay")
        demo.read_until("skopeo copy")
        address = re.findall(r"docker pull (\S+)/alpine", demo.output)[0]
        before = demo.output
        assert ask(f"http://{address}/health") == 200
        demo.read_until("GET /health")
        assert re.findall(r"(?m)^\w+ +(?:GET|HEAD) \S+", demo.output.removeprefix(before)) == [
            "health    GET /health"
        ]


class TestEndsCleanly:
    @pytest.mark.parametrize(
        "until", ["test Hub", "Docxy ", "index "], ids=["start", "ready", "pull"]
    )
    def test_ctrl_c(self, demo: Demo, until: str) -> None:
        demo.start()
        demo.read_until(until)
        demo.press_ctrl_c()
        code, errors = demo.end()
        # It may just have finished.
        assert code in (130, 0)
        assert errors == ""
        demo.assert_nothing_is_left()

    def test_sigterm_and_impatience(self, demo: Demo) -> None:
        process = demo.start("--stay")
        demo.read_until("test Hub")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        assert demo.end() == (130, "")
        demo.assert_nothing_is_left()

    def test_reader_that_leaves(self, demo: Demo) -> None:
        process = demo.start()
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        assert demo.end() == (1, "")
        demo.assert_nothing_is_left()

    def test_mirror_that_does_not_start(self, demo: Demo, tmp_path: Path) -> None:
        (tmp_path / "mitmproxy.py").write_text("raise SystemExit('this mitmproxy is broken')\n")
        demo.start(PYTHONPATH=str(tmp_path))
        code, errors = demo.end()
        assert code == 1
        assert errors == (
            "docxy: the demo failed: the mirror does not start; the last it said:\n"
            "  this mitmproxy is broken\n"
        )
        demo.assert_nothing_is_left()


class TestFailures:
    """The pull alone, with a real mirror, where something goes wrong."""

    @pytest.fixture
    async def hub(self) -> AsyncIterator[Hub]:
        async with Hub() as hub:
            fill(hub)
            yield hub

    @pytest.fixture
    async def mirror(self, hub: Hub, tmp_path: Path) -> AsyncIterator[Mirror]:
        async with running_mirror(hub, tmp_path) as mirror:
            yield mirror

    async def test_port_that_is_taken_meanwhile(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server((show.HOST, 0)) as other:
            taken = other.getsockname()[1]
            found = iter([taken, None])
            monkeypatch.setattr(show, "usual_port", lambda: next(found))
            async with show.running(hub) as mirror:
                assert mirror.port != taken
                await show_pull(mirror, Attribution(hub.requests))

    async def test_changed_layer(self, hub: Hub, mirror: Mirror) -> None:
        hub.cdn.faults.add(Flip(at=5), skip=1)
        # The mirror has seen it already, and gives a small blob that is wrong to nobody whole.
        with pytest.raises(Failure, match=r"^GET /v2/alpine/blobs/\S+: "):
            await show_pull(mirror, Attribution(hub.requests))

    async def test_hub_that_fails(self, hub: Hub, mirror: Mirror) -> None:
        hub.registry.faults.add(Status(418))
        with pytest.raises(Failure, match=r"manifests/latest: status 418"):
            await show_pull(mirror, Attribution(hub.requests))

    async def test_blob_that_breaks_off(self, hub: Hub, mirror: Mirror) -> None:
        hub.cdn.faults.add(HangUp())
        with pytest.raises(Failure, match=r"^GET /v2/alpine/blobs/\S+: ") as failure:
            await show_pull(mirror, Attribution(hub.requests))
        assert "\n" not in str(failure.value)

    async def test_mirror_that_ends(self, hub: Hub, mirror: Mirror) -> None:
        await mirror.stop()
        attribution = Attribution(hub.requests)
        with pytest.raises(
            Failure, match=r"^the mirror ended; GET /health: [^\n]*; the last it said:\n"
        ):
            await show_pull(mirror, attribution)
        with pytest.raises(Failure, match=r"^the mirror ended; the last it said:\n"):
            await asyncio.wait_for(follow(mirror, attribution), 5)


def asked(target: str, started: float = 0.0, ended: float = 1.0) -> Asked:
    return Asked(kind_of(target), "GET", target, 200, 5, started, ended)


def seen(target: str, time: float = 0.5, role: Role = "registry") -> Seen:
    headers: CIMultiDict[str] = CIMultiDict()
    return Seen(role, HubAsked("GET", target, CIMultiDictProxy(headers)), time, 1, 200)


BLOB = f"/v2/library/alpine/blobs/sha256:{DIGEST}"
PRESIGNED = f"/registry-v2/docker/registry/v2/blobs/sha256/01/{DIGEST}/data?Expires=1&Signature=s3c"


class TestAttribution:
    def test_goes_by_what_is_asked_for(self) -> None:
        other = seen(BLOB.replace("c", "d"))
        mine = [seen(BLOB), seen(PRESIGNED, role="cdn")]
        attribution = Attribution([mine[0], other, mine[1]])
        assert attribution.take(asked(f"/v2/alpine/blobs/sha256:{DIGEST}")) == mine
        assert attribution.rest() == [other]

    def test_gives_each_request_once(self) -> None:
        attribution = Attribution([seen("/token?scope=a")])
        assert len(attribution.take(asked("/auth/token?scope=a"))) == 1
        assert attribution.take(asked("/auth/token?scope=a")) == []

    def test_leaves_the_next_client_its_own(self) -> None:
        log = [seen("/v2/library/alpine/manifests/latest", time) for time in (0.5, 1.5)]
        attribution = Attribution(log)
        assert attribution.take(asked("/v2/alpine/manifests/latest", ended=1.0)) == log[:1]
        assert attribution.take(asked("/v2/alpine/manifests/latest", ended=2.0)) == log[1:]

    def test_finds_what_a_mirror_asked_for_ahead(self) -> None:
        log = [seen(BLOB, 0.1)]
        attribution = Attribution(log)
        assert attribution.take(asked("/v2/alpine/manifests/latest", 0.0, 0.2)) == []
        later = asked(f"/v2/alpine/blobs/sha256:{DIGEST}", 0.3, 0.4)
        rows = lines.hub_rows(later, attribution.take(later))
        assert [row.split()[-2:] for row in rows] == [["200", "ahead"]]


class TestLines:
    @pytest.mark.parametrize(
        ("target", "shown"),
        [
            ("/v2/", "/v2/"),
            (f"/v2/a/blobs/sha256:{DIGEST}", "/v2/a/blobs/sha256:0123456789ab…"),
            ("/token?service=s&scope=repository%3Aa%3Apull", "/token?…&scope=repository:a:pull"),
            ("/token?scope=a&scope=b&account=c", "/token?…&scope=a&scope=b"),
            ("/v2/a/tags/list?n=5", "/v2/a/tags/list?…"),
            (PRESIGNED, "/registry-v2/…/0123456789ab…/data?…&Signature=…"),
        ],
    )
    def test_targets_are_short_and_without_signatures(self, target: str, shown: str) -> None:
        assert lines.shorten(target) == shown

    @pytest.mark.parametrize(
        ("form", "value", "text"),
        [
            (lines.format_seconds, 0.0004, "0 ms"),
            (lines.format_seconds, 0.9994, "999 ms"),
            (lines.format_seconds, 0.9995, "1.0 s"),
        ],
    )
    def test_numbers(self, form: Callable[[float], str], value: float, text: str) -> None:
        assert form(value) == text

    def test_what_is_too_long_is_cut_to_the_column(self) -> None:
        row = lines.client_row(asked(f"/v2/{'a' * 200}/manifests/latest"))
        assert len(row) == 100
        assert "…  200       5 B  1.0 s" in re.sub(" +1.0", "  1.0", row)

    def test_what_broke_off_has_no_status(self) -> None:
        broken = Asked("blob", "GET", "/v2/a/blobs/x", None, None, 0.0, 0.5)
        assert lines.client_row(broken).split()[-3:] == ["-", "500", "ms"]

    @pytest.mark.parametrize(
        ("target", "kind"),
        [
            ("/v2/", "ping"),
            ("/health", "health"),
            ("/auth/token?scope=x", "token"),
            ("/v2/a/b/manifests/latest", "manifest"),
            ("/v2/a/blobs/sha256:0", "blob"),
            ("/v2/a/tags/list", "tags"),
            ("/v2/a/referrers/sha256:0", "referrers"),
            ("/v2/a/other/b", ""),
            ("/", ""),
        ],
    )
    def test_kinds(self, target: str, kind: str) -> None:
        assert kind_of(target) == kind
