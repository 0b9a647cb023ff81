"""A mirror's metrics and readiness as whoever runs it sees them, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from addon.metrics.metrics import FOLDER
from tests.e2e.client import ask, bearer, connect
from tests.e2e.watched import Watched, pull, watched
from tests.hub import Hub
from tests.hub.faults import Delay, Status
from tests.ports import free_port
from tests.running import ADDON, MITMDUMP, hub_options, reverse_mode, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """The module's mirror with metrics."""
    async with watched(shared_hub, tmp_path_factory.mktemp("confdir")) as mirror:
        yield mirror
        assert "Traceback" not in mirror.mirror.text, mirror.mirror.text


async def test_a_pull_is_counted_and_the_second_comes_from_memory(hub: Hub, one: Watched) -> None:
    image = hub.add_image("library/counted", layers=(2000, 3000))
    before = await one.scrape()
    asked = before.total("docxy_requests_total")
    # A token, a manifest, a config and two layers.
    await pull(one.mirror, image, "counted")
    first = await one.after(asked + 5)
    await pull(one.mirror, image, "counted")
    second = await one.after(asked + 10)

    def grown(name: str, **labels: str) -> list[float]:
        totals = [each.total(name, **labels) for each in (before, first, second)]
        return [after - earlier for earlier, after in pairwise(totals)]

    size = sum(each.size for each in image.manifest.blobs)
    assert grown("docxy_pulls_total") == [1, 1]
    assert grown("docxy_requests_total", route="blob", status="200") == [3, 3]
    assert grown("docxy_requests_total", route="blob", source="memory") == [0, 3]
    assert grown("docxy_requests_total", route="token", upstream="token_service") == [1, 0]
    assert grown("docxy_requests_total", route="manifest", source="memory") == [0, 1]
    assert grown("docxy_sent_bytes_total", route="blob") == [size, size]
    assert grown("docxy_upstream_received_bytes_total", upstream="cdn") == [size, 0]
    assert grown("docxy_look_ahead_used_bytes_total") == [size, 0]
    assert grown("docxy_first_byte_seconds_count", route="manifest") == [1, 1]
    assert grown("docxy_upstream_requests_total", upstream="registry", purpose="manifest") == [1, 0]
    assert second.total("docxy_memory_entries", kind="small_blobs") >= 3
    assert second.total("docxy_pull_limit_remaining") == 99
    assert second.total("process_resident_memory_bytes") > 10**7


async def test_clients_that_are_connected_are_counted(one: Watched) -> None:
    async with connect(one.mirror) as first, connect(one.mirror) as second:
        for each in (first, second):
            assert (await each.ask("/health")).status == 200
        await one.until(lambda found: found.total("docxy_client_connections") == 2)
        first.abort()
        assert await first.is_closed()
        assert (await second.ask("/health")).status == 200
        await one.until(lambda found: found.total("docxy_client_connections") == 1)


async def test_an_upstream_that_fails_is_counted_by_its_cause(hub: Hub, one: Watched) -> None:
    hub.add_image("library/failing", layers=(2000,))
    token = await bearer(one.mirror, "failing")
    name, labels = "docxy_upstream_errors_total", {"upstream": "registry", "cause": "server_error"}
    before = (await one.scrape()).total(name, **labels)
    hub.registry.faults.add(Status(500))
    answer = await ask(one.mirror, "/v2/failing/tags/list", headers=token)
    assert answer.status == 500
    await one.until(lambda found: found.total(name, **labels) == before + 1)


async def test_what_is_fetched_ahead_for_nobody_is_wasted(hub: Hub, tmp_path: Path) -> None:
    known = hub.add_image("library/known", layers=(2000,))
    image = hub.add_image("library/wasted", layers=(9_000_000,))
    # From far away a blob comes in pieces, which are read before anybody asks.
    for each in (hub.registry, hub.cdn):
        each.faults.add(Delay(0.05))
    words = ("--set", "docxy_look_ahead_time=1", "--set", "docxy_memory_blob_size=0")
    async with watched(hub, tmp_path, *words) as one:
        await pull(one.mirror, known, "known")
        size = sum(each.size for each in known.manifest.blobs)
        await one.until(lambda found: found.total("docxy_look_ahead_used_bytes_total") == size)
        await pull(one.mirror, image, "wasted", layers=False)
        name = "docxy_look_ahead_wasted_bytes_total"
        found = await one.until(lambda found: found.total(name) > 100_000)
        assert found.total("docxy_look_ahead_used_bytes_total") == size


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/v2/metrics"])
async def test_clients_of_the_mirror_get_no_metrics(one: Watched, path: str) -> None:
    assert (await ask(one.mirror, path)).status == 404


async def test_the_port_for_metrics_serves_no_registry(one: Watched) -> None:
    assert [(await one.get(path))[0] for path in ("/v2/", "/health", "/")] == [404] * 3
    assert (await one.get("/metrics", "POST"))[0] == 405
    status, media_type, text = await one.get("/metrics", "HEAD")
    assert (status, text) == (200, "")
    assert media_type.startswith("text/plain; version=")


async def test_a_mirror_in_order_is_ready_and_says_why(hub: Hub, one: Watched) -> None:
    status, media_type, text = await one.get("/ready")
    assert (status, media_type) == (200, "application/json")
    report = json.loads(text)
    assert report["status"] == "ready"
    checks = {check["name"]: check for check in report["checks"]}
    assert {"registry", "token_service", "certificate", "serving"} <= checks.keys()
    assert all(check["ok"] and check["why"] for check in checks.values())
    # On the mirror's own port too, for who is on this machine.
    answer = await ask(one.mirror, "/ready")
    assert answer.status == 200
    assert [check["name"] for check in answer.json["checks"]] == list(checks)
    head = await ask(one.mirror, "/ready", "HEAD")
    assert (head.status, head.body) == (200, b"")


async def test_a_mirror_whose_registry_fails_is_not_ready_but_healthy(
    hub: Hub, tmp_path: Path
) -> None:
    hub.registry.faults.add(Status(503))
    async with watched(hub, tmp_path, "--set", "docxy_tries=1") as one:
        status, _, text = await one.get("/ready")
        assert status == 503
        failed = [check for check in json.loads(text)["checks"] if not check["ok"]]
        assert [check["name"] for check in failed] == ["registry"]
        assert failed[0]["why"].endswith("answered 503")
        assert (await ask(one.mirror, "/ready")).status == 503
        assert (await ask(one.mirror, "/health")).status == 200
        asked = len(hub.requests.of("registry"))
        assert asked == 1, "once, for both"
        assert hub.pulls == 0


async def test_a_usual_port_that_is_taken_is_one_line_and_the_mirror_goes_on(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addon = tmp_path / "mirror.py"
        addon.write_text(
            "import dataclasses\n"
            "from addon.metrics import monitoring\n"
            "monitoring.OPTION = dataclasses.replace("
            f"monitoring.OPTION, default='127.0.0.1:{port}')\n"
            "from addon.mirror import addons\n"
        )
        async with running_mirror(hub, tmp_path, addon=addon) as mirror:
            line = await mirror.log_line("No metrics: ")
            assert f"port {port} on 127.0.0.1 is taken by another program" in line
            assert (await ask(mirror, "/health")).status == 200
            assert mirror.text.count("No metrics") == 1


async def test_a_port_that_was_set_and_is_taken_ends_the_start(hub: Hub, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = await start_that_fails(hub, tmp_path, f"docxy_metrics=127.0.0.1:{port}")
    assert code == 1
    (line,) = [each for each in output.splitlines() if "No metrics" in each]
    assert f"port {port} on 127.0.0.1 is taken by another program; choose another with" in line
    assert "Traceback" not in output


async def start_that_fails(hub: Hub, confdir: Path, setting: str) -> tuple[int | None, str]:
    """Exit code and output."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(str(MITMDUMP), "-s", str(ADDON), "--set", f"confdir={confdir}", "--set", setting),
        *(*hub_options(hub), *reverse_mode(hub.registry_url, "127.0.0.1", port)),
        *("--set", "docxy_acme_home="),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, output.decode()


async def test_several_processes_answer_for_all_on_one_port(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "values"
    folder.mkdir()
    port = free_port()
    image = hub.add_image("library/shared", layers=(2000,))
    words = ("--set", f"docxy_metrics=127.0.0.1:{port}")
    environ = {FOLDER: str(folder)}
    async with (
        running_mirror(hub, tmp_path / "a", *words, environ=environ) as first,
        running_mirror(hub, tmp_path / "b", *words, environ=environ) as second,
    ):
        for each in (first, second):
            await each.log_line("Metrics: ")
            await pull(each, image, "shared")
        # Whichever answers.
        for one in [Watched(first, port)] * 4:
            found = await one.after(8)
            assert found.total("docxy_pulls_total") == 2
            assert found.total("docxy_requests_total", route="blob") == 4
            assert found.total("docxy_build_info") == 1
            assert (await one.get("/ready"))[0] == 200
