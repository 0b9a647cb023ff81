from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from addon.answering.fetching import Fetcher
from addon.metrics.levels import Levels, Sources
from addon.metrics.metrics import FOLDER, Metrics
from addon.protocol.pulllimits import PullLimits
from tests.e2e.watched import Scrape
from tests.upstreams import MIB, Site, read, settle

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Read:
    """Levels of a site, and what a scrape would say."""

    def __init__(
        self,
        fetcher: Fetcher | None = None,
        *,
        not_after: datetime | None = None,
        clients: int = 0,
    ) -> None:
        self.metrics = Metrics()
        sources = Sources(lambda: fetcher, lambda: not_after, lambda: clients, lambda: NOW)
        self.levels = Levels(self.metrics, sources)

    @property
    def scrape(self) -> Scrape:
        self.levels.read()
        return Scrape(self.metrics.text("")[0].decode())


def test_without_a_mirror_there_are_its_clients_alone() -> None:
    found = Read(clients=3).scrape
    assert found.total("docxy_client_connections") == 3
    assert "docxy_memory_entries" not in found.labels()


async def test_what_a_pull_leaves_behind_is_read() -> None:
    site = Site()
    site.push("1", b"config", b"layer")
    token = await site.token()
    await read(await site.pull(token))
    await read(await site.blob(b"config", token))
    await settle()
    found = Read(site.fetcher).scrape
    kinds = ("manifests", "tags", "small_blobs", "tokens", "redirects")
    assert [found.total("docxy_memory_entries", kind=kind) for kind in kinds] == [1] * 5
    assert found.total("docxy_memory_bytes", kind="small_blobs") == 16 * 1024
    assert found.total("docxy_memory_bytes", kind="tokens") > 0
    assert found.total("docxy_memory_bytes", kind="redirects") > 0
    assert found.total("docxy_memory_limit_bytes", kind="small_blobs") == 64 * MIB


def test_a_certificate_is_read_where_there_is_one() -> None:
    ends = NOW + timedelta(days=30)
    found = Read(not_after=ends).scrape
    name = "docxy_certificate_not_after_timestamp_seconds"
    assert found.total(name) == ends.timestamp()
    assert found.total("docxy_certificate_left_seconds") == 30 * 86400
    # 0 would be one that ends now.
    assert name not in Read().scrape.labels()


def hear(limits: PullLimits, remaining: str, source: str) -> None:
    said = {
        "ratelimit-remaining": remaining,
        "ratelimit-limit": "100;w=21600",
        "docker-ratelimit-source": source,
    }
    limits.hear(said.get)


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("192.0.2.1", "address"),
        ("2001:db8::1", "address"),
        ("", "address"),
        ("f6a1c9d2-0000-4000-8000-000000000000", "account"),
    ],
)
async def test_the_pull_limit_is_what_was_heard_last(source: str, counted: str) -> None:
    site = Site()
    heard = site.upstream.pull_limits
    levels = Read(site.fetcher)
    assert "docxy_pull_limit_remaining" not in levels.scrape.labels()
    for left in ("81;w=21600", "80;w=21600"):
        site.clock.forward(1)
        hear(heard, left, source)
    assert levels.scrape.total("docxy_pull_limit_remaining", counted=counted) == 80
    assert levels.scrape.total("docxy_pull_limit", counted=counted) == 100
    site.clock.forward(1)
    hear(heard, "many", source)
    assert levels.scrape.total("docxy_pull_limit_remaining") == 80, "no number"
    assert source not in levels.scrape.text or not source


SHARED = """
import os
from addon.metrics.levels import Levels, Sources
from addon.metrics.metrics import Metrics
metrics = Metrics()
levels = Levels(metrics, Sources(lambda: None, lambda: None, lambda: 2))
for _ in range(2):
    levels.read()
print(metrics.text("")[0].decode())
print("# spent", sum(os.times()[:2]))
"""


def test_of_several_processes_memory_and_cpu_are_summed_up(tmp_path: Path) -> None:
    environ = {**os.environ, FOLDER: str(tmp_path)}
    spent = 0.0
    for number in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", SHARED], env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found = Scrape(done.stdout)
        assert found.total("docxy_client_connections") == 2 * number
        assert found.total("process_resident_memory_bytes") > number * 10 * MIB
        spent += float(done.stdout.split("# spent ")[1])
        assert 0 < found.total("process_cpu_seconds_total") <= spent, "each second once"
        assert found.total("process_start_time_seconds") > NOW.timestamp() - 10 * 365 * 86400
