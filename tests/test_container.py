from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from addon.container import PLAIN_PORT, TLS_PORT, in_container
from tests.running import PROJECT

PUBLIC = ("--set", "docxy_public_url=https://mirror.example.com")
NO_ACME = ("--set", "docxy_acme_home=")
EVERYWHERE = ("--listen-host", "")
HTTP = ("--set", "docxy_http_port=8080")


@pytest.mark.parametrize(
    ("said", "ahead"),
    [
        pytest.param((), (*EVERYWHERE, "-p", "8080", *HTTP), id="nothing"),
        pytest.param(("--listen-host", "::"), ("-p", "8080", *HTTP), id="an address"),
        pytest.param(("-p", "9000"), (*EVERYWHERE, *HTTP), id="a port"),
        pytest.param(
            ("--set", "docxy_http_port=0"), (*EVERYWHERE, "-p", "8080"), id="a port for plain HTTP"
        ),
        pytest.param(("--mode", "reverse:http://registry@9000"), (), id="modes"),
    ],
)
def test_what_the_user_did_not_say_stands_ahead(
    said: tuple[str, ...], ahead: tuple[str, ...]
) -> None:
    said = (*PUBLIC, *NO_ACME, *said)
    assert in_container(said, {}) == (*ahead, *said)


def test_a_certificate_is_served_on_a_port_that_needs_no_right(tmp_path: Path) -> None:
    environ = {"CERT_PATH": str(tmp_path / "chain.pem"), "KEY_PATH": str(tmp_path / "key.pem")}
    assert in_container(PUBLIC, environ) == (*EVERYWHERE, "-p", "8443", *HTTP, *PUBLIC)


@pytest.mark.parametrize("said", ["--version", "--options", "--no-server"])
def test_what_does_not_listen_is_left_alone(said: str) -> None:
    assert in_container((said,), {}) == (said,)


def test_the_address_that_clients_use_must_be_named() -> None:
    with pytest.raises(ValueError, match=r"--set docxy_public_url=https://mirror\.example\.com"):
        in_container(NO_ACME, {})


def test_what_is_wrong_is_one_line() -> None:
    command = [sys.executable, "-m", "addon.container", *NO_ACME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("docxy: in a container the mirror cannot see the address")
    assert done.stderr.count("\n") == 1


def service() -> dict[str, list[str]]:
    """What docs/compose.yaml says of the mirror."""
    text = (PROJECT / "docs" / "compose.yaml").read_text()
    found: dict[str, list[str]] = YAML(typ="safe").load(text)["services"]["docxy"]
    return found


def test_the_image_and_the_compose_file_know_the_ports() -> None:
    containerfile = (PROJECT / "docs" / "Containerfile").read_text()
    assert f"\nEXPOSE {TLS_PORT} {PLAIN_PORT}\n" in containerfile
    assert f'"https://127.0.0.1:{TLS_PORT}", "http://127.0.0.1:{PLAIN_PORT}"]' in containerfile
    assert service()["ports"] == [f"443:{TLS_PORT}", f"80:{PLAIN_PORT}"]


def test_the_compose_files_command_starts_a_mirror() -> None:
    command = tuple(service()["command"])
    assert in_container((*command, *NO_ACME), {})[-len(command) - 2 : -2] == command
