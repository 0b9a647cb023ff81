"""A clock that a test turns."""

from __future__ import annotations


class Clock:
    """Starts at any time but zero."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds
