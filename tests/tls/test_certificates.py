from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from addon.tls.acme import PairPaths
from addon.tls.certificates import (
    CertificateError,
    covers,
    load_pair,
    read_end,
    read_names,
    read_pair,
)
from tests.acme_sh import DOMAIN, Authority, Issued

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AUTHORITY = Authority()
ISSUED = AUTHORITY.issue(not_before=NOW - DAY, not_after=NOW + 60 * DAY)
OTHER = AUTHORITY.issue(not_before=NOW - DAY, not_after=NOW + 60 * DAY)
LONG = AUTHORITY.issue(intermediates=2)
ROOT = AUTHORITY.root_pem


def written(folder: Path, key: bytes, certificate: bytes) -> PairPaths:
    paths = PairPaths(folder / "fullchain.cer", folder / f"{DOMAIN}.key")
    paths.key.write_bytes(key)
    paths.certificate.write_bytes(certificate)
    return paths


def self_signed(common_name: str, *names: x509.GeneralName) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM),
        (),
    )


def test_a_fitting_pair_is_one_pem_of_key_leaf_and_chain(tmp_path: Path) -> None:
    pair = read_pair(written(tmp_path, ISSUED.key, ISSUED.fullchain), NOW)
    head, marker, rest = pair.pem.partition(b"-----BEGIN CERTIFICATE-----")
    ours, theirs = (load_pem_private_key(key, None) for key in (head, ISSUED.key))
    assert ours.public_key() == theirs.public_key()
    assert marker + rest == ISSUED.fullchain
    assert pair.names == (DOMAIN,)
    assert (pair.not_before, pair.not_after) == (NOW - DAY, NOW + 60 * DAY)
    assert pair.chain_length == 2


def test_a_pair_shows_no_key_in_a_log(tmp_path: Path) -> None:
    pair = read_pair(written(tmp_path, ISSUED.key, ISSUED.fullchain), NOW)
    assert "PRIVATE KEY" not in repr(pair)
    assert "BEGIN" not in repr(pair)


def test_its_end_can_be_read_without_a_key(tmp_path: Path) -> None:
    paths = written(tmp_path, b"", ISSUED.fullchain)
    assert read_end(paths.certificate) == NOW + 60 * DAY


def test_the_fingerprint_is_the_contents_own(tmp_path: Path) -> None:
    one = load_pair(written(tmp_path, ISSUED.key, ISSUED.fullchain))
    same = load_pair(written(tmp_path, b"spaces \n" + ISSUED.key, ISSUED.fullchain + b"\n\n"))
    other = load_pair(written(tmp_path, OTHER.key, OTHER.fullchain))
    without_chain = load_pair(written(tmp_path, ISSUED.key, ISSUED.leaf))
    assert one.fingerprint == same.fingerprint
    assert len({one.fingerprint, other.fingerprint, without_chain.fingerprint}) == 3


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(ISSUED.leaf, id="a leaf alone, signed by a root that clients have"),
        pytest.param(ISSUED.fullchain + ROOT, id="with the root"),
    ],
)
def test_a_chain_may_be_short_or_hold_its_root(tmp_path: Path, certificate: bytes) -> None:
    assert read_pair(written(tmp_path, ISSUED.key, certificate), NOW).names == (DOMAIN,)


@pytest.mark.parametrize(
    ("key", "certificate", "message"),
    [
        pytest.param(
            OTHER.key,
            ISSUED.fullchain,
            r"the key '[^']*\.key' does not belong to the certificate '[^']*fullchain\.cer'",
            id="another key, as acme.sh leaves it for minutes",
        ),
        pytest.param(
            ISSUED.key,
            ISSUED.intermediates[0] + ISSUED.leaf,
            "out of order: the key's own certificate is number 2",
            id="leaf not first",
        ),
        pytest.param(
            LONG.key,
            LONG.leaf + LONG.intermediates[1] + LONG.intermediates[0],
            "out of order: certificate 2 did not sign certificate 1",
            id="intermediates swapped",
        ),
        pytest.param(
            ISSUED.key,
            ISSUED.leaf + OTHER.intermediates[0],
            "out of order: certificate 2 did not sign certificate 1",
            id="another's intermediate",
        ),
        pytest.param(
            ISSUED.key,
            ISSUED.leaf + ROOT,
            "out of order: certificate 2 did not sign certificate 1",
            id="intermediate left out",
        ),
        pytest.param(
            LONG.key,
            LONG.fullchain + OTHER.intermediates[0],
            "out of order: certificate 4 did not sign certificate 3",
            id="one too many at the end",
        ),
        pytest.param(
            ISSUED.key,
            ISSUED.leaf + ISSUED.fullchain,
            "out of order: certificate 2 did not sign certificate 1",
            id="leaf twice",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    tmp_path: Path, key: bytes, certificate: bytes, message: str
) -> None:
    paths = written(tmp_path, key, certificate)
    with pytest.raises(CertificateError, match=message) as raised:
        read_pair(paths, NOW)
    assert str(paths.certificate) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        pytest.param(NOW + 61 * DAY, r"expired on 2026-07-31 12:00 UTC", id="expired"),
        pytest.param(
            NOW - 2 * DAY,
            r"is not valid before 2026-05-31 12:00 UTC, and here it is 2026-05-30 12:00 UTC",
            id="not yet valid",
        ),
    ],
)
def test_a_pair_outside_of_its_time_is_refused(tmp_path: Path, now: datetime, message: str) -> None:
    paths = written(tmp_path, ISSUED.key, ISSUED.fullchain)
    with pytest.raises(CertificateError, match=message) as raised:
        read_pair(paths, now)
    assert repr(str(paths.certificate)) in str(raised.value)


@pytest.mark.parametrize("now", [NOW - DAY, NOW + 60 * DAY], ids=["first second", "last second"])
def test_the_ends_of_its_time_belong_to_it(tmp_path: Path, now: datetime) -> None:
    assert read_pair(written(tmp_path, ISSUED.key, ISSUED.fullchain), now).names == (DOMAIN,)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        pytest.param(
            lambda: self_signed("old.example", x509.DNSName("new.example")),
            ("new.example",),
            id="a common name beside SANs does not count",
        ),
        pytest.param(lambda: self_signed("old.example"), ("old.example",), id="no SANs"),
        pytest.param(
            lambda: self_signed("", x509.DNSName("a.example"), x509.DNSName("*.b.example")),
            ("a.example", "*.b.example"),
            id="empty subject",
        ),
        pytest.param(
            lambda: self_signed(
                "", x509.IPAddress(ip_address("2001:DB8::1")), x509.DNSName("a.example")
            ),
            ("a.example", "2001:db8::1"),
            id="an address",
        ),
        pytest.param(
            lambda: self_signed("old.example", x509.RFC822Name("a@b.example")),
            (),
            id="SANs of other kinds",
        ),
    ],
)
def test_names_are_those_that_clients_look_at(
    tmp_path: Path, make: Callable[[], Issued], names: tuple[str, ...]
) -> None:
    issued = make()
    paths = written(tmp_path, issued.key, issued.fullchain)
    assert read_pair(paths, NOW).names == read_names(paths.certificate) == names


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        pytest.param("a.example.com", "a.example.com", True, id="same"),
        pytest.param("A.Example.com", "a.eXAMPLE.com", True, id="case"),
        pytest.param("a.example.com", "a.example.com.", True, id="trailing dot asked"),
        pytest.param("a.example.com.", "a.example.com", True, id="trailing dot in it"),
        pytest.param("a.example.com", "a.example.com..", False, id="two trailing dots"),
        pytest.param("a.example.com", "b.example.com", False, id="another"),
        pytest.param("example.com", "a.example.com", False, id="a name below"),
        pytest.param("a.example.com", "example.com", False, id="the name above"),
        pytest.param("example.com", "badexample.com", False, id="suffix"),
        pytest.param("example.com", "example.com.evil.net", False, id="prefix"),
        pytest.param("*.example.com", "a.example.com", True, id="wildcard"),
        pytest.param("*.Example.COM", "A.example.com.", True, id="wildcard, case and dot"),
        pytest.param("*.example.com", "example.com", False, id="wildcard is one label, not none"),
        pytest.param("*.example.com", "a.b.example.com", False, id="wildcard is one label only"),
        pytest.param("*.example.com", ".example.com", False, id="wildcard is not an empty label"),
        pytest.param("*.example.com", "aexample.com", False, id="wildcard ends at the dot"),
        pytest.param("*.example.com", "*.example.com", False, id="wildcard is not a host"),
        pytest.param("a*.example.com", "ab.example.com", False, id="no part of a label"),
        pytest.param("a.*.com", "a.example.com", False, id="no label but the first"),
        pytest.param("*", "localhost", False, id="a bare star"),
        pytest.param("*.", "a.", False, id="a star and a dot"),
        pytest.param("192.0.2.1", "192.0.2.1", True, id="IPv4"),
        pytest.param("2001:db8::1", "2001:DB8:0::1", True, id="IPv6, written otherwise"),
        pytest.param("*.0.2.1", "192.0.2.1", False, id="no wildcard for addresses"),
        pytest.param("192.0.2.1", "192.0.2.10", False, id="another address"),
        pytest.param("example.com", "", False, id="nothing asked"),
        pytest.param("", "", False, id="nothing at all"),
    ],
)
def test_covers(name: str, asked: str, expected: bool) -> None:
    assert covers(("unrelated.example.org", name), asked) is expected


def test_a_pair_covers_what_its_names_cover(tmp_path: Path) -> None:
    pair = read_pair(written(tmp_path, ISSUED.key, ISSUED.fullchain), NOW)
    assert pair.covers(DOMAIN)
    assert not pair.covers("example.com")
