"""The requests of a pull: each is noted, and its body checked as it comes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from addon.protocol.digests import DigestCheck, is_known_digest
from addon.views.error import show_error
from addon.views.reading import MAX_BODY


class PullFailed(Exception):
    """The pull cannot go on; the message says at which request, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a pull; times on the monotonic clock, `size` in bytes of the body."""

    kind: str
    target: str
    status: int
    size: int
    started: float
    ended: float
    source: str = ""
    """Where its answer came from, empty where nobody knows."""

    def __str__(self) -> str:
        return f"GET {self.target.partition('?')[0]}"


class Response(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def status(self) -> int:
        """The status of its head."""

    def field(self, name: str) -> str:
        """A field's value, empty where there is none."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            OSError: it broke off.
        """

    async def source(self) -> str:
        """Where the answer came from, once the body has been read."""


class Client(Protocol):
    """Whoever asks."""

    def get(self, target: str, fields: Mapping[str, str]) -> AbstractAsyncContextManager[Response]:
        """Ask for a target.

        Raises:
            OSError: there is no answer.
        """


@dataclass(frozen=True, slots=True)
class Whole:
    """A small answer and the fields of it that matter."""

    step: Step
    content: bytes
    digest: str
    challenge: str


class Steps:
    """Asks for one thing after the other; `told` hears of each request that is answered."""

    def __init__(
        self,
        client: Client,
        told: Callable[[Step], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._now = now
        self.told = told
        # What every request shows.
        self.login: dict[str, str] = {}

    async def whole(
        self,
        kind: str,
        target: str,
        at_most: int,
        fields: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> Whole:
        """A small answer with its body."""
        kept: list[bytes] = []
        step, response = await self.ask(kind, target, at_most, kept.append, fields, expected)
        digest, challenge = map(response.field, ("Docker-Content-Digest", "WWW-Authenticate"))
        return Whole(step, b"".join(kept), digest, challenge)

    async def ask(
        self,
        kind: str,
        target: str,
        at_most: int,
        take: Callable[[bytes], None],
        fields: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> tuple[Step, Response]:
        """Ask for one thing; its bytes are handed on as they come.

        Raises:
            PullFailed: there is no answer, another than expected, or more than `at_most` bytes.
        """
        step = Step(kind, target, 0, 0, self._now(), 0.0)
        try:
            async with self._client.get(target, {**self.login, **(fields or {})}) as response:
                step = replace(step, status=response.status)
                if response.status not in expected:
                    await self._refused(step, response)
                async for piece in response.pieces():
                    step = replace(step, size=step.size + len(piece))
                    if step.size > at_most:
                        self.told(replace(step, ended=self._now()))
                        raise PullFailed(f"{step}: there are more than {at_most} bytes")
                    take(piece)
                ended = self._now()
                return replace(step, ended=ended, source=await response.source()), response
        except OSError as e:
            self.told(replace(step, ended=self._now()))
            raise PullFailed(f"{step}: {e}") from e

    def compare(self, check: Check, step: Step) -> None:
        """See that what came is what was asked for.

        Raises:
            PullFailed: it is not.
        """
        wrong = check.wrong()
        if wrong:
            self.told(step)
            raise PullFailed(f"{step}: {wrong}")

    async def _refused(self, step: Step, response: Response) -> None:
        """Say what the registry says instead."""
        body = bytearray()
        async for piece in response.pieces():
            body += piece[: MAX_BODY - len(body)]
        ended = self._now()
        self.told(replace(step, size=len(body), ended=ended, source=await response.source()))
        kind = response.field("Content-Type").partition(";")[0].strip().lower()
        said = show_error(kind, bytes(body))
        sentence = f"; {said.partition(chr(10))[0]}" if said else ""
        raise PullFailed(f"{step}: status {step.status}{sentence}")


class Check:
    """What a body's digest is, against what it should be; empty where nobody says."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._check = DigestCheck(expected) if is_known_digest(expected) else None

    def take(self, piece: bytes) -> None:
        """A piece of the body."""
        if self._check:
            self._check.take(piece)

    def wrong(self) -> str:
        """What is wrong with it, empty where nothing is."""
        if not self._expected:
            return ""  # a tag, and the registry does not say what it stands for
        if not self._check:
            return f"the digest {self._expected!r} cannot be checked"
        if self._check.is_right:
            return ""
        return f"the digest is {self._check.found}, not {self._expected}"
