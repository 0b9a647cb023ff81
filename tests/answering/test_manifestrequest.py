from __future__ import annotations

import pytest

from addon.answering.manifestrequest import MAX_ACCEPTED, ManifestRequest
from addon.memory.manifests import Kept
from addon.memory.sharing import EVERYONE, Reader
from addon.protocol.asked import Asked
from addon.protocol.registry import Registry
from addon.protocol.routes import Manifest
from tests.outbounds import answer
from tests.upstreams import digest_of, value

DIGEST = "sha256:" + "0" * 64
REGISTRY = Registry("https://r.example")


def request(
    *fields: tuple[str, str], reference: str = "latest", query: str = ""
) -> ManifestRequest:
    asked = Asked("GET", fields, "https://mirror.example/auth/token")
    route = Manifest("a", reference, query)
    return ManifestRequest.of(route, asked, Reader(EVERYONE), "library/a")


@pytest.mark.parametrize(
    ("fields", "is_plain"),
    [
        pytest.param([], True, id="the whole"),
        pytest.param([("Range", "bytes=0-")], True, id="the whole as containerd asks for it"),
        pytest.param([("If-None-Match", '"a"')], True, id="unless it is here"),
        pytest.param([("Range", "bytes=0-9")], False, id="a part"),
        pytest.param([("If-Match", '"a"')], False, id="another condition"),
        pytest.param([("Accept", "a" * 129)], False, id="a type longer than any"),
        pytest.param(
            [("Accept", ",".join(f"a/{n}" for n in range(MAX_ACCEPTED + 1)))],
            False,
            id="more types than any engine names",
        ),
    ],
)
def test_what_is_the_same_for_all_who_ask(fields: list[tuple[str, str]], is_plain: bool) -> None:
    assert request(*fields).is_plain == is_plain


def test_a_query_makes_it_another_request() -> None:
    assert not request(query="ns=docker.io").is_plain


def test_those_that_accept_the_same_share_an_answer() -> None:
    first, second = (request(("Accept", types)) for types in ("a/b, c/d", "c/d;q=0.5,a/b"))
    assert first.key == second.key
    assert first.key != request(("Accept", "a/b")).key


@pytest.mark.parametrize(
    ("as_asked", "names"),
    [
        pytest.param(True, {"If-None-Match", "Range"}, id="one client's"),
        pytest.param(False, set(), id="for all"),
    ],
)
def test_what_the_registry_is_shown(as_asked: bool, names: set[str]) -> None:
    asked = request(
        ("If-None-Match", '"a"'),
        ("Range", "bytes=0-"),
        ("Authorization", "Bearer x"),
        ("Accept", "a/b"),
    )
    shown = {name for name, _ in asked.fields(as_asked=as_asked)}
    assert shown & {"If-None-Match", "Range", "Authorization", "Accept"} == {*names, "Accept"}


@pytest.mark.parametrize(
    ("reference", "said", "expected"),
    [
        pytest.param(DIGEST, "sha256:other", DIGEST, id="what was asked for"),
        pytest.param("latest", "sha256:other", "sha256:other", id="what is said"),
        pytest.param("latest", "", digest_of(b"{}"), id="its own"),
    ],
)
def test_the_digest_that_the_content_must_have(reference: str, said: str, expected: str) -> None:
    given = answer(200, *([("Docker-Content-Digest", said)] if said else []))
    assert request(reference=reference).digest_of(given, b"{}") == expected


@pytest.mark.parametrize(
    ("has", "status"),
    [
        ("", 200),
        ('"other"', 200),
        ('"tag"', 304),
        ('W/"tag"', 304),
        (f'"x", "{DIGEST}"', 304),
        ("*", 304),
    ],
)
def test_what_the_client_has_is_not_given_again(has: str, status: int) -> None:
    kept = Kept(DIGEST, [("ETag", 'W/"tag"')], b"{}")
    asked = request(("If-None-Match", has)) if has else request()
    reply = asked.reply(REGISTRY, kept, kept.fields)
    assert reply.status == status
    assert value(reply, "Docker-Content-Digest") == DIGEST
