from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from addon.ahead.lookahead import AheadLimits
from addon.answering.answering import Answering, Incoming, Pending, internal_error
from addon.answering.fetching import Fetcher
from addon.blob.blobs import BlobLimits
from addon.flows.story import Source, new_story, tell
from addon.memory.upstream import Limits, Upstream
from addon.metrics.readiness import Readiness, Way
from addon.outbound.networks import parse_address, parse_networks
from addon.outbound.received import Answer
from addon.protocol.errors import MirrorError, Refusal, UpstreamFailure
from addon.protocol.registry import Registry, parse_registry
from addon.protocol.reply import Reply
from addon.protocol.routes import AcmeChallenge, Health, Ready
from addon.settings import options
from addon.settings.bounds import parse_bounds
from addon.settings.options import Settings
from addon.settings.wayout import OutboundSettings
from addon.tls.certificates import covers
from tests.outbounds import FakeOutbound, answer, fake

HUB = parse_registry("", official="library")
BOUNDS = parse_bounds({option.name: option.default for option in options.OPTIONS})
DIGEST = "sha256:" + hashlib.sha256(b"x").hexdigest()
VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
CREDENTIALS = ("Authorization", "Bearer abc")
REQUEST = Incoming("GET", "/v2/", (), parse_address("127.0.0.1"), "127.0.0.1", 8080)
TLS = replace(REQUEST, peer=parse_address("1.1.1.1"), local_host="192.0.2.1", local_port=443)
TLS = replace(TLS, tls=True)
PLAIN = replace(TLS, tls=False, local_port=80)


class Certificate:
    """A certificate for some names, or none."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @property
    def present(self) -> bool:
        return bool(self.names)

    @property
    def not_after(self) -> datetime | None:
        return datetime(2100, 1, 1, tzinfo=UTC) if self.names else None

    def covers(self, sni: str | None) -> bool:
        return sni is not None and covers(self.names, sni)


CERTIFICATE = Certificate("m.example", "*.wild.example")


def answering(
    outbound: FakeOutbound | None = None,
    certificate: Certificate | None = None,
    *,
    registry: Registry = HUB,
    public_url: str = "",
    behind_proxy: str = "",
    acme_webroot: Path | None = None,
    allow: str = "",
) -> Answering:
    settings = Settings(
        registry,
        OutboundSettings(),
        BOUNDS,
        public_url,
        parse_networks(behind_proxy),
        acme_webroot,
        allowed=parse_networks(allow),
    )
    upstream = Upstream(registry, (outbound or fake()).outbound, Limits(), BlobLimits(1, 1, 1))
    fetcher = Fetcher(upstream, AheadLimits(1, 0, 1, images=0))
    certificate = certificate or Certificate()
    readiness = Readiness(lambda: Way(registry, upstream.outbound), certificate)
    return Answering(settings, certificate, fetcher, readiness)


def at_once(mirror: Answering, request: Incoming) -> Reply:
    reply = mirror.answer(request)
    assert isinstance(reply, Reply)
    return reply


def later(mirror: Answering, request: Incoming) -> Pending:
    pending = mirror.answer(request)
    assert isinstance(pending, Pending)
    return pending


def field(reply: Reply, name: str) -> str | None:
    return next((v for n, v in reply.fields if n.lower() == name.lower()), None)


async def error_code(reply: Reply) -> str:
    return str(json.loads(await reply.body.read())["errors"][0]["code"])


@pytest.mark.parametrize(
    ("request_", "realm"),
    [
        pytest.param(REQUEST, "http://127.0.0.1:8080", id="plain: where it came in"),
        pytest.param(replace(REQUEST, local_host="::1"), "http://[::1]:8080", id="plain, IPv6"),
        pytest.param(replace(TLS, sni="m.example"), "https://m.example", id="a covered name"),
        pytest.param(replace(TLS, sni="a.wild.example"), "https://a.wild.example", id="a wildcard"),
        pytest.param(
            replace(TLS, sni="m.example", local_port=8443),
            "https://m.example:8443",
            id="a covered name and a port",
        ),
        # Whatever the client asked for, the certificate is not for it.
        pytest.param(replace(TLS, sni="evil.example"), "https://192.0.2.1", id="a foreign name"),
        pytest.param(replace(TLS, sni="a.b.wild.example"), "https://192.0.2.1", id="too deep"),
        pytest.param(TLS, "https://192.0.2.1", id="no name"),
        pytest.param(replace(TLS, sni=""), "https://192.0.2.1", id="an empty name"),
        # A wildcard covers any first label, but these end the host.
        pytest.param(
            replace(TLS, sni="evil/x.wild.example"), "https://192.0.2.1", id="a slash in a name"
        ),
        pytest.param(
            replace(TLS, sni='evil"x.wild.example'), "https://192.0.2.1", id="a quote in a name"
        ),
    ],
)
def test_the_realm_is_where_the_client_came_in(request_: Incoming, realm: str) -> None:
    reply = at_once(answering(certificate=CERTIFICATE if request_.tls else None), request_)
    assert reply.status == 401
    challenge = f'Bearer realm="{realm}/auth/token",service="registry.docker.io"'
    assert field(reply, "WWW-Authenticate") == challenge


@pytest.mark.parametrize(
    "forged",
    [
        ("Host", "evil.example"),
        ("Host", "m.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X-Original-URL", "/health"),
    ],
)
@pytest.mark.parametrize("request_", [REQUEST, TLS, replace(TLS, sni="m.example")])
def test_no_field_changes_the_realm(request_: Incoming, forged: tuple[str, str]) -> None:
    mirror = answering(certificate=CERTIFICATE if request_.tls else None)
    honest = at_once(mirror, request_)
    assert at_once(mirror, replace(request_, fields=[forged])).fields == honest.fields


@pytest.mark.parametrize("request_", [REQUEST, replace(TLS, sni="m.example")])
def test_the_public_address_goes_before_all(request_: Incoming) -> None:
    mirror = answering(
        certificate=CERTIFICATE if request_.tls else None, public_url="https://public.example"
    )
    challenge = field(at_once(mirror, request_), "WWW-Authenticate") or ""
    assert challenge.startswith('Bearer realm="https://public.example/auth/token"')


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        pytest.param("PUT", "/v2/a/manifests/x", 405, "UNSUPPORTED", id="a push"),
        pytest.param("GET", "/v2/A/manifests/x", 400, "NAME_INVALID", id="a malformed name"),
        pytest.param("GET", "/v2/a/blobs/x", 400, "DIGEST_INVALID", id="a malformed digest"),
        pytest.param("GET", "/v2/a/manifests/-", 404, "MANIFEST_UNKNOWN", id="a malformed tag"),
        pytest.param("GET", "/v2/_catalog", 404, "UNSUPPORTED", id="nothing there"),
        pytest.param("GET", "/v2/a/manifests/x?ns=ghcr.io", 404, "NAME_UNKNOWN", id="another ns"),
        pytest.param(
            "GET", "/v2/a/tags/list?ns=ghcr.io&ns=docker.io", 404, "NAME_UNKNOWN", id="two ns"
        ),
    ],
)
async def test_a_refusal_is_a_reply_with_an_oci_error(
    method: str, target: str, status: int, code: str
) -> None:
    outbound = fake()
    reply = at_once(answering(outbound), replace(REQUEST, method=method, target=target))
    assert reply.status == status
    assert await error_code(reply) == code
    assert field(reply, "Content-Type") == "application/json"
    assert reply.fields[-1] == VERSION
    assert outbound.asked == []


@pytest.mark.parametrize(
    ("target", "is_registry"),
    [
        ("/v2/", True),
        ("/v2", True),
        ("/v2?ns=docker.io", True),
        ("/v2/_catalog", True),
        ("/v2//", True),
        ("/health", False),
        ("/auth/token/", False),
        ("/v22/", False),
        ("/", False),
        ("/x?/v2/", False),
    ],
)
def test_everything_under_v2_says_the_apis_version(target: str, is_registry: bool) -> None:
    reply = at_once(answering(), replace(REQUEST, target=target))
    assert (VERSION in reply.fields) is is_registry


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        pytest.param(
            "/v2/alpine/manifests/3?ns=docker.io", "library/alpine/manifests/3", id="manifest"
        ),
        pytest.param(
            "/v2/a/b/tags/list?n=1&ns=docker.io&last=%2f",
            "a/b/tags/list?n=1&last=%2f",
            id="tags",
        ),
        pytest.param(f"/v2/a/b/blobs/{DIGEST}", f"a/b/blobs/{DIGEST}", id="blob"),
        pytest.param(f"/v2/a/b/referrers/{DIGEST}", f"a/b/referrers/{DIGEST}", id="referrers"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_content_is_asked_for_upstream(method: str, target: str, sent: str) -> None:
    outbound = fake(answer(200, content=b"x"))
    request = replace(REQUEST, method=method, target=target, fields=[CREDENTIALS])
    pending = later(answering(outbound), request)
    assert pending.url == "https://registry-1.docker.io/v2/" + sent
    assert not pending.holds_secret
    # Nobody is asked before mitmproxy wants the answer.
    assert outbound.asked == []
    reply = await pending.reply()
    assert (outbound.asked[0].method, outbound.asked[0].url) == (method, pending.url)
    assert (reply.status, reply.fields[-1]) == (200, VERSION)


@pytest.mark.parametrize("path", ["manifests/3", "tags/list", f"blobs/{DIGEST}"])
async def test_content_without_a_token_is_challenged_without_asking(path: str) -> None:
    outbound = fake()
    reply = await later(answering(outbound), replace(REQUEST, target=f"/v2/a/{path}")).reply()
    assert reply.status == 401
    challenge = (
        'Bearer realm="http://127.0.0.1:8080/auth/token",service="registry.docker.io",'
        'scope="repository:library/a:pull"'
    )
    assert field(reply, "WWW-Authenticate") == challenge
    assert reply.fields[-1] == VERSION
    assert outbound.asked == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_token_is_a_secret_and_no_registrys_answer(method: str) -> None:
    async def form() -> bytes:
        return b"grant_type=password"

    outbound = fake(answer(200, content=b"{}"))
    request = replace(REQUEST, method=method, target="/auth/token?service=s", form=form)
    pending = later(answering(outbound), request)
    assert pending.url == "https://auth.docker.io/token?service=s"
    assert pending.holds_secret
    reply = await pending.reply()
    assert VERSION not in reply.fields
    assert outbound.asked[0].body == (b"grant_type=password" if method == "POST" else None)


async def test_a_ping_with_a_token_is_asked_upstream() -> None:
    pending = later(answering(fake(answer(200))), replace(REQUEST, fields=[CREDENTIALS]))
    assert pending.url == "https://registry-1.docker.io/v2/"
    assert (await pending.reply()).fields[-1] == VERSION


@pytest.mark.parametrize(
    ("raised", "status", "code", "logged"),
    [
        pytest.param(
            UpstreamFailure(504, "UNAVAILABLE", "upstream r: time-out"),
            504,
            "UNAVAILABLE",
            ["upstream r: time-out"],
            id="an upstream's failure",
        ),
        pytest.param(Refusal(413, "SIZE_INVALID", "no"), 413, "SIZE_INVALID", [], id="a refusal"),
    ],
)
async def test_what_fails_later_is_a_reply_too(
    raised: MirrorError,
    status: int,
    code: str,
    logged: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = replace(REQUEST, target="/v2/a/manifests/x", fields=[CREDENTIALS])
    reply = await later(answering(fake(raised)), request).reply()
    assert reply.status == status
    assert await error_code(reply) == code
    assert reply.fields[-1] == VERSION
    assert caplog.messages == logged


async def test_a_slip_of_ours_is_a_reply_and_a_trace_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbound = fake()  # it has no answer, so it raises IndexError
    request = replace(REQUEST, target="/v2/a/manifests/x", fields=[CREDENTIALS])
    reply = await later(answering(outbound), request).reply()
    assert reply.status == 500
    assert await error_code(reply) == "UNKNOWN"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert internal_error().status == 500


@pytest.mark.parametrize("target", ["/health", "/health?probe=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("request_", [REQUEST, TLS, PLAIN], ids=["no TLS", "TLS", "beside TLS"])
def test_health_is_answered_at_every_door(request_: Incoming, method: str, target: str) -> None:
    tell(story := new_story())
    mirror = answering(certificate=None if request_ is REQUEST else CERTIFICATE)
    assert at_once(mirror, replace(request_, method=method, target=target)).status == 200
    assert story.route == Health()


async def test_readiness_is_asked_for_whoever_is_near_and_told_with_reasons() -> None:
    tell(story := new_story())
    outbound = fake(answer(401), answer(405))
    reply = await later(answering(outbound), replace(REQUEST, target="/ready")).reply()
    assert reply.status == 200
    report = json.loads(await reply.body.read())
    assert report["checks"][0]["why"] == "registry-1.docker.io answered 401"
    assert len(outbound.asked) == 2
    assert (story.route, story.came_from) == (Ready(), Source.MIRROR)


async def test_a_mirror_that_is_not_ready_says_503_and_its_story_why() -> None:
    tell(story := new_story())
    outbound = fake(answer(503), answer(405))
    reply = await later(answering(outbound), replace(REQUEST, target="/ready")).reply()
    assert reply.status == 503
    assert story.failure == "registry: registry-1.docker.io answered 503"


@pytest.mark.parametrize("request_", [TLS, PLAIN], ids=["TLS", "beside TLS"])
async def test_a_stranger_makes_the_mirror_ask_nobody_and_learns_no_host(
    request_: Incoming,
) -> None:
    outbound = fake()
    reply = at_once(answering(outbound, CERTIFICATE), replace(request_, target="/ready"))
    assert reply.status == 200
    checks = [{"name": "certificate", "ok": True}, {"name": "serving", "ok": True}]
    assert json.loads(await reply.body.read()) == {"status": "ready", "checks": checks}
    assert outbound.asked == []


async def test_readiness_is_for_those_whom_docxy_allow_lists() -> None:
    mirror = answering(allow="192.0.2.0/24")
    reply = at_once(mirror, replace(REQUEST, target="/ready"))
    assert (reply.status, await error_code(reply)) == (403, "DENIED")


def test_a_stranger_behind_a_trusted_proxy_is_one() -> None:
    mirror = answering(behind_proxy="127.0.0.1", public_url="https://m.example")
    request = replace(REQUEST, target="/ready", fields=[("X-Forwarded-For", "203.0.113.9")])
    assert at_once(mirror, request).status == 200
    near = replace(request, fields=[("X-Forwarded-For", "192.168.1.2")])
    later(mirror, near)


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.0.0.9", 403)])
def test_behind_a_proxy_this_machine_is_told_its_health(peer: str, status: int) -> None:
    mirror = answering(behind_proxy="192.0.2.0/24", public_url="https://m.example")
    request = replace(REQUEST, peer=parse_address(peer))
    assert at_once(mirror, replace(request, target="/health")).status == status
    assert at_once(mirror, replace(request, target="/v2/")).status == 403


@pytest.mark.parametrize(
    ("fields", "tls_port", "expected"),
    [
        pytest.param([("Host", "m.example")], 443, "https://m.example", id="a name of ours"),
        pytest.param([("Host", "M.Example:80")], 443, "https://m.example", id="with a port"),
        pytest.param([("host", "m.example")], 8443, "https://m.example:8443", id="another port"),
        pytest.param([("Host", "a.wild.example")], 443, "https://a.wild.example", id="a wildcard"),
        # A forged name would send the client anywhere.
        pytest.param([("Host", "evil.example")], 443, "https://192.0.2.1", id="a foreign name"),
        pytest.param([], 443, "https://192.0.2.1", id="no name"),
        pytest.param([("Host", "[::1]:80")], 443, "https://192.0.2.1", id="an address"),
        pytest.param([("Host", "")], 443, "https://192.0.2.1", id="an empty name"),
        pytest.param(
            [("Host", "evil/x.wild.example")], 443, "https://192.0.2.1", id="a slash in a name"
        ),
        pytest.param(
            [("Host", "2130706433\\x.wild.example")], 443, "https://192.0.2.1", id="a backslash"
        ),
        pytest.param([("Host", "u@x.wild.example")], 443, "https://192.0.2.1", id="a user"),
        pytest.param([("Host", "e?.wild.example")], 443, "https://192.0.2.1", id="a query"),
        pytest.param([("Host", "e#.wild.example")], 443, "https://192.0.2.1", id="a fragment"),
        pytest.param([("Host", "e\xe9.wild.example")], 443, "https://192.0.2.1", id="no ASCII"),
    ],
)
@pytest.mark.parametrize("target", ["/", "/v2/a/manifests/x?y=%2f", "/auth/token"])
def test_plain_http_beside_tls_leads_to_https(
    fields: Sequence[tuple[str, str]], tls_port: int, expected: str, target: str
) -> None:
    request = replace(PLAIN, fields=fields, tls_port=tls_port, target=target)
    reply = at_once(answering(certificate=CERTIFICATE), request)
    assert reply.status == 308
    assert field(reply, "Location") == expected + target


def test_plain_http_leads_to_the_public_address_where_it_is_https() -> None:
    mirror = answering(certificate=CERTIFICATE, public_url="https://public.example:8443")
    assert field(at_once(mirror, PLAIN), "Location") == "https://public.example:8443/v2/"
    mirror = answering(certificate=CERTIFICATE, public_url="http://public.example")
    assert field(at_once(mirror, PLAIN), "Location") == "https://192.0.2.1/v2/"


@pytest.mark.parametrize("target", ["/auth/token", "/v2/", "/health"])
async def test_nothing_is_taken_in_the_clear_beside_tls(target: str) -> None:
    outbound = fake()
    request = replace(PLAIN, method="POST", target=target, fields=[CREDENTIALS])
    reply = at_once(answering(outbound, CERTIFICATE), request)
    assert reply.status in (403, 405)
    assert outbound.asked == []


async def test_a_stranger_is_refused_without_a_certificate() -> None:
    for target in ("/v2/", "/health", "/auth/token", "/x"):
        request = replace(REQUEST, peer=parse_address("1.1.1.1"), target=target)
        reply = at_once(answering(), request)
        assert (reply.status, await error_code(reply)) == (403, "DENIED")


@pytest.mark.parametrize(
    ("peer", "status"), [("10.0.0.1", 401), ("::ffff:10.0.0.1", 401), ("127.0.0.1", 403)]
)
def test_behind_a_proxy_only_the_proxy_is_served(peer: str, status: int) -> None:
    mirror = answering(public_url="https://public.example", behind_proxy="10.0.0.0/8")
    request = replace(
        REQUEST, peer=parse_address(peer), fields=[("X-Forwarded-For", "10.0.0.1, 127.0.0.1")]
    )
    assert at_once(mirror, request).status == status


@pytest.mark.parametrize("how", ["is_own", "is_replayed"])
@pytest.mark.parametrize(
    ("certificate", "behind_proxy"),
    [
        pytest.param(None, "", id="from a public address"),
        pytest.param(None, "10.0.0.0/8", id="past the proxy"),
        pytest.param(CERTIFICATE, "", id="in the clear beside TLS"),
    ],
)
def test_whoever_runs_the_mirror_is_served_at_every_door(
    certificate: Certificate | None, behind_proxy: str, how: str
) -> None:
    url = "https://public.example" if behind_proxy else ""
    mirror = answering(certificate=certificate, public_url=url, behind_proxy=behind_proxy)
    request = replace(REQUEST, peer=parse_address("1.1.1.1"))
    assert at_once(mirror, request).status in (308, 403)
    # The challenge of the ping itself.
    assert at_once(mirror, replace(request, **{how: True})).status == 401  # type: ignore[arg-type]


def test_the_client_is_whom_the_trusted_proxy_names() -> None:
    mirror = answering(public_url="https://public.example", behind_proxy="10.0.0.0/8")
    lines = [("X-Forwarded-For", "192.0.2.66"), ("x-forwarded-for", "198.51.100.7, 10.0.0.2")]
    for peer, expected in (("10.0.0.1", "198.51.100.7"), ("203.0.113.9", "203.0.113.9")):
        request = replace(REQUEST, peer=parse_address(peer), fields=lines)
        assert mirror.client(request) == parse_address(expected)


@pytest.mark.parametrize("target", ["/v2/", "/v2/a/manifests/x", "/auth/token", "/x", "/health/x"])
@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["plain", "in the clear"])
async def test_who_is_not_allowed_is_refused_before_anything_goes_upstream(
    target: str, certificate: Certificate | None
) -> None:
    outbound = fake()
    request = replace(REQUEST, target=target, fields=[CREDENTIALS])
    reply = at_once(answering(outbound, certificate, allow="10.0.0.0/8"), request)
    assert (reply.status, await error_code(reply)) == (403, "DENIED")
    assert outbound.asked == []
    assert (field(reply, VERSION[0]) == VERSION[1]) == target.startswith("/v2/")


@pytest.mark.parametrize("how", ["is_own", "is_replayed"])
def test_whoever_runs_the_mirror_is_always_allowed(how: str) -> None:
    mirror = answering(allow="10.0.0.0/8")
    assert at_once(mirror, REQUEST).status == 403
    assert at_once(mirror, replace(REQUEST, **{how: True})).status == 401  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["/health", "/health?x"])
def test_health_is_for_everybody(target: str) -> None:
    mirror = answering(allow="10.0.0.0/8", certificate=CERTIFICATE)
    assert at_once(mirror, replace(TLS, target=target)).status == 200
    assert at_once(mirror, replace(TLS, target="/v2/")).status == 403


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        pytest.param("10.0.0.1", "198.51.100.7", 401, id="a client that is allowed"),
        pytest.param("10.0.0.1", "203.0.113.9", 403, id="a client that is not"),
        pytest.param("10.0.0.1", "198.51.100.7, 203.0.113.9", 403, id="one that makes one up"),
        pytest.param("10.0.0.1", "nonsense", 403, id="a proxy that names nobody"),
    ],
)
def test_behind_a_proxy_it_is_the_client_that_must_be_allowed(
    peer: str, forwarded: str, status: int
) -> None:
    mirror = answering(
        public_url="https://public.example", behind_proxy="10.0.0.0/8", allow="198.51.100.0/24"
    )
    request = replace(REQUEST, peer=parse_address(peer), fields=[("X-Forwarded-For", forwarded)])
    assert at_once(mirror, request).status == status


CHALLENGE = "/.well-known/acme-challenge/a-token"


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    folder = tmp_path / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "a-token").write_bytes(b"a-token.thumb")
    return tmp_path


@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["no TLS", "beside TLS"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_authority_reads_its_challenge_from_anywhere(
    webroot: Path, method: str, certificate: Certificate | None
) -> None:
    tell(story := new_story())
    mirror = answering(certificate=certificate, acme_webroot=webroot, allow="10.0.0.0/8")
    reply = at_once(mirror, replace(PLAIN, method=method, target=CHALLENGE))
    assert (reply.status, await reply.body.read()) == (200, b"a-token.thumb")
    assert story.route == AcmeChallenge("a-token")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", CHALLENGE + "x", 404),
        ("GET", CHALLENGE + "/../a-token", 404),
        ("POST", CHALLENGE, 405),
        ("GET", "/.well-known/acme-challenge/../../v2/", 404),
    ],
)
def test_the_door_for_the_authority_leads_nowhere_else(
    webroot: Path, method: str, target: str, status: int
) -> None:
    mirror = answering(certificate=CERTIFICATE, acme_webroot=webroot)
    assert at_once(mirror, replace(PLAIN, method=method, target=target)).status == status


def test_without_a_webroot_a_challenge_is_an_address_like_any_other() -> None:
    mirror = answering(certificate=CERTIFICATE)
    assert at_once(mirror, replace(PLAIN, target=CHALLENGE)).status == 308
    assert at_once(mirror, replace(TLS, target=CHALLENGE)).status == 404


@pytest.mark.parametrize("upstream", [answer(200), answer(404)], ids=["found", "not found"])
async def test_one_pending_answer_is_one_request(upstream: Answer) -> None:
    outbound = fake(upstream)
    pending = later(
        answering(outbound), replace(REQUEST, target="/v2/a/tags/list", fields=[CREDENTIALS])
    )
    assert (await pending.reply()).status == upstream.status
    assert len(outbound.asked) == 1
