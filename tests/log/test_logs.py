"""The log of a whole mirror, as lines for a person and as JSON."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.addons.termlog import TermLogHandler
from mitmproxy.test import taddons

from addon.log import logs
from addon.log.jsonlines import JsonLines
from addon.log.logs import Logs
from tests.e2e.client import ask, bearer, connect
from tests.hub import Hub
from tests.ports import free_port
from tests.running import MITMDUMP, PROJECT, Mirror, hub_options, reverse_mode, running_mirror

SECRET = "d29uZGVybGFuZA=="
ACCEPT = "application/vnd.oci.image.manifest.v1+json"
REQUEST_KEYS = (
    "time, level, message, event, client, method, path, repository, reference, status, bytes, ms,"
    " first_byte_ms, from, upstream, error"
)
PULL_KEYS = (
    "time, level, message, event, client, repository, reference, blobs, bytes, from_memory,"
    " from_ahead, from_network, ms, failed"
)


# The hooks.


async def test_the_form_changes_while_the_mirror_runs() -> None:
    log = Logs()
    with taddons.context(log) as context:  # type: ignore[no-untyped-call]
        # Made in the test itself: mitmproxy throws out what is older.
        terminal = TermLogHandler()
        terminal.install()
        text = terminal.formatter
        context.configure(log, docxy_log="json")
        assert isinstance(terminal.formatter, JsonLines)
        context.configure(log, docxy_log="text")
        assert terminal.formatter is text
        log.running()
        with pytest.raises(exceptions.OptionsError, match="'xml' is neither text nor json"):
            context.configure(log, docxy_log="xml")
        log.done()
        terminal.uninstall()


async def test_a_form_that_is_none_is_an_error_that_ends_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Logs()
    with taddons.context(log) as context:  # type: ignore[no-untyped-call]
        context.configure(log, docxy_log="xml")
    assert "docxy_log: 'xml' is neither text nor json" in caplog.text


async def test_it_looks_at_the_pulls_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "INTERVAL", 0.01)
    log = Logs()
    looked = asyncio.Event()
    monkeypatch.setattr(log.summaries, "look", looked.set)
    log.running()
    async with asyncio.timeout(10):
        await looked.wait()
    log.done()


# Whole mirrors.


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


async def pull(mirror: Mirror, hub: Hub) -> int:
    """Index, config and layers, and some things that must not be seen; bytes of the blobs."""
    image = hub.add_image()
    fields = {"Authorization": f"Basic {SECRET}"}
    assert (await ask(mirror, f"/v2/?password={SECRET}", headers=fields)).status == 401
    token = {**await bearer(mirror, "library/alpine"), "Accept": ACCEPT}
    async with connect(mirror) as connection:
        assert (await connection.ask("/v2/alpine/manifests/latest", headers=token)).status == 200
        size = 0
        for blob in (image.config, *image.layers):
            answer = await connection.ask(f"/v2/alpine/blobs/{blob.digest}", headers=token)
            assert answer.status == 200
            size += len(answer.body)
        await connection.send(b"GET / HTTP/1.1\r\nAuthorization: Basic " + SECRET.encode())
    async with connect(mirror) as connection:
        await connection.send(b"\x16\x03\x01\x00\x02no")  # a handshake that fails
    assert (await ask(mirror, "/x\x1b[31m\xe9")).status == 400
    return size


async def test_lines_for_a_person(hub: Hub, tmp_path: Path) -> None:
    async with running_mirror(hub, tmp_path) as mirror:
        size = await pull(mirror, hub)
        assert "127.0.0.1 GET /v2/alpine/manifests/latest: 200, " in mirror.text
    # What is not over yet is said when the mirror ends.
    assert f"127.0.0.1 pulled library/alpine:latest: 3 blobs, {size} bytes (" in mirror.text
    assert SECRET not in mirror.text


async def test_json_from_the_first_line_to_the_last(hub: Hub, tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    words = [*reverse_mode(hub.registry_url, "127.0.0.1", port), *hub_options(hub)]
    words += ["--set", "docxy_acme_home=", "--set", "docxy_warm_time=0", "--set", "docxy_log=json"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "addon.launch", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT), "DOCXY_STATE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    mirror = Mirror(process, "127.0.0.1", port)
    reading = asyncio.get_running_loop().create_task(read(mirror))
    try:
        await mirror.log_line("daemon.json", 30.0)
        await pull(mirror, hub)
        await mirror.log_line('"event": "pull"', 20.0)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await reading
    lines = [json.loads(line) for line in mirror.log]
    check(lines)
    assert SECRET not in mirror.text


async def read(mirror: Mirror) -> None:
    assert mirror.process.stdout is not None
    async for line in mirror.process.stdout:
        mirror.log.append(line.decode().rstrip("\n"))


def check(lines: list[dict[str, Any]]) -> None:
    assert all([*line][:3] == ["time", "level", "message"] for line in lines)
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    others = [line for line in lines if "event" not in line]
    assert all(len(line) == 3 for line in others)
    requests = [line for line in lines if line.get("event") == "request"]
    pulls = [line for line in lines if line.get("event") == "pull"]
    assert all(", ".join(line) == REQUEST_KEYS for line in requests)
    assert all(", ".join(line) == PULL_KEYS for line in pulls)
    manifest = next(line for line in requests if "/manifests/" in line["path"])
    assert manifest["status"] == 200
    assert (manifest["repository"], manifest["reference"]) == ("library/alpine", "latest")
    assert (pulls[0]["blobs"], pulls[0]["failed"]) == (3, 0)


def test_a_start_that_fails_says_why_in_json() -> None:
    mode = f"reverse:https://r.example@127.0.0.1:{free_port('127.0.0.1')}"
    words = ["-s", str(PROJECT / "addon" / "mirror.py"), "--mode", mode]
    options = ["--set", "docxy_tries=none", "--set", "docxy_log=json", "--set", "docxy_metrics="]
    ended = subprocess.run(
        [MITMDUMP, *words, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    errors = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [line["level"] for line in errors] == ["error"]
    assert "docxy_tries" in errors[0]["message"]
