"""The benchmark's command line."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from . import breaks, cost, login, rounds, slow, workers
from .children import run_to_end
from .runs import Options
from .table import Goal, Result, Row, as_json, format_goals, format_rows

GROUPS: Final[Mapping[str, Callable[[Options], AsyncIterator[Result]]]] = {
    "rounds": rounds.rows,
    "login": login.rows,
    "breaks": breaks.rows,
    "cost": cost.rows,
    "slow": slow.rows,
    "workers": workers.rows,
}


def run(words: Sequence[str]) -> int:
    """The benchmark; its exit code says whether it ran, not what it reached."""
    arguments = _parser().parse_args(words)
    options = Options(
        folder=Path(),
        round_trip=arguments.round_trip / 1000,
        repeat=arguments.repeat,
        quick=arguments.quick,
        timelines=arguments.timelines,
        workers=arguments.workers if arguments.workers > 1 else 0,
    )
    usual = ["workers"] if options.workers else [name for name in GROUPS if name != "workers"]
    groups = arguments.rows.split(",") if arguments.rows else usual
    unknown = [name for name in groups if name not in GROUPS]
    if unknown:
        print(f"there are no rows {unknown[0]!r}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    results = run_to_end(_measure(groups, options))
    if arguments.json:
        print(json.dumps({**_machine(), **as_json(results)}, indent=2))
        return 0
    print()
    print("\n".join(format_rows(each for each in results if isinstance(each, Row))))
    print()
    print("\n".join(format_goals(each for each in results if isinstance(each, Goal))))
    return 0


async def _measure(groups: Sequence[str], options: Options) -> list[Result]:
    results: list[Result] = []
    for name in groups:
        with tempfile.TemporaryDirectory(prefix="docxy-bench-") as folder:
            async for each in GROUPS[name](replace(options, folder=Path(folder))):
                results.append(each)
                line = format_rows([each]) if isinstance(each, Row) else format_goals([each])
                print(line[-1], file=sys.stderr, flush=True)
    return results


def _machine() -> dict[str, str]:
    return {"python": platform.python_version(), "mitmproxy": version("mitmproxy")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run.sh bench",
        description="Measure pulls through the mirror against a stand-in for Docker Hub that is a"
        " long way off, beside direct pulls and a plain mitmdump. Takes some minutes.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--quick", action="store_true", help="leave out 1 GiB and 200 pulls")
    parser.add_argument(
        "--rows", "--only", metavar="NAMES", default="", help=f"some of {','.join(GROUPS)}"
    )
    parser.add_argument(
        "--round-trip", type=float, default=200, metavar="MS", help="of the long line (200)"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, metavar="N", help="pulls of which the median counts (3)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="compare one process with N workers; with --rows rounds: start those mirrors with N",
    )
    parser.add_argument(
        "--timelines", action="store_true", help="print each request, and what the Hub saw when"
    )
    return parser
