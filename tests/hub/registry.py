"""The registry: challenge, manifests, the redirect to a blob, tags, referrers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from . import presigned
from .cdn import Cdn
from .content import InMemory
from .exchange import API_VERSION, Answer, Asked, document, refusal
from .images import Manifest
from .media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX
from .state import Repository, State
from .tokens import InvalidToken

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ROUTE = re.compile(
    rf"/v2/(?P<name>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"/(?P<kind>manifests|blobs|referrers|tags(?=/list$))/(?P<reference>[\w.:-]+)"
)


@dataclass(frozen=True, slots=True)
class Registry:
    state: State

    def answer(self, asked: Asked) -> Answer:
        if asked.path.startswith(presigned.FOLDER):
            # Some registries (gcr.io) redirect to themselves; a test may make this one do so.
            return Cdn(self.state).answer(asked)
        if asked.method not in ("GET", "HEAD"):
            return refusal(405, "UNSUPPORTED", "The operation is unsupported.")
        if asked.path in ("/v2", "/v2/"):
            refused = self._refuse(asked, "")
            return refused or document({}, headers=API_VERSION)
        route = _ROUTE.fullmatch(asked.path)
        if route is None:
            return Answer(404, {"Content-Type": "text/plain"}, InMemory(b"404 page not found\n"))
        return self._route(asked, route["name"], route["kind"], route["reference"])

    def _route(self, asked: Asked, name: str, kind: str, reference: str) -> Answer:
        refused = self._refuse(asked, name)
        if refused is not None:
            return refused
        repository = self.state.repository(name)
        if kind == "manifests":
            return self._manifest(asked, repository, reference)
        if kind == "blobs":
            return self._blob(asked, repository, reference)
        if kind == "referrers":
            return _referrers(asked, repository, reference)
        return self._tags(asked, name, repository)

    # --- who may

    def _subject(self, asked: Asked) -> str:
        token = asked.header("Authorization").partition(" ")[2]
        return self.state.signer.check(token, self.state.settings.now())[0]

    def _refuse(self, asked: Asked, name: str) -> Answer | None:
        scheme, _, token = asked.header("Authorization").partition(" ")
        if scheme.lower() != "bearer":
            return self._challenge(name)
        try:
            user, granted = self.state.signer.check(token, self.state.settings.now())
        except InvalidToken:
            return self._challenge(name, "invalid_token")
        covered = any(access.name == name and "pull" in access.actions for access in granted)
        # The repository may have become private since the token was given.
        if name and not (covered and self.state.may_read(name, user)):
            return self._challenge(name, "insufficient_scope")
        return None

    def _challenge(self, name: str, error: str = "") -> Answer:
        challenge = f'Bearer realm="{self.state.token_url}",service="{self.state.signer.service}"'
        detail = None
        if name:
            challenge += f',scope="repository:{name}:pull"'
            detail = [{"Type": "repository", "Class": "", "Name": name, "Action": "pull"}]
        if error:
            challenge += f',error="{error}"'
        return refusal(
            401,
            "UNAUTHORIZED",
            "authentication required",
            detail=detail,
            headers={"WWW-Authenticate": challenge},
        )

    # --- manifests

    def _manifest(self, asked: Asked, repository: Repository, reference: str) -> Answer:
        source = self._subject(asked) or asked.peer
        limit, window = self.state.settings.pull_limit, self.state.settings.pull_window_seconds
        if asked.method == "GET" and self.state.pulls[source] >= limit:
            return refusal(
                429,
                "TOOMANYREQUESTS",
                "You have reached your unauthenticated pull rate limit. "
                "https://www.docker.com/increase-rate-limit",
                headers=_limits(limit, 0, window, source),
            )
        found = repository.find(reference)
        if found is None:
            return _unknown(reference, "manifest unknown")
        chosen = _negotiate(found, asked, by_tag=reference in repository.tags)
        if isinstance(chosen, Answer):
            return chosen
        headers = {
            **API_VERSION,
            "Content-Type": chosen.media_type,
            "Docker-Content-Digest": chosen.digest,
            "ETag": f'"{chosen.digest}"',
        }
        if asked.header("If-None-Match").strip('"') == chosen.digest:
            return Answer(304, headers)
        if asked.method == "GET":
            self.state.pulls[source] += 1
        limits = _limits(limit, limit - self.state.pulls[source], window, source)
        # Hub knows no ranges here: `Range: bytes=0-` is answered whole, with 200.
        return Answer(200, {**headers, **limits}, InMemory(chosen.raw))

    # --- blobs

    def _blob(self, asked: Asked, repository: Repository, digest: str) -> Answer:
        if digest not in repository.blobs:
            return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", detail=digest)
        expires = int(self.state.settings.now()) + self.state.settings.redirect_seconds
        location = self.state.cdn_url + self.state.presigner.sign(asked.method, digest, expires)
        # As Go's http.Redirect writes it: a page that names the address once more, and no digest.
        page = f'<a href="{location.replace("&", "&amp;")}">Temporary Redirect</a>.\n\n'
        headers = {**API_VERSION, "Content-Type": "text/html; charset=utf-8", "Location": location}
        return Answer(307, headers, InMemory(page.encode()))

    # --- lists

    def _tags(self, asked: Asked, name: str, repository: Repository) -> Answer:
        query = dict(asked.parameters)
        tags = sorted(tag for tag in repository.tags if tag > query.get("last", ""))
        count = int(query["n"]) if query.get("n", "").isdecimal() else len(tags)
        answer = document({"name": name, "tags": tags[:count]}, headers=API_VERSION)
        if not 0 < count < len(tags):
            return answer
        more = f"/v2/{name}/tags/list?{urlencode({'last': tags[count - 1], 'n': count})}"
        base = self.state.registry_url if self.state.settings.link == "absolute" else ""
        return answer.with_headers(Link=f'<{base}{more}>; rel="next"')


def _negotiate(found: Manifest, asked: Asked, *, by_tag: bool) -> Manifest | Answer:
    """What distribution does with `Accept`, `*/*` being none of the types that it knows."""
    accepted = {part.partition(";")[0].strip() for part in asked.header("Accept").split(",")}
    if found.media_type in accepted or found.media_type == DOCKER_MANIFEST:
        return found
    if found.media_type == DOCKER_LIST:
        # Who knows no lists gets the manifest of the platform that was there before the lists.
        usual = next((each for each in found.manifests if each.platform == "linux/amd64"), None)
        return (usual or _unknown("linux/amd64", "manifest unknown")) if by_tag else found
    kind, what = (
        ("OCI index", "OCI indexes")
        if found.media_type == OCI_INDEX
        else (
            "OCI manifest",
            "OCI manifests",
        )
    )
    return _unknown(found.digest, f"{kind} found, but accept header does not support {what}")


def _unknown(reference: str, message: str) -> Answer:
    return refusal(404, "MANIFEST_UNKNOWN", message, detail={"Tag": reference})


def _limits(limit: int, remaining: int, window: int, source: str) -> dict[str, str]:
    return {
        "ratelimit-limit": f"{limit};w={window}",
        "ratelimit-remaining": f"{max(remaining, 0)};w={window}",
        "docker-ratelimit-source": source,
    }


def _referrers(asked: Asked, repository: Repository, digest: str) -> Answer:
    wanted = dict(asked.parameters).get("artifactType")
    found = [
        manifest.descriptor
        for manifest in repository.referrers(digest)
        if wanted in (None, manifest.artifact_type)
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
    filtered = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    return document(index, headers={**API_VERSION, "Content-Type": OCI_INDEX, **filtered})
