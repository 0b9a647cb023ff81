"""What became of a client's request once it has ended, for whoever counts, logs or sums up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from addon.flows.story import Story


@dataclass(frozen=True, slots=True)
class Account:
    """One request that has ended. It holds no secret; times are on the monotonic clock."""

    client: str
    method: str
    path: str
    """What the client asked, without its query, fit to be shown."""
    status: int
    """0 where there was no answer."""
    size: int
    """Bytes of the body that were given on."""
    started: float
    ended: float
    url: str
    """The upstream's address without its query, empty where none was asked for."""
    broken: str
    """Why it broke off, empty where it did not."""
    failure: str
    """Why it counts as failed, empty where it does not."""
    story: Story
    """What was noted on the way; it may still change where pieces end after the answer."""

    @property
    def seconds(self) -> float:
        """The whole time."""
        return self.ended - self.started

    @property
    def outcome(self) -> str:
        """The status, or why there is none."""
        return self.broken or str(self.status)


Listener = Callable[[Account], None]
