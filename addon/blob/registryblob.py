"""A blob at its registry: its address there, and as whom it is asked for, however long it lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from addon.blob.redirects import Followed
from addon.memory.sharing import BlobKey
from addon.outbound.received import discard
from addon.protocol.headers import Fields
from addon.protocol.registry import Registry, same_origin


class Visitor(Protocol):
    """Who asks a registry; a transfer may last longer than its token."""

    @property
    def fields(self) -> Fields:
        """The credentials that the registry is shown.

        Raises:
            UpstreamFailure: there are none to be had.
        """

    async def renew(self) -> bool:
        """The registry has refused them: whether there are new ones now."""

    def hear(self, status: int) -> None:
        """What the registry itself has answered."""


@dataclass(frozen=True, slots=True)
class RegistryBlob:
    """A blob as its registry has it.

    `key` is what it is remembered by, `url` the registry's address of it, `fields` what the
    registry is shown but for credentials, `visitor` who it is told that asks.
    """

    registry: Registry
    key: BlobKey
    url: str
    fields: Fields
    visitor: Visitor

    async def let_in(
        self, fields: Fields, ask: Callable[[Fields], Awaitable[Followed]]
    ) -> Followed:
        """An answer, to new credentials where the registry takes the ones before no longer."""
        followed = await ask([*fields, *self.visitor.fields])
        if followed.answer.status != 401 or not same_origin(followed.url, self.url):
            return followed
        try:
            if not await self.visitor.renew():
                return followed
        except BaseException:
            followed.answer.body.close()
            raise
        await discard(followed.answer)
        return await ask([*fields, *self.visitor.fields])
