from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from addon.tls.pem import CertificateError, read_chain, read_key
from tests.acme_sh import Authority, Issued

EC = Authority().issue()
RSA = Authority().issue(key_type=trustme.KeyType.RSA)
EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def rewritten(
    key: bytes, form: PrivateFormat, encryption: KeySerializationEncryption | None = None
) -> bytes:
    loaded = load_pem_private_key(key, None)
    return loaded.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
PASSPHRASE = BestAvailableEncryption(b"secret")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(rewritten(EC.key, PrivateFormat.TraditionalOpenSSL), EC, id="EC"),
        pytest.param(rewritten(RSA.key, PrivateFormat.TraditionalOpenSSL), RSA, id="RSA"),
        pytest.param(rewritten(EC.key, PrivateFormat.PKCS8), EC, id="EC in PKCS#8"),
        pytest.param(rewritten(RSA.key, PrivateFormat.PKCS8), RSA, id="RSA in PKCS#8"),
        pytest.param(EC_PARAMETERS + EC.key, EC, id="after openssl's EC PARAMETERS"),
        pytest.param(b"a comment\n" + EC.key, EC, id="after a comment"),
        pytest.param(EC.key.replace(b"\n", b"\r\n"), EC, id="CRLF"),
        pytest.param(EC.fullchain + EC.key, EC, id="in one file with the chain"),
    ],
)
def test_each_form_of_a_key_is_read(tmp_path: Path, content: bytes, expected: Issued) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(content)
    assert read_key(path).public_key() == load_pem_private_key(expected.key, None).public_key()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n", "is empty", id="blank"),
        pytest.param(b"\x30\x82\x01\x00", "is not PEM", id="DER"),
        pytest.param(EC.fullchain, "holds no private key", id="a certificate"),
        pytest.param(EC_PARAMETERS, "holds no private key", id="parameters alone"),
        pytest.param(EC.key[: len(EC.key) // 2], "is cut short", id="half written"),
        pytest.param(EC_PARAMETERS + EC.key[:40], "is cut short", id="half written, second block"),
        pytest.param(EC.key[:60] + b"!!!" + EC.key[63:], "is damaged", id="a flipped character"),
        pytest.param(
            rewritten(EC.key, PrivateFormat.PKCS8, PASSPHRASE),
            "is encrypted",
            id="encrypted PKCS#8",
        ),
        pytest.param(
            rewritten(EC.key, PrivateFormat.TraditionalOpenSSL, PASSPHRASE),
            "is encrypted",
            id="encrypted EC",
        ),
        pytest.param(
            rewritten(RSA.key, PrivateFormat.TraditionalOpenSSL, PASSPHRASE),
            "is encrypted",
            id="encrypted RSA",
        ),
        pytest.param(ED25519, "is neither EC nor RSA", id="Ed25519"),
    ],
)
def test_each_trouble_with_a_key_is_told_apart(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match=message) as raised:
        read_key(path)
    told = str(raised.value)
    assert told.startswith(f"the key {str(path)!r} ")
    assert "\n" not in told
    assert raised.value.__cause__ is None  # a parser's own words may quote the key
    lines = content.decode(errors="replace").splitlines()
    assert not any(line in told for line in lines if len(line) > 20)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"<html>", "is not PEM", id="a page"),
        pytest.param(EC.key, "holds no certificate", id="a key"),
        pytest.param(EC.leaf[:100], "is cut short", id="half a leaf"),
        pytest.param(EC.leaf + EC.intermediates[0][:100], "is cut short", id="half a chain"),
        pytest.param(
            EC.leaf + EC.intermediates[0][:100] + b"!!!!" + EC.intermediates[0][104:],
            "is damaged",
            id="a flipped character",
        ),
    ],
)
def test_each_trouble_with_a_certificate_is_told_apart(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "fullchain.cer"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match=message) as raised:
        read_chain(path)
    assert str(raised.value).startswith(f"the certificate {str(path)!r} ")
    assert "\n" not in str(raised.value)


def test_a_chain_is_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "fullchain.cer"
    path.write_bytes(EC.leaf + b"\n" + EC.intermediates[0] + EC.key)
    assert [one.public_bytes(Encoding.PEM) for one in read_chain(path)] == [
        EC.leaf,
        *EC.intermediates,
    ]


def refuse(path: Path) -> None:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("read", [read_key, read_chain], ids=["key", "certificate"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "does not exist", id="missing"),
        pytest.param(Path.mkdir, "is not a file", id="a directory"),
        pytest.param(os.mkfifo, "is not a file", id="a pipe that nobody writes"),
    ],
)
def test_what_is_no_file_is_told(
    tmp_path: Path,
    read: Callable[[Path], object],
    make: Callable[[Path], None],
    message: str,
) -> None:
    path = tmp_path / "there"
    make(path)
    with pytest.raises(CertificateError, match=message) as raised:
        read(path)
    assert repr(str(path)) in str(raised.value)


@pytest.mark.parametrize("read", [read_key, read_chain], ids=["key", "certificate"])
def test_a_forbidden_file_is_told(
    tmp_path: Path, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "there"
    path.write_bytes(EC.fullchain + EC.key)
    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may run the tests, and reads everything
    with pytest.raises(CertificateError, match="cannot be read: Permission denied"):
        read(path)


def test_a_path_that_leads_through_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="cannot be read: Not a directory"):
        read_key(tmp_path / "file" / "a.key")
