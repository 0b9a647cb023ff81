from __future__ import annotations

import pytest

from addon.redaction.secretnames import (
    is_open_parameter,
    is_secret_field,
    is_secret_name,
    is_secret_parameter,
)


@pytest.mark.parametrize(
    ("name", "is_field", "is_parameter", "is_anywhere"),
    [
        # By its last word.
        ("password", True, True, True),
        ("access_token", True, True, True),
        ("X-Amz-Security-Token", True, True, True),
        ("X-Amz-Signature", True, True, True),
        ("Cookie", True, True, True),
        ("apikey", True, True, True),
        # In an address alone: a word that means much else elsewhere.
        ("sig", False, True, False),
        ("code", False, True, False),
        ("key-pair-id", False, True, False),
        # In a head alone.
        ("X-Registry-Config", True, False, False),
        ("Set-Cookie2", True, False, False),
        ("Authentication-Info", True, False, False),
        # It asks for a token, and holds none.
        ("offline_token", True, False, False),
        # Who asks, and for what, is none.
        ("account", False, False, False),
        ("scope", False, False, False),
        ("WWW-Authenticate", False, False, False),
        ("Authority", False, False, False),
        ("tokens", False, False, False),
    ],
)
def test_what_holds_a_secret(
    name: str, is_field: bool, is_parameter: bool, is_anywhere: bool
) -> None:
    for written in (name, name.upper(), name.lower()):
        assert is_secret_field(written) == is_field
        assert is_secret_parameter(written) == is_parameter
        assert is_secret_name(written) == is_anywhere


@pytest.mark.parametrize(
    ("name", "is_open"),
    [
        ("Expires", True),
        ("scope", True),
        ("X-Amz-Date", True),
        ("X-Amz-Credential", False),
        ("verify", False),
        ("what-nobody-knows", False),
    ],
)
def test_of_an_address_that_the_mirror_asks_only_what_is_known_is_shown(
    name: str, is_open: bool
) -> None:
    assert is_open_parameter(name) == is_open
