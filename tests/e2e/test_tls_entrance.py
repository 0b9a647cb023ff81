"""A mirror with a certificate: TLS on its port, plain HTTP beside it that only leads there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from tests.e2e.client import Answer, Connection, ask, connect, shake_hands
from tests.hub import Hub
from tests.ports import free_port
from tests.running import Mirror, reverse_mode, running_mirror, settings_arguments

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME, OTHER_NAME = "mirror.example.com", "other.example.net"
CHALLENGE = "/.well-known/acme-challenge/dG9rZW4"
FORGED = {
    "Host": "evil.example.org",
    "X-Forwarded-Host": "evil.example.org",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-For": "127.0.0.1",
    "Forwarded": "host=evil.example.org;proto=http",
}


@dataclass(frozen=True)
class Entrances:
    """One mirror: TLS, plain HTTP beside it, TLS on IPv6."""

    tls: Mirror
    plain: Mirror
    ipv6: Mirror


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def entrances(
    shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Entrances]:
    folder = tmp_path_factory.mktemp("entrance")
    webroot = folder / "webroot"
    (webroot / CHALLENGE[1:]).parent.mkdir(parents=True)
    (webroot / CHALLENGE[1:]).write_bytes(b"dG9rZW4.proof")
    (webroot / "secret").write_bytes(b"secret")
    pair = shared_hub.issue_certificate(folder, NAME, "127.0.0.1", "::1")
    ports = [free_port() for _ in range(3)]
    # As run.sh does it: mitmproxy 11 cannot listen for QUIC, which `https` means, on ::1.
    hosts = ("127.0.0.1", "127.0.0.1", "::1")
    modes = [
        word
        for host, port in zip(hosts, ports, strict=True)
        for word in reverse_mode("http://127.0.0.9:443", host, port)
    ]
    settings = {"docxy_acme_webroot": str(webroot), "docxy_registry": shared_hub.registry_url}
    async with running_mirror(
        shared_hub,
        folder / "confdir",
        *settings_arguments(settings),
        modes=modes,
        port=ports[0],
        certificate=pair,
        ca_file=shared_hub.ca_file,
    ) as mirror:
        await mirror.log_line("daemon.json")
        yield Entrances(
            mirror,
            replace(mirror, port=ports[1], ca_file=None),
            replace(mirror, host="::1", port=ports[2]),
        )


async def ask_by_name(mirror: Mirror, name: str | None, headers: dict[str, str]) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        mirror.host, mirror.port, ssl=context, server_hostname=name or ""
    )
    answer = await Connection(reader, writer).ask("/v2/", headers=headers)
    writer.transport.abort()
    return answer


def realm(answer: Answer) -> str:
    return answer.headers["WWW-Authenticate"].partition('realm="')[2].partition('"')[0]


@pytest.mark.parametrize("forged", [{}, FORGED], ids=["", "forged"])
@pytest.mark.parametrize(
    ("name", "host"),
    [
        pytest.param(NAME, NAME, id="a name that the certificate has"),
        pytest.param(NAME.upper(), NAME, id="the same in capitals"),
        pytest.param(OTHER_NAME, "127.0.0.1", id="a name that it has not"),
        pytest.param(None, "127.0.0.1", id="no name"),
    ],
)
async def test_the_realm_is_the_name_that_was_asked_for_and_is_ours(
    entrances: Entrances, name: str | None, host: str, forged: dict[str, str]
) -> None:
    answer = await ask_by_name(entrances.tls, name, forged)
    assert answer.status == 401
    assert realm(answer).lower() == f"https://{host}:{entrances.tls.port}/auth/token"


async def test_ipv6_is_an_entrance_like_the_other(entrances: Entrances) -> None:
    answer = await ask(entrances.ipv6, "/v2/")
    assert realm(answer) == f"https://[::1]:{entrances.ipv6.port}/auth/token"


# Plain HTTP: on the port beside TLS, and on TLS' own.


@pytest.fixture(params=["beside TLS", "on the port of TLS"])
def plain(request: pytest.FixtureRequest, entrances: Entrances) -> Mirror:
    if request.param == "beside TLS":
        return entrances.plain
    return replace(entrances.tls, ca_file=None)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/v2/", "/v2/alpine/manifests/latest?a=b", "/", "/auth/token"])
async def test_plain_http_leads_to_https(
    entrances: Entrances, plain: Mirror, hub: Hub, method: str, target: str
) -> None:
    answer = await ask(plain, target, method)
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://127.0.0.1:{entrances.tls.port}{target}"
    assert hub.requests == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param(NAME, NAME, id="ours"),
        pytest.param(f"{NAME}:80", NAME, id="ours with a port"),
        pytest.param("evil.example.org", "127.0.0.1", id="another's"),
        pytest.param(f"{NAME}@evil.example.org", "127.0.0.1", id="ours as a user"),
        pytest.param("", "127.0.0.1", id="none"),
    ],
)
async def test_the_redirect_leads_to_a_name_of_ours_alone(
    entrances: Entrances, plain: Mirror, host: str, expected: str
) -> None:
    answer = await ask(plain, "/v2/", headers={**FORGED, "Host": host})
    assert answer.headers["Location"] == f"https://{expected}:{entrances.tls.port}/v2/"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("*", id="no path"),
        pytest.param("/v2/\0", id="a nul"),
        pytest.param("/v2/\x1b[31m", id="an escape"),
        pytest.param("/v2/\xe9", id="not ASCII"),
    ],
)
async def test_no_redirect_holds_what_is_no_path(plain: Mirror, target: str) -> None:
    answer = await ask(plain, target)
    assert 400 <= answer.status < 500
    assert "Location" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_what_was_sent_in_the_clear_is_refused(plain: Mirror, hub: Hub, method: str) -> None:
    form = b"grant_type=password&username=alice&password=wonderland"
    answer = await ask(plain, "/auth/token", method, body=form)
    assert answer.error == (403, "DENIED")
    assert hub.requests == []


async def test_health_is_answered_everywhere(entrances: Entrances, plain: Mirror) -> None:
    for mirror in (plain, entrances.tls, entrances.ipv6):
        for method in ("GET", "HEAD"):
            assert (await ask(mirror, "/health", method)).status == 200


async def test_the_authoritys_challenge_is_answered(plain: Mirror) -> None:
    answer = await ask(plain, CHALLENGE, headers={"Host": "anything"})
    assert (answer.status, answer.body) == (200, b"dG9rZW4.proof")


@pytest.mark.parametrize(
    "target",
    [
        f"{CHALLENGE}/../../../secret",
        "/.well-known/acme-challenge/../../secret",
        "/.well-known/acme-challenge/%2e%2e%2f%2e%2e%2fsecret",
        "/.well-known/acme-challenge/..",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/unknown",
        "/.well-known/acme-challenge//etc/passwd",
    ],
)
async def test_nothing_else_of_the_webroot_is_given(plain: Mirror, target: str) -> None:
    answer = await ask(plain, target)
    assert answer.error == (404, "UNSUPPORTED")


async def test_a_tls_client_is_kept_through_many_requests(entrances: Entrances) -> None:
    async with connect(entrances.tls) as connection:
        for _ in range(20):
            assert (await connection.ask("/v2/")).status == 401


@pytest.mark.parametrize(
    ("trusts", "name", "said"),
    [
        pytest.param(False, NAME, f"for '{NAME}': it does not know who signed it", id="authority"),
        pytest.param(True, OTHER_NAME, f"it asked for '{OTHER_NAME}', and the", id="name"),
    ],
)
async def test_a_client_that_does_not_trust_the_certificate_is_named_in_the_log(
    entrances: Entrances, trusts: bool, name: str, said: str
) -> None:
    mirror = entrances.tls
    context = mirror.tls if trusts else ssl.create_default_context()
    assert context
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.to_thread(shake_hands, mirror, context, name)
    assert "127.0.0.1 does not trust the certificate (" in await mirror.log_line(said)


async def test_the_log_holds_no_password_and_no_fault(entrances: Entrances) -> None:
    assert "wonderland" not in entrances.tls.text
    assert "Traceback" not in entrances.tls.text
