from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import trustme

from addon.healthcheck import is_healthy
from tests.ports import free_port


@contextmanager
def server(status: int = 200, *, tls: bool = False) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trustme.CA().issue_cert("mirror.example.com").configure_cert(context)
            served.socket = context.wrap_socket(served.socket, server_side=True)
        thread = Thread(target=served.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{served.server_port}"
        finally:
            served.shutdown()
            thread.join()


def nobody() -> str:
    return f"https://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (403, False), (502, False)])
def test_only_200_is_healthy(status: int, tls: bool, healthy: bool) -> None:
    with server(status, tls=tls) as address:
        assert is_healthy([address]) is healthy


def test_the_first_address_where_somebody_listens_decides() -> None:
    with server() as well, server(502) as ill:
        assert is_healthy([nobody(), well, ill])
        assert not is_healthy([nobody(), ill, well])


def test_nobody_is_not_healthy() -> None:
    assert not is_healthy([nobody(), nobody()])


def test_a_mirror_that_does_not_answer_is_waited_for_only_so_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("http", "https"):
            assert not is_healthy([f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"], 0.1)


def test_what_is_no_http_is_not_healthy() -> None:
    with server(tls=True) as address:
        assert not is_healthy([address.replace("https", "http")])


def test_the_command_says_it_by_its_exit_code() -> None:
    command = [sys.executable, "-m", "addon.healthcheck"]
    with server() as address:
        assert subprocess.run([*command, nobody(), address], check=False).returncode == 0
    assert subprocess.run([*command, nobody()], check=False).returncode == 1


def test_it_loads_nothing_that_is_slow() -> None:
    code = "import addon.healthcheck, sys; print('mitmproxy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
