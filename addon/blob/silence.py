"""Where an upstream gives none of a transfer's streams a byte, one at a time tries on.

Each stream is patient by itself; two dozen of them together would ask a dead host a thousand times.
"""

from __future__ import annotations

import asyncio
import contextlib


class Silence:
    """What the streams of one transfer know of each other's failures."""

    def __init__(self, longest_wait: float) -> None:
        """Nobody waits longer than so many seconds for another's next failure: it may hang."""
        self._longest_wait = longest_wait
        self._trying: object | None = None
        self._is_given_up = False
        self._changed = asyncio.Event()
        self.heard = 0
        """Grows with each byte that comes."""

    @property
    def is_tried(self) -> bool:
        """Whether one of them has failed more than once in a row, and tries on."""
        return self._trying is not None

    def ends(self) -> None:
        """Bytes have come for one of them."""
        self.heard += 1
        if self._trying or self._is_given_up:
            self._is_given_up = False
            self._trying = None
            self._tell()

    async def turn(self, who: object, heard: int) -> bool:
        """Wait for its turn to try on, or for bytes since `heard`; False: it was given up."""
        while self._is_silent_since(heard) and self._trying not in (None, who):
            if not await self._has_changed():
                break
        if self._is_silent_since(heard):
            self._trying = who
            self._tell()
        return self.heard != heard or not self._is_given_up

    def give_up(self) -> None:
        """One has tried long enough for all of them."""
        self._is_given_up = True
        self._trying = None
        self._tell()

    def leave(self, who: object) -> None:
        """It tries no more."""
        if self._trying is who:
            self._trying = None
            self._tell()

    def _is_silent_since(self, heard: int) -> bool:
        return self.heard == heard and not self._is_given_up

    async def _has_changed(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_wait):
                return await self._changed.wait()
        return False

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
