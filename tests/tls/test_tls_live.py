"""Certificates and their renewals, seen by TLS clients of a whole mitmdump."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from tests.acme_sh import DOMAIN, Authority, Issued, write_domain
from tests.ports import free_port

INTERVAL = 0.2
# Answers each request with the length of its body, so that a request can last through a renewal.
SCRIPT = f"""
from mitmproxy import http
from addon.tls.tls import Certificates

class Answers:
    def request(self, flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(200, str(len(flow.request.content)))

addons = [Certificates(interval={INTERVAL}), Answers()]
"""


class Mitmdump:
    """A mitmdump of this interpreter's mitmproxy, with a home and a temporary folder of its own."""

    def __init__(self, folder: Path, confdir: Path) -> None:
        self.home = folder / "home"
        self.temporary = folder / "temporary=hostile"
        self.log = folder / "log"
        self.script = folder / "script.py"
        self._confdir = confdir
        self.home.mkdir()
        self.temporary.mkdir()
        self.script.write_text(SCRIPT)
        self.authority = Authority()
        self._root = folder / "root.pem"
        self._root.write_bytes(self.authority.root_pem)
        self.port = free_port()

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in {"CERT_PATH", "KEY_PATH", "DOMAIN"}
        }
        sets = ["connection_strategy=lazy", "upstream_cert=false", f"confdir={self._confdir}"]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("mitmdump")),
                    "--mode",
                    f"reverse:http://127.0.0.1:9@127.0.0.1:{self.port}",
                    *(part for option in (*sets, *options) for part in ("--set", option)),
                    *("-s", str(self.script)),
                ],
                env={
                    **inherited,
                    "HOME": str(self.home),
                    "TMPDIR": str(self.temporary),
                    "PYTHONUNBUFFERED": "1",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start(*options)
        try:
            eventually(lambda: "listening at" in self.log.read_text() or process.poll())
            assert process.poll() is None, self.log.read_text()
            yield process
        finally:
            process.kill()
            process.wait()

    def chain(self, server_name: str = DOMAIN) -> bytes:
        """The certificates that a new client is sent, which it must be able to verify."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(self._root))
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: bool(arguments[-1]))
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            plain.settimeout(None)  # pyOpenSSL wants a blocking socket
            connection = SSL.Connection(context, plain)
            connection.set_tlsext_host_name(server_name.encode())
            connection.set_connect_state()
            connection.do_handshake()
            sent = connection.get_peer_cert_chain() or []
            return b"".join(one.to_cryptography().public_bytes(Encoding.PEM) for one in sent)

    def connect(self) -> ssl.SSLSocket:
        """A client as strict as Python's, host name included."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        context = ssl.create_default_context(cafile=str(self._root))
        return context.wrap_socket(plain, server_hostname=DOMAIN)

    def private_files(self) -> list[Path]:
        return [path for path in self.temporary.rglob("*") if path.is_file()]


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def answer(client: ssl.SSLSocket) -> bytes:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.read()


@pytest.fixture(scope="module")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("confdir")


@pytest.fixture
def mitmdump(tmp_path: Path, confdir: Path) -> Mitmdump:
    return Mitmdump(tmp_path, confdir)


def acme(mitmdump: Mitmdump, issued: Issued) -> Path:
    return write_domain(mitmdump.home / ".acme.sh", f"{DOMAIN}_ecc", issued)


def test_a_renewal_reaches_new_clients_while_a_running_one_goes_on(mitmdump: Mitmdump) -> None:
    former, renewed = mitmdump.authority.issue(), mitmdump.authority.issue()
    folder = acme(mitmdump, former)
    key, certificate = folder / f"{DOMAIN}.key", folder / "fullchain.cer"
    with mitmdump.running(), mitmdump.connect() as client:
        assert mitmdump.chain() == former.fullchain
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")

        # As acme.sh does it: in place, each empty at first, the key long before its certificate.
        key.write_bytes(b"")
        key.write_bytes(renewed.key)
        time.sleep(4 * INTERVAL)
        assert mitmdump.chain() == former.fullchain
        certificate.write_bytes(b"")
        time.sleep(4 * INTERVAL)
        assert mitmdump.chain() == former.fullchain
        with certificate.open("r+b", buffering=0) as file:
            for start in range(0, len(renewed.fullchain), 100):
                file.write(renewed.fullchain[start : start + 100])
                assert mitmdump.chain() in {former.fullchain, renewed.fullchain}
        eventually(lambda: mitmdump.chain() == renewed.fullchain)
        assert mitmdump.chain("other.example.net") == renewed.fullchain

        client.sendall(b"more")
        assert answer(client) == b"8"
        assert former.leaf == ssl.DER_cert_to_PEM_cert(client.getpeercert(True) or b"").encode()
        assert len(mitmdump.private_files()) == 1
    log = mitmdump.log.read_text()
    assert log.count("does not belong to the certificate") == 1
    assert "BEGIN" not in log
    assert "Traceback" not in log


def test_a_new_intermediate_for_the_same_leaf_is_sent(mitmdump: Mitmdump) -> None:
    issued = mitmdump.authority.issue()
    folder = acme(mitmdump, issued)
    with mitmdump.running():
        assert mitmdump.chain() == issued.fullchain
        renewed = mitmdump.authority.renew_intermediate(issued)
        assert renewed.leaf == issued.leaf
        (folder / "fullchain.cer").write_bytes(renewed.fullchain)
        eventually(lambda: mitmdump.chain() == renewed.fullchain)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_key_is_private_and_gone_when_the_mirror_stops(
    mitmdump: Mitmdump, end: signal.Signals
) -> None:
    acme(mitmdump, mitmdump.authority.issue())
    with mitmdump.running() as process, mitmdump.connect():  # a client stays connected
        (path,) = mitmdump.private_files()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        process.send_signal(end)
        assert process.wait(10) == 0
        assert list(mitmdump.temporary.iterdir()) == []


def test_the_key_is_gone_when_the_start_fails_later(mitmdump: Mitmdump) -> None:
    acme(mitmdump, mitmdump.authority.issue())
    with socket.create_server(("127.0.0.1", mitmdump.port)):
        assert mitmdump.start().wait(20) == 1
    assert f"TLS for {DOMAIN}" in mitmdump.log.read_text()
    assert list(mitmdump.temporary.iterdir()) == []


YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda folder: (folder / f"{DOMAIN}.key").unlink(), "makes them", id="no key"),
        pytest.param(
            lambda folder: (folder / f"{DOMAIN}.key").write_bytes(Authority().issue().key),
            "does not belong to the certificate",
            id="another key",
        ),
        pytest.param(
            lambda folder: (folder / "fullchain.cer").write_bytes(b""), "is empty", id="empty"
        ),
        pytest.param(
            lambda folder: (folder / "fullchain.cer").write_text("-"), "is not PEM", id="not PEM"
        ),
        pytest.param(
            lambda folder: (
                write_domain(folder.parent, f"{DOMAIN}", Authority().issue(not_after=YESTERDAY))
                and (folder / "fullchain.cer").unlink()
            ),
            "expired on",
            id="expired",
        ),
    ],
)
def test_a_wrong_pair_ends_the_start_with_one_line(
    mitmdump: Mitmdump, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(acme(mitmdump, mitmdump.authority.issue()))
    assert mitmdump.start(f"docxy_domain={DOMAIN}").wait(20) == 1
    log = mitmdump.log.read_text()
    assert len([line for line in log.splitlines() if message in line]) == 1
    assert "Traceback" not in log
    assert list(mitmdump.temporary.iterdir()) == []
