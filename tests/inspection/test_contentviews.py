"""The views as mitmproxy uses them, whichever of its lines is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import contentviews, http
from mitmproxy.test import taddons, tflow

from addon.inspection import contentviews as ours
from addon.inspection.contentviews import NOT_MINE, PRIORITY, ContentViews, Shown, kinds
from addon.memory.manifests import MAX_MANIFEST
from addon.views.reading import MAX_BODY
from tests.clock import Clock
from tests.views.bodies import (
    BLOB,
    CLAIMS,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    JSON,
    NOON,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    config,
    encode,
    errors,
    image,
    index,
    jwt,
    named,
)

mitmproxys: Any = contentviews
untyped_taddons: Any = taddons
untyped_tflow: Any = tflow

NAMES = {kind.name for kind in kinds()}
TOKEN = encode({"token": jwt(CLAIMS), "refresh_token": "dckr_oat_7Yp0lQZ2xW9aVb3RtKs5"})


@pytest.fixture(autouse=True)
def options() -> Iterator[None]:
    """mitmproxy 12 reads an option when it shows a body."""
    with untyped_taddons.context():
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def views(clock: Clock) -> Iterator[ContentViews]:
    added = ContentViews(clock)
    added.add()
    yield added
    added.remove()


def names() -> set[str]:
    """Of all views that mitmproxy has, in lower case."""
    if ours.is_of_line_12():
        return set(mitmproxys.registry)
    return {view.name.lower() for view in mitmproxys.views}


def answer(content_type: str | None, body: bytes, encoding: str = "") -> http.HTTPFlow:
    """A flow with such an answer."""
    flow: http.HTTPFlow = untyped_tflow.tflow(resp=True)
    assert flow.response
    flow.response.headers.pop("content-type", None)
    if content_type:
        flow.response.headers["content-type"] = content_type
    if encoding:
        flow.response.headers["content-encoding"] = encoding
    flow.response.content = body
    return flow


def shown(flow: http.HTTPFlow, view: str = "auto") -> tuple[str, str]:
    """The view that mitmproxy took, as far as it says so, and what it shows."""
    if ours.is_of_line_12():
        pretty = mitmproxys.prettify_message(flow.response, flow, view)
        return f"{pretty.description} {pretty.view_name}".strip(), pretty.text
    name, lines, error = mitmproxys.get_message_content_view(view, flow.response, flow)
    text = "\n".join("".join(text for _, text in line) for line in lines)
    # Its own view of JSON fails where it is nested deeply.
    assert "addon/inspection/contentviews.py" not in (error or "")
    return name, text


@pytest.mark.usefixtures("views")
@pytest.mark.parametrize(
    ("content_type", "body", "name", "start"),
    [
        pytest.param(OCI_INDEX, index(named(1)), "Image manifest", "Index: ", id="index"),
        pytest.param(
            DOCKER_LIST, index(mediaType=DOCKER_LIST), "Image manifest", "Index: ", id="Docker list"
        ),
        pytest.param(OCI_MANIFEST, image(), "Image manifest", "Image manifest: ", id="manifest"),
        pytest.param(
            DOCKER_MANIFEST,
            image(mediaType=DOCKER_MANIFEST),
            "Image manifest",
            "Image manifest: ",
            id="Docker manifest",
        ),
        pytest.param(
            f"{OCI_INDEX.upper()}; charset=utf-8",
            index(),
            "Image manifest",
            "Index: ",
            id="odd type",
        ),
        pytest.param(None, index(), "Image manifest", "Index: ", id="index without a type"),
        pytest.param(
            JSON, TOKEN, "Registry token", "Token answer: good for 287 s yet", id="token answer"
        ),
        pytest.param(OCI_CONFIG, config(), "Image config", "Image config for ", id="config"),
        pytest.param(BLOB, config(), "Image config", "Image config for ", id="config as a blob"),
        pytest.param(
            "application/json; charset=utf-8",
            errors({"code": "DENIED"}),
            "Registry error",
            "DENIED: ",
            id="error",
        ),
    ],
)
def test_ours_is_taken(content_type: str | None, body: bytes, name: str, start: str) -> None:
    flow = answer(content_type, body)
    assert shown(flow)[0] == name
    assert shown(flow)[1].startswith(start)
    assert shown(flow, name.lower()) == shown(flow)


BROKEN = [
    pytest.param(OCI_INDEX, b'{"manifests": [', id="a manifest broken off"),
    pytest.param(OCI_INDEX, b'{"manifests": 5}', id="a manifest of a wrong type"),
    pytest.param(OCI_INDEX, b'{"manifests": []}'.ljust(MAX_MANIFEST + 1), id="a huge manifest"),
    pytest.param(OCI_INDEX, b'{"manifests": ' + b"[" * 100_000, id="a manifest that is too deep"),
    pytest.param(OCI_INDEX, b"\xff\xfe", id="a manifest that is no text"),
    pytest.param(OCI_INDEX, b"", id="nothing as a manifest"),
    pytest.param(JSON, b"{}", id="an empty object"),
    pytest.param(JSON, b"[1, 2]", id="a list"),
    pytest.param(JSON, b'{"token": 5}', id="a token that is a number"),
    pytest.param(JSON, encode({"token": "a"}).ljust(MAX_BODY + 1), id="a huge token answer"),
    pytest.param(JSON, b'{"errors": [{"code": 5}]}', id="an error of a wrong type"),
    pytest.param(JSON, b'{"errors": [{"code": "DENIED"}], "a": NaN}', id="a number that is none"),
    pytest.param(OCI_CONFIG, b'{"rootfs": 5}', id="a config of a wrong type"),
    pytest.param(BLOB, config().ljust(MAX_BODY + 1), id="a huge config"),
    pytest.param(BLOB, b"\x1f\x8b\x08" + bytes(1000), id="a layer"),
    pytest.param("text/html", b"<html></html>", id="HTML"),
    pytest.param(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        encode({"schemaVersion": 1, "fsLayers": []}),
        id="schema 1",
    ),
]


@pytest.mark.parametrize(("content_type", "body"), BROKEN)
def test_what_is_broken_is_shown_as_without_us(content_type: str, body: bytes) -> None:
    flow = answer(content_type, body)
    without = shown(flow)
    added = ContentViews()
    added.add()
    try:
        assert shown(flow) == without
        assert without[0] not in NAMES
    finally:
        added.remove()


@pytest.mark.usefixtures("views")
@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize(("content_type", "body"), BROKEN)
def test_ours_may_be_chosen_for_what_is_broken(content_type: str, body: bytes, name: str) -> None:
    flow = answer(content_type, body)
    view, text = shown(flow, name)
    if ours.is_of_line_12():
        assert text.startswith(f"Couldn't parse as {name}:")
        assert f"not shown as {name!r}: wrong or too large" in text
    else:
        assert view == "Couldn't parse: falling back to Raw"
        assert text == shown(flow, "raw")[1]


@pytest.mark.usefixtures("views")
@pytest.mark.parametrize("view", ["auto", "Registry token"])
def test_a_token_is_not_shown(view: str) -> None:
    _, text = shown(answer(JSON, TOKEN), view)
    assert "library/alpine" in text
    assert "dckr_oat" not in text
    assert not [part for part in jwt(CLAIMS).split(".") if part in text]


@pytest.mark.usefixtures("views")
def test_seconds_are_counted_when_somebody_looks(clock: Clock) -> None:
    flow = answer(JSON, TOKEN)
    assert "good for 287 s yet" in shown(flow)[1]
    clock.forward(10)
    assert "good for 277 s yet" in shown(flow)[1]


@pytest.mark.usefixtures("views")
def test_a_compressed_answer_is_shown() -> None:
    name, text = shown(answer(OCI_INDEX, index(named(1)), "gzip"))
    assert name == "[decoded gzip] Image manifest"
    assert text.startswith("Index: ")


@pytest.mark.usefixtures("views")
def test_an_answer_without_a_body_is_shown_by_nobody() -> None:
    flow = answer(OCI_INDEX, b"")
    assert flow.response
    flow.response.raw_content = None
    assert "missing" in shown(flow)[1]


def test_views_come_and_go() -> None:
    before = names()
    added = ContentViews()
    added.add()
    assert names() == before | {name.lower() for name in NAMES}
    added.remove()
    # If this fails on mitmproxy 12 alone, its registry no longer keeps views in `_by_name`.
    assert names() == before
    added.remove()
    assert names() == before


def test_views_come_with_the_addon_and_go_with_it() -> None:
    before = names()
    with untyped_taddons.context() as context:
        added = ContentViews()
        context.master.addons.add(added)
        assert len(names()) == len(before) + len(NAMES)
        context.master.addons.remove(added)
        assert names() == before


def test_a_view_of_somebody_else_stays(views: ContentViews) -> None:
    second = ContentViews()
    second.add()
    second.remove()
    assert {name.lower() for name in NAMES} <= names()
    views.remove()
    assert names().isdisjoint(name.lower() for name in NAMES)


def test_whoever_watches_hears_of_it() -> None:
    # The console draws anew.
    heard: list[str] = []

    def hear(view: Any) -> None:
        heard.append(view.name)

    signals = [mitmproxys.registry.on_change] if ours.is_of_line_12() else []
    signals = signals or [mitmproxys.on_add, mitmproxys.on_remove]
    for signal in signals:
        signal.connect(hear)
    added = ContentViews()
    added.add()
    added.remove()
    assert sorted(heard) == sorted([*NAMES, *NAMES])


def test_a_slip_of_ours_is_mitmproxys_to_show(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_content_type: str, _body: bytes) -> str:
        raise RuntimeError("a secret")

    kind = Shown("Failing", fail)
    with caplog.at_level(logging.WARNING):
        assert kind.text(JSON, b"{}") is None
        assert kind.priority(JSON, b"{}") == NOT_MINE
    assert "The view 'Failing' failed: RuntimeError" in caplog.text
    assert "a secret" not in caplog.text


@pytest.mark.usefixtures("views")
def test_ours_comes_before_all_of_mitmproxys() -> None:
    # GraphQL's is the highest of them, for whatever has a query in it.
    body = encode({"query": "query {\n a }", "operationName": "a", "token": jwt(CLAIMS)})
    assert shown(answer(JSON, body))[0] == "Registry token"
    assert PRIORITY > 2


def test_every_kind_has_a_name_of_its_own() -> None:
    assert len(NAMES) == len(kinds()) == 4
