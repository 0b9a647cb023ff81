"""Which names tell that a value is a secret: of header fields, parameters, and members of JSON.

A secret is what opens something for whoever has read it: passwords, tokens, cookies, signatures of
addresses. Who asks, and for what, is none: user names, scopes and services stay.

Clients send what they like, and secrets are looked for in it. The addresses that the mirror itself
asks are known, so it is the other way round: a parameter is shown if it is known to be none.
"""

from __future__ import annotations

import re

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
    r"|signature|(?:api|auth|access|private|session)-?key|jwt|session(?:-?id)?)"
    r"|x-registry-config|(?:proxy-)?authentication-info",
    re.IGNORECASE,
)

# Parameters whose values open nothing in an address that the mirror asks. Of all others the name
# alone is shown there: who signs addresses names the signature as he likes.
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


def is_secret_field(name: str) -> bool:
    """Whether a header field holds a secret."""
    return _SECRET_FIELD.fullmatch(name) is not None


def is_secret_name(name: str) -> bool:
    """Whether what has this name holds one, wherever it stands."""
    return bool(_SECRET_NAME.fullmatch(name)) and not _NO_SECRET.fullmatch(name)


def is_secret_parameter(name: str) -> bool:
    """The same in an address or a form."""
    return any(
        is_secret_name(part) or _SECRET_PARAMETER.fullmatch(part) for part in _PARTS.split(name)
    )


def is_open_parameter(name: str) -> bool:
    """Whether a parameter of an address that the mirror asks is known to hold none."""
    return name.lower() in _OPEN
