"""A token service's answer, without its tokens: what they allow, and for how long yet.

Docker token specification, "Requesting a Token", and its OAuth2 form. A token opens what it is for
to whoever reads it, so none is shown, not even in part; of one that is a JWT (RFC 7519) the header
and the claims are, but never the signature.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from addon.views.escaping import cell, printable, to_json
from addon.views.reading import read_object
from addon.views.table import section

_TYPES = frozenset({"", "application/json"})

_TOKENS = ("token", "access_token", "refresh_token", "id_token")
_SHOWN = ("token_type", "scope", "expires_in", "issued_at")

# RFC 7515, section 3.1; the signature may have been taken out already, or hidden.
_JWT = re.compile(r"(?P<header>[\w-]+)\.(?P<claims>[\w-]+)(?:\.[^.]*)?", re.ASCII)
# The same inside a claim, or a part of it: it begins with an object, so with `{"`. Whatever follows
# matches, as a long claim that were looked through from each `eyJ` in it would take hours.
_ANY_JWT = re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*)*", re.ASCII)
_HIDDEN = "[hidden]"
# Characters from which on a token is hidden wherever it stands: "pull" would be no secret.
_SECRET = 8

# RFC 7519, section 4.1: NumericDate, in seconds.
_TIMES = frozenset({"exp", "nbf", "iat"})
_LATEST = 253402300799  # the last second of the year 9999

Json = Mapping[str, object]
Said = Callable[[object], str]


@dataclass(frozen=True, slots=True)
class Jwt:
    """What a token says, without its signature."""

    header: Json
    claims: Json


def show_token(content_type: str, body: bytes, now: float) -> str | None:
    """A token answer without its secrets, None for what is none.

    `content_type` in lower case, "" for none; `now` in seconds since 1970.
    """
    if content_type not in _TYPES:
        return None
    answer = read_object(body)
    if answer is None:
        return None
    tokens = {name: value for name in _TOKENS if (value := _text(answer.get(name)))}
    if not tokens:
        return None
    return "\n".join(_lines(answer, tokens, now))


def parse_jwt(token: str) -> Jwt | None:
    """Header and claims of a JWT, None for a token that is none."""
    found = _JWT.fullmatch(token)
    if not found:
        return None
    header, claims = _decode(found["header"]), _decode(found["claims"])
    return None if header is None or claims is None else Jwt(header, claims)


def _decode(part: str) -> Json | None:
    try:
        return read_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _lines(answer: Json, tokens: Mapping[str, str], now: float) -> list[str]:
    said = _saying(list(tokens.values()))
    jwts = {name: jwt for name, token in tokens.items() if (jwt := parse_jwt(token))}
    rows = [[name, _about(name, tokens, name in jwts)] for name in tokens]
    rows += [[name, said(answer[name])] for name in _SHOWN if name in answer]
    others = len(set(answer) - set(_TOKENS) - set(_SHOWN))
    if others:
        rows.append(["others", f"{others}, not shown"])
    lines = [f"Token answer{_left(answer, tokens, jwts, now)}", *section("Answer", rows)]
    for name, jwt in jwts.items():
        if name == _first_of_its_kind(name, tokens):
            lines += _jwt_lines(name, jwt, said, now)
    return lines


def _about(name: str, tokens: Mapping[str, str], is_jwt: bool) -> str:
    first = _first_of_its_kind(name, tokens)
    if first != name:
        return f"the same as {first}"
    return f"{'a JWT' if is_jwt else 'opaque'} of {len(tokens[name]):,} characters, not shown"


def _first_of_its_kind(name: str, tokens: Mapping[str, str]) -> str:
    return next(each for each, token in tokens.items() if token == tokens[name])


def _jwt_lines(name: str, jwt: Jwt, said: Said, now: float) -> list[str]:
    header = [[cell(said(key)), said(value)] for key, value in jwt.header.items()]
    claims = [
        [cell(said(key)), (key in _TIMES and _time(value, now)) or said(value)]
        for key, value in jwt.claims.items()
        if key != "access"
    ]
    return [
        *section(f"Header of {name}", header),
        *section(f"Claims of {name}", claims),
        *section(f"Scopes of {name}", _scopes(jwt.claims, said)),
    ]


def _scopes(claims: Json, said: Said) -> list[list[str]]:
    """What is allowed (Docker token specification, "Token Authentication Implementation")."""
    if "access" not in claims:
        return []
    match claims["access"]:
        case [_, *_] as access:
            return [_scope(entry, said) for entry in access]
        case [] | None:
            return [["none"]]
    return [[said(claims["access"])]]


def _scope(entry: object, said: Said) -> list[str]:
    match entry:
        case {"type": str(kind), "name": str(name), "actions": list(actions)}:
            return [cell(said(kind)), cell(said(name)), ", ".join(map(said, actions)) or "nothing"]
    return [said(entry)]


def _left(answer: Json, tokens: Json, jwts: Mapping[str, Jwt], now: float) -> str:
    """The seconds that its token is still good for."""
    # A refresh token lives much longer and opens nothing by itself.
    name = next((each for each in ("token", "access_token") if each in tokens), "")
    ends = _seconds(jwts[name].claims.get("exp")) if name in jwts else None
    ends = _ends_by_answer(answer) if ends is None else ends
    if not name or ends is None:
        return ""
    return f": {_from_now(ends, now, 'good for {} yet', 'ended {} ago')}"


def _ends_by_answer(answer: Json) -> float | None:
    lifetime = _seconds(answer.get("expires_in"))
    try:
        issued = datetime.fromisoformat(_text(answer.get("issued_at")))
    except ValueError:
        return None
    # RFC 3339 says the zone; a time without one is nobody's.
    if lifetime is None or issued.tzinfo is None:
        return None
    return issued.timestamp() + lifetime


def _seconds(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    # 1e999 is read as infinite.
    return value if 0 <= value <= _LATEST else None


def _time(value: object, now: float) -> str:
    """A date and how far off it is, "" for what is none."""
    seconds = _seconds(value)
    if seconds is None:
        return ""
    date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{date}, {_from_now(seconds, now, 'in {}', '{} ago')}"


def _from_now(seconds: float, now: float, future: str, past: str) -> str:
    form = future if seconds > now else past
    return form.format(f"{int(abs(seconds - now)):,} s")


def _saying(tokens: Collection[str]) -> Said:
    """What shows the values of an answer; should they hold a token again, then without it."""
    signatures = [token.rpartition(".")[2] for token in tokens]
    # Inside a list it stands as JSON has it.
    forms = {form for each in (*tokens, *signatures) for form in (each, to_json(each)[1:-1])}
    # Longest first: one may be the beginning of another.
    secrets = sorted((f for f in forms if len(f) >= _SECRET), key=len, reverse=True)

    def said(value: object) -> str:
        text = value if isinstance(value, str) else to_json(value)
        for secret in secrets:
            text = text.replace(secret, _HIDDEN)
        return printable(_ANY_JWT.sub(_HIDDEN, text))

    return said
