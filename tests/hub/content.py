"""Bytes that can be read from anywhere, so that a 1 GiB layer never lies in memory."""

from __future__ import annotations

import gzip
import hashlib
import random
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Literal, Protocol

import zstandard

Compression = Literal["gzip", "zstd"]

CHUNK = 256 * 1024
# What is larger is compressed into a file, and gzip only stores it: noise does not shrink.
IN_MEMORY = 4 * 1024 * 1024

_NOISES = 16


class Content(Protocol):
    @property
    def size(self) -> int: ...

    def read(self, start: int, stop: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class InMemory:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


@dataclass(frozen=True, slots=True)
class OnDisk:
    path: Path
    size: int

    def read(self, start: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(min(stop, self.size) - start)


@dataclass(frozen=True, slots=True)
class Noise:
    """Incompressible bytes, the same for the same seed, made when they are read."""

    seed: str
    size: int

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        first, last = start // CHUNK, -(-stop // CHUNK)
        whole = b"".join(self._chunk(index) for index in range(first, last))
        return whole[start - first * CHUNK : stop - first * CHUNK]

    def _chunk(self, index: int) -> bytes:
        # The same noise again after 4 MiB is incompressible to who looks back less far: gzip 32
        # KiB, zstd's fast levels 512 KiB. The stamp makes each chunk another one, so that a chunk
        # in the wrong place is noticed.
        stamp = hashlib.sha256(f"{self.seed}/{index}".encode()).digest()
        start = index % _NOISES * CHUNK
        return stamp + _noise()[start + len(stamp) : start + CHUNK]


@cache
def _noise() -> bytes:
    return random.Random(0).randbytes(_NOISES * CHUNK)


@dataclass(frozen=True, slots=True)
class Slice:
    of: Content
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def read(self, start: int, stop: int) -> bytes:
        return self.of.read(self.start + start, min(self.start + stop, self.stop))


@dataclass(frozen=True, slots=True)
class Joined:
    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def read(self, start: int, stop: int) -> bytes:
        ends = accumulate(part.size for part in self.parts)
        return b"".join(
            part.read(max(start - end + part.size, 0), min(stop - end + part.size, part.size))
            for part, end in zip(self.parts, ends, strict=True)
            if start < end and stop > end - part.size
        )


@dataclass(frozen=True, slots=True)
class Flipped:
    """The same content with one byte that is another."""

    of: Content
    at: int

    @property
    def size(self) -> int:
        return self.of.size

    def read(self, start: int, stop: int) -> bytes:
        data = bytearray(self.of.read(start, stop))
        if start <= self.at < start + len(data):
            data[self.at - start] ^= 0xFF
        return bytes(data)


def chunks(content: Content) -> Iterator[bytes]:
    for start in range(0, content.size, CHUNK):
        yield content.read(start, start + CHUNK)


def digest_of(content: Content) -> str:
    sha256 = hashlib.sha256()
    for chunk in chunks(content):
        sha256.update(chunk)
    return f"sha256:{sha256.hexdigest()}"


def tar_of(files: Mapping[str, Content], *, mode: int = 0o755) -> Content:
    parts: list[Content] = []
    for name, content in files.items():
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = content.size, mode
        padding = -content.size % tarfile.BLOCKSIZE
        header = entry.tobuf(tarfile.USTAR_FORMAT)
        parts += [InMemory(header), content, InMemory(bytes(padding))]
    return Joined((*parts, InMemory(bytes(2 * tarfile.BLOCKSIZE))))


def compressed(content: Content, compression: Compression | None, folder: Path) -> Content:
    """The content as gzip or zstd; what is large becomes a file in the folder."""
    if compression is None:
        return content
    if content.size <= IN_MEMORY:
        return InMemory(b"".join(_compress(content, compression, level=1)))
    path = folder / f"{digest_of(content).removeprefix('sha256:')}.{compression}"
    with path.open("wb") as file:
        file.writelines(_compress(content, compression, level=0))
    return OnDisk(path, path.stat().st_size)


def _compress(content: Content, compression: Compression, *, level: int) -> Iterator[bytes]:
    packer = (
        zlib.compressobj(level, wbits=31)
        if compression == "gzip"
        else zstandard.ZstdCompressor(level=level or -1).compressobj(size=content.size)
    )
    for chunk in chunks(content):
        yield packer.compress(chunk)
    yield packer.flush()


def gzipped(content: Content) -> Content:
    return InMemory(gzip.compress(b"".join(chunks(content)), mtime=0))
