"""Answers to an engine, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass
class Given:
    """An answer: its body in pieces, or what breaks it off."""

    status: int = 200
    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)
    breaks: bool = False

    def field(self, name: str) -> str:
        return self.fields.get(name, "")

    async def pieces(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 7):
            await asyncio.sleep(0)
            yield self.body[at : at + 7]
        if self.breaks:
            raise ConnectionError("the answer broke off")

    async def source(self) -> str:
        return "network"
