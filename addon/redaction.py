"""Which parts of what passes by are secrets, and how they are shown.

A secret is what opens something for whoever has read it: passwords, tokens, cookies, signatures of
addresses. Who asks, and for what, is none: user names, scopes and services stay.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import unquote_plus

REDACTED = "[redacted]"

# Characters of a query or a form that are looked through, which takes microseconds for each pair.
MAX_FORM = 8192

# Names of parameters, form fields and JSON members, by their last word: `access_token`,
# `client_secret`, `X-Amz-Signature`, `X-Goog-Credential`, `securityToken`.
_SECRET_NAME = re.compile(
    r"[\w.-]*?(?:password|passwd|passphrase|secret|token|signature|credentials?|cookie"
    r"|api[_-]?key|assertion)",
    re.IGNORECASE,
)
# In an address or a form these are secrets too: CloudFront's and Azure's signatures, Cloudflare's
# `verify`, Akamai's `hdnts`, Alibaba's `auth_key`, Tencent's `sign`, nginx's `md5`, OAuth's codes.
_SECRET_PARAMETER = re.compile(
    r"sig|q-sign|hmac|policy|key-pair-id|verify|code|code_verifier|device_code|auth|authorization"
    r"|identitytoken|registrytoken|key|pass|pwd|pw|session|sid|hdn(?:ts|ea|tl)|auth_key|sign|md5"
    r"|access_?key|jwt|bearer",
    re.IGNORECASE,
)
# What other readers part a name at: `user[password]`, `password[0]`.
_PARTS = re.compile(r"[\[\]\0\s]+")
# It asks for a token, and holds none.
_NO_SECRET = re.compile(r"offline_token", re.IGNORECASE)

# Docker's own beside those of RFC 9110 and RFC 6265. A challenge is for everyone to read.
_SECRET_FIELD = re.compile(
    r"(?:[\w.-]*[-_.])?(?:authorization|auth|token|secret|password|cookie2?|credentials?"
    r"|signature|(?:api|auth|access|private|session)-?key|jwt|session(?:-?id)?)|x-registry-config|(?:proxy-)?authentication-info",
    re.IGNORECASE,
)
_ADDRESS_FIELDS = frozenset({"location", "content-location", "referer"})
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
# One of these is in whatever text the patterns above find something in, in lower case. Most texts
# have none, and cost no more than that.
_HINTS = (
    *("@", "auth", "cookie", "token", "secret", "password", "credential", "signature", "key"),
    *(
        "basic",
        "bearer",
        "digest",
        "negotiate",
        "passwd",
        "passphrase",
        "assertion",
        "registry-conf",
    ),
    *("eyj", "dckr_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-"),
)


def redact_field(name: str, value: str) -> str:
    """A header field's value as it is shown; the scheme of credentials stays."""
    if name.lower() in _ADDRESS_FIELDS:
        return redact_url(value)
    if not _SECRET_FIELD.fullmatch(name):
        return redact_text(value)
    scheme = _SCHEME.match(value)
    return f"{scheme[1]} {REDACTED}" if scheme else REDACTED


def redact_url(url: str) -> str:
    """An address, or a request's target, as it is shown: all but its secrets byte for byte."""
    place, mark, query = url.partition("?")
    return _redact_place(place) + mark + redact_form(query)


def redact_form(form: str) -> str:
    """A form (application/x-www-form-urlencoded), or an address's query, as it is shown."""
    if len(form) > MAX_FORM:
        return REDACTED
    return "&".join(_redact_pair(pair) for pair in form.split("&"))


def redact_document(content: bytes) -> bytes:
    """A token service's answer as it is shown.

    A signed token keeps its header and its claims, so that one can see what it is for: nobody
    takes it without its signature.
    """
    try:
        document = json.loads(content)
        shown = _redact_value("", document)
        return content if shown == document else json.dumps(shown).encode()
    except ValueError:
        return redact_text(content.decode("latin-1")).encode("latin-1")
    except RecursionError:
        return REDACTED.encode()


def redact_text(text: str) -> str:
    """A text of any kind, such as a line of a log, as it is shown."""
    if "=" in text:
        text = _PARAMETER.sub(_shown_parameter, text)
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text
    text = _HEAD_LINE.sub(_shown_line, text)
    text = _HEAD_PAIR.sub(_shown_head_pair, text)
    text = _SCHEME_AND_SECRET.sub(_shown_credentials, text)
    text = _JWT.sub(REDACTED, text)
    text = _LABELLED.sub(REDACTED, text)
    text = _USERINFO.sub(f"{REDACTED}@", text)
    text = _MEMBER.sub(_shown_member, text)
    return _ESCAPED_MEMBER.sub(_shown_member, text)


def _is_secret_name(name: str) -> bool:
    return bool(_SECRET_NAME.fullmatch(name)) and not _NO_SECRET.fullmatch(name)


def _is_secret_parameter(name: str) -> bool:
    return _is_secret_name(name) or bool(_SECRET_PARAMETER.fullmatch(name))


def _redact_place(place: str) -> str:
    return _LABELLED.sub(REDACTED, _JWT.sub(REDACTED, _USERINFO.sub(f"{REDACTED}@", place)))


def _redact_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not value or value == REDACTED:
        return pair
    if any(map(_is_secret_parameter, _PARTS.split(unquote_plus(name)))):
        return f"{name}={REDACTED}"
    # It may hold an address, or what another reader takes for a pair of its own.
    decoded = unquote_plus(value)
    if redact_text(decoded) == decoded:
        return pair
    return name + equals + REDACTED


def _redact_value(name: str, value: Any) -> Any:
    if _is_secret_name(name):
        keeps_claims = isinstance(value, str) and name in ("token", "access_token")
        return _without_signature(value) if keeps_claims else REDACTED
    if isinstance(value, dict):
        return {n: _redact_value(n, v) for n, v in value.items()}
    if isinstance(value, list):
        return [_redact_value("", v) for v in value]
    return redact_text(value) if isinstance(value, str) else value


def _without_signature(token: str) -> str:
    """A JWT (RFC 7519) whose signature is gone; anything else is gone as a whole."""
    header, _, rest = token.partition(".")
    claims, _, signature = rest.partition(".")
    if not signature or "." in signature:
        return REDACTED
    try:
        algorithm = _decoded(header).get("alg")
        says = _decoded(claims)
    except (ValueError, RecursionError):
        return REDACTED
    # Unsigned tokens are whole without a signature, and some services put a second token into one.
    if str(algorithm).lower() == "none" or _redact_value("", says) != says:
        return REDACTED
    return f"{header}.{claims}.{REDACTED}"


def _decoded(part: str) -> dict[str, Any]:
    decoded = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(decoded, dict):
        raise ValueError("not an object")
    return decoded


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
    is_secret = _is_secret_parameter(name) if in_address else _is_secret_name(name)
    if not is_secret:
        return match[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{match[1]}={quote}{REDACTED}"


def _shown_member(match: re.Match[str]) -> str:
    if not match[5] or not _is_secret_name(match[2]):
        return match[0]
    return f"{match[1]}{match[2]}{match[1]}{match[3]}{match[4]}{REDACTED}"
