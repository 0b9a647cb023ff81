"""Certificates of a private CA, right ones and wrong ones, made at the start."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import trustme

from .addresses import Address

Kind = Literal["good", "other_ca", "wrong_name", "expired"]


class Certificates:
    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA(organization_name="test Hub")
        self._other = trustme.CA(organization_name="nobody's CA")
        self.ca_file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca_file)

    def issue(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """A good certificate with its chain, and its key, as files."""
        leaf = self._authority.issue_cert(*names)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(certificate, append=True)
        leaf.private_key_pem.write_to_path(key)
        return certificate, key

    def server_context(self, address: Address) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        self.configure(context, address, "good")
        return context

    def configure(self, context: ssl.SSLContext, address: Address, kind: Kind) -> None:
        """Put a certificate into a context; connections made from now on show it."""
        names = [address.host, *([address.name] if address.name else [])]
        yesterday = datetime.now(UTC) - timedelta(days=1)
        match kind:
            case "good":
                leaf = self._authority.issue_cert(*names)
            case "other_ca":
                leaf = self._other.issue_cert(*names)
            case "wrong_name":
                leaf = self._authority.issue_cert("someone-else.test")
            case "expired":
                leaf = self._authority.issue_cert(*names, not_after=yesterday)
        leaf.configure_cert(context)
