"""What a client has taken of what is sent to it, as its socket tells.

asyncio knows what it could not yet give to the kernel, and the kernel what the other side has
acknowledged: `tcpi_bytes_acked` in Linux' `struct tcp_info` (tcp(7), since Linux 4.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

# `struct tcp_info`: eight bytes, 24 numbers of 32 bits, two rates of 64 bits, then this.
_BYTES_ACKED = 120
_SIZE = _BYTES_ACKED + 8
# SO_LINGER, on, for no second (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)


class ClientLine:
    """One client's connection."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet; 0 once the connection is closed."""
        return self._transport.get_write_buffer_size()

    @property
    def taken(self) -> int:
        """Bytes that the client's side has acknowledged; always 0 where the kernel does not say."""
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
            return int(struct.unpack_from("=Q", told, _BYTES_ACKED)[0])
        except (AttributeError, OSError, struct.error):
            return 0

    def close(self) -> None:
        """End it, once what is unsent has gone."""
        self._transport.close()

    def abort(self) -> None:
        """End it now, and let the kernel drop what it holds (a reset, RFC 9293, section 3.10.5)."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    @property
    def _socket(self) -> socket.socket:
        # asyncio's TransportSocket, which has of a socket what is used here.
        sock: socket.socket = self._transport.get_extra_info("socket")
        return sock
