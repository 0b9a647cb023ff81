"""An answer on its way to a client: status, fields, and a body as a source of chunks.

Wherever the bytes come from (an upstream, memory, several connections at once), this is the form
in which they are handed on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from addon.protocol.errors import CONTENT_TYPE, MirrorError
from addon.protocol.headers import Fields

# Bytes of a body in memory that are handed on at once: what each slow client then holds, twice.
SLICE = 64 * 1024


class BrokenTransfer(OSError):
    """A body that ended before its end: the client must not take it for whole."""


class Body(Protocol):
    """A source of chunks."""

    async def read(self) -> bytes:
        """The next chunk, `b""` at the end; raises `BrokenTransfer`."""

    def close(self) -> None:
        """End what the source holds; may be called at any time and more than once."""


class MemoryBody:
    """A body that is in memory, given in slices."""

    is_ready = True

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._at = 0

    async def read(self) -> bytes:
        """The next slice."""
        start, self._at = self._at, self._at + SLICE
        return self.content[start : self._at]

    def close(self) -> None:
        """Nothing is held."""


def is_ready(body: Body) -> bool:
    """Whether a body's next chunk is in memory: reading it neither waits nor fails."""
    return bool(getattr(body, "is_ready", False))


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Its `fields` hold no framing; `length` is in bytes, None where it is not known.

    An answer without a body by its method or status (RFC 9110, 6.4.1) may still tell a length.
    """

    status: int
    fields: Fields = ()
    length: int | None = 0
    body: Body = field(default_factory=lambda: MemoryBody(b""))


def whole(status: int, body: bytes, fields: Fields = ()) -> Reply:
    """A reply whose body is in memory."""
    return Reply(status, fields, len(body), MemoryBody(body))


def from_error(error: MirrorError) -> Reply:
    """The reply that an error is."""
    fields = [("Content-Type", CONTENT_TYPE), *error.headers.items()]
    return whole(error.status, error.body(), fields)
