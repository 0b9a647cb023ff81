"""The demo's command line: options, signals, exit codes."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import signal
import sys

from .show import Failure, show

INTERRUPTED = 128 + signal.SIGINT


def run(words: list[str]) -> int:
    """The demo; its exit code."""
    stay = _parse(words)
    # Python 3.11 warns of a mirror that is interrupted as it starts: it was waited for twice.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An arrow that the terminal does not know is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    try:
        return asyncio.run(_run(stay))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to interrupt


def _parse(words: list[str]) -> bool:
    parser = argparse.ArgumentParser(
        prog="./run.sh demo",
        description="Pull an image from a stand-in for Docker Hub through the mirror, and show what"
        " each request becomes. Needs no Internet, no Docker and no certificate.",
    )
    parser.add_argument(
        "--stay", action="store_true", help="go on serving, so that another client can pull too"
    )
    return bool(parser.parse_args(words).stay)


async def _run(stay: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _cancel_once, task)
    try:
        await show(stay)
    except asyncio.CancelledError:
        print("\nStopped; nothing is left running.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read this has left (`| head`), so at the end Python must not write there either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Failure, OSError) as e:
        print(f"docxy: the demo failed: {e}", file=sys.stderr)
        return 1
    return 0


def _cancel_once(task: asyncio.Task[int]) -> None:
    # A second Ctrl-C would interrupt the tidying up, and leave a mirror running.
    if not task.cancelling():
        task.cancel()
