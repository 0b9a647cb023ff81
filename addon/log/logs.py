"""mitmproxy's hooks for the log: how its lines look, and a line for each pull that is over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.termlog import TermLogHandler

from addon.log.jsonlines import JsonLines
from addon.log.requestlog import log_pull
from addon.log.summaries import Summaries
from addon.settings.option import Option, declare
from addon.start.terminal import write_whole_lines

logger = logging.getLogger(__name__)

FORMATS = ("text", "json")
OPTION = Option(
    "docxy_log",
    str,
    "text",
    "text: the log is lines for a person. json: each of its lines is a JSON object.",
)
# Seconds between two looks at the pulls.
INTERVAL = 1.0


class Logs:
    """Gives what writes to the terminal its form; mitmproxy's own lines have the same."""

    def __init__(self) -> None:
        self.summaries = Summaries(log_pull)
        self._json = JsonLines()
        self._texts: dict[TermLogHandler, logging.Formatter | None] = {}
        self._is_running = False
        self._task: asyncio.Task[None] | None = None

    def load(self, loader: Loader) -> None:
        """Declare the option; a line is written when it is logged, whoever reads it."""
        declare(loader, [OPTION])
        with contextlib.suppress(exceptions.OptionsError, TypeError):
            # What is said of the other options has its form already; `Deferred` says what is wrong
            # with this one.
            ctx.options.process_deferred()
            self._show()
        write_whole_lines(sys.stdout)

    def configure(self, updated: set[str]) -> None:
        """Change the form."""
        if "docxy_show_secrets" in updated:
            self._json.shows_secrets = ctx.options.docxy_show_secrets
        if OPTION.name not in updated:
            return
        if ctx.options.docxy_log not in FORMATS:
            error = f"{OPTION.name}: {ctx.options.docxy_log!r} is neither text nor json"
            if self._is_running:
                raise exceptions.OptionsError(error)  # type: ignore[no-untyped-call]
            logger.error("%s", error)  # it ends the start; raised, it would have a traceback
        self._show()

    def running(self) -> None:
        """Look at the pulls from time to time."""
        self._is_running = True
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def done(self) -> None:
        """Say what is known of pulls that go on, and leave the log as it was."""
        if self._task:
            self._task.cancel()
        self.summaries.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            self.summaries.look()

    def _show(self) -> None:
        if ctx.options.docxy_log == "json":
            for handler in _terminals():
                self._texts.setdefault(handler, handler.formatter)
                handler.setFormatter(self._json)
            return
        for handler, formatter in self._texts.items():
            handler.setFormatter(formatter)
        self._texts.clear()


def _terminals() -> Iterator[TermLogHandler]:
    handlers = logging.getLogger().handlers
    return (handler for handler in handlers if isinstance(handler, TermLogHandler))
