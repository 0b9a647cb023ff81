"""How secrets are shown, in whatever passes by and in what the mirror itself sends."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from addon.protocol.headers import Fields
from addon.redaction.secretnames import (
    is_open_parameter,
    is_secret_field,
    is_secret_name,
    is_secret_parameter,
)

REDACTED = "[redacted]"

# Characters of a query or a form that are looked through, which takes microseconds for each pair.
MAX_FORM = 8192

_ADDRESS_FIELDS = frozenset({"location", "content-location", "referer"})
_OWN_ADDRESS_FIELDS = _ADDRESS_FIELDS | {"link"}
_SCHEME = re.compile(r"(basic|bearer|digest|negotiate) +(?=\S)", re.IGNORECASE)

# An address's `user:password@`.
_USERINFO = re.compile(r"(?<=://)[^\s/?#\"'<>\\]{1,4096}@")
_JWT = re.compile(r"\beyJ[\w-]{6,}(?:\.[\w-]*)*")
# What their makers let begin so that it is found wherever it lies: Docker's, GitHub's, GitLab's.
_LABELLED = re.compile(r"\b(?:dckr_[a-z]{2,8}_|gh[opsur]_|github_pat_|glpat-)[\w-]{8,}")

# In a line of text, where nothing says what is what, a field's name is one that means nothing else:
# `GET /auth/token: 200` holds none. A head may stand there as it came, or as Python shows bytes,
# with `\r\n` in letters.
_NAME_IN_TEXT = (
    r"(?:[\w.]{1,32}-){0,4}(?:authorization|cookie2?)"
    r"|(?:[\w.]{1,32}-){1,4}(?:auth|token|secret|password|credentials?|signature|api-?key|key)"
    r"|x-registry-config|(?:proxy-)?authentication-info"
)
_START = r"(?:(?<![\w./:-])|(?<=\\[nr]))"
_HEAD_LINE = re.compile(
    rf"{_START}({_NAME_IN_TEXT})([ \t]*:[ \t]*)"
    r"((?:(?!\\r|\\n)[^\r\n])+(?:(?:\r?\n|(?:\\r)?\\n)[ \t]+(?:(?!\\r|\\n)[^\r\n])+)*)",
    re.IGNORECASE,
)
_HEAD_PAIR = re.compile(
    rf"(?<=[\"'])({_NAME_IN_TEXT})([\"'][ \t]*[,:][ \t]*b?)([\"'])((?:\\.|(?!\3)[^\\])*)",
    re.IGNORECASE,
)
_SCHEME_AND_SECRET = re.compile(
    r"\b(basic|bearer|digest|negotiate)([ \t]+)(?![\w-]+=[\"'\\])([\w.~+/-]{4,}=*)", re.IGNORECASE
)
_PARAMETER = re.compile(r"(?<![\w.%-])([\w.%-]{1,80})=(\"[^\"]*|'[^']*|[^\s&\"'<>\\]+)")
_MEMBER = re.compile(r"([\"'])([\w.-]{1,80})\1([ \t]*:[ \t]*)([\"'])((?:\\.|(?!\4)[^\\])*)")
_ESCAPED_MEMBER = re.compile(r"(\\\")([\w.-]{1,80})\1([ \t]*:[ \t]*)(\\\")((?:(?!\\\")[^\r\n])*)")
# One of these is in whatever the patterns above find something in: in an address as it is, in a
# text in lower case. Most have none, and cost no more than that.
_LABELS = ("dckr_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-")
_PLACE_HINTS = ("@", "eyJ", *_LABELS)
_HINTS = (
    *("@", "auth", "cookie", "token", "secret", "password", "credential", "signature", "key"),
    *("basic", "bearer", "digest", "negotiate", "passwd", "passphrase", "assertion"),
    *("registry-conf", "eyj", *_LABELS),
)


def redact_field(name: str, value: str) -> str:
    """A header field's value as it is shown; the scheme of credentials stays."""
    if name.lower() in _ADDRESS_FIELDS:
        return redact_url(value)
    if not is_secret_field(name):
        return redact_text(value)
    scheme = _SCHEME.match(value)
    return f"{scheme[1]} {REDACTED}" if scheme else REDACTED


def redact_url(url: str) -> str:
    """An address, or a request's target, as it is shown: all but its secrets byte for byte."""
    place, mark, query = url.partition("?")
    return _redact_place(place) + mark + redact_form(query)


def redact_own_url(url: str) -> str:
    """An address that the mirror asks, or is sent to: only what is known to open nothing."""
    path, separator, query = url.partition("?")
    path = redact_url(re.sub(r"//[^/@]*@", "//", path))
    return path + separator + "&".join(_redact_own_pair(pair) for pair in query.split("&"))


def redact_own_fields(fields: Fields) -> list[tuple[str, str]]:
    """The fields of what the mirror asks and is answered; those that are secrets are left out."""
    return [
        (n, redact_own_url(v) if n.lower() in _OWN_ADDRESS_FIELDS else v)
        for n, v in fields
        if not is_secret_field(n)
    ]


def redact_form(form: str) -> str:
    """A form (application/x-www-form-urlencoded), or an address's query, as it is shown."""
    if not form:
        return form
    if len(form) > MAX_FORM:
        return REDACTED
    return "&".join(_redact_pair(pair) for pair in form.split("&"))


def redact_text(text: str) -> str:
    """A text of any kind, such as a line of a log, as it is shown."""
    if "=" in text:
        text = _PARAMETER.sub(_shown_parameter, text)
    lower = text.lower()
    if not _has_one(lower, _HINTS):
        return text
    text = _HEAD_LINE.sub(_shown_line, text)
    text = _HEAD_PAIR.sub(_shown_head_pair, text)
    text = _SCHEME_AND_SECRET.sub(_shown_credentials, text)
    text = _JWT.sub(REDACTED, text)
    text = _LABELLED.sub(REDACTED, text)
    text = _USERINFO.sub(f"{REDACTED}@", text)
    text = _MEMBER.sub(_shown_member, text)
    return _ESCAPED_MEMBER.sub(_shown_member, text)


def _redact_own_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    # What a client asks for stands in it, and a client sends what it likes.
    is_open = is_open_parameter(name) and _redact_pair(pair) == pair
    return name + equals + (value if is_open else REDACTED if value else "")


def _has_one(text: str, hints: tuple[str, ...]) -> bool:
    # A loop: `any` with a generator takes twice as long, for each field of each request.
    for hint in hints:  # noqa: SIM110
        if hint in text:
            return True
    return False


def _redact_place(place: str) -> str:
    if not _has_one(place, _PLACE_HINTS):
        return place
    return _LABELLED.sub(REDACTED, _JWT.sub(REDACTED, _USERINFO.sub(f"{REDACTED}@", place)))


def _redact_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not value or value == REDACTED:
        return pair
    if is_secret_parameter(unquote_plus(name)):
        return f"{name}={REDACTED}"
    # It may hold an address, or what another reader takes for a pair of its own.
    decoded = unquote_plus(value)
    if redact_text(decoded) == decoded:
        return pair
    return name + equals + REDACTED


def _shown_line(match: re.Match[str]) -> str:
    return match[1] + match[2] + redact_field(match[1], match[3])


def _shown_head_pair(match: re.Match[str]) -> str:
    return match[1] + match[2] + match[3] + redact_field(match[1], match[4])


def _shown_credentials(match: re.Match[str]) -> str:
    # `Basic challenge` is a sentence's.
    if match[3].islower() and match[3].isalpha() and len(match[3]) < 16:
        return match[0]
    return f"{match[1]}{match[2]}{REDACTED}"


def _shown_parameter(match: re.Match[str]) -> str:
    name, value = unquote_plus(match[1]), match[2]
    in_address = match.start() > 0 and match.string[match.start() - 1] in "?&"
    is_secret = is_secret_parameter(name) if in_address else is_secret_name(name)
    if not is_secret:
        return match[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{match[1]}={quote}{REDACTED}"


def _shown_member(match: re.Match[str]) -> str:
    if not match[5] or not is_secret_name(match[2]):
        return match[0]
    return f"{match[1]}{match[2]}{match[1]}{match[3]}{match[4]}{REDACTED}"
