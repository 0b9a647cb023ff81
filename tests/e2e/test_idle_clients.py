"""A client's connection stays open while nothing is asked on it: for docxy_client_idle_time.

Where that is longer, or none, mitmproxy's own ten minutes hold; the test turns that number down and
waits for less. tests/e2e/test_limits.py does so with ours.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import options
from mitmproxy.proxy import server

from addon.limits.clientlimits import CLIENT_LIMITS
from tests.e2e.client import connect
from tests.hub import Hub
from tests.running import running_mirror

untyped: Any = server
SECONDS = 3
# mitmproxy 11 has a constant where 12 has an option.
HAS_OPTION = "tcp_timeout" in options.Options()
CONSTANT = f"from mitmproxy.proxy import server\nserver.TCP_TIMEOUT = {SECONDS}\n"


def test_idle_clients_are_kept_for_five_minutes_and_more() -> None:
    seconds = options.Options().tcp_timeout if HAS_OPTION else untyped.TCP_TIMEOUT
    ours = {option.name: option.default for option in CLIENT_LIMITS}["docxy_client_idle_time"]
    assert min(seconds, ours) >= 300


@pytest.fixture
def shortened(tmp_path: Path) -> list[str]:
    if HAS_OPTION:
        return ["--set", f"tcp_timeout={SECONDS}"]
    script = tmp_path / "shortened.py"
    script.write_text(CONSTANT)
    return ["-s", str(script)]


async def test_nothing_else_closes_them(tmp_path: Path, shortened: list[str]) -> None:
    async with Hub() as hub, running_mirror(hub, tmp_path, *shortened) as mirror:
        await mirror.log_line("daemon.json")
        async with connect(mirror) as connection:
            for _ in range(2):
                assert (await connection.ask("/v2/")).status == 401
                await asyncio.sleep(SECONDS * 0.6)
            assert (await connection.ask("/v2/")).status == 401  # each request begins it anew
            since = time.monotonic()
            assert await connection.is_closed()
            assert time.monotonic() - since > SECONDS * 0.9
