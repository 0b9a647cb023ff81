from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from addon.flows.story import Source, Story
from addon.log import summaries
from addon.log.summaries import QUIET, Pull, Summaries
from addon.protocol.routes import Blob, Manifest, Ping, Route
from tests.clock import Clock
from tests.flows.test_account import ACCOUNT

TAG = Manifest("alpine", "latest")
CONFIG = Blob("alpine", "sha256:" + "c" * 64)
LAYER = Blob("alpine", "sha256:" + "d" * 64)


class Scene:
    """Requests of clients, and the pulls that were said to be over."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.over: list[Pull] = []
        self.summaries = Summaries(self.over.append, self.clock)
        self._ids = itertools.count()

    def begins(self, route: Route, client: str = "a") -> Story:
        story = Story(str(next(self._ids)), route=route)
        self.summaries.begins(client, story)
        return story

    def ends(
        self,
        story: Story,
        client: str = "a",
        status: int = 200,
        source: Source = Source.NETWORK,
        method: str = "GET",
        broken: str = "",
        size: int = 10,
    ) -> None:
        story.given(source)
        story.name = "library/alpine"
        account = replace(ACCOUNT, client=client, method=method, status=status, size=size)
        self.summaries.hear(
            replace(account, story=story, broken=broken, failure=broken, ended=self.clock.now)
        )

    def asks(self, route: Route, client: str = "a", seconds: float = 0.0, **how: object) -> None:
        story = self.begins(route, client)
        self.clock.now += seconds
        self.ends(story, client, **how)  # type: ignore[arg-type]

    def quiet(self, seconds: float = QUIET) -> list[Pull]:
        self.clock.now += seconds
        self.summaries.look()
        over = self.over[:]
        self.over.clear()
        return over


def test_a_pull_is_its_manifest_and_blobs_until_it_is_quiet() -> None:
    scene = Scene()
    scene.asks(TAG, method="HEAD", seconds=1)
    scene.asks(TAG, seconds=1)
    scene.asks(CONFIG, source=Source.MEMORY, size=100, seconds=1)
    scene.asks(LAYER, source=Source.AHEAD, size=5000, seconds=2)
    assert scene.quiet(QUIET - 0.1) == []
    (pull,) = scene.quiet(0.1)
    assert (pull.client, pull.image, pull.blobs, pull.size) == (
        "a",
        "library/alpine:latest",
        2,
        5100,
    )
    assert (pull.from_memory, pull.from_ahead, pull.from_network) == (1, 1, 0)
    assert (pull.seconds, pull.failed) == (5.0, 0)
    assert len(scene.summaries) == 0


def test_a_layer_that_takes_long_is_waited_for() -> None:
    scene = Scene()
    scene.asks(TAG)
    layer = scene.begins(LAYER)
    assert scene.quiet(600) == []
    scene.ends(layer)
    (pull,) = scene.quiet()
    assert (pull.blobs, pull.seconds) == (1, 600.0)


@pytest.mark.parametrize("source", [Source.MEMORY, Source.CHECKED, Source.STALE])
def test_memory_is_memory_however_it_was_checked(source: Source) -> None:
    scene = Scene()
    scene.asks(TAG)
    scene.asks(LAYER, source=source)
    assert scene.quiet()[0].from_memory == 1


def test_who_looks_at_a_manifest_alone_pulls_nothing() -> None:
    scene = Scene()
    scene.asks(TAG)
    scene.asks(Ping())
    scene.asks(Blob("other", LAYER.digest))
    assert scene.quiet() == []
    assert len(scene.summaries) == 0


@pytest.mark.parametrize(
    ("how", "failed", "blobs"),
    [
        pytest.param({"status": 502}, 1, 0, id="an upstream that failed"),
        pytest.param({"broken": "Client disconnected."}, 1, 0, id="a transfer that broke off"),
        pytest.param({"status": 0, "broken": "It left."}, 1, 0, id="no answer"),
        pytest.param({"status": 401}, 0, 0, id="a challenge"),
        pytest.param({"method": "HEAD"}, 0, 0, id="a look at a blob"),
        pytest.param({"status": 206}, 0, 1, id="the rest of a blob"),
    ],
)
def test_what_counts_as_failed(how: dict[str, object], failed: int, blobs: int) -> None:
    scene = Scene()
    scene.asks(TAG)
    scene.asks(LAYER)
    scene.asks(LAYER, **how)  # type: ignore[arg-type]
    (pull,) = scene.quiet()
    assert (pull.failed, pull.blobs) == (failed, 1 + blobs)


def test_an_image_that_is_not_there_is_a_pull_that_failed() -> None:
    scene = Scene()
    scene.asks(TAG, status=404)
    assert [(pull.failed, pull.blobs) for pull in scene.quiet()] == [(1, 0)]


def test_the_same_image_again_is_another_pull() -> None:
    scene = Scene()
    for _ in range(3):
        scene.asks(TAG)
        scene.asks(LAYER)
    assert len(scene.over) == 2
    assert [pull.blobs for pull in scene.quiet()] == [1, 1, 1]


def test_a_manifest_by_digest_goes_on_with_the_pull_of_its_tag() -> None:
    scene = Scene()
    scene.asks(TAG)
    scene.asks(Manifest("alpine", LAYER.digest))
    scene.asks(LAYER)
    assert [pull.reference for pull in scene.quiet()] == ["latest"]


def test_clients_and_repositories_are_apart() -> None:
    scene = Scene()
    for client in "ab":
        scene.asks(TAG, client)
        scene.asks(LAYER, client)
    scene.asks(Manifest("b/c", "1"))
    scene.asks(Blob("b/c", LAYER.digest))
    assert len(scene.quiet()) == 3


def test_pulls_are_bounded_and_the_oldest_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MOST", 2)
    scene = Scene()
    for client in "abc":
        scene.asks(TAG, client)
        scene.asks(LAYER, client)
    assert len(scene.summaries) == 2
    assert [pull.client for pull in scene.over] == ["a"]


def test_what_ends_late_of_a_pull_that_is_over_changes_nothing() -> None:
    scene = Scene()
    scene.asks(TAG)
    scene.asks(LAYER)
    late = scene.begins(LAYER)
    scene.summaries.close()
    assert [pull.blobs for pull in scene.over] == [1]
    scene.over.clear()
    scene.asks(TAG)
    scene.ends(late)
    assert scene.quiet(0) == []
