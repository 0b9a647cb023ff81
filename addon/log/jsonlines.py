"""The log as one JSON object a line, for whatever collects logs.

Every line has `time` (RFC 3339, UTC), `level` and `message`; a line about a request or a pull has
the keys of addon/log/requestlog.py as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from addon.redaction.redaction import redact_text

# Where a record holds more than its message: `logger.info(…, extra={FACTS: …})`.
FACTS = "docxy_facts"

Fact = str | int | float | None
Facts = Mapping[str, Fact]


class JsonLines(logging.Formatter):
    """Makes the lines. No text in them holds a secret, unless they are to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shows_secrets = False

    def format(self, record: logging.LogRecord) -> str:
        """One object; what is no ASCII, and every control character, is escaped."""
        facts: Facts = getattr(record, FACTS, {})
        line = {
            "time": to_time(record.created),
            "level": record.levelname.lower(),
            "message": self._message(record),
            **{name: self._shown(fact) for name, fact in facts.items()},
        }
        return json.dumps(line)

    def _message(self, record: logging.LogRecord) -> str:
        # mitmproxy notes the client of a connection's lines in the record.
        client = getattr(record, "client", None)
        message = f"{client[0]}: {record.getMessage()}" if client else record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            message = f"{message}\n{self.formatStack(record.stack_info)}"
        return str(self._shown(message))

    def _shown(self, fact: Fact) -> Fact:
        return redact_text(fact) if isinstance(fact, str) and not self.shows_secrets else fact


def to_time(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 has them, in milliseconds."""
    shown = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")
