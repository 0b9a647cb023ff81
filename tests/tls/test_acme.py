from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from addon.tls.acme import PairPaths, find_pair, locate
from tests.acme_sh import Issued, make_own_folders, write_domain

FILES = Issued(key=b"key", leaf=b"leaf", intermediates=(b"chain",))


def pair_in(folder: Path, domain: str) -> PairPaths:
    return PairPaths(folder / "fullchain.cer", folder / f"{domain}.key")


def find(
    home: Path | None, *, domain: str = "", cert_path: str = "", key_path: str = ""
) -> PairPaths | None:
    return find_pair(cert_path=cert_path, key_path=key_path, domain=domain, acme_home=home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / ".acme.sh"
    make_own_folders(path)
    return path


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder unreadable for root too, who runs the tests here and there."""

    def guard(real: Any) -> Any:
        def guarded(path: Any, *args: Any, **kwargs: Any) -> Any:
            if Path(path).is_relative_to(folder) and Path(path) != folder.parent:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return guarded

    for name in ("stat", "listdir", "scandir"):
        monkeypatch.setattr(os, name, guard(getattr(os, name)))


def test_both_paths_win_over_a_domain_and_over_acme_sh(home: Path) -> None:
    write_domain(home, "a.example_ecc", FILES, "a.example")
    found = find(home, cert_path="/c.cer", key_path="/k.key", domain="a.example")
    assert found == PairPaths(Path("/c.cer"), Path("/k.key"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"cert_path": "/c.cer"}, r"CERT_PATH\) is '/c\.cer', but docxy_key_path", id="no key"
        ),
        pytest.param(
            {"key_path": "/k.key"},
            r"KEY_PATH\) is '/k\.key', but docxy_cert_path",
            id="no certificate",
        ),
        pytest.param(
            {"key_path": "/k.key", "domain": "a.example"}, "give both", id="a domain is no cure"
        ),
    ],
)
def test_one_path_without_the_other_is_refused(
    home: Path, given: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find(home, **given)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        pytest.param(["a.example_ecc"], "a.example_ecc", id="EC"),
        pytest.param(["a.example"], "a.example", id="RSA"),
        pytest.param(["a.example", "a.example_ecc"], "a.example_ecc", id="EC before RSA"),
    ],
)
@pytest.mark.parametrize("domain", ["a.example", ""], ids=["asked for", "the only one"])
def test_a_domain_is_found(home: Path, folders: list[str], expected: str, domain: str) -> None:
    for folder in folders:
        write_domain(home, folder, FILES, "a.example")
    assert find(home, domain=domain) == pair_in(home / expected, "a.example")


@pytest.mark.parametrize("domain", ["*.example.com", ""], ids=["asked for", "the only one"])
def test_a_wildcard_domain_is_found(home: Path, domain: str) -> None:
    folder = write_domain(home, "*.example.com_ecc", FILES, "*.example.com")
    assert find(home, domain=domain) == pair_in(folder, "*.example.com")


def test_an_incomplete_ec_folder_gives_way_to_a_complete_rsa_one(home: Path) -> None:
    write_domain(home, "a.example_ecc", FILES, "a.example")
    (
        home / "a.example_ecc" / "fullchain.cer"
    ).unlink()  # acme.sh was refused: the key alone is there
    folder = write_domain(home, "a.example", FILES, "a.example")
    assert find(home, domain="a.example") == find(home) == pair_in(folder, "a.example")


def test_a_domain_wins_over_the_others(home: Path) -> None:
    write_domain(home, "a.example_ecc", FILES, "a.example")
    folder = write_domain(home, "b.example_ecc", FILES, "b.example")
    assert find(home, domain="b.example") == pair_in(folder, "b.example")


def test_several_domains_are_an_error_that_lists_them(home: Path) -> None:
    for name in ("b.example", "a.example"):
        write_domain(home, name, FILES, name)
        write_domain(home, f"{name}_ecc", FILES, name)
    with pytest.raises(ValueError, match=r"\(a\.example, b\.example\).*DOMAIN"):
        find(home)


def test_a_missing_domain_says_where_it_was_looked_for_and_what_makes_it(home: Path) -> None:
    with pytest.raises(ValueError, match="DOMAIN") as raised:
        find(home, domain="*.example.com")
    message = str(raised.value)
    assert repr(str(home / "*.example.com_ecc")) in message
    assert repr(str(home / "*.example.com")) in message
    assert "acme.sh --issue -d '*.example.com'" in message
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["fullchain.cer", "a.example.key"], ids=["no chain", "no key"])
def test_half_a_pair_is_no_domain(home: Path, missing: str) -> None:
    folder = write_domain(home, "a.example_ecc", FILES, "a.example")
    (folder / missing).unlink()
    assert find(home) is None
    with pytest.raises(ValueError, match=r"holds 'fullchain\.cer' and 'a\.example\.key'"):
        find(home, domain="a.example")


@pytest.mark.parametrize(
    "domain",
    [
        pytest.param("../etc", id="parent"),
        pytest.param("a/b", id="folder"),
        pytest.param("/etc", id="absolute"),
        pytest.param("a..example", id="two dots"),
        pytest.param("a\0.example", id="NUL"),
    ],
)
def test_a_domain_that_leads_elsewhere_is_refused(home: Path, domain: str) -> None:
    with pytest.raises(ValueError, match="is not a domain such as"):
        find(home, domain=domain)


def test_a_name_too_long_for_a_file_is_a_missing_domain(home: Path) -> None:
    with pytest.raises(ValueError, match="makes them"):
        find(home, domain="a" * 300)


def test_a_domain_without_a_home_is_refused() -> None:
    with pytest.raises(ValueError, match="docxy_acme_home"):
        find(None, domain="a.example")


@pytest.mark.parametrize("kind", ["no home", "empty name", "missing", "file", "nothing issued"])
def test_no_certificate_is_no_error_when_none_was_asked_for(home: Path, kind: str) -> None:
    (home / "file").write_text("")
    places = {
        "no home": None,
        "missing": home / "missing",
        "file": home / "file",
        "nothing issued": home,
    }
    if kind == "empty name":
        assert find_through_options(home, acme_home="") is None
    else:
        assert find(places[kind]) is None


def test_a_forbidden_home_is_an_error_only_if_a_domain_was_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_domain(home, "a.example_ecc", FILES, "a.example")
    forbid(monkeypatch, home)
    assert find(home) is None
    with pytest.raises(ValueError, match=r"may not be read here.*--install-cert"):
        find(home, domain="a.example")


def test_a_forbidden_folder_is_not_counted_among_the_domains(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, write_domain(home, "a.example_ecc", FILES, "a.example"))
    folder = write_domain(home, "b.example_ecc", FILES, "b.example")
    assert find(home) == pair_in(folder, "b.example")


def find_through_options(
    home: Path, environ: dict[str, str] | None = None, **options: str
) -> PairPaths | None:
    values = {"cert_path": "", "key_path": "", "domain": "", "acme_home": str(home), **options}
    return locate(**values, environ=environ or {})


ENVIRON = {"CERT_PATH": "/env.cer", "KEY_PATH": "/env.key", "DOMAIN": "a.example"}


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        pytest.param(ENVIRON, {}, ("/env.cer", "/env.key"), id="the environment"),
        pytest.param(
            ENVIRON,
            {"cert_path": "/o.cer", "key_path": "/o.key"},
            ("/o.cer", "/o.key"),
            id="options win",
        ),
        pytest.param(ENVIRON, {"key_path": "/o.key"}, ("/env.cer", "/o.key"), id="one of each"),
        pytest.param(
            ENVIRON, {"domain": "b.example"}, "b.example", id="a domain wins over paths outside"
        ),
        pytest.param({"DOMAIN": "b.example"}, {}, "b.example", id="a domain outside"),
        pytest.param(
            {"DOMAIN": "b.example"}, {"domain": "a.example"}, "a.example", id="a domain wins"
        ),
        pytest.param(
            {"CERT_PATH": "", "KEY_PATH": "", "DOMAIN": "a.example"},
            {},
            "a.example",
            id="empty outside means not set",
        ),
    ],
)
def test_options_win_over_the_environment(
    home: Path,
    environ: dict[str, str],
    options: dict[str, str],
    expected: tuple[str, str] | str,
) -> None:
    folders = {
        name: write_domain(home, f"{name}_ecc", FILES, name) for name in ("a.example", "b.example")
    }
    found = find_through_options(home, environ, **options)
    if isinstance(expected, str):
        assert found == pair_in(folders[expected], expected)
    else:
        assert found == PairPaths(*map(Path, expected))


def test_a_tilde_is_the_home_of_who_starts_the_mirror(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home.parent))
    folder = write_domain(home, "a.example_ecc", FILES, "a.example")
    assert find_through_options(home, acme_home="~/.acme.sh") == pair_in(folder, "a.example")
    environ = {"CERT_PATH": "~/c.cer", "KEY_PATH": "~/k.key"}
    expected = PairPaths(home.parent / "c.cer", home.parent / "k.key")
    assert find_through_options(home, environ) == expected
