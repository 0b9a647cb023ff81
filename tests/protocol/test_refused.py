from __future__ import annotations

import pytest

from addon.protocol.refused import MAX_SHOWN, Refused

REALM = "https://mirror.example/auth/token"
BEARER = f'Bearer realm="{REALM}",service="registry.docker.io"'
UNKNOWN = b'{"errors":[{"code":"NAME_UNKNOWN","message":"x"},{"code":"DENIED"}]}'


@pytest.mark.parametrize(
    ("refused", "is_failure"),
    [
        pytest.param(Refused(0), False, id="no answer"),
        pytest.param(Refused(200), False, id="an answer"),
        pytest.param(Refused(307, had_credentials=True), False, id="a redirect"),
        pytest.param(Refused(401, BEARER), False, id="how a login begins"),
        pytest.param(Refused(401, BEARER, had_credentials=True), True, id="a token refused"),
        pytest.param(Refused(404), True, id="not there"),
    ],
)
def test_what_has_failed(refused: Refused, is_failure: bool) -> None:
    assert refused.is_failure is is_failure


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        pytest.param(Refused(404), "answered 404", id="nothing said"),
        pytest.param(
            Refused(404, body=UNKNOWN),
            "answered 404: NAME_UNKNOWN, the registry has no such repository",
            id="a known code",
        ),
        pytest.param(
            Refused(400, body=b'{"errors":[{"code":"OWN_CODE"}]}'),
            "answered 400: OWN_CODE",
            id="a registry's own code",
        ),
        pytest.param(
            Refused(400, body=b'{"errors":[{"code":"no code"}]}'), "answered 400", id="no code"
        ),
        pytest.param(Refused(502, body=b"<html>"), "answered 502", id="no error body"),
        pytest.param(Refused(401), "refused the credentials", id="no challenge"),
        pytest.param(Refused(401, "Bearer ="), "refused the credentials", id="a wrong challenge"),
        pytest.param(
            Refused(401, f'Basic realm="x", {BEARER},error="invalid_token"'),
            "refused the credentials: invalid_token, it has ended or is of another registry",
            id="a token that is none",
        ),
        pytest.param(
            Refused(401, f'{BEARER},error="insufficient_scope"'),
            "refused the credentials: insufficient_scope, the image is private or does not exist",
            id="a token for something else",
        ),
        pytest.param(
            Refused(401, f'{BEARER},error="a\tb"'),
            "refused the credentials: a\\tb",
            id="on one line",
        ),
    ],
)
def test_why(refused: Refused, expected: str) -> None:
    assert refused.reason == expected


@pytest.mark.parametrize(
    ("refused", "realm"),
    [
        (Refused(401, BEARER), REALM),
        (Refused(401, 'Basic realm="x"'), ""),
        (Refused(401, "Bearer"), ""),
        (Refused(404, BEARER), ""),
        (Refused(401, f'Bearer realm="{"a" * 999}"'), f"{'a' * MAX_SHOWN}…"),
    ],
)
def test_where_a_token_is_to_be_had(refused: Refused, realm: str) -> None:
    assert refused.realm == realm
