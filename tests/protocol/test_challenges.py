from __future__ import annotations

import random
import string
import time

import pytest

from addon.protocol.challenges import Challenge, bearer, parse_challenges, rewrite_realm

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
MIRROR = "https://mirror.example/auth/token"


def of(*parameters: tuple[str, str], scheme: str = "Bearer") -> Challenge:
    return Challenge(scheme, parameters)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            HUB,
            [of(("realm", "https://auth.docker.io/token"), ("service", "registry.docker.io"))],
            id="Docker Hub's",
        ),
        pytest.param(
            'Bearer scope="repository:a:pull,push",service="s",realm="https://r/t",error="x"',
            [
                of(
                    ("scope", "repository:a:pull,push"),
                    ("service", "s"),
                    ("realm", "https://r/t"),
                    ("error", "x"),
                )
            ],
            id="another order, and a comma inside quotes",
        ),
        pytest.param(
            "Bearer realm=r,service=registry.docker.io",
            [of(("realm", "r"), ("service", "registry.docker.io"))],
            id="unquoted",
        ),
        # A URL is no token, so the grammar has it quoted; some registries do not.
        pytest.param(
            "Bearer realm=https://r.example:5000/token?x=1,service=s",
            [of(("realm", "https://r.example:5000/token?x=1"), ("service", "s"))],
            id="an unquoted URL",
        ),
        pytest.param(
            r'Bearer realm="a \"b\" \\ \c"', [of(("realm", r'a "b" \ c'))], id="escaped characters"
        ),
        pytest.param(
            'Bearer realm = "a" ,\tservice\t=\t"s"',
            [of(("realm", "a"), ("service", "s"))],
            id="blanks around the equals sign and the comma",
        ),
        pytest.param(
            'Bearer    realm="a"', [of(("realm", "a"))], id="several blanks behind the scheme"
        ),
        pytest.param(
            'BEARER REALM="a"',
            [of(("REALM", "a"), scheme="BEARER")],
            id="upper case, kept as it is",
        ),
        pytest.param(
            'Bearer realm="",service="s"', [of(("realm", ""), ("service", "s"))], id="empty quotes"
        ),
        # No value at all is against the grammar, yet clear.
        pytest.param(
            "Bearer realm=,service=s", [of(("realm", ""), ("service", "s"))], id="an empty value"
        ),
        pytest.param(
            'Bearer service="s",realm=',
            [of(("service", "s"), ("realm", ""))],
            id="empty at the end",
        ),
        pytest.param("Bearer realm=", [of(("realm", ""))], id="nothing but an empty value"),
        pytest.param(
            'Bearer realm="a" service="s"',
            [of(("realm", "a"), ("service", "s"))],
            id="a blank where a comma belongs",
        ),
        pytest.param('Bearer realm="a",', [of(("realm", "a"))], id="a trailing comma"),
        pytest.param(
            ', ,Bearer realm="a",,\t,service="s", ,',
            [of(("realm", "a"), ("service", "s"))],
            id="empty elements of the list",
        ),
        pytest.param("Negotiate", [of(scheme="Negotiate")], id="a scheme alone"),
        pytest.param(
            "Negotiate YWJj/+-._~YWI==",
            [Challenge("Negotiate", token68="YWJj/+-._~YWI==")],
            id="token68",
        ),
        pytest.param("Bearer YWJj", [Challenge("Bearer", token68="YWJj")], id="Bearer's token68"),
        # By the grammar a parameter has a value, so this is a token68.
        pytest.param(
            "Negotiate YWJjZGU=", [Challenge("Negotiate", token68="YWJjZGU=")], id="padded once"
        ),
        pytest.param(
            "Negotiate YWJjZGU=, " + HUB,
            [
                Challenge("Negotiate", token68="YWJjZGU="),
                of(("realm", "https://auth.docker.io/token"), ("service", "registry.docker.io")),
            ],
            id="padded once, then another challenge",
        ),
        pytest.param(
            'Basic realm="b", Bearer realm="r",service="s"',
            [of(("realm", "b"), scheme="Basic"), of(("realm", "r"), ("service", "s"))],
            id="two challenges",
        ),
        pytest.param(
            'Bearer realm="r",service="s",Basic realm="b"',
            [of(("realm", "r"), ("service", "s")), of(("realm", "b"), scheme="Basic")],
            id="two challenges the other way round, without blanks",
        ),
        pytest.param(
            'Negotiate,Basic realm="b",NTLM , Digest qop="auth, auth-int"',
            [
                of(scheme="Negotiate"),
                of(("realm", "b"), scheme="Basic"),
                of(scheme="NTLM"),
                of(("qop", "auth, auth-int"), scheme="Digest"),
            ],
            id="four challenges, two of them a word",
        ),
        # RFC 9110, section 11.6.1, has this example.
        pytest.param(
            'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
            [
                of(("realm", "simple"), scheme="Basic"),
                of(
                    ("realm", "apps"), ("type", "1"), ("title", 'Login to "apps"'), scheme="Newauth"
                ),
            ],
            id="the RFC's example",
        ),
        pytest.param(
            'Basic realm="Bearer realm=\\"x\\", Bearer"',
            [of(("realm", 'Bearer realm="x", Bearer'), scheme="Basic")],
            id="what looks like a challenge inside quotes",
        ),
        pytest.param("", [], id="empty"),
        pytest.param(" ,\t, ", [], id="only separators"),
    ],
)
def test_a_field_is_read_as_its_challenges(value: str, expected: list[Challenge]) -> None:
    assert list(parse_challenges(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        # Guessing at what is meant could leave the upstream's realm in place.
        pytest.param('Bearer realm="a', id="quotes that do not close"),
        pytest.param('Bearer realm="a\\"', id="only an escaped quote at the end"),
        pytest.param('Bearer realm="a"b', id="text behind the quotes"),
        pytest.param('Bearer realm="a"service="s"', id="nothing between two parameters"),
        pytest.param('Bearer realm=a"b"', id="quotes inside a token"),
        pytest.param('realm="a"', id="no scheme"),
        pytest.param('Bearer,realm="a"', id="a comma between scheme and parameter"),
        pytest.param('Bearer ="a"', id="no name"),
        pytest.param('"Bearer" realm="a"', id="a quoted scheme"),
        pytest.param('Bearer\nrealm="a"', id="a line end"),
        pytest.param("Bearér", id="a letter beyond ASCII"),
        pytest.param("Negotiate YWJj YWJj=,x=", id="a parameter behind a token68"),
    ],
)
def test_what_does_not_follow_the_grammar_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="no challenge at character"):
        parse_challenges(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            [HUB], [f'Bearer realm="{MIRROR}",service="registry.docker.io"'], id="Docker Hub's"
        ),
        pytest.param(
            ['bearer service=s,REALM=https://u.example/t,error="invalid_token"'],
            [f'bearer realm="{MIRROR}",service="s",error="invalid_token"'],
            id="unquoted, in upper case, behind another",
        ),
        pytest.param(
            ['Bearer realm="https://u/1",realm="https://u/2"'],
            [f'Bearer realm="{MIRROR}"'],
            id="two realms become one",
        ),
        # Docker's client asks nobody where there is no realm.
        pytest.param(
            ['Bearer error="insufficient_scope"'],
            [f'Bearer realm="{MIRROR}",error="insufficient_scope"'],
            id="no realm becomes one",
        ),
        pytest.param(["Bearer"], [f'Bearer realm="{MIRROR}"'], id="nothing but the scheme"),
        # Basic's realm is a text for people, not an address.
        pytest.param(
            ['Basic realm="Registry"'], ['Basic realm="Registry"'], id="other schemes keep theirs"
        ),
        pytest.param(
            [f'Basic realm="b", {HUB}, Negotiate YWJjZA=='],
            [
                'Basic realm="b"',
                f'Bearer realm="{MIRROR}",service="registry.docker.io"',
                "Negotiate YWJjZA==",
            ],
            id="several challenges in one field",
        ),
        pytest.param(
            ['Bearer realm="https://u/1"', 'Bearer realm="https://u/2"'],
            [f'Bearer realm="{MIRROR}"'] * 2,
            id="several fields",
        ),
        pytest.param(
            ['Bearer scope="a \\"b\\" \\\\"'],
            [f'Bearer realm="{MIRROR}",scope="a \\"b\\" \\\\"'],
            id="escapes stay escapes",
        ),
        pytest.param(["Negotiate"], ["Negotiate"], id="a scheme alone"),
        pytest.param([], [], id="no field"),
    ],
)
def test_every_bearer_realm_is_the_mirrors(values: list[str], expected: list[str]) -> None:
    assert list(rewrite_realm(values, MIRROR)) == expected


def test_one_unreadable_field_refuses_all() -> None:
    with pytest.raises(ValueError, match="no challenge"):
        rewrite_realm([HUB, 'Bearer realm="'], MIRROR)


def test_the_scheme_and_parameter_names_have_no_case() -> None:
    (challenge,) = parse_challenges('bEARER Realm="a",rEALM="b"')
    assert challenge.is_bearer
    assert challenge.get("REALM") == "a"
    assert challenge.get("service") is None
    assert not Challenge("Basic").is_bearer


def test_a_challenge_of_our_own_names_realm_and_service() -> None:
    made = bearer("https://auth.docker.io/token", "registry.docker.io")
    assert made.format() == HUB
    assert parse_challenges(made.format()) == (made,)


def random_challenge(source: random.Random) -> Challenge:
    token = string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-"
    scheme = "".join(source.choices(token, k=source.randint(1, 8)))
    if source.random() < 0.2 and scheme.lower() != "bearer":
        letters = source.choices(string.ascii_letters + "0/+-._~", k=source.randint(1, 8))
        return Challenge(scheme, token68="".join(letters) + "=" * source.randint(0, 2))
    anything = string.printable.replace("\n", "").replace("\r", "") + 'é"\\,= '
    parameters = [
        (
            "".join(source.choices(token, k=source.randint(1, 6))),
            "".join(source.choices(anything, k=source.randint(0, 9))),
        )
        for _ in range(source.randint(0, 4))
    ]
    return Challenge(scheme, tuple(parameters))


def test_what_is_written_is_read_back() -> None:
    source = random.Random(8)
    for _ in range(4000):
        challenges = tuple(random_challenge(source) for _ in range(source.randint(1, 3)))
        value = ", ".join(challenge.format() for challenge in challenges)
        assert parse_challenges(value) == challenges, value


def test_random_text_is_read_or_refused_and_then_stable() -> None:
    source = random.Random(9)
    pieces = ["Bearer", " ", "\t", ",", "=", '"', "\\", "realm", "https://u", "a", "==", "é", "\0"]
    read = 0
    for _ in range(6000):
        value = "".join(source.choices(pieces, k=source.randint(0, 12)))
        try:
            challenges = parse_challenges(value)
        except ValueError:
            continue
        read += 1
        assert parse_challenges(", ".join(c.format() for c in challenges)) == challenges, value
    assert read > 500


def test_no_realm_of_the_upstream_survives_in_random_text() -> None:
    source = random.Random(10)
    pieces = ["Bearer ", " ", ",", "=", '"', 'realm="https://u"', "realm=https://u", "a=b", "Basic"]
    rewritten = 0
    for _ in range(6000):
        value = "Bearer " + "".join(source.choices(pieces, k=source.randint(1, 8)))
        try:
            challenges = [
                challenge
                for field in rewrite_realm([value], MIRROR)
                for challenge in parse_challenges(field)
            ]
        except ValueError:
            continue
        rewritten += 1
        realms = [
            parameter
            for challenge in challenges
            for name, parameter in challenge.parameters
            if challenge.is_bearer and name.lower() == "realm"
        ]
        assert set(realms) <= {MIRROR}, value
    assert rewritten > 500


@pytest.mark.parametrize("piece", ["a", "a,", "a=", "a =", '"\\\\', "a ", " ", ",", "a=b ", "=="])
def test_a_hostile_field_is_read_in_linear_time(piece: str) -> None:
    # Quadratic time would be minutes even for this much, which takes a fifth of a second.
    value = "Bearer " + piece * (200_000 // len(piece)) + '"'
    started = time.process_time()
    with pytest.raises(ValueError, match="no challenge"):
        parse_challenges(value)
    assert time.process_time() - started < 2
