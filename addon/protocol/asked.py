"""A client's request for an upstream, in plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from addon.protocol.fields import first_of, values_of
from addon.protocol.headers import Fields, without_authorization


async def no_body() -> bytes:
    """For requests whose body is not read."""
    return b""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks. `body` waits for a form that may still be arriving.

    Where a recording asks, nobody is there to log in: `is_replayed` takes a token of the mirror's.
    """

    method: str
    fields: Fields
    realm: str
    client: str = ""
    body: Callable[[], Awaitable[bytes]] = field(default=no_body)
    is_replayed: bool = False

    @property
    def authorization(self) -> str:
        """The credentials, empty where there are none."""
        return self.get("authorization")

    def without_authorization(self) -> Asked:
        """The same, as somebody asks who shows no credentials."""
        return replace(self, fields=without_authorization(self.fields))

    def get(self, name: str) -> str:
        """A field's first value, empty where there is none."""
        return first_of(self.fields, name) or ""

    def get_all(self, name: str) -> list[str]:
        """All values of a field."""
        return values_of(self.fields, name)

    def has(self, *names: str) -> bool:
        """Whether there is any of these fields."""
        return any(n.lower() in names for n, _ in self.fields)
