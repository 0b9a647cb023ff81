"""What acme.sh and its authority make: chains issued by trustme, files written in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

DOMAIN = "registry.example.com"


@dataclass(frozen=True, slots=True)
class Issued:
    """A key, its leaf, and the certificates that lead to the root (which is not in them)."""

    key: bytes
    leaf: bytes
    intermediates: tuple[bytes, ...]

    @property
    def fullchain(self) -> bytes:
        return b"".join((self.leaf, *self.intermediates))


class Authority:
    """A root that signs through intermediates, a new one of them whenever asked."""

    def __init__(self) -> None:
        self.root = trustme.CA()

    @property
    def root_pem(self) -> bytes:
        return self.root.cert_pem.bytes()

    def issue(
        self,
        *names: str,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        intermediates: int = 1,
    ) -> Issued:
        signer = self.root
        for _ in range(intermediates):
            signer = signer.create_child_ca()
        made = signer.issue_cert(
            *(names or (DOMAIN,)),
            key_type=key_type,
            not_before=not_before,
            not_after=not_after,
        )
        leaf, *rest = (blob.bytes() for blob in made.cert_chain_pems)
        return Issued(made.private_key_pem.bytes(), leaf, tuple(rest))

    def renew_intermediate(self, issued: Issued) -> Issued:
        """Have the root sign the same intermediate again: another certificate, the same key."""
        former = x509.load_pem_x509_certificate(issued.intermediates[0])
        key = load_pem_private_key(self.root.private_key_pem.bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        builder = x509.CertificateBuilder(
            issuer_name=former.issuer,
            subject_name=former.subject,
            public_key=former.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=former.not_valid_before_utc,
            not_valid_after=former.not_valid_after_utc,
            extensions=list(former.extensions),
        )
        renewed = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
        return replace(issued, intermediates=(renewed,))


def write_domain(home: Path, folder: str, issued: Issued, domain: str = DOMAIN) -> Path:
    """Make one folder of acme.sh's, with the files that are of no use to a reader too."""
    path = home / folder
    path.mkdir(parents=True)
    (path / "fullchain.cer").write_bytes(issued.fullchain)
    (path / f"{domain}.key").write_bytes(issued.key)
    (path / f"{domain}.cer").write_bytes(issued.leaf)
    (path / "ca.cer").write_bytes(b"".join(issued.intermediates))
    (path / f"{domain}.conf").write_text(f"Le_Domain='{domain}'\n")
    return path


def make_own_folders(
    home: Path, names: Sequence[str] = ("ca", "deploy", "dnsapi", "notify")
) -> None:
    """Make the folders beside the domains that are acme.sh's own."""
    for name in names:
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "ca" / "acme-v02.api.letsencrypt.org").mkdir(exist_ok=True)
    (home / "account.conf").write_text("")
