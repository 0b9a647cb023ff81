"""A certificate with its chain and its key: checked, and made one PEM.

acme.sh rewrites its files in place: each is empty for a moment, and a new key may be there minutes
before its certificate. So a pair is taken only when it is complete and fits; all else is a
CertificateError, which at the start means *wrong* and later means *not yet*.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from addon.tls.acme import PairPaths
from addon.tls.pem import CertificateError, PrivateKey, read_chain, read_key, show

__all__ = [
    "CertificateError",
    "Pair",
    "check_validity",
    "covers",
    "format_date",
    "load_pair",
    "read_end",
    "read_names",
    "read_pair",
]


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair that fits.

    Attributes:
        pem: key, leaf and chain, in the order that mitmproxy wants them; secret.
        names: DNS names and IP addresses of the leaf's subjectAltName, else its common name.
        chain_length: certificates in `pem`, the leaf included.
        fingerprint: SHA-256 of `pem` in hex.
    """

    pem: bytes = field(repr=False)
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    chain_length: int
    fingerprint: str

    def covers(self, server_name: str) -> bool:
        """Say whether a client that asks for this name accepts the leaf."""
        return covers(self.names, server_name)


def covers(names: Sequence[str], server_name: str) -> bool:
    """Match a server name against a certificate's names: RFC 6125 6.4, wildcards by 6.4.3.

    A wildcard is a whole first label and stands for exactly one; none matches an IP address.
    """
    wanted = _normal(server_name)
    label, _, parent = wanted.partition(".")
    accepted = {wanted}
    if label and parent and not _is_address(wanted):
        accepted.add(f"*.{parent}")
    return bool(wanted) and "*" not in wanted and any(_normal(name) in accepted for name in names)


def read_pair(paths: PairPaths, now: datetime) -> Pair:
    """Read a pair that may be served now.

    Raises:
        CertificateError: It cannot be read, does not fit, or is not valid at that time.
    """
    pair = load_pair(paths)
    check_validity(pair, paths, now)
    return pair


def load_pair(paths: PairPaths) -> Pair:
    """Read a pair and check that key, leaf and chain fit, whatever the time.

    Raises:
        CertificateError: It cannot be read or does not fit.
    """
    chain = read_chain(paths.certificate)
    key = read_key(paths.key)
    _check_fit(key, chain, paths)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + b"".join(
        certificate.public_bytes(Encoding.PEM) for certificate in chain
    )
    leaf = chain[0]
    return Pair(
        pem=pem,
        names=_names(leaf, paths.certificate),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        chain_length=len(chain),
        fingerprint=hashlib.sha256(pem).hexdigest(),
    )


def check_validity(pair: Pair, paths: PairPaths, now: datetime) -> None:
    """Refuse a pair outside of its time.

    Raises:
        CertificateError: It has expired or is not valid yet.
    """
    if now > pair.not_after:
        raise CertificateError(
            f"the certificate {show(paths.certificate)} expired on {format_date(pair.not_after)}"
        )
    if now < pair.not_before:
        raise CertificateError(
            f"the certificate {show(paths.certificate)} is not valid before"
            f" {format_date(pair.not_before)}, and here it is {format_date(now)}"
        )


def read_names(path: Path) -> tuple[str, ...]:
    """Read the names of a file's leaf, as in `Pair.names`; a key is not looked at.

    Raises:
        CertificateError: It cannot be read.
    """
    return _names(read_chain(path)[0], path)


def read_end(path: Path) -> datetime:
    """Read when a file's leaf ends.

    Raises:
        CertificateError: It cannot be read.
    """
    return read_chain(path)[0].not_valid_after_utc


def format_date(moment: datetime) -> str:
    """Write a moment for a message."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _check_fit(key: PrivateKey, chain: Sequence[x509.Certificate], paths: PairPaths) -> None:
    fitting = [number for number, one in enumerate(chain, start=1) if _has_key(one, key)]
    if not fitting:
        raise CertificateError(
            f"the key {show(paths.key)} does not belong to the certificate"
            f" {show(paths.certificate)}"
        )
    if fitting[0] != 1:
        raise CertificateError(
            f"the chain in {show(paths.certificate)} is out of order: the key's own certificate is"
            f" number {fitting[0]} and must be the first"
        )
    for number, (one, issuer) in enumerate(pairwise(chain), start=1):
        if not _is_signed_by(one, issuer):
            raise CertificateError(
                f"the chain in {show(paths.certificate)} is out of order: certificate {number + 1}"
                f" did not sign certificate {number}"
            )


def _has_key(certificate: x509.Certificate, key: PrivateKey) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):  # a type or a curve that is unknown here
        return False


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _names(leaf: x509.Certificate, path: Path) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(name.value) for name in common)
    except ValueError as error:
        raise CertificateError(f"the certificate {show(path)} is damaged") from error
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _normal(name: str) -> str:
    name = name.lower().removesuffix(".")
    return str(ipaddress.ip_address(name)) if _is_address(name) else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
