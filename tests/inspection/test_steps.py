from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping

import pytest

from addon.inspection.steps import Check, PullFailed, Step, Steps
from tests.clock import Clock
from tests.given import Given


class One:
    """Gives one answer to whatever it is asked."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.shown: Mapping[str, str] = {}

    @contextlib.asynccontextmanager
    async def get(self, target: str, fields: Mapping[str, str]) -> AsyncIterator[Given]:
        self.shown = fields
        yield self.given


def steps_at(given: Given) -> tuple[Steps, list[Step], One]:
    told: list[Step] = []
    client = One(given)
    return Steps(client, told.append, Clock()), told, client


async def test_a_small_answer_comes_with_what_matters_of_its_head() -> None:
    fields = {"Docker-Content-Digest": "sha256:a", "WWW-Authenticate": "Bearer"}
    steps, told, client = steps_at(Given(body=b"content", fields=fields))
    steps.login = {"Authorization": "Bearer x"}
    whole = await steps.whole("manifest", "/v2/a", 100, fields={"Accept": "a/b"})
    assert (whole.content, whole.digest, whole.challenge) == (b"content", "sha256:a", "Bearer")
    assert (whole.step.status, whole.step.size, whole.step.source) == (200, 7, "network")
    assert client.shown == {"Authorization": "Bearer x", "Accept": "a/b"}
    assert told == []  # whoever asked tells, once it knows what it is


async def test_bytes_are_handed_on_as_they_come() -> None:
    steps, _, _ = steps_at(Given(body=b"0123456789"))
    pieces: list[bytes] = []
    step, _ = await steps.ask("layer", "/v2/a", 10, pieces.append)
    assert (len(pieces), b"".join(pieces), step.size) == (2, b"0123456789", 10)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(Given(404, b"page"), "status 404", id="another status"),
        pytest.param(Given(body=b"0123456789A"), "more than 10 bytes", id="too much"),
        pytest.param(Given(body=b"0", breaks=True), "broke off", id="a break"),
    ],
)
async def test_what_fails_is_told_and_ends_it(given: Given, reason: str) -> None:
    steps, told, _ = steps_at(given)
    with pytest.raises(PullFailed, match=f"^GET /v2/a: .*{reason}"):
        await steps.ask("layer", "/v2/a?token=x", 10, lambda _: None)
    assert [step.kind for step in told] == ["layer"]


def checked(expected: str, content: bytes) -> str:
    check = Check(expected)
    check.take(content)
    return check.wrong()


@pytest.mark.parametrize("name", ["sha256", "sha512"])
def test_a_digest_is_checked_in_either_algorithm(name: str) -> None:
    digest = f"{name}:{hashlib.new(name, b'a').hexdigest()}"
    assert checked(digest, b"a") == ""
    assert checked(digest, b"b").startswith(f"the digest is {name}:")


def test_what_cannot_be_checked_is_said() -> None:
    assert checked("md5:abc", b"a") == "the digest 'md5:abc' cannot be checked"


def test_what_nobody_says_is_not_checked() -> None:
    assert checked("", b"a") == ""
