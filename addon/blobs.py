"""A blob as a source of chunks."""

from __future__ import annotations

import hashlib

from addon.outbound import Answer
from addon.reply import Body, BrokenTransfer

_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}


def blob_body(answer: Answer, digest: str) -> Body:
    """A blob's bytes, which end cleanly only where they are known to be whole.

    Length or chunks say so themselves. Where there is neither, the digest does.
    """
    algorithm = digest.partition(":")[0]
    if answer.status != 200 or not answer.closes_to_end or algorithm not in _HASHES:
        return answer.body
    return VerifiedBody(answer.body, digest)


class VerifiedBody:
    """A body that ends only as the content of its digest, otherwise as a broken transfer."""

    def __init__(self, body: Body, digest: str) -> None:
        algorithm, _, self._expected = digest.partition(":")
        self._seen = _HASHES[algorithm]()
        self._digest = digest
        self._body = body

    async def read(self) -> bytes:
        """The next chunk."""
        chunk = await self._body.read()
        self._seen.update(chunk)
        if not chunk and self._seen.hexdigest() != self._expected:
            raise BrokenTransfer(f"what came is not {self._digest}")
        return chunk

    def close(self) -> None:
        """End the transfer."""
        self._body.close()
