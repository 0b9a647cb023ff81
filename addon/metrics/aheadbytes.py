"""What looking ahead costs and brings: bytes asked for before a client came, used or wasted.

They are used once a client comes for what they are of, be it from memory hours later. They are
wasted once that is dropped and nobody came.
"""

from __future__ import annotations

from dataclasses import dataclass

from addon.flows.story import Story
from addon.outbound.sent import Sent

# What a client comes for; where it is, or whether it has changed, is learnt by the way.
CONTENT = frozenset({"blob", "blob part", "manifest"})
# Of what still waits for a client; more than are remembered count as wasted, the oldest first.
MOST = 8192


@dataclass(slots=True)
class _Waiting:
    """Bytes that nobody has come for yet."""

    story: Story
    count: int = 0


class AheadBytes:
    """Counts them; `settled` says what has been decided since it was asked last."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._used = 0
        self._wasted = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def ended(self, sent: Sent) -> None:
        """A request has ended."""
        if not sent.is_ahead or not sent.bytes or sent.purpose not in CONTENT:
            return
        story = sent.story
        self._waiting.setdefault(story.id, _Waiting(story)).count += sent.bytes
        if len(self._waiting) > MOST:
            self._wasted += self._waiting.pop(next(iter(self._waiting))).count

    def settled(self) -> tuple[int, int]:
        """Bytes that were used, and that were wasted, since the last time."""
        for story_id, waiting in list(self._waiting.items()):
            if waiting.story.claimed_by:
                self._used += waiting.count
            elif waiting.story.is_dropped:
                self._wasted += waiting.count
            else:
                continue
            del self._waiting[story_id]
        found = self._used, self._wasted
        self._used = self._wasted = 0
        return found
