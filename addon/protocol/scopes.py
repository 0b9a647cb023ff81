"""Token scopes, and `library/` inside them.

Docker token specification, "Token Scope Documentation": scopes are separated by spaces, each
`type[(class)]:name:action[,action…]`, where the name may begin with a registry's host and port.
"""

from __future__ import annotations

from urllib.parse import quote_plus, unquote_plus

from addon.protocol.names import with_official


def with_official_scope(scope: str, official: str) -> str:
    """One scope parameter (one or several scopes) with official repositories named in full.

    What is not a repository's scope stays as it is.
    """
    return " ".join(_one(part, official) for part in scope.split(" "))


def _one(scope: str, official: str) -> str:
    kind, _, rest = scope.partition(":")
    # The actions hold no colon, a host with a port in front of the name may.
    name, _, actions = rest.rpartition(":")
    is_repository = kind == "repository" or (kind.startswith("repository(") and kind.endswith(")"))
    if not (name and is_repository):
        return scope
    return f"{kind}:{with_official(name, official)}:{actions}"


def rewrite_scopes(encoded: str, official: str) -> str:
    """A query or a form body with `library/` injected into each `scope` parameter.

    All other parameters, their order and their encoding stay byte for byte.
    """
    return "&".join(_rewrite(parameter, official) for parameter in encoded.split("&"))


def _rewrite(parameter: str, official: str) -> str:
    name, _, value = parameter.partition("=")
    if unquote_plus(name) != "scope":
        return parameter
    scope = unquote_plus(value)
    injected = with_official_scope(scope, official)
    if injected == scope:
        return parameter
    return f"{name}={quote_plus(injected, safe=':/,()')}"
