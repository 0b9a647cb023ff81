"""The pull of an engine, at a registry in memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from addon.inspection.engine import LAYERS_AT_ONCE, MANIFEST_TYPES, Engine
from addon.inspection.steps import PullFailed, Step
from addon.protocol.imagename import ImageName
from addon.protocol.platforms import Platform
from tests.given import Given

AMD64 = Platform("linux", "amd64")
CHALLENGE = 'Bearer realm="https://mirror.test/auth/token",service="hub"'
NAMED = {"os": "linux", "architecture": "amd64"}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(content: bytes, **more: object) -> dict[str, object]:
    return {"digest": digest_of(content), "size": len(content), **more}


class Registry:
    """Answers by target; notes what it was asked, and how many at once."""

    def __init__(self, *layers: bytes, config: bytes = b"{}") -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.most = self._now = 0
        manifest = {
            "config": descriptor(config),
            "layers": [descriptor(layer) for layer in layers],
        }
        self.manifest = json.dumps(manifest).encode()
        other = {**descriptor(b"other"), "platform": {"os": "linux", "architecture": "s390x"}}
        index = {"manifests": [other, descriptor(self.manifest, platform=NAMED)]}
        self.index = json.dumps(index).encode()
        self.answers: dict[str, Given] = {
            "/v2/": Given(401, b"{}", {"WWW-Authenticate": CHALLENGE}),
            "/auth/token?service=hub&scope=repository:a/b:pull": Given(body=b'{"token": "secret"}'),
            "/v2/a/b/manifests/1": Given(
                body=self.index, fields={"Docker-Content-Digest": digest_of(self.index)}
            ),
            f"/v2/a/b/manifests/{digest_of(self.manifest)}": Given(body=self.manifest),
        }
        for blob in (config, *layers):
            self.answers[f"/v2/a/b/blobs/{digest_of(blob)}"] = Given(body=blob)

    @contextlib.asynccontextmanager
    async def get(self, target: str, fields: Mapping[str, str]) -> AsyncIterator[Given]:
        self.asked.append((target, fields))
        if target not in self.answers:
            raise ConnectionRefusedError("nobody is there")
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            yield self.answers[target]
        finally:
            self._now -= 1


async def pull(registry: Registry, reference: str = "1", platform: Platform = AMD64) -> list[Step]:
    steps: list[Step] = []
    await Engine(registry, steps.append).pull(ImageName("a/b", reference), platform)
    return steps


async def test_all_of_an_image_is_asked_for_in_order() -> None:
    registry = Registry(b"first layer", b"second")
    steps = await pull(registry)
    kinds = ["ping", "token", "index", "manifest", "config", "layer", "layer"]
    assert [step.kind for step in steps] == kinds
    assert {step.source for step in steps} == {"network"}
    assert [step.status for step in steps] == [401, *([200] * 6)]
    assert sorted(step.size for step in steps[4:]) == [2, 6, 11]
    assert all(step.ended >= step.started > 0 for step in steps)
    assert {target for target, _ in registry.asked} == set(registry.answers)
    logins = [fields.get("Authorization") for _, fields in registry.asked]
    assert logins == [None, None, *(["Bearer secret"] * 5)]
    assert registry.asked[2][1]["Accept"] == ", ".join(MANIFEST_TYPES)


async def test_where_the_registry_wants_no_token_none_is_taken() -> None:
    registry = Registry(b"layer")
    registry.answers["/v2/"] = Given(200, b"{}")
    steps = await pull(registry)
    assert [step.kind for step in steps][:2] == ["ping", "index"]
    assert not any("Authorization" in fields for _, fields in registry.asked)


async def test_a_digest_may_name_a_manifest_at_once() -> None:
    registry = Registry(b"layer")
    steps = await pull(registry, digest_of(registry.manifest))
    assert [step.kind for step in steps] == ["ping", "token", "manifest", "config", "layer"]


async def test_a_registry_need_not_say_what_a_tag_stands_for() -> None:
    registry = Registry(b"layer")
    registry.answers["/v2/a/b/manifests/1"] = Given(body=registry.index)
    assert len(await pull(registry)) == 6


async def test_layers_come_three_at_a_time() -> None:
    registry = Registry(*(bytes([n]) * 100 for n in range(9)))
    assert len(await pull(registry)) == 5 + 9
    assert registry.most == LAYERS_AT_ONCE


async def test_what_fails_ends_the_layers_beside_it() -> None:
    layers = [bytes([n]) * 1000 for n in range(9)]
    registry = Registry(*layers)
    registry.answers[f"/v2/a/b/blobs/{digest_of(layers[0])}"] = Given(404)
    with pytest.raises(PullFailed, match="status 404"):
        await pull(registry)
    assert len(registry.asked) < 5 + 9


MANIFEST_UNKNOWN = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
BLOB = f"/v2/a/b/blobs/{digest_of(b'layer')}"
JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("target", "given", "why"),
    [
        pytest.param(
            "/v2/a/b/manifests/1",
            Given(404, MANIFEST_UNKNOWN, JSON),
            r"^GET /v2/a/b/manifests/1: status 404; MANIFEST_UNKNOWN: the repository has no"
            r' .*"manifest unknown"\.$',
            id="the registry's own sentence",
        ),
        pytest.param("/v2/", Given(503, b"page"), r"^GET /v2/: status 503$", id="a page"),
        pytest.param("/v2/", Given(401), "no challenge that names", id="no challenge"),
        pytest.param(
            "/v2/", Given(401, b"", {"WWW-Authenticate": "="}), "^GET /v2/: ", id="a wrong one"
        ),
        pytest.param(
            "/auth/token?service=hub&scope=repository:a/b:pull",
            Given(body=b"[]"),
            "^GET /auth/token: there is no token",
            id="no token",
        ),
        pytest.param(
            "/v2/a/b/manifests/1",
            Given(body=b"{}", fields={"Docker-Content-Digest": digest_of(b"other")}),
            "the digest is sha256:",
            id="another manifest",
        ),
        pytest.param("/v2/a/b/manifests/1", Given(body=b"{}"), "names no config", id="no manifest"),
        pytest.param(
            "/v2/a/b/manifests/1",
            Given(
                body=json.dumps({"manifests": [{"digest": "../..", "platform": NAMED}]}).encode()
            ),
            "^the index: '../..' is not a digest",
            id="an index that leads elsewhere",
        ),
        pytest.param(BLOB, Given(body=b"lay3r"), "the digest is sha256:", id="a changed layer"),
        pytest.param(BLOB, Given(body=b"layer" * 2), "more than 5 bytes", id="more than announced"),
        pytest.param(BLOB, Given(body=b"la", breaks=True), "broke off$", id="broken off"),
    ],
)
async def test_what_no_engine_could_use_ends_it_with_a_line(
    target: str, given: Given, why: str
) -> None:
    registry = Registry(b"layer")
    registry.answers[target] = given
    steps: list[Step] = []
    with pytest.raises(PullFailed, match=why) as raised:
        await Engine(registry, steps.append).pull(ImageName("a/b", "1"), AMD64)
    assert "\n" not in str(raised.value)
    assert steps[-1].target == target, "the one that failed is told as well"


async def test_where_nobody_listens_that_is_said() -> None:
    registry = Registry(b"layer")
    del registry.answers["/v2/"]
    with pytest.raises(PullFailed, match=r"^GET /v2/: nobody is there$"):
        await pull(registry)


async def test_an_index_without_the_platform() -> None:
    with pytest.raises(PullFailed, match="no manifest for windows/amd64"):
        await pull(Registry(b"layer"), platform=Platform("windows", "amd64"))


@pytest.mark.parametrize("body", [b"[1, 2", b"[" * 100_000, b'{"manifests": [5, null, {}]}'])
async def test_a_manifest_of_any_kind_is_no_worse_than_a_failure(body: bytes) -> None:
    registry = Registry(b"layer")
    registry.answers["/v2/a/b/manifests/1"] = Given(body=body)
    with pytest.raises(PullFailed):
        await pull(registry)
