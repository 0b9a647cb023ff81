"""How long one waits for a byte of a part before it is asked for elsewhere.

A lost packet is sent again within a second or two; what stays away longer may come sooner over
another connection. But an upstream that always takes long must not be asked in vain for ever, so
each time it takes twice as long.
"""

from __future__ import annotations


class Patience:
    """Seconds to wait, which grow while they are in vain and shrink again while they are not."""

    def __init__(self, shortest: float, longest: float) -> None:
        self.seconds = self._shortest = shortest
        self._longest = max(shortest, longest)

    def was_in_vain(self) -> None:
        """Nothing came."""
        self.seconds = min(self.seconds * 2, self._longest)

    def was_right(self) -> None:
        """A part came."""
        self.seconds = max(self.seconds / 2, self._shortest)
