"""A part of a blob that is fetched beside others."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from addon.blob.stream import Stream
from addon.protocol.reply import BrokenTransfer

logger = logging.getLogger(__name__)


class Piece:
    """What has come of one part waits here for its turn."""

    def __init__(self, stream: Stream, wake: Callable[[], None], ended: Callable[[], None]) -> None:
        """Fetch it: `wake` is told of each byte and of the end, `ended` of the end alone."""
        self.stream = stream
        self.chunks: deque[bytes] = deque()
        self.is_done = False
        self.error: OSError | None = None
        self._wake = wake
        self._ended = ended
        # It begins with the loop's next turn, and not before it has its place among the others:
        # mitmproxy 12 lets what `create_task` makes run at once (`asyncio.eager_task_factory`).
        self._task = asyncio.Task(self._fetch())

    async def _fetch(self) -> None:
        try:
            while chunk := await self.stream.read():
                self.chunks.append(chunk)
                self._wake()
        except OSError as e:
            self.error = e
        except Exception as e:
            # Whatever it was, the next piece's bytes must not follow what came of this one.
            logger.exception("a piece could not be fetched")
            self.error = BrokenTransfer(f"a piece could not be fetched: {type(e).__name__}")
        finally:
            self.stream.close()
            self.is_done = True
            self._wake()
            self._ended()

    def close(self) -> None:
        """End it."""
        self._task.cancel()
        self.stream.close()
        self.chunks.clear()
