from __future__ import annotations

import os
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon import launch
from addon.start.words import Words, parse_words


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCXY_STATE_DIR": str(tmp_path / "state")}


NO_ACME = ["--set", "docxy_acme_home="]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_users_words_pass_on_untouched_behind_ours(environ: dict[str, str]) -> None:
    said = ["-p", "0", *NO_ACME, "-w", "flows.mitm", "--set", "docxy_official=", "~u a b"]
    assert launch.prepare(said, environ).arguments[-len(said) :] == tuple(said)


def test_the_config_directory_is_private(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    arguments = launch.prepare(["-p", "0", *NO_ACME], environ).arguments
    assert f"confdir={tmp_path / 'state' / 'mitmproxy'}" in arguments
    assert mode_of(tmp_path / "state") == 0o700
    assert mode_of(tmp_path / "state" / "mitmproxy") == 0o700


def test_the_users_config_directory_is_left_alone(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o755)
    (tmp_path / "own" / "config.yaml").write_text("listen_port: 0\n")
    said = ["--set", f"confdir={tmp_path / 'own'}", *NO_ACME]
    arguments = launch.prepare(said, environ).arguments
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
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, stderr = run_launch(["-p", str(port), *NO_ACME], environ)
    assert code == 2
    assert stderr == (
        f"docxy: port {port} on 127.0.0.1 is taken by another program;"
        " choose another with -p PORT\n"
    )


def test_a_port_for_metrics_that_was_said_is_tried_before_the_start(
    environ: dict[str, str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        said = ["-p", "0", *NO_ACME, "--set", f"docxy_metrics={where}"]
        code, stderr = run_launch(said, environ)
    assert code == 2
    assert stderr.count("\n") == 1
    assert "is taken by another program; choose another with --set docxy_metrics=" in stderr


def test_settings_that_are_no_file_are_one_line_and_code_2(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").symlink_to("nowhere")
    code, stderr = run_launch(["--set", f"confdir={tmp_path}", *NO_ACME], environ)
    assert (code, stderr) == (2, f"docxy: {tmp_path}/config.yaml is no file\n")


def test_half_a_certificate_is_one_line_and_code_2(environ: dict[str, str]) -> None:
    code, stderr = run_launch([], {**environ, "CERT_PATH": "/c", "KEY_PATH": "", "DOMAIN": ""})
    assert code == 2
    assert stderr.count("\n") == 1
    assert stderr.startswith("docxy: docxy_cert_path")


def test_several_workers_do_not_write_one_file(environ: dict[str, str]) -> None:
    code, stderr = run_launch(["-p", "0", *NO_ACME, "--workers", "2", "-w", "flows.mitm"], environ)
    assert (code, stderr.count("\n")) == (2, 1)
    assert "several workers would write over each other's flows" in stderr


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


def test_each_line_reaches_a_pipe_at_once() -> None:
    code = (
        "import sys; from addon import launch;"
        "launch.prepare = lambda *_: (print('a line'), sys.stdin.read(), sys.exit(0));"
        "launch.main()"
    )
    environ = {name: each for name, each in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=environ, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = select.select([process.stdout], [], [], 20)[0]
        process.stdin.close()
        assert found
        assert process.stdout.read() == "a line\n"
    assert process.returncode == 0
