"""What it means that a client breaks off the TLS handshake because of the certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from addon.tls.certificates import covers

# The alerts that say so (RFC 8446, section 6.2), as OpenSSL names them; which one is sent is the
# client's choice: Go's says the first, OpenSSL's the second, Java's the third.
_ALERTS: Mapping[str, str] = {
    "bad certificate": "bad certificate",
    "unknown ca": "unknown authority",
    "certificate unknown": "certificate unknown",
}


def distrust(client: str, sni: str | None, names: Sequence[str], error: str) -> str:
    """A line for the log that says what to do, "" for a handshake that failed for another reason.

    Args:
        client: its address.
        sni: the name that it asked for, None for none: it was given an IP address.
        names: what the certificate is good for.
        error: what the TLS library says.
    """
    alert = next((said for known, said in _ALERTS.items() if known in error), "")
    if not alert:
        return ""
    start = f"{client} does not trust the certificate ({alert})"
    served = ", ".join(names) or "no name"
    if sni is None:
        return f"{start}: it named no host, as with an IP address; the certificate is for {served}"
    if not covers(names, sni):
        return f"{start}: it asked for {sni!r}, and the certificate is for {served}"
    return (
        f"{start} for {sni!r}: it does not know who signed it. Is the chain whole (fullchain.cer),"
        " and the authority one that clients know?"
    )
