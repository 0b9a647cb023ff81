from __future__ import annotations

import asyncio
import random

import pytest

from addon.blob.redirects import (
    MARGIN,
    REDIRECTS,
    Redirects,
    expires_at,
    follow,
    resolve_target,
)
from addon.memory.sharing import BlobKey
from addon.protocol.errors import UpstreamFailure
from addon.protocol.registry import Registry, same_origin
from tests.outbounds import Asked, FakeOutbound, NotedBody, answer, closings, fake, redirect

REGISTRY = Registry("https://r.example")
PLAIN = Registry("http://r.lan:5000")
URL = "https://r.example/v2/a/blobs/sha256:abc"
CDN = "https://cdn.example/data?Expires=1&Signature=a%2Fb%2f+c~&Key-Pair-Id=K"
FIELDS = [("Authorization", "Bearer abc"), ("Range", "bytes=0-9"), ("Accept", "*/*")]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param(CDN, CDN, id="a presigned address, byte for byte"),
        pytest.param(
            "https://cdn.example/a/../b//c/./d?x=../%2e%2E/&&y",
            "https://cdn.example/a/../b//c/./d?x=../%2e%2E/&&y",
            id="odd paths, byte for byte",
        ),
        pytest.param("https://cdn.example", "https://cdn.example", id="a host alone"),
        pytest.param("https://cdn.example?x", "https://cdn.example?x", id="a host with a query"),
        pytest.param("https://cdn.example:8443/x", "https://cdn.example:8443/x", id="a port"),
        pytest.param("https://[2606:4700::1]/x", "https://[2606:4700::1]/x", id="IPv6"),
        pytest.param("HTTPS://CDN.example/X", "HTTPS://CDN.example/X", id="upper case"),
        # It is for the one who follows, and nobody sends it (RFC 9110, section 10.2.2).
        pytest.param("https://cdn.example/x?y#z?w", "https://cdn.example/x?y", id="a fragment"),
        pytest.param("/x/y?z=%2F", "https://r.example/x/y?z=%2F", id="a path"),
        pytest.param("x?y", "https://r.example/v2/a/blobs/x?y", id="relative"),
        pytest.param("../manifests/x", "https://r.example/v2/a/manifests/x", id="above"),
        pytest.param("?x=y", URL + "?x=y", id="a query alone"),
        pytest.param("//cdn.example/x?y", "https://cdn.example/x?y", id="without a scheme"),
        pytest.param(
            "/fetch?from=https://cdn.example/x",
            "https://r.example/fetch?from=https://cdn.example/x",
            id="an address in a path's query",
        ),
        pytest.param(
            "/fetch/https://cdn.example/x",
            "https://r.example/fetch/https://cdn.example/x",
            id="an address in a path",
        ),
        pytest.param(
            "https://cdn.example/x?from=http://a.example",
            "https://cdn.example/x?from=http://a.example",
            id="an address in an address",
        ),
    ],
)
def test_a_redirect_leads_where_the_upstream_wrote(location: str, expected: str) -> None:
    assert resolve_target(REGISTRY, URL, location) == expected


@pytest.mark.parametrize(
    "location",
    [
        # Everyone on the way could change what comes.
        pytest.param("http://cdn.example/x", id="no TLS"),
        pytest.param("http://r.example/x", id="no TLS at the registry itself"),
        pytest.param("ftp://cdn.example/x", id="another scheme"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("javascript:alert(1)", id="a script"),
        # Credentials that nobody gave us, and hosts that hide behind them.
        pytest.param("https://user:secret@cdn.example/x", id="a user"),
        pytest.param("https://r.example@cdn.example/x", id="the registry as a user"),
        pytest.param("https://@cdn.example/x", id="an empty user"),
        pytest.param("//user@cdn.example/x", id="a user without a scheme"),
        pytest.param("https://r.example\\@cdn.example/x", id="a backslash before a user"),
        # The request's line would end, or hold another address than was checked.
        pytest.param("https://cdn.example/a b", id="a blank"),
        pytest.param("https://cdn.example/x ", id="a blank at the end"),
        pytest.param(" https://cdn.example/x", id="a blank in front"),
        pytest.param("https://cdn.example/\tx", id="a tab"),
        pytest.param("https://cdn.example/x\r\nHost: a", id="a line end"),
        pytest.param("https://cdn.example/x\n", id="a line end at the end"),
        pytest.param("https://cdn.example/\0", id="NUL"),
        pytest.param("https://cdn.example/\xe9", id="beyond ASCII"),
        pytest.param("", id="empty"),
        # No host, no port.
        pytest.param("https://", id="no host"),
        pytest.param("https:///x", id="no host but a path"),
        pytest.param("https://:443/x", id="a port without a host"),
        pytest.param("https://cdn.example:0/", id="port 0"),
        pytest.param("https://cdn.example:x/", id="a port that is a word"),
        pytest.param("https://cdn.example:65536/", id="too large a port"),
        pytest.param("https://[::1/", id="a bracket that does not close"),
        pytest.param("//[::1/", id="a bracket that does not close, without a scheme"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_is_refused(location: str) -> None:
    with pytest.raises(UpstreamFailure, match=r"^upstream r\.example: its redirect ") as refused:
        resolve_target(REGISTRY, URL, location)
    assert refused.value.status == 502


def test_a_refusal_shows_no_signature() -> None:
    with pytest.raises(UpstreamFailure) as refused:
        resolve_target(REGISTRY, URL, "http://user:pw@cdn.example/path?Signature=secret")
    with pytest.raises(UpstreamFailure) as downgraded:
        resolve_target(REGISTRY, URL, "http://cdn.example/path?Signature=secret")
    assert "http://cdn.example" in downgraded.value.message
    for message in (refused.value.message, downgraded.value.message):
        assert not any(word in message for word in ("secret", "pw", "path"))


def test_an_upstream_without_tls_redirects_without_tls() -> None:
    assert resolve_target(PLAIN, PLAIN.url + "/v2/", "http://cdn.lan/x") == "http://cdn.lan/x"
    assert resolve_target(PLAIN, PLAIN.url + "/v2/", "/x") == "http://r.lan:5000/x"
    assert resolve_target(PLAIN, PLAIN.url + "/v2/", "https://c.lan/") == "https://c.lan/"


def test_random_locations_lead_to_https_or_are_refused() -> None:
    source = random.Random(8)
    pieces = ["https:", "http:", "//", "/", "cdn.example", "@", ":", "443", "\\", "[", "::1", "]"]
    pieces += ["?", "#", "%2f", ";", "..", " ", "\0", "é", "x"]
    resolved = 0
    for _ in range(8000):
        front = source.choice(("https://", "//", "/", ""))
        location = front + "".join(source.choices(pieces, k=source.randint(0, 6)))
        try:
            target = resolve_target(REGISTRY, URL, location)
        except UpstreamFailure:
            continue
        resolved += 1
        assert target.lower().startswith("https://"), location
        assert "#" not in target, location
        assert "@" not in target.split("/")[2].partition("?")[0], location
        if location.startswith("https://"):
            assert location.startswith(target), location
    assert resolved > 1000


async def followed(outbound: FakeOutbound, method: str = "GET") -> int:
    reply = (await follow(outbound.outbound, REGISTRY, method, URL, FIELDS)).answer
    return reply.status


@pytest.mark.parametrize("status", [200, 206, 304, 401, 404, 416, 429, 500])
async def test_what_is_no_redirect_is_the_answer(status: int) -> None:
    outbound = fake(answer(status, ("Location", CDN)))
    assert await followed(outbound) == status
    assert outbound.asked == [Asked("GET", URL, FIELDS, None, redirected=False)]


@pytest.mark.parametrize("status", sorted(REDIRECTS))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_redirect_is_followed_without_credentials(method: str, status: int) -> None:
    first, last = redirect(CDN, status), answer(200, content=b"x")
    outbound = fake(first, last)
    assert (await follow(outbound.outbound, REGISTRY, method, URL, FIELDS)).answer is last
    assert outbound.asked == [
        Asked(method, URL, FIELDS, None, redirected=False),
        Asked(method, CDN, FIELDS[1:], None, redirected=True),
    ]
    # The connection of the first is free again, the last one's body is the caller's.
    assert closings([first, last]) == [1, 0]


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_another_status_is_not_followed(status: int) -> None:
    assert await followed(fake(redirect(CDN, status))) == status


async def test_a_redirect_without_an_address_is_the_answer() -> None:
    assert await followed(fake(answer(307))) == 307


@pytest.mark.parametrize(
    ("locations", "with_authorization", "redirected"),
    [
        pytest.param(["/b"], [True, True], [False, False], id="a path"),
        pytest.param(
            ["https://R.example:443/b"],
            [True, True],
            [False, False],
            id="the same, spelt otherwise",
        ),
        pytest.param([CDN], [True, False], [False, True], id="another host"),
        pytest.param(["//cdn.example/"], [True, False], [False, True], id="without a scheme"),
        pytest.param(["https://r.example:8443/"], [True, False], [False, True], id="another port"),
        pytest.param(["https://r.example./"], [True, False], [False, True], id="another spelling"),
        pytest.param(["https://x.r.example/"], [True, False], [False, True], id="a subdomain"),
        # Whoever was asked in between could have chosen where the credentials go.
        pytest.param(
            [CDN, "https://r.example/b"],
            [True, False, False],
            [False, True, False],
            id="away and back",
        ),
        pytest.param(
            [CDN, "/x", "https://cdn2.example/", "https://r.example/b", "/c"],
            [True, False, False, False, False, False],
            [False, True, True, True, False, False],
            id="away, on, and back",
        ),
        pytest.param(["/b", CDN], [True, True, False], [False, False, True], id="stay, then away"),
    ],
)
async def test_credentials_stay_at_the_registry_and_never_come_back(
    locations: list[str], with_authorization: list[bool], redirected: list[bool]
) -> None:
    outbound = fake(*(redirect(location) for location in locations), answer())
    assert await followed(outbound) == 200
    assert [asked.has_authorization for asked in outbound.asked] == with_authorization
    assert [asked.redirected for asked in outbound.asked] == redirected
    # All else goes on to the end.
    assert all(asked.fields[-2:] == FIELDS[1:] for asked in outbound.asked)
    assert FIELDS[0] == ("Authorization", "Bearer abc")


async def test_a_path_is_resolved_where_the_redirect_came_from() -> None:
    outbound = fake(redirect("https://cdn.example/a/b?x"), redirect("../c"), answer())
    await followed(outbound)
    assert outbound.asked[-1].url == "https://cdn.example/c"
    assert not same_origin(outbound.asked[-1].url, REGISTRY.url)


async def test_five_redirects_are_fine() -> None:
    answers = [redirect(f"/{n}") for n in range(5)]
    outbound = fake(*answers, answer())
    assert await followed(outbound) == 200
    assert len(outbound.asked) == 6
    assert closings(answers) == [1] * 5


async def test_six_redirects_are_refused() -> None:
    answers = [redirect(f"https://cdn.example/{n}") for n in range(6)]
    outbound = fake(*answers, answer())
    with pytest.raises(UpstreamFailure, match=r"^upstream cdn\.example: more than 5 redirects$"):
        await followed(outbound)
    assert len(outbound.asked) == 6
    assert closings(answers) == [1] * 6


async def test_a_refused_redirect_asks_nobody_and_leaves_nothing_open() -> None:
    first = redirect("http://cdn.example/")
    outbound = fake(first)
    with pytest.raises(UpstreamFailure, match="not to https"):
        await followed(outbound)
    assert len(outbound.asked) == 1
    assert closings([first]) == [1]


async def test_a_client_that_leaves_while_a_redirects_page_comes_leaves_nothing_open() -> None:
    class Stalled(NotedBody):
        async def read(self) -> bytes:
            await asyncio.Event().wait()
            return b""

    first = answer(307, ("Location", CDN), body=Stalled(b""))
    following = asyncio.ensure_future(followed(fake(first)))
    await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert closings([first]) == [1]


async def test_a_failure_on_the_way_is_passed_on() -> None:
    failure = UpstreamFailure(504, "UNAVAILABLE", "upstream cdn.example: time-out")
    with pytest.raises(UpstreamFailure, match="time-out"):
        await followed(fake(redirect(CDN), failure))


NOW = 1_700_000_000.0


def blob(number: int = 0, repository: str = "a") -> BlobKey:
    return BlobKey("", repository, f"sha256:{number}")


def kept_for(url: str, **lifetimes: float) -> float:
    """Seconds for which an address is given."""
    clock = Clock()
    redirects = Redirects(1, clock, **lifetimes)
    redirects.keep(blob(), "GET", url)
    if not redirects.get(blob(), "GET"):
        return 0.0
    least, most = 0.0, 1e6
    while most - least > 0.01:
        clock.now = NOW + (least + most) / 2
        if redirects.get(blob(), "GET"):
            least = clock.now - NOW
        else:
            most = clock.now - NOW
    return round(most, 1)


AMZ = "https://s3.example/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20231114T221320Z"


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        pytest.param(f"https://c.example/x?Expires={int(NOW) + 1200}&Signature=a", 1200, id="Hub"),
        pytest.param(f"https://c.example/x?Expires={int(NOW) - 5}", -5, id="over already"),
        pytest.param("https://c.example/x?Expires=1", 1 - NOW, id="over long ago"),
        # 20231114T221320Z is 1700000000.
        pytest.param(f"{AMZ}&X-Amz-Expires=1200", 1200, id="S3"),
        pytest.param(f"{AMZ}&X-Amz-Expires=0", 0, id="S3, over already"),
    ],
)
def test_an_address_holds_until_shortly_before_it_says(url: str, seconds: float) -> None:
    assert expires_at(url) == NOW + seconds
    assert kept_for(url) == max(0.0, seconds - MARGIN)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://c.example/x", id="no query"),
        pytest.param("https://c.example/x?expires=1&e=2", id="other names"),
        pytest.param("https://c.example/x?Expires=", id="empty"),
        pytest.param("https://c.example/x?Expires=nan", id="no number"),
        pytest.param("https://c.example/x?Expires=inf", id="infinite"),
        pytest.param("https://c.example/x?Expires=-1", id="negative"),
        pytest.param("https://c.example/x?Expires=1e99", id="a float"),
        pytest.param("https://c.example/x?Expires=%D9%A1", id="digits that are not ASCII"),
        pytest.param(AMZ, id="S3 without seconds"),
        pytest.param(f"{AMZ}&X-Amz-Expires=soon", id="S3 with a word"),
        pytest.param("https://s/x?X-Amz-Date=20231399T221320Z&X-Amz-Expires=9", id="no date"),
        pytest.param("https://s/x?X-Amz-Expires=9", id="S3 without a date"),
        pytest.param("https://[c.example/x?Expires=1", id="no address"),
    ],
)
def test_an_address_that_does_not_say_holds_for_a_minute(url: str) -> None:
    assert expires_at(url) is None
    assert (kept_for(url), kept_for(url, unknown=7.0)) == (60.0, 7.0)


@pytest.mark.parametrize(
    "url",
    [
        "https://c.example/x?Expires=" + "9" * 400,
        "https://c.example/x?Expires=99999999999",
        f"{AMZ}&X-Amz-Expires=604800",
    ],
)
def test_no_address_is_kept_for_more_than_a_day(url: str) -> None:
    assert kept_for(url) == 24 * 3600.0 - MARGIN
    assert kept_for(url, longest=100.0) == 100.0 - MARGIN


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class TestRedirects:
    def test_are_given_while_they_hold_and_by_method(self) -> None:
        clock = Clock()
        redirects = Redirects(10, clock)
        url = f"https://c.example/x?Expires={int(NOW) + 1200}"
        redirects.keep(blob(), "GET", url)
        assert redirects.get(blob(), "HEAD") is None
        assert redirects.get(blob(2), "GET") is None
        clock.now = NOW + 1200 - MARGIN - 1
        assert redirects.get(blob(), "GET") == url
        clock.now = NOW + 1200 - MARGIN
        assert redirects.get(blob(), "GET") is None

    def test_one_that_is_over_is_never_given(self) -> None:
        redirects = Redirects(10, Clock())
        redirects.keep(blob(), "GET", "https://c.example/x?Expires=1")
        assert redirects.get(blob(), "GET") is None

    def test_forget_and_drop_what_is_meant_alone(self) -> None:
        redirects = Redirects(10, Clock())
        for key in (blob(1), blob(2), blob(1, "b")):
            for method in ("GET", "HEAD"):
                redirects.keep(key, method, "https://c.example/x")
        redirects.forget(blob(1), "GET")
        redirects.forget(blob(9), "GET")
        assert redirects.get(blob(1), "GET") is None
        assert redirects.get(blob(1), "HEAD")
        redirects.drop("", "a")
        assert [redirects.get(blob(n), "HEAD") for n in (1, 2)] == [None, None]
        assert redirects.get(blob(1, "b"), "GET")

    def test_are_bounded(self) -> None:
        redirects = Redirects(3, Clock())
        for number in range(100):
            redirects.keep(blob(number), "GET", "https://c.example/x")
        assert len(redirects) == 3
        assert redirects.get(blob(99), "GET")
