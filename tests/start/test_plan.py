from __future__ import annotations

from pathlib import Path

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode, ReverseMode

from addon.start.plan import make_plan, upstream_authority, usual_monitor_port
from addon.start.words import parse_words

MIRROR = Path("/m/mirror.py")
CONFDIR = Path("/state/mitmproxy")
HUB = "reverse:http://registry-1.docker.io:443"
STATE = ["--set", "docxy_state_dir=/state"]
ALWAYS = ["-s", "/m/mirror.py", "--set", "confdir=/state/mitmproxy", *STATE]


def plan_for(line: str, *, tls: bool = False) -> tuple[list[str], list[tuple[str, int]]]:
    words = parse_words(line.split())
    plan = make_plan(words, has_certificate=tls, mirror=MIRROR, confdir=CONFDIR)
    return list(plan.arguments), [(each.host, each.port) for each in plan.listeners]


PLAIN = {
    "nothing said": (
        "",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080", "--mode", HUB],
        [("127.0.0.1", 8080)],
    ),
    "a port": (
        "-p 8443",
        ["--listen-host", "127.0.0.1", "--mode", HUB],
        [("127.0.0.1", 8443)],
    ),
    "a port, long": (
        "--listen-port=8443",
        ["--listen-host", "127.0.0.1", "--mode", HUB],
        [("127.0.0.1", 8443)],
    ),
    "a port, short and joined": (
        "-p8443",
        ["--listen-host", "127.0.0.1", "--mode", HUB],
        [("127.0.0.1", 8443)],
    ),
    "the last of two ports": (
        "-p 1 -p 2",
        ["--listen-host", "127.0.0.1", "--mode", HUB],
        [("127.0.0.1", 2)],
    ),
    # A flag of ours would win over what --set says.
    "a port by --set": (
        "--set listen_port=8443",
        ["--listen-host", "127.0.0.1", "--mode", HUB],
        [("127.0.0.1", 8443)],
    ),
    "a flag wins over --set": (
        "--set listen_port=1 -p 2",
        ["--listen-host", "127.0.0.1", "--mode", HUB],
        [("127.0.0.1", 2)],
    ),
    "the LAN": (
        "--listen-host 0.0.0.0",
        ["--listen-port", "8080", "--mode", HUB],
        [("0.0.0.0", 8080)],
    ),
    "IPv6": ("--listen-host ::1", ["--listen-port", "8080", "--mode", HUB], [("::1", 8080)]),
    "what is mitmdump's alone": (
        "-w flows.mitm -k --set ssl_insecure=true",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080", "--mode", HUB],
        [("127.0.0.1", 8080)],
    ),
    # The plain port belongs to TLS.
    "docxy_http_port without a certificate": (
        "--set docxy_http_port=81",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080", "--mode", HUB],
        [("127.0.0.1", 8080)],
    ),
    "another registry": (
        "--set docxy_registry=https://ghcr.io",
        [
            "--listen-host",
            "127.0.0.1",
            "--listen-port",
            "8080",
            "--mode",
            "reverse:http://ghcr.io:443",
        ],
        [("127.0.0.1", 8080)],
    ),
    # The user's modes
    "a mode": (
        "--mode reverse:https://ghcr.io",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080"],
        [("127.0.0.1", 8080)],
    ),
    "a mode by --set": (
        "--set mode=reverse:https://ghcr.io",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080"],
        [("127.0.0.1", 8080)],
    ),
    "a mode with a port": (
        "-m reverse:https://ghcr.io@81",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080"],
        [("127.0.0.1", 81)],
    ),
    "a mode with host and port": (
        "-m reverse:https://ghcr.io@::1:81",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080"],
        [("::1", 81)],
    ),
    # The addon refuses it, in its own words.
    "a mode that is none of ours": (
        "-m socks5",
        ["--listen-host", "127.0.0.1", "--listen-port", "8080"],
        [],
    ),
    # What listens on nothing must not fail for a port.
    "--version": ("--version", [], []),
    "--options": ("--options", [], []),
    "--commands": ("--commands", [], []),
    "--help": ("-h", [], []),
    "--no-server": ("-n", ["--mode", HUB, "--mode", f"{HUB}@0"], []),
    "server=false": ("--set server=false", ["--mode", HUB, "--mode", f"{HUB}@0"], []),
    "--no-server and a mode": ("-n -m reverse:https://ghcr.io", [], []),
}


@pytest.mark.parametrize(("line", "extra", "ports"), PLAIN.values(), ids=PLAIN.keys())
def test_without_a_certificate_it_is_plain_http_on_loopback(
    line: str, extra: list[str], ports: list[tuple[str, int]]
) -> None:
    assert plan_for(line) == ([*ALWAYS, *extra], ports)


TLS = {
    "nothing said": (
        "",
        ["--listen-host", "", "--listen-port", "443", "--mode", HUB, "--mode", f"{HUB}@80"],
        [("", 443), ("", 80)],
    ),
    "a port": (
        "-p 8443",
        ["--listen-host", "", "--mode", HUB, "--mode", f"{HUB}@80"],
        [("", 8443), ("", 80)],
    ),
    "another plain port": (
        "--set docxy_http_port=8080",
        ["--listen-host", "", "--listen-port", "443", "--mode", HUB, "--mode", f"{HUB}@8080"],
        [("", 443), ("", 8080)],
    ),
    "no plain port": (
        "--set docxy_http_port=0",
        ["--listen-host", "", "--listen-port", "443", "--mode", HUB],
        [("", 443)],
    ),
    "one address": (
        "--listen-host ::1",
        ["--listen-port", "443", "--mode", HUB, "--mode", f"{HUB}@80"],
        [("::1", 443), ("::1", 80)],
    ),
    "a mode": (
        "--mode reverse:https://ghcr.io",
        ["--listen-host", "", "--listen-port", "443"],
        [("", 443)],
    ),
}


@pytest.mark.parametrize(("line", "extra", "ports"), TLS.values(), ids=TLS.keys())
def test_with_a_certificate_it_is_tls_everywhere_and_plain_http_beside_it(
    line: str, extra: list[str], ports: list[tuple[str, int]]
) -> None:
    assert plan_for(line, tls=True) == ([*ALWAYS, *extra], ports)


OWN_FILES = {
    "another config directory": ("--set confdir=/c", ["-s", "/m/mirror.py", *STATE]),
    # -s would replace the scripts of --set; several --set are one list.
    "scripts by --set": (
        "--set scripts=/x.py",
        ["--set", "scripts=/m/mirror.py", "--set", "confdir=/state/mitmproxy", *STATE],
    ),
    "scripts by both": ("-s /y.py --set scripts=/x.py", ALWAYS),
}


@pytest.mark.parametrize(("line", "extra"), OWN_FILES.values(), ids=OWN_FILES.keys())
def test_what_the_user_said_of_files_is_kept(line: str, extra: list[str]) -> None:
    assert plan_for(f"{line} --version") == (extra, [])


REFUSED = {
    "a port that is a word": ("-p http", "-p 'http' is not a port"),
    "a port that is negative": ("-p=-1", "is not a port"),
    "a port that is too high": ("-p 65536", "-p '65536' is not a port"),
    "digits of another script": ("-p \uff18\uff10", "is not a port"),
    "a port that is missing": ("-p", "expected one argument"),
    "a plain port that is a word": (
        "--set docxy_http_port=no",
        "docxy_http_port 'no' is not a port",
    ),
    "one port for both": ("-p 80", "port 80 cannot be both the TLS port"),
    "no address for metrics": (
        "--set docxy_metrics=8363",
        "docxy_metrics: '8363' is not ADDRESS:PORT",
    ),
}


@pytest.mark.parametrize(
    ("line", "tls", "where"),
    [
        pytest.param("--set docxy_metrics=127.0.0.1:81", False, [("127.0.0.1", 81)], id="plain"),
        pytest.param("--set docxy_metrics=[::1]:81", True, [("::1", 81)], id="beside TLS"),
        pytest.param(
            "--set docxy_metrics=[::1]:81 --set docxy_http_port=0", True, [("::1", 81)], id="TLS"
        ),
        pytest.param(
            "--mode reverse:a@82 --set docxy_metrics=[::1]:81", True, [("::1", 81)], id="a mode"
        ),
        # Without the usual one the mirror goes on.
        pytest.param("", True, [], id="nothing said"),
        pytest.param("--set docxy_metrics=", True, [], id="none"),
        pytest.param("-n --set docxy_metrics=[::1]:81", True, [], id="no server"),
    ],
)
def test_a_port_for_metrics_that_was_said_is_one_more(
    line: str, tls: bool, where: list[tuple[str, int]]
) -> None:
    other = " ".join(word for word in line.split() if "docxy_metrics" not in word)
    without = plan_for(other.replace("--set --set", "--set").removesuffix("--set"), tls=tls)[1]
    assert plan_for(line, tls=tls)[1] == without + where


@pytest.mark.parametrize(
    "line", ["", "-p 0", "--set docxy_metrics=", "--set docxy_metrics=[::1]:81"]
)
def test_the_usual_port_for_metrics_is_meant_where_none_is_said(line: str) -> None:
    usual = usual_monitor_port(parse_words(line.split()))
    assert (usual is None) == ("docxy_metrics" in line)
    assert usual is None or (usual.host, usual.port) == ("127.0.0.1", 8363)


@pytest.mark.parametrize(("line", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_port_is_refused_by_name(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_for(line, tls=True)


AUTHORITIES = {
    "": "registry-1.docker.io:443",
    "https://ghcr.io": "ghcr.io:443",
    "https://ghcr.io/": "ghcr.io:443",
    "https://ghcr.io:5000": "ghcr.io:5000",
    "http://127.0.0.1:5000": "127.0.0.1:5000",
    "http://registry.lan": "registry.lan:80",
    "ghcr.io": "ghcr.io:443",
    "localhost:5000": "localhost:5000",
    "https://[::1]:5000": "[::1]:5000",
    # A user name would read as a mode's "@".
    "https://me@ghcr.io": "ghcr.io:443",
    # The addon refuses these by name.
    "https://ghcr.io:no": "registry-1.docker.io:443",
    "https://[::1": "registry-1.docker.io:443",
    "https://": "registry-1.docker.io:443",
}


@pytest.mark.parametrize(("registry", "authority"), AUTHORITIES.items())
def test_the_mode_names_the_registry(registry: str, authority: str) -> None:
    assert upstream_authority(registry) == authority
    mode = ProxyMode.parse(f"reverse:http://{authority}@80")
    assert isinstance(mode, ReverseMode)
    host, _, port = authority.rpartition(":")
    assert mode.address == (host.strip("[]"), int(port))
    # TCP alone, and the host of --listen-host.
    assert (mode.transport_protocol, mode.custom_listen_host) == ("tcp", None)
