from __future__ import annotations

import pytest

from addon.flows.replaying import anonymous_target, held, replayed_target

TOKEN = "/auth/token?service=a&scope=b"
SHOWN_TOKEN = "/token?service=a&scope=library/b"
MANIFEST = "/v2/alpine/manifests/1"
SHOWN = "/v2/library/alpine/manifests/1"


@pytest.mark.parametrize(
    ("asked", "shown", "now", "expected"),
    [
        pytest.param(TOKEN, SHOWN_TOKEN, SHOWN_TOKEN, TOKEN, id="as the client asked"),
        pytest.param(MANIFEST, SHOWN, SHOWN, MANIFEST, id="by the client's own name"),
        pytest.param(
            f"{TOKEN}&password=[redacted]&c=d",
            SHOWN_TOKEN,
            SHOWN_TOKEN,
            f"{TOKEN}&c=d",
            id="without what was redacted",
        ),
        pytest.param(MANIFEST, SHOWN, f"{SHOWN}0", f"{SHOWN}0", id="edited"),
        pytest.param(
            TOKEN, SHOWN_TOKEN, "/token?scope=c", "/auth/token?scope=c", id="an edited token"
        ),
        pytest.param(None, SHOWN, SHOWN, SHOWN, id="nothing noted"),
        pytest.param(5, SHOWN, SHOWN, SHOWN, id="noted by somebody else"),
        pytest.param("x", SHOWN, SHOWN, SHOWN, id="no target"),
        pytest.param(MANIFEST, None, SHOWN, SHOWN, id="nobody knows what was shown"),
    ],
)
def test_what_the_client_asked_is_asked_again(
    asked: object, shown: object, now: str, expected: str
) -> None:
    assert replayed_target(asked, shown, now) == expected


def test_what_was_redacted_is_not_sent() -> None:
    fields = [("Accept", "a"), ("Authorization", "Bearer [redacted]"), ("Cookie", "[redacted]")]
    assert held(fields) == fields[:1]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param(
            b"grant_type=password&username=a&password=[redacted]&service=s"
            b"&scope=repository%3Aa%3Apull&client_id=docker",
            "/auth/token?service=s&scope=repository%3Aa%3Apull&client_id=docker",
            id="a password",
        ),
        pytest.param(
            b"grant_type=refresh_token&refresh_token=[redacted]&scope=a&scope=b",
            "/auth/token?scope=a&scope=b",
            id="a refresh token",
        ),
        pytest.param(b"grant_type=password&password=wonderland", "", id="held by the recording"),
        pytest.param(b"", "", id="no form"),
        pytest.param(b"\xff\x00[redacted]", "", id="no form at all"),
    ],
)
def test_a_form_without_its_credentials_is_asked_as_anybody_asks(
    form: bytes, expected: str
) -> None:
    assert anonymous_target(form) == expected
