"""The record of what reached the Hub: what a test asserts on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .exchange import Asked, Role


@dataclass(slots=True)
class Seen:
    """One request, and how its answer went."""

    role: Role
    asked: Asked
    time: float
    """Of `time.monotonic()`."""
    connection: int
    """Counts over all roles; the same number, the same connection."""
    status: int | None = None
    """None while, or if, there was no answer."""
    sent: int = 0
    """Bytes of the body that were handed to the connection."""
    ended: Literal["open", "whole", "broken", "left"] = "open"
    """`broken` by a fault, `left` by the client."""

    @property
    def method(self) -> str:
        return self.asked.method

    @property
    def target(self) -> str:
        return self.asked.target

    @property
    def line(self) -> str:
        return f"{self.role} {self.method} {self.target} {self.status}"


class Log(list[Seen]):
    def of(
        self,
        role: Role | None = None,
        method: str | None = None,
        text: str = "",
        status: int | None = None,
    ) -> list[Seen]:
        """Those of this role and method with the text in their target, in order of arrival."""
        return [
            seen
            for seen in self
            if role in (None, seen.role)
            and method in (None, seen.method)
            and text in seen.target
            and status in (None, seen.status)
        ]
