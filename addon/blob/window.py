"""How much of a blob may be on its way: what its client keeps up with, and the mirror has room for.

Pieces start small, so that the first bytes are soon here, and grow, so that a large blob costs few
requests. A slow client holds little: what is on its way lies within a window, which grows only
while the client waits for bytes, and within the budget of the whole mirror.
"""

from __future__ import annotations

from dataclasses import dataclass

from addon.blob.budget import Budget
from addon.blob.transfer import Part
from addon.blob.urgency import Urgency
from addon.protocol.ranges import LARGEST_PIECE

FIRST_PIECE = 128 * 1024
FIRST_WINDOW = 32 * FIRST_PIECE


@dataclass(frozen=True, slots=True)
class Spread:
    """How far one transfer may spread: pieces side by side, bytes here before anybody reads."""

    pieces: int
    window: int = FIRST_WINDOW


class Window:
    """What has been asked for of one part and is not yet given on, counted in the budget."""

    def __init__(self, part: Part, spread: Spread, largest: int, budget: Budget) -> None:
        """Begin at the part's first byte; the window is never larger than `largest` bytes."""
        self._next = part.first
        self._given = part.first
        self._last = part.last
        self._length = part.last + 1 - part.first
        self._pieces = spread.pieces
        self._size = min(spread.window, largest)
        self._largest = largest
        self._budget = budget
        budget.enter()

    @property
    def is_asked_for(self) -> bool:
        """Whether every byte has been asked for."""
        return self._next > self._last

    @property
    def is_given(self) -> bool:
        """Whether every byte has been given on."""
        return self._given > self._last

    def grow(self) -> None:
        """The client is faster than the line: more may be on its way."""
        self._size = min(self._size * 2, self._largest)

    def room(self, broken: int, urgency: Urgency) -> int:
        """Bytes of the next piece, 0 where there is no room for one, or no byte left to ask for.

        Args:
            broken: pieces that broke off, and so bring nothing; as many are begun beside them.
            urgency: whom it is for.
        """
        if self._next > self._last:
            return 0
        held = self._next - self._given
        most = self._budget.share(held, self._size, broken * LARGEST_PIECE, urgency)
        length = min(self._piece_length(most), self._last + 1 - self._next)
        # Where there is no room at all, it goes on with one piece of the smallest size.
        return 0 if held and held + length > most else length

    def take(self, length: int) -> int:
        """So many bytes are asked for; the first of them."""
        first = self._next
        self._next += length
        self._budget.take(length)
        return first

    def give(self, length: int) -> None:
        """So many bytes are given on."""
        self._given += length
        self._budget.give(length)

    def close(self) -> None:
        """Nothing of it is wanted any more."""
        self._budget.leave()
        self._budget.give(self._next - self._given)

    def _piece_length(self, most: int) -> int:
        """As many pieces as lanes, of the part or of what it may hold if that is smaller."""
        length = -(-min(self._length, most) // self._pieces)
        return min(max(length, FIRST_PIECE), LARGEST_PIECE)
