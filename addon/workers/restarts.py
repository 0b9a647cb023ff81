"""How long a worker that has ended waits for its successor."""

from __future__ import annotations

# Seconds. The first is for one that died once; the last for one that dies again and again.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
HEALTHY = 60.0


def next_pause(before: float, lived: float) -> float:
    """Seconds to wait after a worker that served for `lived` seconds, and before it `before`."""
    if lived >= HEALTHY or not before:
        return FIRST_PAUSE
    return min(before * 2, LONGEST_PAUSE)
