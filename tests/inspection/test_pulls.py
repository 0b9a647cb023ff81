"""The commands as mitmproxy calls them; tests/e2e/test_pulling.py pulls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.test import taddons

from addon.answering.fetching import Fetcher
from addon.inspection import pulls
from addon.inspection.inspection import NO_MIRROR
from addon.inspection.ownclients import OwnClients
from addon.inspection.pulls import MAX_KEPT, MAX_PULLS, NO_PULLS, Pulls
from addon.protocol.platforms import PLATFORMS, own_platform
from addon.settings.options import OPTIONS
from tests.ports import free_port
from tests.upstreams import Site

untyped_taddons: Any = taddons


class Named:
    """A certificate of one name."""

    present = True
    names: Sequence[str] = ("*.example.net", "mirror.example")

    def covers(self, sni: str | None) -> bool:
        return sni == "mirror.example"


class Running:
    """mitmproxy with the commands, and a mirror once there is one."""

    def __init__(self) -> None:
        self.fetcher: Fetcher | None = None
        self.clients = OwnClients()
        self.pulls = Pulls(lambda: self.fetcher, Named(), self.clients)
        self.context = untyped_taddons.context(self.pulls)

    def run(self, command: str) -> Any:
        return self.context.master.commands.execute(command)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    running = Running()
    with running.context as context:
        for option in OPTIONS:
            context.options.add_option(option.name, option.type, option.default, option.help)
        yield running


@pytest.fixture
def serving(running: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """One that says where it listens, where nobody answers."""
    port = free_port()
    monkeypatch.setattr(pulls, "listen_addresses", lambda: [("127.0.0.1", port)])
    running.fetcher = Site().fetcher
    return running


async def test_where_no_mirror_runs_that_is_said(running: Running) -> None:
    with pytest.raises(exceptions.CommandError, match=NO_MIRROR):
        running.run("docxy.pull alpine")
    running.fetcher = Site().fetcher
    with pytest.raises(exceptions.CommandError, match=NO_MIRROR):
        running.run("docxy.pull alpine")
    assert running.run("docxy.pulls") == NO_PULLS


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("Alpine", "is not a repository name"),
        ("ghcr.io/me/app", r"^this mirror serves docker\.io, not 'ghcr\.io'$"),
        ("mirror.example:1/alpine", "not 'mirror.example:1'"),
        ("alpine@sha256:abc", "64 lower case hex digits"),
        ("alpine linux/vax", "Invalid choice"),
        ("alpine linux/amd64 more", "argument mismatch"),
    ],
)
async def test_a_wrong_word_is_a_command_error(serving: Running, words: str, why: str) -> None:
    with pytest.raises(exceptions.CommandError, match=why):
        serving.run(f"docxy.pull {words}")
    assert serving.run("docxy.pulls") == NO_PULLS


@pytest.mark.parametrize(
    "image", ["alpine", "docker.io/alpine", "mirror.example/alpine", "127.0.0.1/alpine"]
)
async def test_a_pull_is_begun_and_told_of(serving: Running, image: str) -> None:
    said = serving.run(f"docxy.pull {image} linux/arm64")
    assert said.startswith("Pulling alpine:latest for linux/arm64.")
    assert "alpine:latest for linux/arm64: under way" in serving.run("docxy.pulls")
    await serving.pulls.done()
    assert "failed, it was stopped" in serving.run("docxy.pulls")
    assert len(serving.clients) == 0


async def test_the_platform_is_this_machines_unless_it_is_said(serving: Running) -> None:
    assert f"for {own_platform()}." in serving.run("docxy.pull alpine")
    assert list(serving.run("docxy.pull.platforms")) == list(PLATFORMS)
    await serving.pulls.done()


async def test_platforms_are_completed(serving: Running) -> None:
    commands = serving.context.master.commands
    _, (image, platform) = commands.parse_partial("docxy.pull")
    assert image.type is str
    assert platform.type.options_command == "docxy.pull.platforms"


async def test_only_so_many_at_once_and_kept(serving: Running) -> None:
    for _ in range(MAX_KEPT):
        for _ in range(MAX_PULLS):
            serving.run("docxy.pull alpine")
        with pytest.raises(exceptions.CommandError, match=f"^{MAX_PULLS} pulls are under way"):
            serving.run("docxy.pull alpine")
        await serving.pulls.done()
    assert serving.run("docxy.pulls").count("alpine:latest") == MAX_KEPT
