"""`./run.sh record` as a user runs it: a command, a mirror of its own, and what it asked."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http, io
from mitmproxy.test import tflow, tutils

from tests.hub import Hub
from tests.installed import RUN_SH, installed
from tests.running import ADDON, MITMDUMP, hub_options, settings_arguments

on_the_hubs_loop = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60.0

untyped_tflow: Any = tflow
untyped_writer: Any = io.FlowWriter


@dataclass
class Recording:
    """A run of the command, and where its things are."""

    folder: Path
    options: list[str]
    environ: dict[str, str]

    @property
    def file(self) -> Path:
        return self.folder / "a recording"

    def words(self, *command: str) -> list[str]:
        return [str(RUN_SH), "record", str(self.file), *self.options, "--", *command]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*command),
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    @contextlib.contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """One that runs, in a process group of its own as under a terminal."""
        process = subprocess.Popen(
            self.words(*command),
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def flows(self) -> list[http.HTTPFlow]:
        with self.file.open("rb") as file:
            found = list(io.FlowReader(file).stream())
        return [flow for flow in found if isinstance(flow, http.HTTPFlow)]

    def paths(self) -> list[str]:
        return [flow.request.path for flow in self.flows()]


@pytest.fixture
def recording(shared_hub: Hub, tmp_path: Path) -> Recording:
    settings = {"docxy_registry": shared_hub.registry_url, "docxy_warm_time": "0"}
    options = [*settings_arguments(settings), *hub_options(shared_hub)]
    return Recording(tmp_path, options, installed(tmp_path))


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def refuses(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


# The Hub is served by this process's loop, so a command that asks it must not block that.


@on_the_hubs_loop
async def test_what_a_command_asks_is_recorded(recording: Recording) -> None:
    done = await asyncio.to_thread(
        recording.run, "sh", "-c", 'curl -sS "$DOCXY/v2/" "$DOCXY/health"; echo "at $DOCXY"; exit 7'
    )
    assert done.returncode == 7, done.stderr
    assert recording.paths() == ["/v2/", "/health"]
    assert [f.response.status_code for f in recording.flows() if f.response] == [401, 200]
    size = recording.file.stat().st_size
    assert done.stderr == f"docxy: the recording is {recording.file} ({size} bytes)\n"
    address = re.search(r"at (127\.0\.0\.1:\d+)\n", done.stdout)
    assert address, done.stdout
    assert refuses(address[1])


@on_the_hubs_loop
async def test_a_pull_is_recorded_and_no_blob_is_in_it(
    recording: Recording, shared_hub: Hub
) -> None:
    image = shared_hub.add_image("library/recorded", layers=[3_000_000])
    blob = f"http://$DOCXY/v2/recorded/blobs/{image.layers[0].digest}"
    done = await asyncio.to_thread(
        recording.run,
        "sh",
        "-c",
        "set -e;"
        f" url='http://'$DOCXY'/auth/token?service={shared_hub.service}"
        "&scope=repository:recorded:pull';"
        """ token=$(curl -sS "$url" | sed 's/.*"token": *"\\([^"]*\\)".*/\\1/');"""
        f' curl -sS -H "Authorization: Bearer $token" -o blob {blob};'
        " wc -c <blob",
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(image.layers[0].size)), done
    assert f"/v2/library/recorded/blobs/{image.layers[0].digest}" in recording.paths()
    assert recording.file.stat().st_size < 100_000


def test_who_was_asked_stays_in_what_is_read(recording: Recording) -> None:
    # mitmproxy itself would put the registry's address in place of each.
    flows = [tflow.tflow(req=tutils.treq(host=f"{name}.example")) for name in ("token", "cdn")]
    with recording.file.open("wb") as file:
        writer = io.FlowWriter(file)  # type: ignore[no-untyped-call]
        for each in flows:
            writer.add(each)
    again = recording.folder / "again"
    command = [str(RUN_SH), "-n", "-r", str(recording.file), "-w", str(again), *recording.options]
    subprocess.run(command, env=recording.environ, check=True, timeout=SECONDS)
    with again.open("rb") as file:
        read = [f.request for f in io.FlowReader(file).stream() if isinstance(f, http.HTTPFlow)]
    assert sorted(r.host for r in read) == ["cdn.example", "token.example"]
    assert [r.headers for r in read] == [f.request.headers for f in flows]


def test_it_is_its_owners_alone(recording: Recording) -> None:
    assert recording.run("true").returncode == 0
    assert stat.S_IMODE(recording.file.stat().st_mode) == 0o600


def test_a_file_that_is_there_stays(recording: Recording) -> None:
    recording.file.write_text("dear")
    done = recording.run("true")
    assert done.returncode == 2
    assert done.stderr == (
        f"docxy: {recording.file} is there already; remove it, or name another file\n"
    )
    assert recording.file.read_text() == "dear"


def test_a_command_that_is_not_there_leaves_no_file(recording: Recording) -> None:
    done = recording.run("no-such-command")
    assert done.returncode == 127
    assert done.stderr == "docxy: no-such-command: there is no such command\n"
    assert not recording.file.exists()


def test_a_mirror_that_does_not_start_says_why(recording: Recording) -> None:
    recording.options += ["--set", "docxy_tag_ttl=-1"]
    done = recording.run("touch", "ran")
    assert done.returncode == 1
    assert done.stderr.startswith("docxy: the mirror does not start:\n")
    assert "docxy_tag_ttl: -1 is less than 0" in done.stderr
    assert not recording.file.exists()
    assert not (recording.folder / "ran").exists()


def test_a_second_pair_of_dashes_is_the_commands(recording: Recording) -> None:
    done = recording.run("sh", "-c", 'echo "$@"', "sh", "-p", "--", "a")
    assert (done.returncode, done.stdout) == (0, "-p -- a\n")


def test_a_command_that_is_killed_leaves_a_recording(recording: Recording) -> None:
    done = recording.run("sh", "-c", "curl -sS $DOCXY/health; kill -9 $$")
    assert done.returncode == 128 + signal.SIGKILL
    assert recording.paths() == ["/health"]


WAITS = (
    "sleep 60 >/dev/null 2>&1 & waits=$!; trap 'kill $waits; exit 3' INT TERM;"
    " curl -sS $DOCXY/health >&2; echo $DOCXY; wait $waits"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_and_ends_the_mirror(
    recording: Recording, number: signal.Signals
) -> None:
    with recording.started("sh", "-c", WAITS) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert not refuses(address)
        process.send_signal(number)
        assert process.wait(SECONDS) == 3
        assert refuses(address)
    assert recording.paths() == ["/health"]


def test_ctrl_c_in_a_terminal_reaches_the_command_once(recording: Recording) -> None:
    counts = "trap 'echo got it' INT; echo ready; for i in 1 2 3 4 5; do sleep 0.2; done; exit 5"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        recording.words("sh", "-c", counts),
        env=recording.environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # What Ctrl-C is for: the terminal is the session's own.
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # the end of a terminal that its program has left
        while piece := os.read(ours, 1000):
            if b"ready" in piece:
                os.write(ours, b"\x03")
            drawn += piece
    os.close(ours)
    assert process.wait(SECONDS) == 5
    assert drawn.count(b"got it") == 1


def test_a_signal_before_the_mirror_serves_ends_it_all(recording: Recording) -> None:
    with recording.started("touch", "ran") as process:
        wait_until(recording.file.exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM
    assert not recording.file.exists()
    assert not (recording.folder / "ran").exists()


def test_killed_itself_it_leaves_no_mirror_and_a_recording(recording: Recording) -> None:
    with recording.started("sh", "-c", WAITS) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        process.kill()
        process.wait(SECONDS)
        wait_until(lambda: refuses(address))
        os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: recording.paths() == ["/health"])


def test_mitmdump_reads_one_as_it_is_told_of_no_mode(tmp_path: Path) -> None:
    flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    assert flow.response
    flow.response.headers = http.Headers(content_type="application/json")
    flow.response.content = b'{"errors": [{"code": "NAME_UNKNOWN"}]}'
    flow.comment = "alpine:latest · network"
    file = tmp_path / "recording"
    with file.open("wb") as saved:
        untyped_writer(saved).add(flow)
    words = [str(MITMDUMP), "-nr", str(file), "-s", str(ADDON)]
    settings = settings_arguments({"confdir": str(tmp_path), "docxy_acme_home": ""})
    read = subprocess.run([*words, *settings], capture_output=True, text=True, timeout=SECONDS)
    assert read.returncode == 0, read
    assert "alpine:latest · network\n" in read.stdout
    assert "NAME_UNKNOWN: the registry has no such repository." in read.stdout


def test_without_a_command_it_says_how_it_is_used(recording: Recording) -> None:
    done = recording.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("docxy: use: ./run.sh record FILE ")
