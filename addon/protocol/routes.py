"""What a request asks for: method and target in, a route out, or a refusal.

distribution-spec, "Endpoints". Nothing here knows an upstream, mitmproxy or a socket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn, assert_never
from urllib.parse import unquote_plus

from addon.protocol.errors import Refusal
from addon.protocol.names import is_digest, parse_digest, parse_repository, parse_tag

READ = ("GET", "HEAD")
TOKEN_PATH = "/auth/token"  # noqa: S105 - a path
# RFC 9110, section 4.1, recommends so many at least; parsing a longer one keeps others waiting.
MAX_QUERY = 8192
CHALLENGE_PREFIX = "/.well-known/acme-challenge/"

# RFC 8555, section 8.3: the token is base64url.
_ACME_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PRINTABLE = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Health:
    """`/health`: is the mirror there."""


@dataclass(frozen=True, slots=True)
class Ready:
    """`/ready`: are upstreams and certificate in order."""


@dataclass(frozen=True, slots=True)
class AcmeChallenge:
    """A file that proves the domain to a certificate authority (RFC 8555, section 8.3)."""

    token: str


@dataclass(frozen=True, slots=True)
class Token:
    """The token service behind the mirror's realm."""

    query: str


@dataclass(frozen=True, slots=True)
class Ping:
    """`/v2/`: is this a registry, and may I."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index by tag or digest."""

    repository: str
    reference: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """A config or a layer by digest."""

    repository: str
    digest: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class Tags:
    """The list of a repository's tags, in pages."""

    repository: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class Referrers:
    """The manifests that refer to one."""

    repository: str
    digest: str
    query: str = ""


RegistryRoute = Ping | Manifest | Blob | Tags | Referrers
Route = Health | Ready | AcmeChallenge | Token | RegistryRoute


def parse_route(method: str, target: str) -> Route:
    """The route of a request in origin form (RFC 9112, section 3.2.1).

    Raises:
        Refusal: the method is not served there, the path names nothing, or a name is malformed.
    """
    path, _, query = target.partition("?")
    if not (_PRINTABLE.fullmatch(path) and _PRINTABLE.fullmatch(query)):
        raise Refusal(400, "NAME_INVALID", "the address holds characters that are not allowed")
    if len(query) > MAX_QUERY:
        raise Refusal(414, "NAME_INVALID", f"a query has at most {MAX_QUERY} characters here")
    if path == "/health":
        return _reading(method, Health())
    if path == "/ready":
        return _reading(method, Ready())
    if path == TOKEN_PATH:
        _allow(method, ("GET", "POST"))
        return Token(query)
    if path.startswith(CHALLENGE_PREFIX):
        return _reading(method, _acme_challenge(path.removeprefix(CHALLENGE_PREFIX)))
    if path == "/v2" or path.startswith("/v2/"):
        _allow(method, READ)
        return _registry(path.removeprefix("/v2").removeprefix("/"), query)
    _unknown()


def route_path(route: RegistryRoute, repository: str) -> str:
    """The path and query of a registry's route for a repository's name as the upstream has it."""
    match route:
        case Ping():
            return "/v2/"
        case Manifest(reference=reference):
            path = f"/v2/{repository}/manifests/{reference}"
        case Blob(digest=digest):
            path = f"/v2/{repository}/blobs/{digest}"
        case Tags():
            path = f"/v2/{repository}/tags/list"
        case Referrers(digest=digest):
            path = f"/v2/{repository}/referrers/{digest}"
        case _:
            assert_never(route)
    return f"{path}?{route.query}" if route.query else path


def take_namespace(query: str) -> tuple[str, list[str]]:
    """A query without containerd's `ns`, and the registries that it named (none, or one)."""
    kept: list[str] = []
    namespaces: list[str] = []
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if unquote_plus(name) == "ns":
            namespaces.append(unquote_plus(value))
        else:
            kept.append(parameter)
    return "&".join(kept), namespaces


def _registry(rest: str, query: str) -> RegistryRoute:
    if not rest:
        return Ping()
    if "%" in rest:
        # Nothing in a name, tag or digest needs it, and it hides '..' and '/' from the checks.
        raise Refusal(400, "NAME_INVALID", "percent-encoding has no place in this address")
    match rest.split("/"):
        case [*name, "manifests", reference] if name:
            repository = _repository(name)
            return Manifest(repository, _reference(reference), query)
        case [*name, "blobs", digest] if name and digest != "uploads":
            return Blob(_repository(name), _digest(digest), query)
        case [*name, "tags", "list"] if name:
            return Tags(_repository(name), query)
        case [*name, "referrers", digest] if name:
            return Referrers(_repository(name), _digest(digest), query)
    if ".." in rest or "//" in rest:
        raise Refusal(400, "NAME_INVALID", "the address holds '..' or an empty part")
    _unknown()


def _repository(parts: list[str]) -> str:
    try:
        return parse_repository("/".join(parts))
    except ValueError as e:
        raise Refusal(400, "NAME_INVALID", str(e)) from e


def _digest(digest: str) -> str:
    try:
        return parse_digest(digest)
    except ValueError as e:
        raise Refusal(400, "DIGEST_INVALID", str(e)) from e


def _reference(reference: str) -> str:
    if is_digest(reference):
        return _digest(reference)
    try:
        return parse_tag(reference)
    except ValueError as e:
        raise Refusal(404, "MANIFEST_UNKNOWN", str(e)) from e


def _acme_challenge(token: str) -> AcmeChallenge:
    if not _ACME_TOKEN.fullmatch(token):
        _unknown()
    return AcmeChallenge(token)


def _reading(method: str, route: Route) -> Route:
    _allow(method, READ)
    return route


def _allow(method: str, methods: tuple[str, ...]) -> None:
    if method in methods:
        return
    allowed = ", ".join(methods)
    message = f"{method[:32]!r} is not served here; this mirror only pulls (allowed: {allowed})"
    raise Refusal(405, "UNSUPPORTED", message, {"Allow": allowed})


def _unknown() -> NoReturn:
    raise Refusal(404, "UNSUPPORTED", "nothing is served at this address; a registry is at /v2/")
