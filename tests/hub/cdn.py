"""Where a blob's bytes come from: presigned addresses and ranges."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .content import Content, InMemory, Slice
from .exchange import Answer, Asked
from .presigned import Refused
from .state import State

_RANGE = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)")


class Unsatisfiable(Exception):
    """The range lies outside the blob."""


@dataclass(frozen=True, slots=True)
class Cdn:
    state: State

    def answer(self, asked: Asked) -> Answer:
        if asked.method not in ("GET", "HEAD"):
            return _error(405, "MethodNotAllowed")
        if "Authorization" in asked.headers:
            # S3, R2 and CloudFront take one way of signing only.
            return _error(400, "InvalidArgument: only one auth mechanism allowed")
        try:
            digest = self.state.presigner.check(
                asked.method, asked.target, self.state.settings.now()
            )
        except Refused as e:
            return _error(403, f"AccessDenied: {e}")
        blob = self.state.blob(digest)
        if blob is None:
            return _error(404, "NoSuchKey")
        return _blob(asked, blob.content, f'"{digest[-32:]}"')


def _blob(asked: Asked, content: Content, etag: str) -> Answer:
    headers = {
        "Content-Type": "application/octet-stream",
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Last-Modified": "Wed, 01 May 2024 12:00:00 GMT",
        "Cache-Control": "public, max-age=14400",
    }
    if asked.header("If-None-Match") == etag:
        return Answer(304, headers)
    try:
        bounds = parse_range(asked.header("Range"), content.size)
    except Unsatisfiable:
        return _error(416, "InvalidRange").with_headers(Content_Range=f"bytes */{content.size}")
    # RFC 9110 13.1.5: another ETag means the whole of what is there now.
    if bounds is None or asked.headers.get("If-Range", etag) != etag:
        return Answer(200, headers, content)
    first, stop = bounds
    named = f"bytes {first}-{stop - 1}/{content.size}"
    return Answer(206, {**headers, "Content-Range": named}, Slice(content, first, stop))


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last, or None: what is no single range is ignored.

    Raises:
        Unsatisfiable: it names no byte that is there.
    """
    match = _RANGE.fullmatch(value)
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        first, stop = max(size - int(match["last"]), 0), size
    else:
        first = int(match["first"])
        stop = min(int(match["last"]) + 1, size) if match["last"] else size
        if match["last"] and int(match["last"]) < first:
            return None
    if first >= size or first >= stop:
        raise Unsatisfiable
    return first, stop


def _error(status: int, code: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Answer(status, {"Content-Type": "application/xml"}, InMemory(body.encode()))
