from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from addon.install.machine import (
    Done,
    Machine,
    ask_health,
    plain_environment,
    port_is_free,
    run_program,
)
from tests.ports import free_port


def test_programs_get_a_plain_environment_and_no_input() -> None:
    script = "import os, sys; print(sys.stdin.read(), sorted(os.environ), os.getcwd())"
    done = run_program([sys.executable, "-S", "-c", script], {"MORE": "1"})
    assert done.code == 0
    assert "'HOME'" in done.output
    assert "'MORE'" in done.output
    assert "PYTEST_CURRENT_TEST" not in done.output
    assert done.output.rstrip().endswith("/")


def test_what_sudo_tells_is_not_passed_on() -> None:
    # acme.sh refuses to work where it sees that.
    environ = {
        "SUDO_UID": "1000",
        "PATH": "/home/me/bin",
        "HTTPS_PROXY": "http://p",
        "PIP_CERT": "c",
    }
    passed = plain_environment(environ)
    assert passed == {
        "HOME": "/root",
        "HTTPS_PROXY": "http://p",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_CERT": "c",
    }


def test_both_streams_are_kept_in_their_order() -> None:
    assert run_program(["sh", "-c", "echo a; echo b >&2; exit 3"], {}) == Done(3, "a\nb\n")


@pytest.mark.parametrize(("program", "code"), [("docxy-none", 127), ("/etc", 126)])
def test_a_program_that_cannot_be_run_fails(program: str, code: int) -> None:
    assert run_program([program], {}).code == code


def test_files_are_below_the_root(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "x").write_text("text")
    (tmp_path / "etc" / "dangling").symlink_to("nowhere")
    assert machine.read("/etc/x") == "text"
    assert machine.read("/etc/none") is None
    assert machine.has("/etc/dangling")
    assert machine.user_ids() is None


def test_a_port_is_taken_while_somebody_listens_on_any_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not port_is_free(server.getsockname()[1])
    # Other programs here come and go.
    assert any(port_is_free(free_port()) for _ in range(20))


def _served(answer: bytes) -> Iterator[int]:
    """A TLS port of this machine that gives one answer."""
    pair = trustme.CA().issue_cert("mirror.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with (
                contextlib.suppress(OSError),
                server.accept()[0] as client,
                context.wrap_socket(client, server_side=True) as tls,
            ):
                tls.recv(4096)
                tls.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


HEALTH = {
    "it serves": (b"HTTP/1.1 200 OK\r\n\r\n", ""),
    "it refuses": (b"HTTP/1.1 403 Forbidden\r\n\r\n", "it answers 'HTTP/1.1 403 Forbidden'"),
    "it says nothing": (b"", "it answers ''"),
}


@pytest.mark.parametrize(("answer", "trouble"), HEALTH.values(), ids=HEALTH.keys())
def test_the_mirror_is_asked_over_tls(answer: bytes, trouble: str) -> None:
    for port in _served(answer):
        assert ask_health("mirror.example.com", port) == trouble


def test_a_mirror_that_does_not_speak_tls_does_not_serve() -> None:
    assert ask_health("mirror.example.com", free_port()) == "Connection refused"
