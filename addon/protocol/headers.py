"""Which header fields pass, in either direction.

To an upstream goes a list of what is allowed; to a client goes everything but what is named here.
Fields are pairs of text in their order, as they came on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from addon.protocol.challenges import bearer, rewrite_realm
from addon.protocol.fields import values_of
from addon.protocol.registry import relative_to

Fields = Sequence[tuple[str, str]]

API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")

_TO_REGISTRY = frozenset({"accept", "authorization", "range", "user-agent"})
_TO_TOKEN_SERVICE = frozenset({"accept", "authorization", "content-type", "user-agent"})
# RFC 9110, section 13.1: the conditions.
_CONDITION = re.compile(r"if-[a-z-]+")

# RFC 9110, section 7.6.1, with the older names that proxies still meet; framing is made anew.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What speaks for the upstream's host, not for the mirror's, or leads a browser to it.
_OF_THE_HOST = frozenset(
    {"set-cookie", "set-cookie2", "strict-transport-security", "alt-svc", "refresh"}
)
# A target, and parameters up to the next target; what is quoted may hold anything.
_LINK = re.compile(r'<([^>]*)>((?:"(?:[^"\\]|\\.)*"|[^"<])*)')


def to_registry(fields: Fields) -> list[tuple[str, str]]:
    """A client's fields for the registry: what names the content, and who asks."""
    kept = [(n, v) for n, v in fields if n.lower() in _TO_REGISTRY or _CONDITION.match(n.lower())]
    # A CDN that compresses sends what no longer fits length and digest.
    return [*kept, ("Accept-Encoding", "identity")]


def to_token_service(fields: Fields) -> list[tuple[str, str]]:
    """A client's fields for the token service, its credentials among them."""
    kept = [(n, v) for n, v in fields if n.lower() in _TO_TOKEN_SERVICE]
    return [*kept, ("Accept-Encoding", "identity")]


def without_authorization(fields: Fields) -> list[tuple[str, str]]:
    """The fields for another host: credentials are for the registry alone."""
    return [(n, v) for n, v in fields if n.lower() != "authorization"]


def to_client(fields: Fields, *, base: str, realm: str, service: str) -> list[tuple[str, str]]:
    """An upstream's fields for the client: none sends it to the upstream.

    References and the realms of Bearer challenges lead to the mirror. What is only text passes as
    it is, whatever it names: the realm of a Basic challenge is a label (RFC 9110, section 11.5).

    Args:
        fields: the upstream's.
        base: the upstream's address, against which references are resolved.
        realm: the mirror's, for every Bearer challenge.
        service: the upstream's token service, for a challenge that cannot be read.
    """
    named = {token for value in values_of(fields, "connection") for token in _tokens(value)}
    dropped = _HOP_BY_HOP | _OF_THE_HOST | named
    kept: list[tuple[str, str]] = []
    for name, value in fields:
        lower = name.lower()
        if lower in dropped or lower == "www-authenticate":
            continue
        if lower in ("location", "content-location"):
            kept += [(name, path) for path in [relative_to(base, value)] if path]
        elif lower == "link":
            kept += [(name, link) for link in [rewrite_link(value, base)] if link]
        else:
            kept.append((name, value))
    challenges = values_of(fields, "www-authenticate")
    kept += [("WWW-Authenticate", value) for value in _challenges(challenges, realm, service)]
    return kept


def rewrite_link(value: str, base: str) -> str:
    """A `Link` field (RFC 8288, section 3) with its targets as paths on the mirror.

    Links that lead elsewhere are dropped; the value is empty when none is left.
    """
    links = [(relative_to(base, m[1]), m[2].strip().rstrip(",")) for m in _LINK.finditer(value)]
    return ", ".join(f"<{path}>{rest}" for path, rest in links if path)


def _challenges(values: Sequence[str], realm: str, service: str) -> tuple[str, ...]:
    if not values:
        return ()
    try:
        return rewrite_realm(values, realm)
    except ValueError:
        # Not to be read, so it cannot be passed on: it may name the upstream.
        return (bearer(realm, service).format(),)


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]
