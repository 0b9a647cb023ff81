"""Records of Python's logging, whoever makes them and whoever shows them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from mitmproxy.log import MitmFormatter

from addon.redaction.loglines import LogLines

SECRET = "d29uZGVybGFuZA=="
LINE = "Client closed connection before completing request headers: %r"
HEAD = f"GET / HTTP/1.1\r\nAuthorization: Basic {SECRET}\r\n".encode()


@pytest.fixture
def lines() -> Iterator[LogLines]:
    lines = LogLines()
    lines.install()
    yield lines
    lines.uninstall()


class Shown(logging.Handler):
    """What a handler of mitmproxy's shows: `TermLog`, `EventStore` and the console are such."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(MitmFormatter(colorize=False))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def shown() -> Iterator[Shown]:
    shown = Shown()
    logging.getLogger().addHandler(shown)
    yield shown
    logging.getLogger().removeHandler(shown)


@pytest.mark.parametrize("name", ["mitmproxy.proxy.server", "asyncio", "anybody.s", None])
@pytest.mark.usefixtures("lines")
def test_a_line_of_anybodys_has_no_secret(shown: Shown, name: str | None) -> None:
    logging.getLogger(name).warning(LINE, HEAD)
    assert "Basic [redacted]" in shown.text
    assert SECRET not in shown.text


@pytest.mark.parametrize(
    "event",
    [
        "DataReceived(client, %r)",
        "SendData(server, %r)",
        "Receive(ResponseData(stream_id=1, data=%r))",
    ],
)
@pytest.mark.parametrize("piece", [b"cret&scope=a", b"it's a cret"])
@pytest.mark.usefixtures("lines")
def test_bytes_as_they_come_are_not_shown(shown: Shown, event: str, piece: bytes) -> None:
    """mitmproxy's `proxy_debug`: what a secret is may stand in the piece before."""
    logging.getLogger("mitmproxy.proxy.server").warning(f"  >> {event}", piece)
    assert "cret" not in shown.text
    assert event.replace("%r", "…") in shown.text


@pytest.mark.usefixtures("lines")
def test_a_traceback_has_no_secret(shown: Shown) -> None:
    try:
        raise ValueError(f"not to be read: {HEAD!r}")
    except ValueError:
        logging.getLogger("mitmproxy").exception("Addon error: %s", "a")
    assert "Addon error: a\nTraceback" in shown.text
    assert "ValueError: not to be read: b'GET / HTTP/1.1" in shown.text
    assert SECRET not in shown.text


@pytest.mark.usefixtures("lines")
def test_a_line_that_cannot_be_made_has_no_secret(
    shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("mitmproxy").warning("%d", HEAD)
    logging.getLogger("mitmproxy").warning("a", "password=a")
    assert "%d" in shown.text
    assert "password=[redacted]" in shown.text
    assert SECRET not in shown.text + capsys.readouterr().err


@pytest.mark.usefixtures("lines")
def test_other_lines_are_left_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("mitmproxy").warning("%s is %d", "a", 1)
    try:
        raise ValueError("a")
    except ValueError:
        logging.getLogger("mitmproxy").exception("failed")
    first, second = caplog.records
    assert (first.msg, first.args) == ("%s is %d", ("a", 1))
    assert second.exc_info


@pytest.mark.usefixtures("lines")
def test_whoever_started_mitmweb_is_told_what_opens_its_page(shown: Shown) -> None:
    logger = logging.getLogger("mitmproxy.tools.web.master")
    logger.warning("Web server listening at http://127.0.0.1:8081/?token=abc")
    assert "?token=abc" in shown.text


def test_secrets_are_shown_where_they_are_asked_for(lines: LogLines, shown: Shown) -> None:
    lines.shows_secrets = True
    logging.getLogger("mitmproxy").warning(LINE, HEAD)
    assert SECRET in shown.text


def test_what_made_records_before_makes_them_again() -> None:
    before = logging.getLogRecordFactory()
    lines = LogLines()
    lines.install()
    lines.install()
    assert logging.getLogRecordFactory() is lines
    lines.uninstall()
    assert logging.getLogRecordFactory() is before
    lines.uninstall()
    assert logging.getLogRecordFactory() is before
