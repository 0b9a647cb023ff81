"""Keys and certificates out of PEM files that someone else may be writing at this moment."""

from __future__ import annotations

import re
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# RFC 7468 3: the label is the same at both ends. Blocks are cut out here, because parsers differ in
# what they make of a half-written last block, and of the EC PARAMETERS that openssl puts first.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----")


class CertificateError(ValueError):
    """A pair that cannot be served; the message is one line, names the file, and shows no key."""


def read_key(path: Path) -> PrivateKey:
    """Read the first private key of a file: EC, RSA, or either in PKCS#8.

    Raises:
        CertificateError: There is none that can be used.
    """
    blocks = [block for block in _read_blocks(path, "key") if block[0].endswith("PRIVATE KEY")]
    if not blocks:
        raise CertificateError(f"the key {show(path)} holds no private key")
    label, block = blocks[0]
    if label.startswith("ENCRYPTED") or b"Proc-Type: 4,ENCRYPTED" in block:
        raise CertificateError(
            f"the key {show(path)} is encrypted, the mirror needs it without a passphrase"
        )
    try:
        key = load_pem_private_key(block, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The reason is neither told nor chained: it may quote what could not be parsed.
        raise CertificateError(f"the key {show(path)} is damaged") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(f"the key {show(path)} is neither EC nor RSA")
    return key


def read_chain(path: Path) -> list[x509.Certificate]:
    """Read all certificates of a file, at least one, in the file's order.

    Raises:
        CertificateError: There is none, or not all can be read.
    """
    blocks = [block for label, block in _read_blocks(path, "certificate") if label == "CERTIFICATE"]
    if not blocks:
        raise CertificateError(f"the certificate {show(path)} holds no certificate")
    try:
        return [x509.load_pem_x509_certificate(block) for block in blocks]
    except ValueError as error:
        raise CertificateError(f"the certificate {show(path)} is damaged") from error


def show(path: Path) -> str:
    """Quote a path for a message."""
    return repr(str(path))


def _read_blocks(path: Path, what: str) -> list[tuple[str, bytes]]:
    content = _read(path, what)
    if not content.strip():
        raise CertificateError(f"the {what} {show(path)} is empty")
    if not _BEGIN.search(content):
        raise CertificateError(f"the {what} {show(path)} is not PEM (no '-----BEGIN …-----')")
    blocks = [(match[1].decode("ascii"), match[0]) for match in _BLOCK.finditer(content)]
    if len(blocks) != len(_BEGIN.findall(content)):
        raise CertificateError(f"the {what} {show(path)} is cut short (no '-----END …-----')")
    return blocks


def _read(path: Path, what: str) -> bytes:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for its writer
            raise CertificateError(f"the {what} {show(path)} is not a file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CertificateError(f"the {what} {show(path)} does not exist") from error
    except OSError as error:
        raise CertificateError(
            f"the {what} {show(path)} cannot be read: {error.strerror}"
        ) from error
