"""Token answers: what they allow is shown, what opens it never."""

from __future__ import annotations

import random
import string
from base64 import urlsafe_b64encode

import pytest

from addon.views.reading import MAX_BODY
from addon.views.token import parse_jwt, show_token
from tests.views.bodies import (
    BLOB,
    CLAIMS,
    HOSTILE,
    JSON,
    NOON,
    OCI_INDEX,
    encode,
    is_harmless,
    jwt,
    spoilt,
)

OPAQUE = "dckr_oat_7Yp0lQZ2xW9aVb3RtKs5"
JWT = jwt(CLAIMS)
HEADER, PAYLOAD, SIGNATURE = JWT.split(".")

# Parts of a token that give it away: any run of so many of its characters.
PART = 12


def shown(**answer: object) -> str:
    text = show_token(JSON, encode(answer), NOON)
    assert text is not None
    assert is_harmless(text)
    return text


def assert_hidden(text: str, *secrets: str) -> None:
    for secret in secrets:
        parts = {secret[i : i + PART] for i in range(max(1, len(secret) - PART + 1))}
        assert not [part for part in parts if part in text]


def test_a_jwt_is_decoded_and_not_shown() -> None:
    text = shown(token=JWT, access_token=JWT, refresh_token=OPAQUE, expires_in=300)
    assert text.splitlines() == [
        "Token answer: good for 287 s yet",
        "",
        "Answer",
        f"  token          a JWT of {len(JWT)} characters, not shown",
        "  access_token   the same as token",
        "  refresh_token  opaque of 29 characters, not shown",
        "  expires_in     300",
        "",
        "Header of token",
        "  alg  ES256",
        "  typ  JWT",
        "",
        "Claims of token",
        "  iss  auth.docker.io",
        "  exp  2024-05-01 12:04:47 UTC, in 287 s",
        "",
        "Scopes of token",
        "  repository  library/alpine  pull",
    ]
    assert_hidden(text, HEADER, PAYLOAD, SIGNATURE, OPAQUE)


def test_each_jwt_is_decoded_once() -> None:
    other = jwt({"sub": "other"})
    text = shown(token=JWT, access_token=other, refresh_token=other)
    assert text.count("Claims of token\n") == 1
    assert text.count("Claims of access_token\n  sub  other") == 1
    assert "refresh_token  the same as access_token" in text
    assert_hidden(text, *JWT.split("."), *other.split("."))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(f"{HEADER}.{PAYLOAD}", id="taken out"),
        pytest.param(f"{HEADER}.{PAYLOAD}.", id="empty"),
        pytest.param(f"{HEADER}.{PAYLOAD}.***", id="hidden"),
    ],
)
def test_a_jwt_may_have_lost_its_signature(token: str) -> None:
    assert "library/alpine" in shown(token=token)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(OPAQUE, id="no dots"),
        pytest.param(f"{HEADER}.{PAYLOAD}.{SIGNATURE}.{SIGNATURE}", id="four parts"),
        pytest.param(f"{HEADER}.{PAYLOAD}.{SIGNATURE}.a.b", id="encrypted"),
        pytest.param(f"{HEADER}.{PAYLOAD[:-5]}.{SIGNATURE}", id="claims broken off"),
        pytest.param(f"{HEADER}.A.{SIGNATURE}", id="claims of no length that base64 has"),
        pytest.param(f"{HEADER}..{SIGNATURE}", id="no claims"),
        pytest.param(f"{HEADER}.{HEADER}={SIGNATURE}", id="no base64url"),
        pytest.param(f"{HEADER}.{PAYLOAD}é.{SIGNATURE}", id="no ASCII"),
        pytest.param(f"{HEADER}.{PAYLOAD}.{SIGNATURE}".replace(".", "\n"), id="in lines"),
        pytest.param(jwt([1, 2]), id="claims that are a list"),  # type: ignore[arg-type]
        pytest.param(jwt(CLAIMS, [1]), id="a header that is a list"),
        pytest.param(jwt({"exp": float("nan")}), id="not a number"),
        pytest.param(
            f"{HEADER}.{urlsafe_b64encode(b'[' * 30_000).decode()}.{SIGNATURE}", id="too deep"
        ),
        pytest.param(f"\x1b{OPAQUE}\x1b", id="hostile"),
    ],
)
def test_of_what_is_no_jwt_only_the_length_is_shown(token: str) -> None:
    assert parse_jwt(token) is None
    text = shown(token=token, scope="pull")
    assert text.splitlines() == [
        "Token answer",
        "",
        "Answer",
        f"  token  opaque of {len(token):,} characters, not shown",
        "  scope  pull",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"scope": OPAQUE}, id="as the scope"),
        pytest.param({"scope": f"a{OPAQUE}b {OPAQUE}"}, id="in the scope"),
        pytest.param({"scope": [{"a": [OPAQUE]}]}, id="in a list"),
        pytest.param({"scope": {OPAQUE: 5}}, id="as a name"),
        pytest.param({"issued_at": OPAQUE}, id="as a time"),
        pytest.param({"expires_in": OPAQUE}, id="as a lifetime"),
        pytest.param({"id_token": OPAQUE}, id="as another token"),
        pytest.param({"password": OPAQUE}, id="in a field that is not known"),
        pytest.param({OPAQUE: 1}, id="as the name of a field"),
        pytest.param({"token": jwt({"t": OPAQUE})}, id="in a claim"),
        pytest.param({"token": jwt({"exp": OPAQUE})}, id="as a claim's time"),
        pytest.param({"token": jwt({OPAQUE: 1})}, id="as a claim's name"),
        pytest.param({"token": jwt(CLAIMS, {"kid": OPAQUE})}, id="in a header"),
        pytest.param({"token": jwt(CLAIMS, {OPAQUE: OPAQUE})}, id="as a header's name"),
        pytest.param({"token": jwt({"access": OPAQUE})}, id="as the access"),
        pytest.param({"token": jwt({"access": [OPAQUE]})}, id="in the access"),
        pytest.param(
            {"token": jwt({"access": [{"type": OPAQUE, "name": OPAQUE, "actions": [OPAQUE]}]})},
            id="as a scope of a token",
        ),
        pytest.param({"token": jwt({"t": "x" * 1020 + OPAQUE})}, id="where a text is cut"),
        pytest.param({"token": f"{OPAQUE}{OPAQUE}", "scope": OPAQUE * 3}, id="twice"),
    ],
)
def test_a_token_is_hidden_wherever_it_stands(answer: dict[str, object]) -> None:
    assert_hidden(shown(**{"access_token": OPAQUE, **answer}), OPAQUE)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param('say "hello", and \\ it opens', id="what JSON escapes"),
        pytest.param("\x1b[0m and a long rest", id="what a terminal obeys"),
        pytest.param("비밀번호는 아무에게도 보이지 않습니다", id="another language"),
    ],
)
def test_a_token_is_hidden_in_whatever_form(secret: str) -> None:
    text = shown(refresh_token=secret, scope=[secret], token=jwt({"a": secret, "b": {"c": secret}}))
    assert text.count("[hidden]") == 3
    assert_hidden(text, secret, secret.strip("\x1b"))


def test_a_token_within_a_token_is_hidden() -> None:
    inner = jwt({"sub": "inner"}, signature="AnotherSignature")
    text = shown(token=jwt({"t": inner, "l": [f"Bearer {inner}"], "sig": SIGNATURE}))
    assert '  t    [hidden]\n  l    ["Bearer [hidden]"]\n  sig  [hidden]' in text
    assert_hidden(text, *inner.split("."), SIGNATURE)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        pytest.param({"token": JWT}, "good for 287 s yet", id="by its claim"),
        pytest.param({"access_token": JWT}, "good for 287 s yet", id="by the other name"),
        pytest.param({"token": jwt({"exp": NOON - 13})}, "ended 13 s ago", id="ended"),
        pytest.param({"token": jwt({"exp": NOON})}, "ended 0 s ago", id="ends now"),
        pytest.param({"token": jwt({"exp": NOON + 0.5})}, "good for 0 s yet", id="nearly ended"),
        pytest.param(
            {"token": OPAQUE, "expires_in": 300, "issued_at": "2024-05-01T11:59:00Z"},
            "good for 240 s yet",
            id="by the answer",
        ),
        pytest.param(
            {
                "token": OPAQUE,
                "expires_in": 300,
                "issued_at": "2024-05-01T14:00:00.123456789+02:00",
            },
            "good for 300 s yet",
            id="in another zone, to the nanosecond",
        ),
        pytest.param(
            {"token": jwt({"exp": "a"}), "expires_in": 60, "issued_at": "2024-05-01T12:00:00Z"},
            "good for 60 s yet",
            id="by the answer, as the claim is none",
        ),
    ],
)
def test_the_seconds_that_are_left_are_said(answer: dict[str, object], left: str) -> None:
    assert shown(**answer).splitlines()[0] == f"Token answer: {left}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"token": OPAQUE, "expires_in": 300}, id="nobody knows from when"),
        pytest.param({"token": OPAQUE, "issued_at": "2024-05-01T11:59:00Z"}, id="nor how long"),
        pytest.param(
            {"token": OPAQUE, "expires_in": 300, "issued_at": "2024-05-01T11:59:00"}, id="no zone"
        ),
        pytest.param({"token": OPAQUE, "expires_in": 300, "issued_at": "now"}, id="no time"),
        pytest.param({"token": OPAQUE, "expires_in": 300, "issued_at": 5}, id="a number"),
        pytest.param({"token": jwt({"exp": True})}, id="true"),
        pytest.param({"token": jwt({"exp": -1})}, id="before 1970"),
        pytest.param({"token": jwt({"exp": 10**4000})}, id="huge"),
        pytest.param({"token": jwt({"exp": 253402300800})}, id="after 9999"),
        pytest.param({"token": jwt({"exp": [NOON]})}, id="a list"),
        pytest.param({"refresh_token": JWT}, id="a refresh token opens nothing by itself"),
    ],
)
def test_what_is_no_end_is_not_said(answer: dict[str, object]) -> None:
    assert shown(**answer).splitlines()[0] == "Token answer"


def test_an_infinite_end_is_none() -> None:
    claims = urlsafe_b64encode(b'{"exp": 1e999}').decode().rstrip("=")
    assert "  exp  Infinity" in shown(token=f"{HEADER}.{claims}.{SIGNATURE}")


def test_times_are_dates() -> None:
    text = shown(token=jwt({"iat": NOON - 5, "nbf": NOON - 5.5, "exp": NOON + 86400}))
    assert "  iat  2024-05-01 11:59:55 UTC, 5 s ago" in text
    assert "  nbf  2024-05-01 11:59:54 UTC, 5 s ago" in text
    assert "  exp  2024-05-02 12:00:00 UTC, in 86,400 s" in text


@pytest.mark.parametrize(
    ("access", "lines"),
    [
        pytest.param([], ["none"], id="empty"),
        pytest.param(None, ["none"], id="null"),
        pytest.param("a", ["a"], id="a text"),
        pytest.param([5, None], ["5", "null"], id="wrong entries"),
        pytest.param(
            [{"type": "repository", "name": "a/b", "actions": ["pull", "push"]}],
            ["repository  a/b  pull, push"],
            id="actions",
        ),
        pytest.param([{"type": "a", "name": "b", "actions": []}], ["a  b  nothing"], id="nothing"),
        pytest.param(
            [{"type": "a", "name": "\x1b", "actions": [5, "\x9b"]}],
            ["a  \\x1b  5, \\x9b"],
            id="hostile",
        ),
        pytest.param([{"type": "a", "name": 5}], ['{"type": "a", "name": 5}'], id="a wrong name"),
    ],
)
def test_scopes_are_shown(access: object, lines: list[str]) -> None:
    text = shown(token=jwt({"access": access}))
    assert text.partition("Scopes of token\n")[2].splitlines() == [f"  {line}" for line in lines]


def test_other_fields_are_only_counted() -> None:
    text = shown(token=OPAQUE, account="me", password="p", scope="s", token_type="Bearer")
    assert "  others      2, not shown" in text
    assert "  token_type  Bearer\n  scope       s" in text
    assert "account" not in text


@pytest.mark.parametrize("content_type", [JSON, ""])
def test_an_answer_is_known(content_type: str) -> None:
    assert show_token(content_type, encode({"token": JWT}), NOON)


@pytest.mark.parametrize("content_type", ["text/html", BLOB, OCI_INDEX])
def test_other_types_are_no_answer(content_type: str) -> None:
    assert show_token(content_type, encode({"token": JWT}), NOON) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b'{"token": "a", "b": ' + b"[" * 100_000, id="too deep"),
        pytest.param(b'{"token": "\xff"}', id="no UTF-8"),
        pytest.param(b'{"token": "a", "expires_in": NaN}', id="not a number"),
        pytest.param(encode({"token": 5, "access_token": None}), id="tokens that are none"),
        pytest.param(encode({"token": ["a"]}), id="a token that is a list"),
        pytest.param(encode({"token": ""}), id="an empty token"),
        pytest.param(encode({"details": "incorrect username or password"}), id="Hub's refusal"),
    ],
)
def test_what_is_no_answer_is_left_to_mitmproxy(body: bytes) -> None:
    assert show_token(JSON, body, NOON) is None


@pytest.mark.parametrize(("more", "is_shown"), [(0, True), (1, False)], ids=["at most", "above"])
def test_an_answer_is_bounded(more: int, is_shown: bool) -> None:
    body = encode({"token": JWT}).ljust(MAX_BODY + more)
    assert (show_token(JSON, body, NOON) is not None) == is_shown


def test_a_long_claim_is_looked_through_once() -> None:
    assert "  t  [hidden]" in shown(token=jwt({"t": "eyJ" * 200_000}))


def test_no_token_is_shown_whatever_surrounds_it() -> None:
    rng = random.Random(20240501)
    for _ in range(500):
        tokens = ["".join(rng.choices(string.ascii_letters, k=40)) for _ in range(3)]
        claims = spoilt(rng, {**CLAIMS, "a": tokens[1], "b": [tokens[2], HOSTILE]})
        token = jwt(claims, spoilt(rng, {"alg": "a", "kid": tokens[1]}), tokens[0])  # type: ignore[arg-type]
        more = {"issued_at": tokens[1], "scope": spoilt(rng, [tokens[0], {tokens[1]: tokens[2]}])}
        text = shown(token=token, access_token=tokens[1], refresh_token=tokens[2], **more)
        assert_hidden(text, *tokens, *token.split("."))
