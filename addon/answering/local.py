"""What the mirror answers by itself: health, the redirect to https, the authority's challenge."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from addon.metrics.checks import Report
from addon.protocol.errors import CONTENT_TYPE, Refusal
from addon.protocol.reply import Reply, whole
from addon.protocol.routes import READ

# RFC 8555, section 8.3: a key authorization is short; nothing else lies in that folder.
_MAX_CHALLENGE = 4096
# Behind a host: without its slash a target would make another host of it, `@evil.example/`.
_TARGET = re.compile(r"/[!-~]*")


def health() -> Reply:
    """The mirror is there; no upstream is asked."""
    return whole(200, b'{"status":"ok"}\n', [("Content-Type", CONTENT_TYPE)])


def readiness(report: Report, *, with_reasons: bool) -> Reply:
    """Whether the mirror can do its work, 503 where it cannot."""
    content = report.json(with_reasons=with_reasons)
    return whole(200 if report.is_ready else 503, content, [("Content-Type", CONTENT_TYPE)])


def redirect_to_https(method: str, base_url: str, target: str) -> Reply:
    """Where the same is served over TLS.

    Raises:
        Refusal: what is sent with another method has been seen by everyone on the way already;
            or the target is none that a `Location` can hold.
    """
    if method not in READ:
        raise Refusal(403, "DENIED", f"plain HTTP is not served here; use {base_url}")
    if not _TARGET.fullmatch(target):
        raise Refusal(400, "NAME_INVALID", "the address holds characters that are not allowed")
    return whole(308, b"", [("Location", base_url + target)])


def acme_challenge(webroot: Path | None, token: str) -> Reply:
    """A file that acme.sh put into the webroot; `token` is checked to be a plain name.

    Raises:
        Refusal: there is none.
    """
    if webroot:
        content = _read_regular(webroot / ".well-known" / "acme-challenge" / token)
        if content is not None:
            return whole(200, content, [("Content-Type", "application/octet-stream")])
    raise Refusal(404, "UNSUPPORTED", "there is no such challenge")


def _read_regular(path: Path) -> bytes | None:
    """A short file that lies there itself; a link in that folder could lead to any file."""
    with contextlib.suppress(OSError):
        # Nor may a pipe be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_size <= _MAX_CHALLENGE:
                return os.read(descriptor, _MAX_CHALLENGE)
        finally:
            os.close(descriptor)
    return None
