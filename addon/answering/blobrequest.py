"""One client's request for a blob, and the head of the answer that fits it."""

from __future__ import annotations

from dataclasses import dataclass

from addon.memory.sharing import BlobKey, Reader
from addon.protocol.answers import with_field
from addon.protocol.asked import Asked
from addon.protocol.headers import Fields, to_client, to_registry, without_authorization
from addon.protocol.ranges import Sent, Wanted, parse_wanted
from addon.protocol.registry import Registry
from addon.protocol.reply import Body, Reply
from addon.protocol.routes import Blob

_CONDITIONS = (
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
)
_NOT_OF_THE_WHOLE = frozenset({"content-length", "content-range"})


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """What a client asks for, as whom, and what it is remembered by.

    `wanted` is None where it names no range, or one that is no simple part.
    """

    route: Blob
    asked: Asked
    reader: Reader
    key: BlobKey
    wanted: Wanted | None

    @classmethod
    def of(cls, route: Blob, asked: Asked, reader: Reader, name: str) -> BlobRequest:
        """A request under an upstream's name of the repository."""
        key = BlobKey(reader.audience, name, route.digest)
        return cls(route, asked, reader, key, parse_wanted(asked.get("range")))

    @property
    def name(self) -> str:
        """The repository's name upstream."""
        return self.key.repository

    @property
    def first(self) -> int:
        """The first byte that is wanted."""
        return self.wanted.first if self.wanted else 0

    @property
    def is_whole(self) -> bool:
        """Whether it is for all bytes from the first on."""
        return self.wanted is None or self.wanted == Wanted()

    @property
    def is_plain(self) -> bool:
        """Whether it is for the whole or a simple part, whatever the client has already."""
        is_whole_or_part = not self.asked.get("range") or self.wanted is not None
        return is_whole_or_part and not self.asked.has(*_CONDITIONS)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What the registry is shown, but for credentials."""
        return without_authorization(to_registry(self.asked.fields))

    def url(self, registry: Registry) -> str:
        """The registry's address of it."""
        return registry.url_for(self.route)

    def reply(self, registry: Registry, fields: Fields, sent: Sent, body: Body) -> Reply:
        """A blob's bytes with the fields that fit what was asked for."""
        kept = to_client(
            [(n, v) for n, v in fields if n.lower() not in _NOT_OF_THE_WHOLE],
            base=self.url(registry),
            realm=self.asked.realm,
            service=registry.service,
        )
        given = with_field(kept, ("Docker-Content-Digest", self.route.digest))
        length = sent.last - sent.first + 1
        if self.wanted is None:
            return Reply(200, given, length, body)
        return Reply(206, [*given, ("Content-Range", sent.value)], length, body)
