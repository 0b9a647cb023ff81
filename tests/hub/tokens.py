"""Signed tokens as Hub's token service gives them and as Debian's registry takes them too."""

from __future__ import annotations

import re
import ssl
import uuid
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

ALGORITHM = "ES256"

# The Docker token specification's grammar of scopes: a class may follow the type, and a registry
# host with a port may stand before the repository.
_SCOPE = re.compile(r"(?P<type>[a-z0-9]+)(\([a-z0-9]+\))?:(?P<name>.+):(?P<actions>[a-z,*]*)")


@dataclass(frozen=True, slots=True)
class Access:
    kind: str
    name: str
    actions: tuple[str, ...]


class InvalidToken(ValueError):
    """Not signed by this service, or not for this one, or expired."""


def parse_scopes(scopes: Sequence[str]) -> tuple[Access, ...]:
    """What the `scope` parameters ask for; each may hold several, separated by spaces."""
    found = (_SCOPE.fullmatch(scope) for text in scopes for scope in text.split())
    return tuple(
        Access(match["type"], match["name"], tuple(match["actions"].split(",")))
        for match in found
        if match
    )


class Signer:
    """Issues and checks the tokens of one token service."""

    def __init__(self, issuer: str, service: str) -> None:
        self.issuer, self.service = issuer, service
        # A CA of its own: who trusts the Hub's servers need not trust the tokens' key.
        authority = trustme.CA(organization_name="test Hub tokens")
        leaf = authority.issue_cert(issuer)
        self.root_pem = authority.cert_pem.bytes()
        key = load_pem_private_key(leaf.private_key_pem.bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        chain = [ssl.PEM_cert_to_DER_cert(pem.bytes().decode()) for pem in leaf.cert_chain_pems]
        # docker-registry takes the key from `x5c` (standard base64, RFC 7515 4.1.6) and checks the
        # chain against its `rootcertbundle`; the claims' names are those of its token package.
        self._header = {"x5c": [b64encode(der).decode() for der in chain]}

    def issue(self, subject: str, granted: Sequence[Access], now: float, seconds: float) -> str:
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": self.service,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + seconds),
            "jti": str(uuid.uuid4()),
            "access": [
                {"type": access.kind, "name": access.name, "actions": list(access.actions)}
                for access in granted
            ],
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers=self._header)

    def check(self, token: str, now: float) -> tuple[str, tuple[Access, ...]]:
        """Subject and access of a token that is good now.

        Raises:
            InvalidToken: it is not.
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=[ALGORITHM],
                audience=self.service,
                issuer=self.issuer,
                # The Hub's own clock decides, so that a test may turn it on.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as e:
            raise InvalidToken(str(e)) from e
        if claims["exp"] <= now:
            raise InvalidToken("expired")
        granted = tuple(
            Access(access["type"], access["name"], tuple(access["actions"]))
            for access in claims["access"]
        )
        return claims["sub"], granted
