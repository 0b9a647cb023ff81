from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode, ReverseMode

from addon import launch
from addon.launch import Listener, Words, explain, make_plan, parse_words, upstream_authority

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
    "--no-server": ("-n", [], []),
    "server=false": ("--set server=false", [], []),
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
    assert plan_for(f"{line} -n") == (extra, [])


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
}


@pytest.mark.parametrize(("line", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_port_is_refused_by_name(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_for(line, tls=True)


def test_a_filter_is_not_taken_for_an_option() -> None:
    assert parse_words(["-p", "81", "~u manifests", "-q"]).listen_port == "81"


CONFIG = {
    "a number": ({"listen_port": 81}, Words(listen_port="81", settings=(("listen_port", "81"),))),
    "a truth value": ({"server": False}, Words(listens=False, settings=(("server", "false"),))),
    "a list": (
        {"mode": ["reverse:http://h", "reverse:http://h@81"]},
        Words(
            modes=("reverse:http://h", "reverse:http://h@81"),
            settings=(("mode", "reverse:http://h"), ("mode", "reverse:http://h@81")),
        ),
    ),
}


@pytest.mark.parametrize(("config", "words"), CONFIG.values(), ids=CONFIG.keys())
def test_the_config_file_is_the_users_word_too(config: dict[str, object], words: Words) -> None:
    assert parse_words([], config) == words


def test_the_order_of_mitmproxy_is_kept() -> None:
    config: dict[str, object] = {"listen_port": 2, "docxy_domain": "file"}
    said = ["--set", "listen_port=1", "--set", "docxy_domain=set"]
    assert parse_words(said, config).listen_port == "2"
    assert parse_words(said, config).setting("docxy_domain") == "file"
    assert parse_words([*said, "-p", "3"], config).listen_port == "3"


def test_scripts_in_the_config_file_would_replace_the_mirror() -> None:
    with pytest.raises(ValueError, match="name them with -s"):
        parse_words([], {"scripts": ["x.py"]})


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


EXPLAINED = {
    "taken": (
        Listener("127.0.0.1", 8080),
        OSError(errno.EADDRINUSE, "x"),
        "port 8080 on 127.0.0.1 is taken by another program; choose another with -p PORT",
    ),
    "taken, every address": (
        Listener("", 80, "move it"),
        OSError(errno.EADDRINUSE, "x"),
        "port 80 on all addresses is taken by another program; move it",
    ),
    "not permitted": (
        Listener("", 443),
        PermissionError(errno.EACCES, "x"),
        "port 443 on all addresses is not permitted to this user; take ports above 1023"
        " (-p 8443 --set docxy_http_port=8080), or grant it: authbind, setcap"
        " cap_net_bind_service on Python, systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ),
    "a name without an address": (
        Listener("nowhere", 1),
        socket.gaierror(-2, "Name or service not known"),
        "cannot listen on 'nowhere': not an address of this machine",
    ),
    "another machine's address": (
        Listener("192.0.2.1", 1),
        OSError(errno.EADDRNOTAVAIL, "x"),
        "cannot listen on '192.0.2.1': not an address of this machine",
    ),
    "brackets": (
        Listener("[::1]", 1),
        socket.gaierror(-2, "x"),
        "cannot listen on '[::1]': not an address of this machine"
        " (an IPv6 address goes without brackets)",
    ),
    "all else": (
        Listener("::1", 1),
        OSError(errno.ENOBUFS, "No buffer space available"),
        "cannot listen on port 1 on ::1: No buffer space available",
    ),
}


@pytest.mark.parametrize(
    ("listener", "error", "line"), EXPLAINED.values(), ids=list(EXPLAINED.keys())
)
def test_a_port_that_cannot_be_had_is_explained_in_one_line(
    listener: Listener, error: OSError, line: str
) -> None:
    def bind(_: Listener) -> None:
        raise error

    assert explain(listener, error) == line
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # compared whole
        launch.check_listeners([listener], bind)
    assert str(caught.value) == line


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[int]:
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_found_on_its_address_and_on_all() -> None:
    with listening() as port:
        for host in ("127.0.0.1", ""):
            with pytest.raises(OSError, match="in use"):
                launch.bind_once(Listener(host, port))
        launch.bind_once(Listener("127.0.0.2", port))
    launch.bind_once(Listener("127.0.0.1", port))


def test_connections_of_a_mirror_that_just_ended_do_not_count_as_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = server.accept()
        connection.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    launch.bind_once(Listener("127.0.0.1", port))


def test_a_trial_gives_the_port_back() -> None:
    with listening() as port:
        pass
    launch.bind_once(Listener("127.0.0.1", port))
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", port))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCXY_STATE_DIR": str(tmp_path / "state")}


NO_ACME = ["--set", "docxy_acme_home="]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_users_words_pass_on_untouched_behind_ours(environ: dict[str, str]) -> None:
    said = ["-p", "0", *NO_ACME, "-w", "flows.mitm", "--set", "docxy_official=", "~u a b"]
    assert launch.prepare(said, environ)[-len(said) :] == said


def test_the_config_directory_is_private(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    arguments = launch.prepare(["-p", "0", *NO_ACME], environ)
    assert f"confdir={tmp_path / 'state' / 'mitmproxy'}" in arguments
    assert mode_of(tmp_path / "state") == 0o700
    assert mode_of(tmp_path / "state" / "mitmproxy") == 0o700


def test_the_users_config_directory_is_left_alone(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o755)
    (tmp_path / "own" / "config.yaml").write_text("listen_port: 0\n")
    said = ["--set", f"confdir={tmp_path / 'own'}", *NO_ACME]
    arguments = launch.prepare(said, environ)
    assert "--listen-port" not in arguments
    assert mode_of(tmp_path / "own") == 0o755
    assert not (tmp_path / "state").exists()


def test_a_config_file_that_cannot_be_read_is_left_to_mitmproxy(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: [\n")
    (tmp_path / "config.yml").write_text("just words\n")
    assert launch.read_config(tmp_path) == {}


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot make .*file/state.*DOCXY_STATE_DIR"):
        launch.make_private(tmp_path / "file" / "state")


CERTIFIED = {
    "paths in the environment": ([], {"CERT_PATH": "/c", "KEY_PATH": "/k"}, True),
    "paths as options": (
        ["--set", "docxy_cert_path=/c", "--set", "docxy_key_path=/k"],
        {},
        True,
    ),
    "mitmproxy's own option": (["--certs", "c.pem"], {}, True),
    "mitmproxy's own option by --set": (["--set", "certs=c.pem"], {}, True),
    "nothing": ([], {}, False),
}


@pytest.mark.parametrize(("said", "environ", "tls"), CERTIFIED.values(), ids=CERTIFIED.keys())
def test_a_certificate_is_found(said: list[str], environ: dict[str, str], tls: bool) -> None:
    assert launch.has_certificate(parse_words([*said, *NO_ACME]), environ) is tls


def test_acme_sh_is_looked_for_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".acme.sh" / "example.com_ecc"
    folder.mkdir(parents=True)
    for name in ("fullchain.cer", "example.com.key"):
        (folder / name).write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch.has_certificate(Words(), {})


def run_launch(arguments: list[str], environ: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "addon.launch", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def test_a_start_that_fails_is_one_line_and_code_2(environ: dict[str, str]) -> None:
    with listening() as port:
        code, stderr = run_launch(["-p", str(port), *NO_ACME], environ)
    assert code == 2
    assert stderr == (
        f"docxy: port {port} on 127.0.0.1 is taken by another program;"
        " choose another with -p PORT\n"
    )


def test_half_a_certificate_is_one_line_and_code_2(environ: dict[str, str]) -> None:
    code, stderr = run_launch([], {**environ, "CERT_PATH": "/c", "KEY_PATH": "", "DOMAIN": ""})
    assert code == 2
    assert stderr.count("\n") == 1
    assert stderr.startswith("docxy: docxy_cert_path")


def test_codes_of_mitmdump_pass_on(environ: dict[str, str]) -> None:
    code, stderr = run_launch(["-p", "0", *NO_ACME, "--no-such-option"], environ)
    assert code == 1
    assert "--no-such-option" in stderr


def start_with_signal(number: signal.Signals, prepared: str = "None") -> tuple[int, str]:
    """A start that sends itself a signal; then what it prepared ends it."""
    code = (
        "import os, sys; from addon import launch;"
        f"launch.prepare = lambda *_: (os.kill(os.getpid(), {number.value}), {prepared})[1];"
        "sys.exit(launch.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.fixture
def hangup() -> Iterator[None]:
    """What a child finds where nobody ignores SIGHUP, as whoever runs these tests may do."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_starts_ends_it_cleanly(number: signal.Signals) -> None:
    assert start_with_signal(number) == (0, "")


@pytest.mark.usefixtures("hangup")
def test_a_terminal_that_is_closed_does_not_end_what_nohup_started() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert start_with_signal(signal.SIGHUP, "sys.exit(7)") == (7, "")


def limits_in_a_start(hard: str) -> str:
    """A start's limits on open files, where the soft one was 64."""
    code = (
        "import resource, sys; from addon import launch;"
        "limit = resource.RLIMIT_NOFILE;"
        f"resource.setrlimit(limit, (64, {hard}));"
        "launch.prepare = lambda *_: sys.exit(print(resource.getrlimit(limit)));"
        "launch.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_mirror_may_open_as_many_files_as_the_system_allows() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert limits_in_a_start("resource.getrlimit(limit)[1]") == f"({hard}, {hard})"
    assert limits_in_a_start("128") == "(128, 128)"


def test_a_limit_that_cannot_be_raised_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    launch.raise_open_files()
