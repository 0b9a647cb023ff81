from __future__ import annotations

from collections.abc import Iterator

import pytest

from addon.outbound import proxies
from addon.outbound.proxies import proxy_for
from addon.protocol.errors import UpstreamFailure

HTTPS = "https://registry.example/v2/"
HTTP = "http://registry.example/v2/"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    proxies._named.cache_clear()
    yield
    proxies._named.cache_clear()


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        pytest.param({}, HTTPS, None, id="none"),
        pytest.param({"https_proxy": "http://p:1"}, HTTPS, "http://p:1", id="for https"),
        pytest.param({"https_proxy": "http://p:1"}, HTTP, None, id="not for http"),
        pytest.param({"http_proxy": "http://p:1"}, HTTP, "http://p:1", id="for http"),
        pytest.param({"all_proxy": "http://p:1"}, HTTPS, "http://p:1", id="for all"),
        pytest.param({"https_proxy": "p:1"}, HTTPS, "http://p:1", id="without a scheme"),
        pytest.param(
            {"https_proxy": "http://p:1", "no_proxy": "registry.example"},
            HTTPS,
            None,
            id="but this",
        ),
        pytest.param(
            {"https_proxy": "http://p:1", "no_proxy": "else.example"},
            HTTPS,
            "http://p:1",
            id="but another",
        ),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy
    assert proxy_for(url) == proxy


def test_a_proxy_of_another_protocol_is_a_failure_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://p:1")
    with pytest.raises(UpstreamFailure, match=r"registry\.example.*socks5 proxy"):
        proxy_for(HTTPS)
