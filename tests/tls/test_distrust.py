from __future__ import annotations

import pytest

from addon.tls.distrust import distrust

NAMES = ("mirror.example.com", "*.example.org")
# As mitmproxy puts it.
UNKNOWN = "The client does not trust the proxy's certificate for x (tlsv1 alert unknown ca)"
START = "192.0.2.7 does not trust the certificate (unknown authority)"


@pytest.mark.parametrize(
    ("sni", "names", "expected"),
    [
        pytest.param(
            "mirror.example.com",
            NAMES,
            f"{START} for 'mirror.example.com': it does not know who signed it. Is the chain whole"
            " (fullchain.cer), and the authority one that clients know?",
            id="another authority",
        ),
        pytest.param(
            "other.example.com",
            NAMES,
            f"{START}: it asked for 'other.example.com', and the certificate is for"
            " mirror.example.com, *.example.org",
            id="another name",
        ),
        pytest.param(
            None,
            NAMES,
            f"{START}: it named no host, as with an IP address; the certificate is for"
            " mirror.example.com, *.example.org",
            id="an IP address",
        ),
        pytest.param(
            "a.test",
            (),
            f"{START}: it asked for 'a.test', and the certificate is for no name",
            id="no name in it",
        ),
    ],
)
def test_what_it_means(sni: str | None, names: tuple[str, ...], expected: str) -> None:
    assert distrust("192.0.2.7", sni, names, UNKNOWN) == expected


@pytest.mark.parametrize(
    "error",
    [
        "sslv3 alert bad certificate",  # Go
        "tlsv1 alert unknown ca",  # OpenSSL
        "sslv3 alert certificate unknown",  # Java
        "ssl/tls alert bad certificate",  # as of OpenSSL 3.2
    ],
)
def test_each_way_of_saying_it(error: str) -> None:
    assert distrust("192.0.2.7", "a.test", ("a.test",), error)


@pytest.mark.parametrize("error", ["", "connection closed", "unsupported protocol", "http request"])
def test_another_failure_is_none_of_the_certificates(error: str) -> None:
    assert distrust("192.0.2.7", "a.test", ("a.test",), error) == ""
