"""Say which requests a fault hits, and how many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .exchange import Asked
from .faults import Fault


@dataclass(slots=True)
class Switch:
    """One fault that is set; `off()` takes it back."""

    fault: Fault
    times: int | None
    skip: int
    method: str | None
    path: str
    when: Callable[[Asked], bool]
    hits: int = 0

    def matches(self, asked: Asked) -> bool:
        return (
            self.times != 0
            and self.method in (None, asked.method)
            and self.path in asked.target
            and self.when(asked)
        )

    def hit(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        if self.times is not None:
            self.times -= 1
        return True

    def off(self) -> None:
        self.times = 0


@dataclass(slots=True)
class Faults:
    """The switches of one role."""

    switches: list[Switch] = field(default_factory=list)

    def add(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        skip: int = 0,
        method: str | None = None,
        path: str = "",
        when: Callable[[Asked], bool] = lambda _: True,
    ) -> Switch:
        """Set a fault for the next `times` requests (None: until `off`) that match.

        Args:
            fault: what goes wrong; all that match apply, in the order they were added.
            times: how many requests it hits.
            skip: how many matching requests pass before the first that it hits.
            method: only this one.
            path: text that must stand in the target, path and query.
            when: any other condition.
        """
        switch = Switch(fault, times, skip, method, path, when)
        self.switches.append(switch)
        return switch

    def clear(self) -> None:
        self.switches.clear()

    def take(self, asked: Asked) -> tuple[Fault, ...]:
        matching = [switch for switch in self.switches if switch.matches(asked)]
        return tuple(switch.fault for switch in matching if switch.hit())
