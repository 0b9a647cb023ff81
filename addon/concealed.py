"""What may be shown of a request that the mirror sends: nothing that opens anything.

Clients send what they like, and secrets are looked for in it (redaction). What the mirror sends is
known, so it is the other way round: a parameter is shown if it is known to be none.
"""

from __future__ import annotations

import re

from addon.headers import Fields
from addon.redaction import REDACTED, redact_form, redact_url

# Parameters whose values open nothing. Of all others the name alone is shown: who signs addresses
# names the signature as he likes.
_OPEN = frozenset(
    {
        "artifacttype",
        "expires",
        "last",
        "n",
        "scope",
        "service",
        "x-amz-algorithm",
        "x-amz-date",
        "x-amz-expires",
    }
)
_SECRET = re.compile(r"auth|cookie|credential|key|password|secret|signature|token")
# It names where a token is to be had.
_NO_SECRET = frozenset({"www-authenticate"})
_ADDRESSES = frozenset({"content-location", "link", "location", "referer"})


def shown_url(url: str) -> str:
    """An address without what may be a signature or a password."""
    path, separator, query = url.partition("?")
    path = redact_url(re.sub(r"//[^/@]*@", "//", path))
    return path + separator + "&".join(_shown(each) for each in query.split("&"))


def shown_fields(fields: Fields) -> list[tuple[str, str]]:
    """Fields without those that may open something, and addresses as above."""
    return [
        (n, shown_url(v) if n.lower() in _ADDRESSES else v) for n, v in fields if not _is_secret(n)
    ]


def _shown(parameter: str) -> str:
    name, separator, value = parameter.partition("=")
    # What a client asks for stands in it, and a client sends what it likes.
    is_open = name.lower() in _OPEN and redact_form(parameter) == parameter
    return name + separator + (value if is_open else REDACTED if value else "")


def _is_secret(name: str) -> bool:
    return name.lower() not in _NO_SECRET and _SECRET.search(name.lower()) is not None
