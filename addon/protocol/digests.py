"""Content and its digest: the algorithms that are checked here (image-spec, "Digests")."""

from __future__ import annotations

import hashlib

# Those that the specification registers; others (`blake3:…`) are for clients to check.
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}


def is_known_digest(digest: str) -> bool:
    """Whether content can be checked by a digest."""
    return digest.partition(":")[0] in _HASHES


def is_digest_of(digest: str, content: bytes | bytearray) -> bool:
    """Whether a digest is known, and the content's."""
    algorithm, _, expected = digest.partition(":")
    make = _HASHES.get(algorithm)
    return make is not None and make(content).hexdigest() == expected


class DigestCheck:
    """Content that comes in pieces, against a digest that is known."""

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self._algorithm = digest.partition(":")[0]
        self._seen = _HASHES[self._algorithm]()

    def take(self, piece: bytes) -> None:
        """The next piece."""
        self._seen.update(piece)

    @property
    def found(self) -> str:
        """The digest of what has come."""
        return f"{self._algorithm}:{self._seen.hexdigest()}"

    @property
    def is_right(self) -> bool:
        """Whether what has come is the digest's content."""
        return self.found == self._digest
