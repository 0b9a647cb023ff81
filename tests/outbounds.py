"""An outbound client that asks nobody: it answers from a list and notes what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from addon.ahead.destinations import Destinations
from addon.outbound.hosts import Hosts
from addon.outbound.outbound import Outbound
from addon.outbound.received import Answer
from addon.protocol.errors import MirrorError
from addon.protocol.headers import Fields
from addon.protocol.registry import authority
from addon.protocol.reply import Body, MemoryBody


class NotedBody(MemoryBody):
    """A body that notes how often it was closed."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.closings = 0

    def close(self) -> None:
        self.closings += 1


@dataclass(frozen=True)
class Asked:
    """One request as the outbound client was told to send it."""

    method: str
    url: str
    fields: list[tuple[str, str]]
    body: bytes | None
    redirected: bool

    @property
    def has_authorization(self) -> bool:
        return any(name.lower() == "authorization" for name, _ in self.fields)


@dataclass
class FakeOutbound:
    """Answers one after the other; with a gate each waits until it is opened."""

    answers: list[Answer | MirrorError]
    gate: asyncio.Event | None = None
    asked: list[Asked] = field(default_factory=list)
    destinations: Destinations = field(default_factory=Destinations)
    hosts: Hosts = field(default_factory=Hosts)
    max_redirects: int = 5

    async def request(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        body: bytes | None = None,
        redirected: bool = False,
        answer_within: float | None = None,
    ) -> Answer:
        self.asked.append(Asked(method, url, list(fields), body, redirected))
        if self.gate:
            await self.gate.wait()
        self.hosts.of(authority(url)).answered(0.001)
        answer = self.answers.pop(0)
        if isinstance(answer, MirrorError):
            raise answer
        return answer

    @property
    def outbound(self) -> Outbound:
        """The same, for whoever wants the real one's type."""
        return cast("Outbound", self)


def answer(
    status: int = 200,
    *fields: tuple[str, str],
    content: bytes = b"",
    body: Body | None = None,
    closes_to_end: bool = False,
) -> Answer:
    length = None if closes_to_end else len(content)
    return Answer(status, fields, length, closes_to_end, body or NotedBody(content))


def redirect(location: str, status: int = 307) -> Answer:
    return answer(status, ("Location", location))


def fake(*answers: Answer | MirrorError, gate: asyncio.Event | None = None) -> FakeOutbound:
    return FakeOutbound(list(answers), gate)


def closings(answers: Iterable[Answer]) -> list[int]:
    """How often each answer's body was closed."""
    return [a.body.closings for a in answers if isinstance(a.body, NotedBody)]
