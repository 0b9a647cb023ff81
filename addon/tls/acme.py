"""Where acme.sh's files are: rules over its directory, nothing is read here.

acme.sh keeps a domain in `<home>/<domain>_ecc/` (an EC key, its default) or in `<home>/<domain>/`
(RSA). `fullchain.cer` is the leaf with its chain; `<domain>.cer` and `ca.cer` are the same two
apart and may be of different ages for a moment, so they are never combined here.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FULL_CHAIN = "fullchain.cer"


@dataclass(frozen=True, slots=True)
class PairPaths:
    """A certificate with its chain and the key that belongs to it, as files."""

    certificate: Path
    key: Path


def locate(
    *, cert_path: str, key_path: str, domain: str, acme_home: str, environ: Mapping[str, str]
) -> PairPaths | None:
    """Find the pair that the options ask for, or else the environment.

    Args:
        cert_path: `docxy_cert_path`, "" for not set (so are the next three).
        key_path: `docxy_key_path`.
        domain: `docxy_domain`.
        acme_home: `docxy_acme_home`; "" looks for no acme.sh.
        environ: where `CERT_PATH`, `KEY_PATH` and `DOMAIN` may be set.

    Raises:
        ValueError: What was asked for is not there, or not clear; one line.
    """
    # A domain given as an option must not lose against paths that the environment happens to hold.
    if cert_path or key_path or not domain:
        cert_path = cert_path or environ.get("CERT_PATH", "")
        key_path = key_path or environ.get("KEY_PATH", "")
    return find_pair(
        cert_path=_expand(cert_path),
        key_path=_expand(key_path),
        domain=domain or environ.get("DOMAIN", ""),
        acme_home=Path(_expand(acme_home)) if acme_home else None,
    )


def find_pair(
    *, cert_path: str, key_path: str, domain: str, acme_home: Path | None
) -> PairPaths | None:
    """Find the one pair that is meant: the paths, else the domain's, else acme.sh's only one.

    Returns:
        The files, which may turn out to be unreadable; None if no certificate is asked for and
        acme.sh holds none.

    Raises:
        ValueError: What was asked for is not there, or not clear; one line.
    """
    if cert_path and key_path:
        return PairPaths(Path(cert_path), Path(key_path))
    if cert_path:
        raise ValueError(
            f"docxy_cert_path (or CERT_PATH) is {cert_path!r}, but docxy_key_path (or KEY_PATH) is"
            " not set: give both."
        )
    if key_path:
        raise ValueError(
            f"docxy_key_path (or KEY_PATH) is {key_path!r}, but docxy_cert_path (or CERT_PATH) is"
            " not set: give both."
        )
    if domain:
        return _pair_of(domain, acme_home)
    return _only_pair(acme_home)


def _pair_of(domain: str, acme_home: Path | None) -> PairPaths:
    if "/" in domain or ".." in domain or "\0" in domain:
        raise ValueError(
            f"docxy_domain (or DOMAIN) is {domain!r}, which is not a domain such as 'example.com'."
        )
    if acme_home is None:
        raise ValueError(
            f"docxy_domain (or DOMAIN) is {domain!r}, but docxy_acme_home, where to look for it,"
            " is empty."
        )
    candidates = _candidates(acme_home, domain)
    try:
        found = next((pair for pair in candidates if _is_complete(pair)), None)
    except PermissionError as error:
        raise ValueError(
            f"docxy_domain (or DOMAIN) is {domain!r}, but {str(acme_home)!r} may not be read here:"
            " let `acme.sh --install-cert` copy the files, and set docxy_cert_path and"
            " docxy_key_path."
        ) from error
    if found:
        return found
    raise ValueError(
        f"docxy_domain (or DOMAIN) is {domain!r}, but neither"
        f" {' nor '.join(repr(str(pair.certificate.parent)) for pair in candidates)} holds"
        f" {FULL_CHAIN!r} and {domain + '.key'!r}: `acme.sh --issue -d {shlex.quote(domain)}`, with"
        " a way to prove the domain (such as --dns or --webroot), makes them."
    )


def _only_pair(acme_home: Path | None) -> PairPaths | None:
    domains = _domains(acme_home) if acme_home else {}
    if len(domains) > 1:
        raise ValueError(
            f"acme.sh holds several domains in {str(acme_home)!r} ({', '.join(sorted(domains))}):"
            " choose one with docxy_domain (or DOMAIN)."
        )
    return next(iter(domains.values()), None)


def _domains(acme_home: Path) -> dict[str, PairPaths]:
    """List what acme.sh holds; its own folders (ca, deploy, dnsapi, …) have no such two files.

    No one asked for a domain here, so a directory that may not be read is no error: another user's
    acme.sh must not keep the mirror from starting.
    """
    try:
        names = {entry.name.removesuffix("_ecc") for entry in acme_home.iterdir()}
    except OSError:
        return {}
    found: dict[str, PairPaths] = {}
    for name in names:
        for pair in reversed(_candidates(acme_home, name)):  # the EC one is last, so it stays
            try:
                complete = _is_complete(pair)
            except PermissionError:
                continue
            if complete:
                found[name] = pair
    return found


def _candidates(acme_home: Path, domain: str) -> tuple[PairPaths, PairPaths]:
    ecc, rsa = acme_home / f"{domain}_ecc", acme_home / domain
    return (
        PairPaths(ecc / FULL_CHAIN, ecc / f"{domain}.key"),
        PairPaths(rsa / FULL_CHAIN, rsa / f"{domain}.key"),
    )


def _is_complete(pair: PairPaths) -> bool:
    return _is_file(pair.certificate) and _is_file(pair.key)


def _is_file(path: Path) -> bool:
    # Path.is_file raises PermissionError up to Python 3.13 and hides it from 3.14 on.
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except PermissionError:
        raise
    except (OSError, ValueError):
        return False


def _expand(path: str) -> str:
    # Unlike Path.expanduser this leaves `~` alone, and does not raise, where no home is known.
    return os.path.expanduser(path)
