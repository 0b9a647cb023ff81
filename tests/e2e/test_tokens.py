"""Tokens through the mirror: scopes in full, everything else as the client wrote it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from mitmproxy import io
from mitmproxy.http import HTTPFlow

from tests.e2e.client import Answer, Headers, ask, connect, format_request
from tests.hub import Hub
from tests.hub.hub import SERVICE
from tests.hub.media_types import OCI_MANIFEST
from tests.hub.raw import ask as ask_directly
from tests.running import Mirror, running_mirror

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LIMIT = 64 * 1024
MIB = 1024 * 1024

# What a client writes, in a query or a form, and what the token service gets.
SCOPES = [
    pytest.param("scope=repository:alpine:pull", "scope=repository:library/alpine:pull", id="one"),
    pytest.param(
        "scope=repository%3Aalpine%3Apull",
        "scope=repository:library/alpine:pull",
        id="encoded",
    ),
    pytest.param(
        "scope=repository:alpine:pull+repository:me/app:pull,push",
        "scope=repository:library/alpine:pull+repository:me/app:pull,push",
        id="several in one parameter",
    ),
    pytest.param(
        "scope=repository:alpine:pull%20repository:debian:pull",
        "scope=repository:library/alpine:pull+repository:library/debian:pull",
        id="several with an encoded space",
    ),
    pytest.param(
        "scope=repository:alpine:pull&scope=repository:a/b:pull&scope=repository:debian:pull",
        "scope=repository:library/alpine:pull&scope=repository:a/b:pull"
        "&scope=repository:library/debian:pull",
        id="several parameters",
    ),
    pytest.param(
        "scope=repository(plugin):vieux:pull",
        "scope=repository(plugin):library/vieux:pull",
        id="with a class",
    ),
    pytest.param(
        "%73cope=repository:alpine:pull",
        "%73cope=repository:library/alpine:pull",
        id="encoded name",
    ),
    pytest.param(
        "x=%7e&scope=repository:alpine:pull&account=al%69ce%2Fb+c&client_id=a%20b&offline_token=true",
        "x=%7e&scope=repository:library/alpine:pull&account=al%69ce%2Fb+c&client_id=a%20b"
        "&offline_token=true",
        id="other parameters byte for byte",
    ),
]
UNCHANGED = [
    pytest.param("scope=repository%3alibrary/alpine%3apull", id="full name"),
    pytest.param("scope=repository%3ame%2fapp:pull", id="other repository"),
    pytest.param("scope=repository:localhost:5000/me/app:pull", id="host with a port"),
    pytest.param("scope=registry:catalog:*", id="no repository"),
    pytest.param("scope=", id="empty scope"),
    pytest.param("scopes=repository:alpine:pull", id="another parameter's value"),
    pytest.param("a=%&b=%zz&&c", id="what decodes to nothing"),
]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def same(through: Answer, directly: Answer | Any) -> bool:
    return (through.status, through.body) == (directly.status, directly.body)


async def opens(mirror: Mirror, token: str, repository: str) -> bool:
    headers = {"Authorization": f"Bearer {token}", "Accept": OCI_MANIFEST}
    answer = await ask(mirror, f"/v2/{repository}/manifests/latest", headers=headers)
    assert answer.status in (200, 401)
    return answer.status == 200


@pytest.fixture(autouse=True)
def repositories(hub: Hub) -> Iterator[None]:
    hub.add_image("library/alpine")
    hub.add_image("me/private", private=True)
    hub.add_image("alice/own")
    hub.set_private("alice/own", "alice")
    yield
    hub.state.refresh_tokens.clear()


class TestScopes:
    @pytest.mark.parametrize(("asked", "sent"), SCOPES)
    async def test_library_is_injected_into_a_query(
        self, hub: Hub, mirror: Mirror, asked: str, sent: str
    ) -> None:
        answer = await ask(mirror, f"/auth/token?service={SERVICE}&{asked}")
        assert answer.status == 200
        assert hub.requests[-1].target == f"/token?service={SERVICE}&{sent}"

    @pytest.mark.parametrize(("asked", "sent"), SCOPES)
    async def test_library_is_injected_into_a_form(
        self, hub: Hub, mirror: Mirror, asked: str, sent: str
    ) -> None:
        form = f"grant_type=password&username=alice&password=wonderland&service={SERVICE}&"
        answer = await ask(mirror, "/auth/token", "POST", FORM, (form + asked).encode())
        assert answer.status == 200
        assert hub.requests[-1].method == "POST"
        assert hub.requests[-1].asked.body.decode() == form + sent

    @pytest.mark.parametrize("query", UNCHANGED)
    async def test_all_else_goes_byte_for_byte(self, hub: Hub, mirror: Mirror, query: str) -> None:
        await ask(mirror, f"/auth/token?{query}")
        assert hub.requests[-1].target == f"/token?{query}"
        await ask(mirror, "/auth/token", "POST", FORM, query.encode())
        assert hub.requests[-1].asked.body.decode() == query

    async def test_no_query_at_all(self, hub: Hub, mirror: Mirror) -> None:
        answer = await ask(mirror, "/auth/token")
        assert (answer.status, hub.requests[-1].target) == (400, "/token")

    async def test_form_of_another_type_is_not_touched(self, hub: Hub, mirror: Mirror) -> None:
        kind = {"Content-Type": "application/json"}
        body = b'{"scope=repository:alpine:pull"}'
        await ask(mirror, "/auth/token", "POST", kind, body)
        assert hub.requests[-1].asked.body == body
        assert hub.requests[-1].asked.headers["Content-Type"] == "application/json"

    async def test_form_type_may_have_a_charset(self, hub: Hub, mirror: Mirror) -> None:
        kind = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}
        await ask(mirror, "/auth/token", "POST", kind, b"scope=repository:alpine:pull")
        assert hub.requests[-1].asked.body == b"scope=repository:library/alpine:pull"
        assert hub.requests[-1].asked.headers["Content-Type"] == kind["Content-Type"]

    async def test_token_asked_for_a_short_name_opens_the_official_image(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        answer = await ask(mirror, f"/auth/token?service={SERVICE}&scope=repository:alpine:pull")
        assert await opens(mirror, answer.json["token"], "alpine")
        assert await opens(mirror, answer.json["token"], "library/alpine")


class TestCredentials:
    QUERY = f"service={SERVICE}&scope=repository:me/private:pull"

    async def test_anonymous_token_does_not_open_what_is_private(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        answer = await ask(mirror, f"/auth/token?{self.QUERY}")
        assert not await opens(mirror, answer.json["token"], "me/private")

    async def test_basic_is_passed_on(self, hub: Hub, mirror: Mirror) -> None:
        answer = await ask(mirror, f"/auth/token?{self.QUERY}", headers=basic("bob", "builder"))
        assert hub.requests[-1].asked.headers["Authorization"] == "Basic Ym9iOmJ1aWxkZXI="
        assert await opens(mirror, answer.json["token"], "me/private")

    @pytest.mark.parametrize(
        "authorization",
        [
            pytest.param(basic("bob", "wrong")["Authorization"], id="wrong password"),
            pytest.param(basic("nobody", "")["Authorization"], id="unknown user"),
            pytest.param("Basic !", id="not base64"),
            pytest.param("Bearer x", id="another scheme"),
        ],
    )
    async def test_wrong_credentials_are_answered_as_the_hub_does(
        self, hub: Hub, mirror: Mirror, authorization: str
    ) -> None:
        headers = {"Authorization": authorization}
        answer = await ask(mirror, f"/auth/token?{self.QUERY}", headers=headers)
        directly = await ask_directly(
            f"{hub.token_url}?{self.QUERY}", headers=headers, tls=hub.client_context()
        )
        assert (answer.status, answer.json) == (401, directly.json)
        assert same(answer, directly)

    async def test_one_clients_credentials_are_not_anothers(self, hub: Hub, mirror: Mirror) -> None:
        query = f"/auth/token?service={SERVICE}&scope=repository:alice/own:pull"
        async with connect(mirror) as connection:
            # The same connection, as behind a proxy in front, and the same upstream connection.
            alice = await connection.ask(query, headers=basic("alice", "wonderland"))
            bob = await connection.ask(query, headers=basic("bob", "builder"))
            nobody = await connection.ask(query)
        assert "Authorization" not in hub.requests[-1].asked.headers
        assert await opens(mirror, alice.json["token"], "alice/own")
        assert not await opens(mirror, bob.json["token"], "alice/own")
        assert not await opens(mirror, nobody.json["token"], "alice/own")

    async def test_password_grant_then_refresh_token_grant(self, hub: Hub, mirror: Mirror) -> None:
        common = {"service": SERVICE, "client_id": "containerd-client"}
        scope = {"scope": "repository:me/private:pull"}
        login = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        form = urlencode({**login, **common, **scope, "access_type": "offline"})
        answer = await ask(mirror, "/auth/token", "POST", FORM, form.encode())
        assert await opens(mirror, answer.json["access_token"], "me/private")
        refresh = {"grant_type": "refresh_token", "refresh_token": answer.json["refresh_token"]}
        form = urlencode({**refresh, **common, **scope})
        answer = await ask(mirror, "/auth/token", "POST", FORM, form.encode())
        assert await opens(mirror, answer.json["access_token"], "me/private")

    @pytest.mark.parametrize(
        ("form", "status"),
        [
            pytest.param("grant_type=password&username=alice&password=no", 401, id="password"),
            pytest.param("grant_type=refresh_token&refresh_token=no", 401, id="refresh token"),
            pytest.param("grant_type=other", 400, id="unknown grant"),
            pytest.param("", 400, id="empty form"),
        ],
    )
    async def test_wrong_grant_is_answered_as_the_hub_does(
        self, hub: Hub, mirror: Mirror, form: str, status: int
    ) -> None:
        answer = await ask(mirror, "/auth/token", "POST", FORM, form.encode())
        directly = await ask_directly(
            hub.token_url,
            method="POST",
            headers=FORM,
            body=form.encode(),
            tls=hub.client_context(),
        )
        assert answer.status == status
        assert same(answer, directly)

    async def test_nothing_secret_stands_in_the_mirrors_log(self, hub: Hub, mirror: Mirror) -> None:
        lines = len(mirror.log)
        query = f"{self.QUERY}&offline_token=true&account=alice&x=inthequery"
        headers = basic("alice", "wonderland")
        answer = await ask(mirror, f"/auth/token?{query}", headers=headers)
        form = "grant_type=password&username=alice&password=wonderland&" + self.QUERY
        await ask(mirror, "/auth/token", "POST", FORM, form.encode())
        await mirror.log_line("POST /auth/token")
        text = "\n".join(mirror.log[lines:])
        assert "GET /auth/token" in text
        secrets = [answer.json["token"], answer.json["refresh_token"], "wonderland", "inthequery"]
        for secret in [*secrets, headers["Authorization"].split()[1]]:
            assert secret not in text


class TestSavedFlows:
    async def test_show_who_asked_for_what_and_no_secret(self, hub: Hub, tmp_path: Path) -> None:
        flows = tmp_path / "flows.mitm"
        form = "grant_type=password&username=alice&password=wonderland&access_type=offline&"
        query = f"/auth/token?{TestCredentials.QUERY}&offline_token=true"
        login = basic("alice", "wonderland")
        async with running_mirror(hub, tmp_path / "confdir", "-w", str(flows)) as mirror:
            logged_in = await ask(mirror, query, headers=login)
            by_form = await ask(
                mirror, "/auth/token", "POST", FORM, (form + TestCredentials.QUERY).encode()
            )
            assert await opens(mirror, logged_in.json["token"], "me/private")
            assert await mirror.stop() == 0
        with flows.open("rb") as file:
            saved = [flow for flow in io.FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
        assert len(saved) == 3
        authorizations = [flow.request.headers.get("Authorization") for flow in saved]
        assert authorizations == ["Basic [redacted]", None, "Bearer [redacted]"]
        assert saved[1].request.text == (
            form.replace("wonderland", "[redacted]") + TestCredentials.QUERY
        )
        for flow, answer in zip(saved, (logged_in, by_form), strict=False):
            assert flow.response
            shown, signed = flow.response.json(), answer.json["token"].rpartition(".")[0]
            assert shown["token"] == shown["access_token"] == f"{signed}.[redacted]"
            assert shown["refresh_token"] == "[redacted]"
            assert shown["expires_in"] == answer.json["expires_in"]
        # Whole or in part, wherever in the file.
        content = flows.read_bytes()
        for answer in (logged_in, by_form):
            assert answer.body not in content
            assert answer.json["refresh_token"].encode() not in content
            assert answer.json["token"].rpartition(".")[2].encode() not in content
        for secret in ("wonderland", login["Authorization"].split()[1]):
            assert secret.encode() not in content


class TestFields:
    async def test_what_the_token_service_is_told(self, hub: Hub, mirror: Mirror) -> None:
        passed = {
            **basic("alice", "wonderland"),
            **FORM,
            "Accept": "application/json",
            "User-Agent": "containerd/2.1",
        }
        dropped = {
            "Cookie": "mine=secret",
            "X-Forwarded-For": "192.0.2.1",
            "Origin": "https://evil.example",
            "Accept-Encoding": "gzip",
            "Range": "bytes=0-",
        }
        await ask(mirror, "/auth/token", "POST", {**passed, **dropped}, b"grant_type=x")
        arrived = hub.requests[-1].asked.headers
        own = {
            "Accept-Encoding": "identity",
            "Content-Length": "12",
            "Host": urlsplit(hub.token_url).netloc,
        }
        assert sorted(arrived.items()) == sorted({**passed, **own}.items())

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    async def test_other_methods_are_refused_here(
        self, hub: Hub, mirror: Mirror, method: str
    ) -> None:
        answer = await ask(mirror, "/auth/token", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
        assert not hub.requests

    async def test_answer_may_not_be_kept_from_the_client(self, hub: Hub, mirror: Mirror) -> None:
        answer = await ask(mirror, f"/auth/token?service={SERVICE}")
        directly = await ask_directly(
            f"{hub.token_url}?service={SERVICE}", tls=hub.client_context()
        )
        assert set(answer.json) == set(directly.json)
        assert answer.headers["Content-Type"] == directly.headers["Content-Type"]
        # Nothing of the registry's API belongs here.
        assert "Docker-Distribution-Api-Version" not in answer.headers


class TestFormSize:
    @staticmethod
    def form(size: int) -> bytes:
        start = f"grant_type=password&username=alice&password=wonderland&service={SERVICE}&pad="
        return start.encode() + b"x" * (size - len(start))

    @staticmethod
    def framed(form: bytes, framing: str) -> tuple[Headers, bytes]:
        if framing == "length":
            return {**FORM, "Content-Length": str(len(form))}, form
        pieces = [form[at : at + 10_000] for at in range(0, len(form), 10_000)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        return {**FORM, "Transfer-Encoding": "chunked"}, chunks

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_largest_passes_whole(self, hub: Hub, mirror: Mirror, framing: str) -> None:
        form = self.form(LIMIT)
        answer = await ask(mirror, "/auth/token", "POST", *self.framed(form, framing))
        assert answer.status == 200
        assert hub.requests[-1].asked.body == form

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_one_byte_more_is_refused(self, hub: Hub, mirror: Mirror, framing: str) -> None:
        headers, body = self.framed(self.form(LIMIT + 1), framing)
        answer = await ask(mirror, "/auth/token", "POST", headers, body)
        assert answer.error == (413, "SIZE_INVALID")
        assert not hub.requests

    async def test_huge_one_is_dropped_not_kept(self, hub: Hub, mirror: Mirror) -> None:
        before = mirror.memory()
        async with connect(mirror) as connection:
            headers = {**FORM, "Content-Length": str(50 * MIB)}
            await connection.send(format_request("/auth/token", "POST", headers))
            for _ in range(50):
                await connection.send(bytes(MIB))
            assert (await connection.answer("POST")).error == (413, "SIZE_INVALID")
        assert mirror.memory() - before < 12 * MIB
        assert not hub.requests

    async def test_client_that_waits_for_100_continue_gets_it(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        form = self.form(200)
        async with connect(mirror) as connection:
            headers = {**FORM, "Content-Length": "200", "Expect": "100-continue"}
            await connection.send(format_request("/auth/token", "POST", headers))
            assert (await connection.answer("POST")).status == 100
            await connection.send(form)
            assert (await connection.answer("POST")).status == 200
        assert hub.requests[-1].asked.body == form

    async def test_connection_serves_on_after_a_form(self, hub: Hub, mirror: Mirror) -> None:
        async with connect(mirror) as connection:
            for _ in range(3):
                answer = await connection.ask("/auth/token", "POST", FORM, self.form(300))
                assert answer.status == 200
                assert (await connection.ask("/v2/")).status == 401

    async def test_client_that_leaves_in_the_middle_of_a_form_asks_nothing(
        self, hub: Hub, mirror: Mirror
    ) -> None:
        lines = len(mirror.log)
        async with connect(mirror) as connection:
            headers = {**FORM, "Content-Length": "1000"}
            await connection.send(format_request("/auth/token", "POST", headers) + b"grant_type=")
        await hub.until(lambda: len(mirror.log) > lines)
        assert "POST /auth/token: " in mirror.log[lines]
        assert not hub.requests
