"""What a pull asked for and how it went, as a table."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from addon.inspection.steps import Step
from addon.protocol.imagename import ImageName
from addon.protocol.platforms import Platform
from addon.views.escaping import printable
from addon.views.sizes import format_size
from addon.views.table import align, bounded

_DIGEST = re.compile(r"(sha\d+:[0-9a-f]{12})[0-9a-f]+")
_HEADING = ["request", "", "status", "size", "time", "from"]
_RIGHT = (2, 3, 4)


@dataclass(slots=True)
class Pull:
    """A pull under way, or how it ended; times on the monotonic clock."""

    name: ImageName
    platform: Platform
    now: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    ended: float = 0.0
    steps: list[Step] = field(default_factory=list)
    failure: str = ""
    left: str = ""
    """What is said of the pull limit."""

    def __post_init__(self) -> None:
        self.started = self.now()

    def __str__(self) -> str:
        return f"{self.name} for {self.platform}"

    def end(self, failure: str = "", left: str = "") -> None:
        """It is over; `failure` says why it could not go on."""
        self.ended = self.now()
        self.failure = printable(failure)
        self.left = left


def summary(pull: Pull) -> str:
    """One line on the whole of it."""
    seconds = (pull.ended or pull.now()) - pull.started
    size = format_size(sum(step.size for step in pull.steps))
    count = "1 request" if len(pull.steps) == 1 else f"{len(pull.steps)} requests"
    whole = f"{count}, {size} in {_ms(seconds)}"
    if not pull.ended:
        return f"{pull}: under way, {whole} so far"
    if pull.failure:
        return f"{pull}: failed, {pull.failure} ({whole})"
    return f"{pull}: {whole}, all digests right"


def report(pull: Pull) -> str:
    """The whole of it: a line for each request, in the order in which they were answered."""
    rows = [_HEADING, *map(_cells, pull.steps)]
    lines = [summary(pull), *(f"  {line}" for line in align(bounded(rows), _RIGHT))]
    return "\n".join([*lines, *([f"  {pull.left}"] if pull.left else [])])


def step_line(step: Step) -> str:
    """One request, as the log has it while the pull is under way."""
    kind, what, status, size, took, source = _cells(step)
    came_from = f", {source}" if source else ""
    return f"{kind} {what}: {status}, {size} in {took}{came_from}"


def _cells(step: Step) -> list[str]:
    target = _DIGEST.sub(r"\1…", step.target.partition("?")[0])
    return [
        step.kind,
        printable(target),
        str(step.status or "none"),
        format_size(step.size),
        _ms(step.ended - step.started),
        step.source,
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
