"""The one request body that is read: the token service's form, bounded."""

from __future__ import annotations

import asyncio

from addon.protocol.errors import Refusal

MAX_FORM = 64 * 1024


class Form:
    """A form as it arrives. mitmproxy gives the body piece by piece and keeps none of it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = asyncio.Event()

    def take(self, piece: bytes) -> bytes:
        """Note a piece (`b""` is the end), and pass nothing on."""
        self._size += len(piece)
        if self._size <= MAX_FORM:
            self._pieces.append(piece)
        if not piece or self._size > MAX_FORM:
            self._ended.set()
        return b""

    @property
    def whole(self) -> bytes | None:
        """The form, if it has ended and was not too large."""
        is_whole = self._ended.is_set() and self._size <= MAX_FORM
        return b"".join(self._pieces) if is_whole else None

    async def read(self) -> bytes:
        """The whole form, once it has ended.

        Raises:
            Refusal: 413, it is larger than a form may be.
        """
        await self._ended.wait()
        if self._size > MAX_FORM:
            self._pieces.clear()
            raise Refusal(413, "SIZE_INVALID", f"a form has at most {MAX_FORM} bytes")
        return b"".join(self._pieces)


def drop(_piece: bytes) -> bytes:
    """For every other body: what is not read is not kept."""
    return b""
