"""Every line of the log without secrets, whoever writes it and wherever it is shown.

mitmproxy quotes what clients send, in its own words and in tracebacks. Its terminal, its web page
and its console each have a handler of their own, and more may come while it runs; what all of them
show is made in one place, where Python makes a record.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any

from addon.redaction.redaction import redact_text

# The line that says the address of mitmweb's page, ours or its own: with the token that opens it,
# which whoever started it needs.
PAGE = "docxy.page"
_WITH_TOKEN = frozenset({PAGE, "mitmproxy.tools.web.master"})

# mitmproxy's `proxy_debug` says each piece of what comes and goes; what in it is a secret may stand
# in the piece before.
_PIECE = re.compile(
    r"\b((?:DataReceived|SendData|RequestData|ResponseData)\([\w=, ]{0,64}?)"
    r"(?:b'(?:\\.|[^'\\])*'|b\"(?:\\.|[^\"\\])*\")"
)


class LogLines:
    """Makes the records of Python's logging while the mirror is loaded."""

    def __init__(self) -> None:
        self.shows_secrets = False
        self._make = logging.getLogRecordFactory()

    def install(self) -> None:
        """Make all records from now on."""
        if logging.getLogRecordFactory() is not self:
            self._make = logging.getLogRecordFactory()
            logging.setLogRecordFactory(self)

    def uninstall(self) -> None:
        """Let what was there before make them."""
        if logging.getLogRecordFactory() is self:
            logging.setLogRecordFactory(self._make)

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """A record as it is shown."""
        record = self._make(*args, **kwargs)
        if not self.shows_secrets and record.name not in _WITH_TOKEN:
            _redact(record)
        return record


def _redact(record: logging.LogRecord) -> None:
    message = _message(record)
    shown = redact_text(_PIECE.sub(r"\1…", message))
    if shown != message:
        record.msg, record.args = shown, ()
    if not record.exc_info or record.exc_info[0] is None:
        return
    trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
    shown_trace = redact_text(trace)
    if shown_trace != trace:
        # A handler would format the exception itself.
        record.msg, record.args = f"{shown}\n{shown_trace}", ()
        record.exc_info = None


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # It cannot be shown as it was meant: `logging` would print its parts as they are.
        record.msg, record.args = f"{record.msg} {record.args!r}", ()
        return str(record.msg)
