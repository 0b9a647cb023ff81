"""Where the round trips of a pull go: what the client asked, and what the Hub saw when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .engine import Step

_HEX = re.compile(r"[0-9a-f]{64}")


def timeline(
    steps: Sequence[Step], seen: Iterable[dict[str, Any]], began: float, round_trip: float
) -> list[str]:
    """One line for each event, in round trips since the pull began.

    The Hub's times are those at the Hub: half a round trip after the mirror sent the request.
    """
    unit = round_trip or 1.0
    events: list[tuple[float, str]] = []
    for step in steps:
        what = f"client {step.kind} {_short(step.target)}"
        first, end = (step.head - began) / unit, (step.ended - began) / unit
        text = f"{what}: first byte {first:.2f}, end {end:.2f}, {step.size} bytes"
        events.append((step.asked, text))
    for each in seen:
        ranged = f" {each['range']}" if each["range"] else ""
        text = f"    Hub {each['role']} {each['method']} {_short(each['target'])}{ranged}"
        text += f" -> {each['status']} on connection {each['connection']}"
        events.append((each["time"], text))
    return [f"{(at - began) / unit:6.2f}  {text}" for at, text in sorted(events)]


def _short(target: str) -> str:
    path = target.partition("?")[0]
    path = re.sub(r"^/registry-v2/.*/(?=[0-9a-f]{64}/)", "/…/", path)
    return _HEX.sub(lambda match: match[0][:8], path)
