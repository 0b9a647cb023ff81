"""A request that is asked again: what the client asked, with the credentials that a flow still has.

mitmproxy sends what a flow shows, which is the upstream's address, and `[redacted]` where a secret
was. So the mirror takes what the client asked from what it has noted, and leaves the rest out: what
lacks its credentials is asked as anybody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from addon.protocol.routes import TOKEN_PATH
from addon.redaction.redaction import REDACTED

REPLAYED = "replayed"
AS_NOBODY = "replayed anonymously, as no credentials are recorded"

# What of an OAuth2 form a request without credentials has as well (Docker token specification,
# "Requesting a Token").
_ANYBODYS = frozenset({"service", "scope", "client_id"})


def replayed_target(asked: object, shown: object, now: str) -> str:
    """The target that is asked again.

    Args:
        asked: what the client asked, as it was noted, if it was.
        shown: the target that the flow showed at the end of that.
        now: the one that it shows now; another if somebody has edited it.
    """
    if not isinstance(asked, str) or not asked.startswith("/"):
        return now
    if now == shown:
        return _without_redacted(asked)
    path, mark, query = now.partition("?")
    # A token service has a path of its own, which is none of the mirror's.
    is_token = asked.partition("?")[0] == TOKEN_PATH
    return _without_redacted(f"{TOKEN_PATH if is_token else path}{mark}{query}")


def held(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields that still hold what came in them."""
    return [(n, v) for n, v in fields if REDACTED not in v]


def anonymous_target(form: bytes) -> str:
    """What asks for the same token as a form whose credentials are gone; empty for any other."""
    pairs = parse_qsl(form.decode("latin-1"))
    if not any(value == REDACTED for _, value in pairs):
        return ""
    return f"{TOKEN_PATH}?{urlencode([pair for pair in pairs if pair[0] in _ANYBODYS])}"


def _without_redacted(target: str) -> str:
    path, mark, query = target.partition("?")
    kept = [pair for pair in query.split("&") if pair.partition("=")[2] != REDACTED]
    return path + mark + "&".join(kept)
