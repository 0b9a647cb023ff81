from __future__ import annotations

import random
from urllib.parse import parse_qsl, quote_plus

import pytest

from addon.protocol.scopes import rewrite_scopes, with_official_scope


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        pytest.param("repository:alpine:pull", "repository:library/alpine:pull", id="official"),
        pytest.param(
            "repository:alpine:pull,push", "repository:library/alpine:pull,push", id="two actions"
        ),
        pytest.param("repository:alpine:*", "repository:library/alpine:*", id="all actions"),
        pytest.param("repository:alpine:", "repository:library/alpine:", id="no action"),
        pytest.param(
            "repository(plugin):sshfs:pull",
            "repository(plugin):library/sshfs:pull",
            id="a class of repositories",
        ),
        pytest.param(
            "repository:alpine:pull repository:me/a:pull repository:redis:pull",
            "repository:library/alpine:pull repository:me/a:pull repository:library/redis:pull",
            id="several in one",
        ),
        pytest.param(
            "  repository:alpine:pull ", "  repository:library/alpine:pull ", id="blanks around"
        ),
    ],
)
def test_official_repositories_are_named_in_full(scope: str, expected: str) -> None:
    assert with_official_scope(scope, "library") == expected


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param("repository:library/alpine:pull", id="already in full"),
        pytest.param("repository:me/private:pull", id="a user's repository"),
        # The slash behind the port tells that the name has two parts.
        pytest.param("repository:reg.example:5000/alpine:pull", id="a host with a port"),
        pytest.param("registry:catalog:*", id="another type"),
        pytest.param("repositoryx:alpine:pull", id="a type that only begins alike"),
        pytest.param("registry(plugin):alpine:pull", id="a class of another type"),
        pytest.param("repository(plugin:alpine:pull", id="a class without its end"),
        pytest.param("Repository:alpine:pull", id="a type in upper case"),
        pytest.param("repository:alpine", id="no actions, so no scope"),
        pytest.param("repository::pull", id="no name"),
        pytest.param("repository", id="no colon"),
        pytest.param(":", id="only a colon"),
        pytest.param("", id="empty"),
    ],
)
def test_every_other_scope_stays_as_it_is(scope: str) -> None:
    assert with_official_scope(scope, "library") == scope


def test_without_a_namespace_no_scope_changes() -> None:
    assert with_official_scope("repository:pause:pull", "") == "repository:pause:pull"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            "service=registry.docker.io&scope=repository%3Aalpine%3Apull&client_id=docker",
            "service=registry.docker.io&scope=repository:library/alpine:pull&client_id=docker",
            id="among other parameters",
        ),
        pytest.param(
            "scope=repository:a:pull&scope=repository:b:pull",
            "scope=repository:library/a:pull&scope=repository:library/b:pull",
            id="in many parameters",
        ),
        pytest.param(
            "scope=repository:a:pull+repository:b:pull",
            "scope=repository:library/a:pull+repository:library/b:pull",
            id="several in one, separated by a plus",
        ),
        pytest.param(
            "scope=repository:a:pull%20repository:b:pull",
            "scope=repository:library/a:pull+repository:library/b:pull",
            id="several in one, separated by %20",
        ),
        pytest.param(
            "s%63ope=repository:a:pull",
            "s%63ope=repository:library/a:pull",
            id="a percent-encoded name",
        ),
        pytest.param(
            "scope=repository(plugin):x:pull",
            "scope=repository(plugin):library/x:pull",
            id="a class in brackets",
        ),
        pytest.param(
            "scope=repository%28plugin%29%3Ax%3Apull%2Cpush",
            "scope=repository(plugin):library/x:pull,push",
            id="everything percent-encoded",
        ),
    ],
)
def test_scope_parameters_are_rewritten_in_their_place(query: str, expected: str) -> None:
    assert rewrite_scopes(query, "library") == expected


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="empty"),
        pytest.param("&&", id="only separators"),
        pytest.param("scope", id="a scope without a value"),
        pytest.param("scope=", id="an empty scope"),
        # No change, so no new spelling either.
        pytest.param("scope=repository%3Ame%2Fa%3apull%20registry:catalog:*", id="in full"),
        pytest.param("Scope=repository:a:pull", id="a name in upper case"),
        pytest.param("xscope=repository:a:pull", id="a name that only ends alike"),
        pytest.param("scope[]=repository:a:pull", id="another name"),
        # A password is a value like any other, whatever it looks like.
        pytest.param("password=scope%3Drepository%3Aa%3Apull", id="a password"),
        pytest.param("password=%26scope=repository:a:pull", id="a password with an ampersand"),
        pytest.param("a=%C3%A4%ff+%2B~*&b==&=c", id="odd bytes"),
        # ';' has not separated parameters since HTML 5.
        pytest.param("a=1;scope=repository:a:pull", id="a semicolon"),
    ],
)
def test_what_needs_no_change_stays_byte_for_byte(query: str) -> None:
    assert rewrite_scopes(query, "library") == query


def test_all_other_parameters_keep_order_and_bytes() -> None:
    source = random.Random(8)
    others = ["service=a%20b", "x", "=", "account=%c3%A4", "y=1=2", "", "%zz=+", "a=;b"]
    for _ in range(3000):
        query = source.choices([*others, "scope=repository:alpine:pull"], k=source.randint(1, 8))
        rewritten = rewrite_scopes("&".join(query), "library").split("&")
        assert rewritten == [
            "scope=repository:library/alpine:pull" if p.startswith("scope") else p for p in query
        ]


def test_a_rewritten_scope_means_the_same_but_for_the_namespace() -> None:
    source = random.Random(9)
    alphabet = 'ab/:(), +%&="#é\t*'
    for _ in range(3000):
        scope = "".join(source.choices(alphabet, k=source.randint(0, 12)))
        query = f"scope={quote_plus(scope)}+{quote_plus('repository:alpine:pull')}"
        wanted = with_official_scope(scope, "library") + " repository:library/alpine:pull"
        assert parse_qsl(rewrite_scopes(query, "library")) == [("scope", wanted)]


def test_rewriting_twice_is_rewriting_once() -> None:
    source = random.Random(10)
    alphabet = "scope=repository:a/&%:+() "
    for _ in range(3000):
        query = "".join(source.choices(alphabet, k=source.randint(0, 30)))
        once = rewrite_scopes(query, "library")
        assert rewrite_scopes(once, "library") == once
