"""As few packets to a client as an answer needs.

mitmproxy writes head and body one after the other, which with TCP_NODELAY is a packet, and under
TLS a record, for each. What one event makes it write goes out as one write instead. Nothing waits:
what another event brings is another write.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, layer

# Bytes that are joined: more fills packets anyway, and joining costs a copy of each byte.
MAX_TOGETHER = 16 * 1024


def together(
    generator: layer.CommandGenerator[None], client: Connection
) -> Generator[commands.Command, Any, None]:
    """The same commands, with what is sent to the client in a row sent at once."""
    held: commands.SendData | None = None
    answer = None
    while True:
        try:
            command = generator.send(answer)
        except StopIteration:
            break
        if isinstance(command, commands.SendData) and command.connection is client:
            answer = None
            if held and len(held.data) + len(command.data) <= MAX_TOGETHER:
                held = commands.SendData(client, held.data + command.data)
                continue
            if held:
                yield held
            held = command
            continue
        # A line for the log may come before what was sent; everything else keeps its place.
        if held and not isinstance(command, commands.Log):
            yield held
            held = None
        answer = yield command
    if held:
        yield held
