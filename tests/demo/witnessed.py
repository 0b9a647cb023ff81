"""What `witness.py` says, read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from .asked import Asked, kind_of
from .pull import AGENT

SCRIPT = Path(__file__).parent / "witness.py"
# As written there: mitmdump does not find this package, and loads nothing of it.
PREFIX = "demo:"


def witnessed(log: Iterable[str]) -> Iterator[Asked]:
    """The requests of other clients than the demo's own that a mirror's log names."""
    # The two processes share no other clock than the wall's.
    offset = time.time() - time.monotonic()
    for line in log:
        if not line.startswith(PREFIX):
            continue
        said = json.loads(line.removeprefix(PREFIX))
        agent, method, target, status, size, started, ended = said
        if agent != AGENT:
            times = (started - offset, ended - offset)
            yield Asked(kind_of(target), method, target, status, size, *times)
