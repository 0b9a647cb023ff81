"""One client's request for a manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from addon.memory.manifests import Accepted, Kept, accepted_types
from addon.memory.sharing import Reader
from addon.outbound.received import Answer
from addon.protocol.answers import with_field
from addon.protocol.asked import Asked
from addon.protocol.fields import values_of
from addon.protocol.headers import Fields, to_client, to_registry, without_authorization
from addon.protocol.names import is_digest
from addon.protocol.registry import Registry
from addon.protocol.reply import Reply, whole
from addon.protocol.routes import Manifest

_CONDITIONS = ("if-match", "if-modified-since", "if-unmodified-since", "if-range")
_OWN_CONDITION = ("if-none-match", "range")
# Media types that are remembered with a tag; engines name some six.
MAX_ACCEPTED = 32


@dataclass(frozen=True, slots=True)
class ManifestRequest:
    """What a client asks for, and as whom; `name` is the repository's name upstream."""

    route: Manifest
    name: str
    reader: Reader
    asked: Asked
    accepted: Accepted

    @classmethod
    def of(cls, route: Manifest, asked: Asked, reader: Reader, name: str) -> ManifestRequest:
        """A request under an upstream's name of the repository."""
        return cls(route, name, reader, asked, accepted_types(asked.get_all("accept")))

    @property
    def is_by_digest(self) -> bool:
        """Whether it names the content itself, and no tag."""
        return is_digest(self.route.reference)

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the whole, at most unless it has it already.

        containerd sends `Range: bytes=0-` with manifests too, which registries answer whole.
        """
        wants_part = self.asked.get("range") not in ("", "bytes=0-")
        is_odd = len(self.accepted) > MAX_ACCEPTED or any(len(t) > 128 for t in self.accepted)
        return not (wants_part or is_odd or self.asked.has(*_CONDITIONS) or self.route.query)

    @property
    def entity_tags(self) -> set[str]:
        """The tags of what the client has already (RFC 9110, 13.1.2: compared weakly)."""
        values = self.asked.get_all("if-none-match")
        return {tag.strip().removeprefix("W/") for value in values for tag in value.split(",")}

    @property
    def key(self) -> tuple[object, ...]:
        """What is the same for all who may share an answer."""
        return (self.reader.audience, self.name, self.route.reference, self.accepted)

    def fields(self, *, as_asked: bool) -> list[tuple[str, str]]:
        """What the registry is shown, but for credentials, of one client or of all."""
        own = without_authorization(to_registry(self.asked.fields))
        # What is shared is asked for whole; the condition is the client's alone.
        return own if as_asked else [(n, v) for n, v in own if n.lower() not in _OWN_CONDITION]

    def digest_of(self, answer: Answer, content: bytes) -> str:
        """The digest that the content must have: the one asked for, or the one that is said."""
        if self.is_by_digest:
            return self.route.reference
        said = answer.get("Docker-Content-Digest")
        return said or "sha256:" + hashlib.sha256(content).hexdigest()

    def reply(self, registry: Registry, kept: Kept, fields: Fields) -> Reply:
        """A manifest with the fields that go with it, or that the client has it already."""
        shown: Fields = to_client(
            fields,
            base=registry.url_for(self.route),
            realm=self.asked.realm,
            service=registry.service,
        )
        shown = with_field(shown, ("Docker-Content-Digest", kept.digest))
        tags = {"*", kept.digest, f'"{kept.digest}"'}
        tags |= {v.removeprefix("W/") for v in values_of(kept.fields, "etag")}
        if tags & self.entity_tags:
            return Reply(304, shown, None)
        return whole(200, kept.content, shown)
