"""The same over real TCP: two network namespaces and a line between them that delays and loses.

    python -m tests.bench.line --line PATH_TO_LINE_BINARY [--repeat 5] [--rows NAMES]

Needs root, `ip` and the program that makes the line: it is called as `LINE -delay 75ms -loss 0.01
-rate 100mbit NS_A NS_B`, says `up: …`, and gives its ends 10.77.0.1 and 10.77.0.2. For each line
this starts `far.py` in the second namespace. Where the Hub is the sender, its route says which
congestion control it runs; where the mirror is, its own option does, for a route's would win.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .children import run_to_end, running
from .table import Goal, format_goals

DELAY: Final = "75ms"
ROUND_TRIP: Final = 0.15
ROUTE: Final = (
    *("10.77.0.0/30", "dev", "line0"),
    *("proto", "kernel", "scope", "link", "src", "10.77.0.1"),
)

Seconds = Mapping[str, list[float]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line and what is measured over it; `sender` is the far end's congestion control, if set."""

    rate: str
    loss: float
    sender: str
    measure: str
    images: tuple[str, ...] = ("one", "eight")
    names: tuple[str, str] = (f"docxy-a{os.getpid()}", f"docxy-b{os.getpid()}")

    @property
    def title(self) -> str:
        return f"{self.rate}, {self.loss:.1%} loss"


LINES: Final[Mapping[str, Line]] = {
    "fast": Line("400mbit", 0.0, "bbr", "pieces"),
    "narrow": Line("100mbit", 0.0, "bbr", "pieces", ("eight",)),
    "lossy": Line("200mbit", 0.002, "cubic", "pieces"),
    "worse": Line("200mbit", 0.01, "cubic", "pieces"),
    "client": Line("100mbit", 0.001, "", "congestion", ("thirty",)),
    "client-worse": Line("100mbit", 0.01, "", "congestion", ("thirty",)),
    "login": Line("100mbit", 0.0, "", "login", ("small",)),
}


async def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.line")
    parser.add_argument("--line", required=True, help="the program that makes the line")
    parser.add_argument("--repeat", type=int, default=5, help="the median of so many (5)")
    parser.add_argument("--rows", default=",".join(LINES), help=",".join(LINES))
    arguments = parser.parse_args(words)
    goals: list[Goal] = []
    for name in arguments.rows.split(","):
        line = LINES[name]
        async with laid(line, arguments.line):
            said = await measure(line, arguments.repeat)
        print(f"\n{name}: {line.title}; it ran {', '.join(said.pop('congestion'))}")
        for what, seconds in said.items():
            shown = " ".join(f"{each:.2f}" for each in sorted(seconds))
            print(f"  {what}: {statistics.median(seconds):.3f}  ({shown})", flush=True)
        goals += goals_of(name, line, said)
        print("\n".join(format_goals(goals_of(name, line, said))), flush=True)
    print()
    print("\n".join(format_goals(goals)))


@contextlib.asynccontextmanager
async def laid(line: Line, program: str) -> AsyncIterator[None]:
    """The line, and its namespaces, for as long as the block."""
    words = ["-delay", DELAY, "-loss", str(line.loss), "-rate", line.rate, *line.names]
    process = await asyncio.create_subprocess_exec(program, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        if not (await process.stdout.readline()).startswith(b"up"):
            raise RuntimeError("there is no line; is this root?")
        if line.sender:
            route = (*ROUTE, "congctl", line.sender)
            await run("ip", "-n", line.names[0], "route", "change", *route)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        print((await process.stdout.read()).decode(), end="")
        await process.wait()


async def run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    if await process.wait():
        raise RuntimeError(f"failed: {' '.join(words)}")


async def measure(line: Line, repeat: int) -> dict[str, Any]:
    """What `far.py` says: seconds (or MB/s) by name, and the congestion control that ran."""
    question = {
        "measure": line.measure,
        "images": line.images,
        "namespaces": line.names,
        "repeat": repeat,
    }
    prefix = ("ip", "netns", "exec", line.names[1])
    async with running("far", json.dumps(question), prefix=prefix) as child:
        said: dict[str, Any] = json.loads(await child.line())
    return said


def goals_of(name: str, line: Line, said: Seconds) -> list[Goal]:
    middle = {what: statistics.median(seconds) for what, seconds in said.items()}
    if name == "login":
        saved = (middle["client"] - middle["none"]) / ROUND_TRIP
        return [Goal(f"{line.title}: login=none saves", round(saved, 1), 2, "round trips", True)]
    if line.measure == "congestion":
        faster = {"client": 6.0, "client-worse": 25.0}[name]
        times = middle["bbr"] / middle["cubic"]
        return [Goal(f"{line.title}, to the client: bbr is faster", times, faster, "x", True)]
    goals = []
    if name == "narrow":
        seconds = middle["eight started, pieces"]
        goals.append(Goal(f"{line.title}: 8 layers, just started", seconds, 4.0, "s"))
    for image in line.images:
        must = {"fast": 0.65 if image == "one" else 1.0, "narrow": 1.0, "lossy": 0.4}
        for when in ("started", "again"):
            ratio = middle[f"{image} {when}, pieces"] / middle[f"{image} {when}, one stream"]
            what = f"{line.title}: {image}, {when}"
            goals.append(Goal(what, ratio, must.get(name, 0.12), "x one stream"))
    return goals


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    run_to_end(main(sys.argv[1:]))
