"""Following a pair of files that acme.sh rewrites in place, at any moment and in several steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from addon.tls.acme import PairPaths
from addon.tls.certificates import CertificateError, Pair, check_validity, load_pair

logger = logging.getLogger(__name__)


class Renewal:
    """Looks for a renewed pair; empty, unreadable or not fitting means *not yet*.

    Args:
        paths: the files; the same ones are rewritten.
        settling: seconds until a change is read once more. Two readings must agree: a chain whose
            last certificate is still being written looks complete in between.
        now: the clock.
    """

    def __init__(self, paths: PairPaths, *, settling: float, now: Callable[[], datetime]) -> None:
        self._paths = paths
        self._settling = settling
        self._now = now
        self._told: set[str] = set()

    async def look(self, current: Pair) -> Pair | None:
        """Return the pair that is to replace the current one; None: there is none (yet)."""
        found = await asyncio.to_thread(self._read, current)
        while found != current:
            await asyncio.sleep(self._settling)
            before, found = found, await asyncio.to_thread(self._read, current)
            if found == before:
                break
        if isinstance(found, str):
            self.tell(found)
            return None
        self._told.clear()
        return None if found == current else found

    def tell(self, trouble: str) -> None:
        """Log why the files cannot be used; once, however often it is met before it ends."""
        if trouble not in self._told:
            self._told.add(trouble)
            logger.warning("The former certificate stays in use: %s. Looking on.", trouble)

    def forget_told(self) -> None:
        """Let a trouble that stays be told once more."""
        self._told.clear()

    def _read(self, current: Pair) -> Pair | str:
        """Read the pair, or why it cannot be used; runs in a thread."""
        try:
            pair = load_pair(self._paths)
            if pair != current:  # an expired one that is in use is no news
                check_validity(pair, self._paths, self._now())
        except CertificateError as error:
            return str(error)
        return pair
