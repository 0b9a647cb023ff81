"""Addresses that open one blob, for one method, for some minutes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote

FOLDER = "/registry-v2/docker/registry/v2/blobs"

_TARGET = re.compile(
    rf"{FOLDER}/sha256/[0-9a-f]{{2}}/(?P<hex>[0-9a-f]{{64}})/data\?Expires=(?P<expires>\d+)&.*"
)
_SIGNATURE = re.compile(r"(?<=[?&]Signature=)[^&]*")

# Escapes that a URL library likes to undo, rewrite in upper case or put in place of a plus sign:
# whoever sends the address on in another spelling has lost the signature.
_KEY_PAIR = "K1%2Fdocxy+test%2fa%7Eb~c%3D"


class Refused(Exception):
    """Why an address does not open the blob."""


@dataclass(frozen=True, slots=True)
class Presigner:
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def sign(self, method: str, digest: str, expires: int) -> str:
        """Path and query of the blob's address."""
        value = digest.removeprefix("sha256:")
        path = f"{FOLDER}/sha256/{value[:2]}/{value}/data"
        target = f"{path}?Expires={expires}&Signature=&Key-Pair-Id={_KEY_PAIR}"
        return _SIGNATURE.sub(self._signature(method, target), target)

    def check(self, method: str, target: str, now: float) -> str:
        """The digest that the address opens.

        Raises:
            Refused: altered, signed for another method, or expired.
        """
        match = _TARGET.fullmatch(target)
        signature = _SIGNATURE.search(target)
        if match is None or signature is None:
            raise Refused("MissingKey")
        if int(match["expires"]) < now:
            raise Refused("Request has expired")
        expected = self._signature(method, _SIGNATURE.sub("", target))
        if not hmac.compare_digest(signature[0], expected):
            raise Refused("SignatureDoesNotMatch")
        return f"sha256:{match['hex']}"

    def _signature(self, method: str, target: str) -> str:
        signed = hmac.digest(self.secret, f"{method}\n{target}".encode(), hashlib.sha512)
        return quote(b64encode(signed).decode(), safe="+")
