from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from addon.metrics import readiness
from addon.metrics.readiness import FRESH_SECONDS, Readiness, Way
from addon.outbound.received import Answer
from addon.protocol.errors import MirrorError, failure
from addon.protocol.registry import Registry, parse_registry
from tests.clock import Clock
from tests.outbounds import FakeOutbound, answer, fake
from tests.sendings import a_sent

HUB = parse_registry("", official="library")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGISTRY = ("GET", "https://registry-1.docker.io/v2/", False)
TOKEN_SERVICE = ("HEAD", "https://auth.docker.io/token", False)


class Certificate:
    def __init__(self, not_after: datetime | None = None) -> None:
        self.not_after = not_after

    @property
    def present(self) -> bool:
        return self.not_after is not None


class Known:
    """Readiness on a clock of its own, in front of whoever answers from a list."""

    def __init__(
        self,
        *answers: Answer | MirrorError,
        registry: Registry = HUB,
        gate: asyncio.Event | None = None,
        ends: datetime | None = None,
    ) -> None:
        self.clock = Clock()
        self.outbound: FakeOutbound = fake(*answers, gate=gate)
        way = Way(registry, self.outbound.outbound)
        self.readiness = Readiness(
            lambda: way, Certificate(ends), now=self.clock, wall_clock=lambda: NOW
        )

    @property
    def asked(self) -> list[tuple[str, str, bool]]:
        return [(each.method, each.url, each.redirected) for each in self.outbound.asked]

    async def look(self) -> dict[str, tuple[bool, str]]:
        report = await self.readiness.look()
        return {check.name: (check.ok, check.why) for check in report.checks}


async def test_upstreams_are_asked_by_what_is_no_pull_and_carries_no_credentials() -> None:
    known = Known(answer(401), answer(405))
    assert await known.look() == {
        "registry": (True, "registry-1.docker.io answered 401"),
        "token_service": (True, "auth.docker.io answered 405"),
        "certificate": (True, "there is none, as the options say"),
        "serving": (True, "new clients are taken"),
    }
    assert known.asked == [REGISTRY, TOKEN_SERVICE]
    assert not any(each.has_authorization for each in known.outbound.asked)


async def test_the_cdn_is_asked_once_it_is_known() -> None:
    known = Known(answer(401), answer(405), answer(403))
    known.outbound.destinations.note(HUB.url, "https://cdn.example/data?Signature=secret")
    found = await known.look()
    assert found["cdn"] == (True, "cdn.example answered 403")
    assert known.asked[2] == ("HEAD", "https://cdn.example/", True)


async def test_a_token_service_at_the_registrys_host_is_not_asked_beside_it() -> None:
    registry = Registry("https://ghcr.io", "https://ghcr.io/token", "ghcr.io")
    known = Known(answer(401), registry=registry)
    assert "token_service" not in await known.look()
    assert len(known.asked) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (failure("registry-1.docker.io", "DNS"), "upstream registry-1.docker.io: DNS"),
        (answer(503), "registry-1.docker.io answered 503"),
    ],
    ids=["no answer", "one that says no"],
)
async def test_an_upstream_that_does_not_work_is_said_with_its_cause(
    said: Answer | MirrorError, why: str
) -> None:
    known = Known(said, answer(405))
    report = await known.readiness.look()
    assert not report.is_ready
    assert report.checks[0].why == why
    assert report.checks[1].ok


async def test_an_upstream_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.05)
    known = Known(gate=asyncio.Event())
    found = await known.look()
    assert found["registry"] == (False, "upstream registry-1.docker.io: no answer within 0 s")


@pytest.mark.parametrize("status", [401, 503])
async def test_however_often_it_is_looked_at_an_upstream_is_seldom_asked(status: int) -> None:
    known = Known(*(answer(status) for _ in range(4)))
    for _ in range(3):
        await known.look()
    assert len(known.asked) == 2
    known.clock.forward(FRESH_SECONDS)
    await known.look()
    assert len(known.asked) == 4


async def test_those_who_look_at_once_make_one_request() -> None:
    gate = asyncio.Event()
    known = Known(answer(401), answer(405), gate=gate)
    looks = [asyncio.ensure_future(known.look()) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(*looks)
    assert all(each == found[0] for each in found)
    assert len(known.asked) == 2


async def test_what_has_just_answered_a_client_is_not_asked() -> None:
    known = Known(answer(405))
    known.readiness.answered(a_sent(status=401))
    found = await known.look()
    assert known.asked == [TOKEN_SERVICE]
    assert found["registry"] == (True, "registry-1.docker.io answered 401")


@pytest.mark.parametrize("meant", ["manifest", "warming"])
async def test_what_has_just_failed_is_asked(meant: str) -> None:
    known = Known(answer(401), answer(405))
    known.readiness.answered(a_sent(meant=meant, status=502))
    assert (await known.look())["registry"][0]
    assert len(known.asked) == 2


async def test_who_only_reads_what_is_known_makes_no_request() -> None:
    known = Known(answer(500), answer(405))
    assert [check.name for check in known.readiness.known().checks] == ["certificate", "serving"]
    assert known.readiness.known().is_ready, "nobody has heard anything else"
    await known.look()
    known.clock.forward(10 * FRESH_SECONDS)
    assert not known.readiness.known().is_ready
    assert len(known.asked) == 2


async def test_a_certificate_that_has_expired_is_not_in_order() -> None:
    known = Known(answer(401), answer(405), ends=datetime(2025, 12, 31, tzinfo=UTC))
    assert not (await known.readiness.look()).is_ready


async def test_a_mirror_that_drains_is_not_ready() -> None:
    known = Known(answer(401), answer(405))
    known.readiness.drains()
    found = await known.look()
    assert found["serving"] == (False, "the mirror is about to end, and takes no new clients")


async def test_before_the_options_are_read_nothing_is_asked() -> None:
    report = await Readiness(lambda: None, Certificate()).look()
    assert [check.name for check in report.checks] == ["certificate", "serving"]
