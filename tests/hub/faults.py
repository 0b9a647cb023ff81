"""What can go wrong with a request."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from .content import Flipped, InMemory, gzipped
from .exchange import Answer, Asked

Framing = Literal["length", "chunked", "close"]
End = Literal["fin", "rst", "stall"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One that changes nothing; the others change the question, the answer or its delivery."""

    def alter_asked(self, asked: Asked) -> Asked:
        return asked

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        return answer


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """Another answer in place of the right one, an error page unless told otherwise."""

    status: int = 503
    retry_after: str = ""
    body: bytes = b"upstream connect error\n"
    content_type: str = "text/plain"

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        after = {"Retry-After": self.retry_after} if self.retry_after else {}
        headers = {"Content-Type": self.content_type, **after}
        return Answer(self.status, headers, InMemory(self.body))


@dataclass(frozen=True, slots=True)
class Flip(Fault):
    """One byte of the body is another; `at` counts in what is sent, and must lie in it."""

    at: int = 0

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        return replace(answer, body=Flipped(answer.body, self.at))


@dataclass(frozen=True, slots=True)
class NoRange(Fault):
    """The whole, with 200, whatever range was asked for."""

    def alter_asked(self, asked: Asked) -> Asked:
        return asked.with_header("Range", None)


@dataclass(frozen=True, slots=True)
class Gzip(Fault):
    """Compressed for whoever says that they take gzip: length and digest no longer fit."""

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        if "gzip" not in asked.header("Accept-Encoding"):
            return answer
        return replace(answer, body=gzipped(answer.body)).with_headers(Content_Encoding="gzip")


@dataclass(frozen=True, slots=True)
class ExpiredToken(Fault):
    """The registry takes a good token for one that has expired."""

    def alter_asked(self, asked: Asked) -> Asked:
        return asked.with_header("Authorization", "Bearer expired")


@dataclass(frozen=True, slots=True)
class ExpiredRedirect(Fault):
    """The registry's redirect is too old for the CDN, which answers 403."""

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        location = answer.headers.get("Location", "")
        return answer.with_headers(Location=re.sub(r"(?<=Expires=)\d+", "1", location))


@dataclass(frozen=True, slots=True)
class Redirect(Fault):
    """Elsewhere. A function gets the real Location or, where there was none, the target asked for.

    `Redirect(lambda target: target)` at the CDN is a relative loop; with `times=3`, three hops.
    `Redirect(relative)` at the registry is a redirect to the registry itself, which serves it.
    """

    to: str | Callable[[str], str]
    status: int = 307

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        was = answer.headers.get("Location", asked.target)
        return Answer(
            self.status,
            {**answer.headers, "Location": self.to if isinstance(self.to, str) else self.to(was)},
        )


def relative(location: str) -> str:
    return re.sub(r"^https?://[^/]+", "", location)


@dataclass(frozen=True, slots=True)
class Header(Fault):
    """A header more, or another value of one."""

    name: str
    value: str

    def alter_answer(self, asked: Asked, answer: Answer) -> Answer:
        return replace(answer, headers={**answer.headers, self.name: self.value})


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """The answer comes later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """The request is taken and never answered."""


@dataclass(frozen=True, slots=True)
class HangUp(Fault):
    """The connection ends with no byte of an answer."""

    end: Literal["fin", "rst"] = "fin"


@dataclass(frozen=True, slots=True)
class Delivery(Fault):
    """How the body is framed, and after how many of its bytes it breaks off or stalls.

    `close` has neither length nor chunks: the connection's end is the body's, as in HTTP/1.0.
    `after=None` sends it whole; then `end` says only how a `close` body ends.
    """

    framing: Framing = "length"
    after: int | None = None
    end: End = "fin"
