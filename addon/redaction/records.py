"""A flow as it is shown, saved and exported: without the secrets that pass by in it.

mitmproxy sends what a flow shows, and shows it from the first hook on. So what is secret is taken
out of the flow at once, kept beside it, and put back where it is used: a request's where the
mirror reads it, an answer's fields where they are written to the client (`revealed`, called in
addon/mitm/wire.py). Of a body that holds secrets the flow shows a copy, made while it was streamed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mitmproxy import http

from addon.redaction.redaction import (
    REDACTED,
    redact_field,
    redact_form,
    redact_text,
    redact_url,
)
from addon.redaction.tokenredaction import redact_token_answer

Field = tuple[bytes, bytes]
# A field as it is shown, and as it came.
Pair = tuple[Field, Field]

# Fields that hold no secret, as many as are remembered and how long they may be: engines and
# registries send the same ones again and again.
MOST_OPEN = 1024
LONGEST_OPEN = 512
OPEN_FIELDS: set[Field] = set()

_FORM = "application/x-www-form-urlencoded"
_PROXYAUTH = "proxyauth"  # where mitmproxy's addon of that name notes who logged in, and how


@dataclass(frozen=True, slots=True)
class Hidden:
    """What of a request is not shown."""

    shown_target: str = ""
    target: str = ""
    pairs: tuple[Pair, ...] = ()
    shown_fields: tuple[Field, ...] = ()

    def true_target(self, shown: str) -> str:
        """The target that came, if no addon has put another in its place."""
        return self.target if self.target and shown == self.shown_target else shown

    def true_fields(self, shown: Iterable[Field]) -> list[Field]:
        """The fields that came, with what other addons have changed in them."""
        return _reveal(shown, self.pairs)


class ShownHeaders(http.Headers):
    """An answer's fields as they are shown, with what was taken out until they have been sent."""

    def __init__(self, fields: Iterable[Field] = (), hidden: tuple[Pair, ...] = ()) -> None:
        super().__init__(fields)
        self.hidden = hidden


class Recorder:
    """A body that passes by unchanged, and is kept up to a size."""

    def __init__(self, at_most: int) -> None:
        self._left = at_most
        self._pieces: list[bytes] = []
        self._has_ended = False

    def __call__(self, piece: bytes) -> bytes:
        """Take a piece that mitmproxy streams; `b""` is the end."""
        self._left -= len(piece)
        if self._left >= 0:
            self._pieces.append(piece)
        self._has_ended = not piece
        return piece

    @property
    def content(self) -> bytes | None:
        """The body, or None if it was too large to be kept, or was not streamed after all."""
        return b"".join(self._pieces) if self._has_ended and self._left >= 0 else None


def conceal_request(flow: http.HTTPFlow) -> Hidden:
    """Take the secrets out of a request's head; what is returned brings them back."""
    request = flow.request
    target = request.path
    shown = redact_url(target)
    if shown != target:
        request.path = shown
    pairs = _conceal(request.headers)
    if request.trailers:
        _conceal(request.trailers)
    if _PROXYAUTH in flow.metadata:
        user = flow.metadata[_PROXYAUTH][0]
        flow.metadata[_PROXYAUTH] = (user, REDACTED)
    conceal_error(flow)
    return Hidden(shown, target, pairs, request.headers.fields)


def conceal_again(flow: http.HTTPFlow, hidden: Hidden) -> None:
    """Take out what other addons have put in since; mostly there is nothing."""
    request = flow.request
    is_the_same = request.headers.fields == hidden.shown_fields and not request.trailers
    if not is_the_same or request.path != hidden.shown_target:
        conceal_request(flow)


def conceal_error(flow: http.HTTPFlow) -> None:
    """Take the secrets out of what mitmproxy says of a request that failed: it quotes."""
    if flow.error:
        flow.error.msg = redact_text(flow.error.msg)


def conceal_response(response: http.Response) -> None:
    """Take the secrets out of an answer's fields; `revealed` brings them back for the client."""
    before = response.headers.hidden if isinstance(response.headers, ShownHeaders) else ()
    pairs = _conceal(response.headers)
    if pairs:
        response.headers = ShownHeaders(response.headers.fields, pairs + before)


def revealed(response: http.Response) -> http.Response:
    """An answer as the client gets it; what was kept for that is forgotten."""
    headers = response.headers
    if not isinstance(headers, ShownHeaders) or not headers.hidden:
        return response
    sent: http.Response = response.copy()
    sent.headers = http.Headers(_reveal(headers.fields, headers.hidden))
    headers.hidden = ()
    return sent


def record_form(request: http.Request, content: bytes | None, *, redacted: bool) -> None:
    """Show a request's form, once the whole of it has passed; what is no form is not shown."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content is None or kind != _FORM or "content-encoding" in request.headers:
        return
    if redacted:
        content = redact_form(content.decode("latin-1")).encode("latin-1")
    # With its length, or nothing could be made of the record that is sent anew.
    request.content = content


def record_token(response: http.Response, content: bytes | None, *, redacted: bool) -> None:
    """Show a token service's answer, once it has been streamed; its fields stay as they were."""
    if content is None or "content-encoding" in response.headers:
        return
    response.raw_content = redact_token_answer(content) if redacted else content


def record_config(response: http.Response, content: bytes | None) -> None:
    """Show an image's config, once the whole of it has been streamed."""
    if content and response.status_code == 200:
        response.raw_content = content


def _conceal(headers: http.Headers) -> tuple[Pair, ...]:
    fields = headers.fields
    shown = tuple(_shown(field) for field in fields)
    if shown == fields:
        return ()
    headers.fields = shown
    return tuple(pair for pair in zip(shown, fields, strict=True) if pair[0] != pair[1])


def _shown(field: Field) -> Field:
    if field in OPEN_FIELDS:
        return field
    shown = _redacted(field)
    if shown == field and len(field[0]) + len(field[1]) <= LONGEST_OPEN:
        if len(OPEN_FIELDS) >= MOST_OPEN:
            OPEN_FIELDS.clear()
        OPEN_FIELDS.add(field)
    return shown


def _redacted(field: Field) -> Field:
    name, value = field[0].decode("latin-1"), field[1].decode("latin-1")
    shown = redact_field(name.strip(), value)
    if " " in name:
        # Not valid, but shown: the colon that was forgotten may stand after the credentials.
        name = redact_text(name)
    return name.encode("latin-1"), shown.encode("latin-1")


def _reveal(shown: Iterable[Field], pairs: tuple[Pair, ...]) -> list[Field]:
    left = list(pairs)
    return [_take(field, left) for field in shown]


def _take(shown: Field, left: list[Pair]) -> Field:
    for at, (as_shown, as_it_came) in enumerate(left):
        if as_shown == shown:
            del left[at]
            return as_it_came
    return shown
