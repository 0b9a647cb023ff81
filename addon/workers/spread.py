"""Which worker a client's connections go to: all those of one address to the same one.

A group of listening sockets shares a port (SO_REUSEPORT), and the kernel asks a program for the
index of the one that takes a new connection (SO_ATTACH_REUSEPORT_CBPF, socket(7)). The program is
classic BPF (Documentation/networking/filter.rst): it reads the client's address in the packet, so
that IPv4 counts whole, to whichever kind of socket it comes, and of IPv6 the /64 that one network
has. The index stays right as long as no socket of the group is closed.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

from addon.start.listeners import Listener, addresses

# asm-generic/socket.h; Python has no name for it.
_SO_ATTACH_REUSEPORT_CBPF = 51

# linux/bpf_common.h and linux/filter.h, the names without their BPF_.
_LD_B_ABS, _LD_W_ABS = 0x30, 0x20
_MUL_K, _RSH_K, _MOD_K, _ADD_X, _TAX = 0x24, 0x74, 0x94, 0x0C, 0x07
_JEQ_K, _JA, _RET_A = 0x15, 0x05, 0x16
_NETWORK = 0x1_0000_0000 - 0x100000  # SKF_NET_OFF: from here on, bytes of the IP header

# Knuth's multiplicative hash: neighbours are far apart in the upper half of the product.
_FACTOR = 0x9E3779B1


def program(workers: int) -> bytes:
    """The program's instructions: code, two jumps and an operand each."""
    steps = (
        (_LD_B_ABS, 0, 0, _NETWORK),
        (_RSH_K, 0, 0, 4),  # the version of IP
        (_JEQ_K, 2, 0, 6),
        (_LD_W_ABS, 0, 0, _NETWORK + 12),  # IPv4's source
        (_JA, 0, 0, 5),
        (_LD_W_ABS, 0, 0, _NETWORK + 8),  # the first half of IPv6's
        (_MUL_K, 0, 0, _FACTOR),
        (_TAX, 0, 0, 0),
        (_LD_W_ABS, 0, 0, _NETWORK + 12),
        (_ADD_X, 0, 0, 0),
        (_MUL_K, 0, 0, _FACTOR),
        (_RSH_K, 0, 0, 16),
        (_MOD_K, 0, 0, workers),
        (_RET_A, 0, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def attach(listening: socket.socket, workers: int) -> None:
    """Let the program choose among all sockets of this one's group.

    Raises:
        OSError: the kernel does not take it.
    """
    code = program(workers)
    held = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HP", len(code) // 8, ctypes.addressof(held))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, described)


def open_group(listener: Listener, workers: int, backlog: int) -> list[list[socket.socket]]:
    """The sockets that listen for each worker: one for each address that a listener means.

    Raises:
        OSError: a port cannot be had, or the kernel knows no such program.
    """
    groups: list[list[socket.socket]] = [[] for _ in range(workers)]
    port = listener.port
    for family, address in addresses(listener):
        if not _exists(family):
            continue
        for number, group in enumerate(groups):
            one = _bound(family, (address[0], port, *address[2:]))
            port = port or one.getsockname()[1]
            if number == 0:
                attach(one, workers)
            group.append(one)
        # In this order: it is the order of the index.
        for group in groups:
            group[-1].listen(backlog)
    return groups


def _exists(family: int) -> bool:
    """Whether the kernel has it: one without IPv6 still names its addresses."""
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _bound(family: int, address: Sequence[str | int]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind(tuple(address))
    return one
