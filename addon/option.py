"""The form in which mitmproxy is told of an option."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One option as mitmproxy is told of it."""

    name: str
    type: type
    default: str | int | bool
    help: str
