"""The smallest program there is, so that a pulled image can also be run: it exits with 0."""

from __future__ import annotations

import struct
from collections.abc import Mapping

# exit(0): the machine's number in the ELF header, and its code.
_MACHINES: Mapping[str, tuple[int, bytes]] = {
    # xor edi, edi; mov eax, 60; syscall
    "amd64": (62, bytes.fromhex("31ff b83c000000 0f05")),
    # mov x0, #0; mov x8, #93; svc #0
    "arm64": (183, bytes.fromhex("000080d2 a80b80d2 010000d4")),
}
_BASE = 0x400000
_HEADERS = 64 + 56


def true_program(architecture: str) -> bytes:
    """A static ELF file, or nothing for a machine whose code is not known here."""
    if architecture not in _MACHINES:
        return b""
    machine, code = _MACHINES[architecture]
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    # ET_EXEC, machine, version, entry, one program header right behind this one, no sections
    elf = struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    # PT_LOAD, readable and executable: the whole file at _BASE
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return ident + elf + program + code
