from __future__ import annotations

from collections.abc import Callable

import pytest

from addon.protocol.challenges import Challenge
from addon.protocol.errors import Refusal
from addon.protocol.registry import (
    HUB,
    HUB_SERVICE,
    HUB_TOKEN_SERVICE,
    Registry,
    authority,
    parse_registry,
    relative_to,
    same_origin,
)
from addon.protocol.routes import Blob, Manifest, Ping, Tags

DIGEST = "sha256:" + "a" * 64
DOCKER_HUB = parse_registry("", official="library")
OTHER = parse_registry("https://r.example:5000")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="not said"),
        pytest.param("https://registry-1.docker.io", id="said"),
        pytest.param("https://registry-1.docker.io/", id="with a slash"),
        pytest.param("https://registry-1.docker.io:443", id="with the default port"),
        pytest.param("HTTPS://Registry-1.Docker.IO", id="in upper case"),
    ],
)
def test_docker_hub_is_known_without_asking(url: str) -> None:
    registry = parse_registry(url)
    assert registry == Registry(HUB, HUB_TOKEN_SERVICE, HUB_SERVICE)
    assert registry.knows_challenge
    assert not registry.is_http
    assert not registry.is_token_service_learnt


@pytest.mark.parametrize(
    ("url", "expected", "name"),
    [
        pytest.param("https://ghcr.io", "https://ghcr.io", "ghcr.io", id="https"),
        pytest.param("http://r.lan:5000/", "http://r.lan:5000", "r.lan:5000", id="http and a port"),
        pytest.param("http://r.lan:80", "http://r.lan", "r.lan", id="http's own port"),
        pytest.param("http://r.lan:443", "http://r.lan:443", "r.lan:443", id="http on 443"),
        pytest.param("https://[::1]:5000", "https://[::1]:5000", "[::1]:5000", id="IPv6"),
    ],
)
def test_another_registry_is_to_be_learnt(url: str, expected: str, name: str) -> None:
    registry = parse_registry(url)
    assert registry == Registry(expected)
    assert registry.authority == name
    assert registry.is_http is url.startswith("http:")
    assert not registry.knows_challenge


def test_what_the_owner_says_goes_before_docker_hubs() -> None:
    registry = parse_registry("", "https://auth.example:8443/token", "a service", "official")
    assert registry == Registry(HUB, "https://auth.example:8443/token", "a service", "official")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("registry-1.docker.io", id="no scheme"),
        pytest.param("ftp://r.example", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///v2/", id="no host but a path"),
        pytest.param("https://r.example:0", id="port 0"),
        pytest.param("https://r.example:70000", id="too large a port"),
        pytest.param("https://r.example:x", id="a port that is a word"),
        pytest.param("https://[::1", id="a bracket that does not close"),
        pytest.param("https://[r.example]", id="a name in brackets"),
        # It would reach logs and the flows that a person looks at.
        pytest.param("https://user:secret@r.example", id="a user with a password"),
        pytest.param("https://r.example/?a=b", id="a query"),
        pytest.param("https://r.example/#a", id="a fragment"),
    ],
)
@pytest.mark.parametrize("option", ["docxy_registry", "docxy_token_service"])
def test_a_wrong_address_is_refused_under_its_options_name(option: str, url: str) -> None:
    parse: dict[str, Callable[[str], Registry]] = {
        "docxy_registry": parse_registry,
        "docxy_token_service": lambda url: parse_registry("", url),
    }
    with pytest.raises(ValueError, match=f"^{option}: ") as refused:
        parse[option](url)
    assert repr(url) in str(refused.value)


def test_a_registry_has_no_path_but_its_token_service_has() -> None:
    with pytest.raises(ValueError, match=r"^docxy_registry: "):
        parse_registry("https://r.example/v2/")
    registry = parse_registry("https://r.example", "https://r.example/service/token/")
    assert registry.token_service == "https://r.example/service/token/"


@pytest.mark.parametrize(
    ("registry", "route", "expected"),
    [
        pytest.param(DOCKER_HUB, Ping(), "/v2/", id="ping"),
        pytest.param(
            DOCKER_HUB,
            Manifest("alpine", "3"),
            "/v2/library/alpine/manifests/3",
            id="an official image",
        ),
        pytest.param(
            DOCKER_HUB, Blob("a/b", DIGEST), f"/v2/a/b/blobs/{DIGEST}", id="a user's image"
        ),
        pytest.param(
            OTHER, Tags("pause", "n=1&last=%2f"), "/v2/pause/tags/list?n=1&last=%2f", id="another"
        ),
    ],
)
def test_a_route_has_an_address_at_the_registry(
    registry: Registry, route: Ping | Manifest | Blob | Tags, expected: str
) -> None:
    assert registry.url_for(route) == registry.url + expected


@pytest.mark.parametrize(
    ("registry", "namespace"),
    [
        pytest.param(DOCKER_HUB, "docker.io", id="docker.io"),
        pytest.param(DOCKER_HUB, "index.docker.io", id="index.docker.io"),
        pytest.param(DOCKER_HUB, "registry-1.docker.io", id="the registry's host"),
        pytest.param(DOCKER_HUB, "Docker.IO", id="upper case"),
        pytest.param(OTHER, "r.example:5000", id="another registry"),
    ],
)
def test_a_registrys_own_namespace_is_served(registry: Registry, namespace: str) -> None:
    registry.check_namespace(namespace)


@pytest.mark.parametrize(
    ("registry", "namespace", "served"),
    [
        # containerd would take Hub's image for the other registry's.
        pytest.param(DOCKER_HUB, "ghcr.io", "docker.io", id="another registry"),
        pytest.param(DOCKER_HUB, "docker.io.evil.example", "docker.io", id="one that begins alike"),
        pytest.param(DOCKER_HUB, "docker.io:443", "docker.io", id="with a port"),
        pytest.param(DOCKER_HUB, "docker.io.", "docker.io", id="with a dot"),
        pytest.param(DOCKER_HUB, "", "docker.io", id="empty"),
        pytest.param(DOCKER_HUB, "x" * 60_000, "docker.io", id="of any length"),
        pytest.param(OTHER, "docker.io", "r.example:5000", id="Hub's at another registry"),
        pytest.param(OTHER, "r.example", "r.example:5000", id="without its port"),
    ],
)
def test_another_namespace_is_refused(registry: Registry, namespace: str, served: str) -> None:
    with pytest.raises(Refusal, match=f"serves {served}, not ") as refused:
        registry.check_namespace(namespace)
    assert (refused.value.status, refused.value.code) == (404, "NAME_UNKNOWN")
    assert len(refused.value.message) < 1000


def challenge(**parameters: str) -> Challenge:
    return Challenge("Bearer", tuple(parameters.items()))


def test_a_token_service_is_learnt_from_a_challenge() -> None:
    learnt = OTHER.learn(challenge(service="s", realm="https://auth.example/token"))
    assert learnt == Registry(
        "https://r.example:5000", "https://auth.example/token", "s", is_token_service_learnt=True
    )
    assert learnt.knows_challenge


def test_a_challenge_without_a_service_is_learnt_too() -> None:
    learnt = OTHER.learn(challenge(realm="https://auth.example/token"))
    assert (learnt.token_service, learnt.service) == ("https://auth.example/token", "")


def test_what_the_owner_said_is_not_unlearnt() -> None:
    said = parse_registry("https://r.example", "https://mine.example/token")
    learnt = said.learn(challenge(realm="https://auth.example/token", service="s"))
    assert (learnt.token_service, learnt.service) == ("https://mine.example/token", "s")
    assert not learnt.is_token_service_learnt
    named = parse_registry("https://r.example", service="mine")
    assert named.learn(challenge(realm="https://a.example", service="s")).service == "mine"


def test_a_registry_without_tls_may_have_such_a_token_service() -> None:
    learnt = parse_registry("http://r.lan:5000").learn(challenge(realm="http://auth.lan/token"))
    assert learnt.token_service == "http://auth.lan/token"


@pytest.mark.parametrize(
    "realm",
    [
        # Passwords go there.
        pytest.param("http://auth.example/token", id="not https"),
        pytest.param("https://user:secret@auth.example/token", id="a user"),
        pytest.param("/token", id="no host"),
        pytest.param("auth.example/token", id="no scheme"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("https://[::1", id="a bracket that does not close"),
        pytest.param("", id="empty"),
    ],
)
def test_credentials_go_to_no_other_kind_of_realm(realm: str) -> None:
    with pytest.raises(ValueError, match=r"^its realm"):
        OTHER.learn(challenge(realm=realm, service="s"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/x", "a.example"),
        ("https://A.example:443", "a.example"),
        ("https://a.example:80", "a.example:80"),
        ("http://a.example:80", "a.example"),
        ("http://a.example:443", "a.example:443"),
        ("https://[2001:DB8::1]:8443/", "[2001:db8::1]:8443"),
        ("https://[::1]", "[::1]"),
        ("https://user:secret@a.example/x?y=z", "a.example"),
    ],
)
def test_an_authority_is_host_and_port_and_no_secret(url: str, expected: str) -> None:
    assert authority(url) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param("https://a.example/x", "https://a.example/y?z", True, id="other paths"),
        pytest.param("https://a.example", "https://a.example:443", True, id="the default port"),
        pytest.param("https://a.example", "HTTPS://A.EXAMPLE", True, id="upper case"),
        pytest.param("https://a.example", "https://u:p@a.example", True, id="a user"),
        pytest.param("https://a.example", "http://a.example", False, id="another scheme"),
        pytest.param("https://a.example:80", "http://a.example", False, id="scheme, same port"),
        pytest.param("https://a.example", "https://a.example:8443", False, id="another port"),
        pytest.param("https://a.example", "https://b.a.example", False, id="a subdomain"),
        pytest.param("https://a.example", "https://a.example.b", False, id="it begins alike"),
        pytest.param("https://a.example", "https://a.example@b", False, id="a name as a user"),
        # Another name for most resolvers, so credentials do not follow.
        pytest.param("https://a.example", "https://a.example.", False, id="a dot at the end"),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, expected: bool) -> None:
    assert same_origin(one, other) is expected
    assert same_origin(other, one) is expected


BASE = "https://r.example/v2/a/tags/list?n=1"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/v2/a/tags/list?last=x&n=1", "/v2/a/tags/list?last=x&n=1", id="a path"),
        pytest.param("https://r.example/v2/b", "/v2/b", id="absolute"),
        pytest.param("https://R.Example:443/v2/b", "/v2/b", id="absolute, spelt otherwise"),
        pytest.param("//r.example/v2/b", "/v2/b", id="without the scheme"),
        pytest.param("?last=%2F%2f", "/v2/a/tags/list?last=%2F%2f", id="a query, byte for byte"),
        pytest.param("other", "/v2/a/tags/other", id="beside it"),
        pytest.param("../../b", "/v2/b", id="above it"),
        pytest.param("../../../../../b", "/b", id="above the root"),
        pytest.param("https://r.example", "/", id="no path"),
        pytest.param("https://r.example?a=b", "/?a=b", id="no path but a query"),
        pytest.param("/v2/b#fragment", "/v2/b", id="a fragment"),
        pytest.param("https://user:secret@r.example/v2/b", "/v2/b", id="a user is not shown"),
    ],
)
def test_a_reference_to_the_upstream_is_a_path_on_the_mirror(target: str, expected: str) -> None:
    assert relative_to(BASE, target) == expected


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("https://cdn.example/v2/b", id="another host"),
        pytest.param("//cdn.example/v2/b", id="another host without the scheme"),
        pytest.param("http://r.example/v2/b", id="another scheme"),
        pytest.param("https://r.example:8443/v2/b", id="another port"),
        pytest.param("https://r.example@cdn.example/", id="the host as a user"),
        pytest.param("javascript:alert(1)", id="a scheme without a host"),
        pytest.param("data:,x", id="data"),
        # As a path these would be references to another host (RFC 3986, section 4.2), and a
        # browser takes a backslash for a slash.
        pytest.param("https://r.example//cdn.example/x", id="two slashes behind the host"),
        pytest.param("/.//cdn.example/x", id="two slashes behind a dot"),
        pytest.param("https://r.example/\\cdn.example/x", id="slash and backslash"),
        pytest.param("https://r.example:x/", id="a port that is a word"),
        pytest.param("https://[::1", id="a bracket that does not close"),
    ],
)
def test_a_reference_that_leads_elsewhere_is_none(target: str) -> None:
    assert relative_to(BASE, target) is None
