from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from addon.answering.local import acme_challenge, health, readiness, redirect_to_https
from addon.metrics.checks import Check, Report
from addon.protocol.errors import Refusal

BASE = "https://mirror.example:8443"


async def test_health_needs_nobody() -> None:
    reply = health()
    assert reply.status == 200
    assert list(reply.fields) == [("Content-Type", "application/json")]
    assert json.loads(await reply.body.read()) == {"status": "ok"}


@pytest.mark.parametrize(("ok", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_a_status_and_its_checks(ok: bool, status: int) -> None:
    report = Report((Check("registry", ok, "it answered"),))
    reply = readiness(report, with_reasons=True)
    assert reply.status == status
    assert list(reply.fields) == [("Content-Type", "application/json")]
    assert json.loads(await reply.body.read())["checks"][0]["why"] == "it answered"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/", id="root"),
        pytest.param("/v2/a/manifests/x", id="a manifest"),
        pytest.param("/v2/a/tags/list?last=%2f&n=1", id="a query, byte for byte"),
        # Behind the host it is a path, whatever it looks like.
        pytest.param("//evil.example/", id="two slashes"),
        pytest.param("/\\evil.example", id="a backslash"),
    ],
)
def test_what_is_read_is_served_over_tls(method: str, target: str) -> None:
    reply = redirect_to_https(method, BASE, target)
    assert reply.status == 308
    assert list(reply.fields) == [("Location", BASE + target)]
    assert reply.length == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"])
def test_what_is_sent_in_the_clear_is_refused(method: str) -> None:
    with pytest.raises(Refusal, match=BASE) as refused:
        redirect_to_https(method, BASE, "/auth/token")
    assert (refused.value.status, refused.value.code) == (403, "DENIED")


@pytest.mark.parametrize(
    "target",
    [
        # It would end the host, or make another of it: https://mirror.example@evil.example/.
        pytest.param("", id="empty"),
        pytest.param("*", id="asterisk"),
        pytest.param("@evil.example/", id="a user's end"),
        pytest.param(".evil.example/", id="a longer host"),
        pytest.param("v2/", id="no slash"),
        # It would end the field.
        pytest.param("/\r\nSet-Cookie: a=b", id="line end"),
        pytest.param("/\n", id="line end at the end"),
        # A field cannot carry it.
        pytest.param("/\udcff", id="a byte that is no text"),
        pytest.param("/가", id="beyond Latin 1"),
        pytest.param("/\xe9", id="beyond ASCII"),
        pytest.param("/a b", id="a blank"),
        pytest.param("/\0", id="NUL"),
    ],
)
def test_no_other_place_comes_of_a_target(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        redirect_to_https("GET", BASE, target)
    assert refused.value.status == 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    return folder


async def test_a_challenge_is_served_as_it_lies_there(tmp_path: Path, folder: Path) -> None:
    (folder / "a-token").write_bytes(b"a-token.thumb\xff")
    reply = acme_challenge(tmp_path, "a-token")
    assert (reply.status, reply.length) == (200, 14)
    # RFC 8555, section 8.3.
    assert list(reply.fields) == [("Content-Type", "application/octet-stream")]
    assert await reply.body.read() == b"a-token.thumb\xff"


def test_there_is_no_challenge_without_a_webroot() -> None:
    with pytest.raises(Refusal) as refused:
        acme_challenge(None, "a-token")
    assert refused.value.status == 404


async def test_the_way_to_the_folder_may_hold_links(tmp_path: Path, folder: Path) -> None:
    (folder / "a-token").write_bytes(b"proof")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    assert await acme_challenge(tmp_path / "elsewhere", "a-token").body.read() == b"proof"


@pytest.mark.parametrize(
    "make",
    ["nothing", "folder", "large file", "file that is gone", "link to a file", "pipe"],
)
def test_what_is_no_challenge_is_not_there(tmp_path: Path, folder: Path, make: str) -> None:
    path = folder / "a-token"
    match make:
        case "folder":
            path.mkdir()
        case "large file":
            path.write_bytes(b"x" * 4097)
        case "file that is gone":
            path.symlink_to(folder / "gone")
        case "link to a file":
            (tmp_path / "secret").write_bytes(b"secret")
            path.symlink_to(tmp_path / "secret")
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(Refusal) as refused:
        acme_challenge(tmp_path, "a-token")
    assert (refused.value.status, refused.value.code) == (404, "UNSUPPORTED")


def test_a_webroot_may_come_and_go(tmp_path: Path) -> None:
    with pytest.raises(Refusal):
        acme_challenge(tmp_path / "gone", "a-token")
