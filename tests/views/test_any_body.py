"""Whatever a body is, each view shows it harmlessly or gives it back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from addon.views.config import show_config
from addon.views.error import show_error
from addon.views.manifest import show_manifest
from addon.views.token import show_token
from tests.views.bodies import (
    BLOB,
    CLAIMS,
    HOSTILE,
    JSON,
    NOON,
    OCI_INDEX,
    OCI_MANIFEST,
    config,
    digest,
    encode,
    errors,
    image,
    index,
    is_harmless,
    jwt,
    named,
    random_object,
    spoilt,
)

Show = Callable[[bytes], str | None]

SHOWS: dict[str, Show] = {
    "index": lambda body: show_manifest(OCI_INDEX, body),
    "manifest": lambda body: show_manifest(OCI_MANIFEST, body),
    "config": lambda body: show_config(BLOB, body),
    "token": lambda body: show_token(JSON, body, NOON),
    "error": lambda body: show_error(JSON, body),
}

ENTRY = named(
    2,
    platform={"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1"},
    annotations={"vnd.docker.reference.type": "a", "vnd.docker.reference.digest": digest(3)},
)
STEP = {"created": "2024-01-27T00:30:48Z", "created_by": "a", "comment": "b", "empty_layer": True}
RUNS = {"Env": ["A=1"], "Cmd": ["a"], "Volumes": {"/a": {}}, "Labels": {"a": HOSTILE}}
ACCESS = {"Type": "repository", "Name": "a", "Action": "pull"}
RIGHT = {
    "index": index(ENTRY, named(3), annotations={"a": "b"}),
    "manifest": image(ENTRY, named(3), subject=named(4), artifactType="a/b"),
    "config": config([STEP, STEP], config=RUNS, created="now", author="me"),
    "token": encode({"token": jwt(CLAIMS), "expires_in": 300, "issued_at": "now", "scope": "a"}),
    "error": errors({"code": "DENIED", "message": "a", "detail": [ACCESS]}, {"code": "UNKNOWN"}),
}

each_view = pytest.mark.parametrize("name", SHOWS)


@each_view
def test_a_right_body_is_shown(name: str) -> None:
    assert SHOWS[name](RIGHT[name])


@each_view
@pytest.mark.parametrize("other", RIGHT)
def test_a_body_has_one_view(name: str, other: str) -> None:
    # An index and an image are one view's.
    is_manifest = {name, other} <= {"index", "manifest"}
    assert bool(SHOWS[name](RIGHT[other])) == (name == other or is_manifest)


@each_view
def test_a_random_object_is_shown_harmlessly_or_not_at_all(name: str) -> None:
    rng = random.Random(name)
    for _ in range(300):
        text = SHOWS[name](encode(random_object(rng)))
        assert text is None or is_harmless(text)


@each_view
def test_a_right_body_with_something_wrong_is_shown_harmlessly_or_not_at_all(name: str) -> None:
    rng = random.Random(name)
    seen = 0
    for _ in range(1000):
        content = spoilt(rng, json.loads(RIGHT[name]))
        text = SHOWS[name](encode(content))
        assert text is None or is_harmless(text)
        seen += text is not None
    assert seen > 100  # or nothing was tried


@each_view
def test_a_body_with_a_byte_wrong_is_shown_harmlessly_or_not_at_all(name: str) -> None:
    rng = random.Random(name)
    for _ in range(1000):
        body = bytearray(RIGHT[name])
        body[rng.randrange(len(body))] = rng.randrange(256)
        text = SHOWS[name](bytes(body))
        assert text is None or is_harmless(text)


@each_view
@pytest.mark.parametrize("depth", [100, 900, 990, 2000, 5000, 100_000])
def test_depth_is_shown_or_not_but_raises_nothing(name: str, depth: int) -> None:
    # Wherever a value may stand: just below what is read may be above what is written.
    deep = b"[" * depth + b"]" * depth
    for key in json.loads(RIGHT[name]):
        content: dict[str, Any] = {**json.loads(RIGHT[name]), key: "DEEP"}
        text = SHOWS[name](encode(content).replace(b'"DEEP"', deep))
        assert text is None or is_harmless(text)
