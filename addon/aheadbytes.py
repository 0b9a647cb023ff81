"""What looking ahead costs and brings: bytes asked for before a client came, used or wasted.

They are used once a client comes for what they are of. They are wasted once that is gone and nobody
came: its story, which whatever is begun or remembered holds on to, is held by nobody any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from weakref import ref

from addon.sent import Sent
from addon.story import Story

# What a client comes for; where it is, or whether it has changed, is learnt by the way.
CONTENT = frozenset({"blob", "blob part", "manifest"})


@dataclass(slots=True)
class _Waiting:
    """Bytes that nobody has come for yet."""

    story: ref[Story]
    count: int = 0


class AheadBytes:
    """Counts them; `settled` says what has been decided since it was asked last."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._used = 0
        # Appended to wherever the collector runs, be it in another thread.
        self._wasted: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def ended(self, sent: Sent) -> None:
        """A request has ended."""
        if not sent.is_ahead or not sent.bytes or sent.purpose not in CONTENT:
            return
        if sent.story.claimed_by:
            self._used += sent.bytes
            return
        waiting = self._waiting.get(sent.story.id)
        if waiting is None:
            gone = partial(self._gone, sent.story.id)
            waiting = self._waiting[sent.story.id] = _Waiting(ref(sent.story, gone))
        waiting.count += sent.bytes

    def claimed(self, story_id: str) -> None:
        """A client has come for what was begun in a story."""
        waiting = self._waiting.pop(story_id, None)
        if waiting:
            self._used += waiting.count

    def settled(self) -> tuple[int, int]:
        """Bytes that were used, and that were wasted, since the last time."""
        for story_id, waiting in list(self._waiting.items()):
            story = waiting.story()
            if story and story.claimed_by:
                self.claimed(story_id)
        used, self._used = self._used, 0
        wasted = 0
        while self._wasted:
            wasted += self._wasted.popleft()
        return used, wasted

    def _gone(self, story_id: str, _story: ref[Story]) -> None:
        waiting = self._waiting.pop(story_id, None)
        if waiting:
            self._wasted.append(waiting.count)
