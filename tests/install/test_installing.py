"""Whole installations in a scratch root: what is on its disk before and after, compared."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from addon.install import places, settings
from addon.install.answers import Answers
from addon.install.installing import Order, install_steps, is_open, uninstall_steps
from addon.install.machine import InstallError
from addon.install.steps import Step, take_all
from tests.install.scratch import DOMAIN, HOME, NET, Scratch, install, make_project, uninstall
from tests.install.trees import difference, tree

MADE = {
    places.UNIT: 0o644,
    places.ETC: 0o755,
    places.SETTINGS: 0o640,
    places.TLS: 0o750,
    places.KEY: 0o640,
    places.CERTIFICATE: 0o640,
    places.STATE: 0o700,
    places.CONFDIR: 0o700,
    places.WEBROOT: 0o755,
    places.PROGRAM: 0o755,
    "/etc/modules-load.d/docxy.conf": 0o644,
    "/etc/sysctl.d/60-docxy-bbr-allowed.conf": 0o644,
    "/etc/sysctl.d/60-docxy-no-slow-start-after-a-pause.conf": 0o644,
    "/etc/sysctl.d/60-docxy-send-buffer.conf": 0o644,
}


def test_an_installation_makes_what_a_server_needs(scratch: Scratch, project: Path) -> None:
    assert install(scratch, project, allow="192.0.2.0/24") == []
    modes = {path: scratch.at(path).lstat().st_mode & 0o7777 for path in MADE}
    assert modes == MADE
    assert os.readlink(scratch.at(f"{places.CONFDIR}/config.yaml")) == places.SETTINGS
    assert scratch.at(places.WANTED).is_symlink()
    text = scratch.text(places.SETTINGS)
    assert settings.get(text, "docxy_cert_path") == places.CERTIFICATE
    assert settings.get(text, "docxy_allow") == "192.0.2.0/24"
    assert settings.get(text, "listen_port") == ""
    assert scratch.running == (
        scratch.text(places.UNIT),
        os.readlink(scratch.at(places.CURRENT)),
        text,
    )
    assert scratch.text(places.KEY) == "key 1\n"
    assert scratch.text(f"{NET}/tcp_wmem") == "4096 16384 16777216\n"


def test_the_mirrors_files_are_its_users_and_roots_are_roots(
    scratch: Scratch, project: Path
) -> None:
    if os.geteuid():
        return  # only root gives files away
    install(scratch, project)
    owners = {
        path: (scratch.at(path).stat().st_uid, scratch.at(path).stat().st_gid)
        for path in (places.STATE, places.CONFDIR, places.TLS, places.KEY, places.WEBROOT)
    }
    assert owners == {
        places.STATE: (990, 989),
        places.CONFDIR: (990, 989),
        places.TLS: (0, 989),
        places.KEY: (0, 989),
        places.WEBROOT: (0, 0),
    }


def test_a_second_time_changes_nothing_and_restarts_nothing(
    scratch: Scratch, project: Path
) -> None:
    install(scratch, project, allow="192.0.2.0/24")
    before = tree(scratch.root)
    scratch.calls.clear()
    install(scratch, project)
    assert difference(before, tree(scratch.root)) == []
    verbs = {words[1] for words in scratch.calls if words[0] == "systemctl"}
    assert verbs <= {"is-active", "list-timers"}
    assert not [words for words in scratch.calls if "--issue" in words]


def test_an_upgrade_keeps_the_settings_and_removes_the_old_release(
    scratch: Scratch, project: Path
) -> None:
    install(scratch, project, allow="192.0.2.0/24")
    own = scratch.text(places.SETTINGS) + "docxy_tag_ttl: 5  # my own\n"
    scratch.put(places.SETTINGS, own)
    former = os.readlink(scratch.at(places.CURRENT))
    for _ in range(2):
        install(scratch, make_project(project, "second"))
        assert scratch.text(places.SETTINGS) == own
        release = os.readlink(scratch.at(places.CURRENT))
        assert release != former
        assert sorted(os.listdir(scratch.at(places.PROGRAM))) == sorted([release, "current"])
        assert scratch.running is not None
        assert scratch.running[1] == release
    assert scratch.issued == 1


@pytest.mark.parametrize("held", ["", "no", "dns_cf"], ids=["none", "standalone", "by DNS"])
def test_uninstalling_leaves_the_disk_as_it_was(scratch: Scratch, project: Path, held: str) -> None:
    if held:
        scratch.hold(held)
    before = tree(scratch.root)
    install(scratch, project)
    for _ in range(2):
        uninstall(scratch)
    assert scratch.running is None
    left = difference(before, tree(scratch.root))
    # acme.sh's own: its account, which other certificates may have by then, and its last answer;
    # and a certificate that was taken over, because it could not have been renewed.
    of_acme_sh = tuple(f"{HOME[1:]}/{name}" for name in ("ca", "http.header", f"{DOMAIN}_ecc"))
    # The module stays until the next boot.
    loaded = f"{NET[1:]}/tcp_available_congestion_control"
    assert [path for path in left if not path.startswith(of_acme_sh)] == [loaded]
    assert (f"{HOME[1:]}/{DOMAIN}_ecc" in tree(scratch.root)) == (held == "dns_cf")
    if held == "dns_cf":
        assert scratch.text(f"{HOME}/{DOMAIN}_ecc/{DOMAIN}.conf").count("/etc/docxy") == 0


# ---- Failures

Begin = Callable[[Scratch, Path], None]


def _nothing(_scratch: Scratch, _project: Path) -> None:
    """A machine on which nothing is installed."""


def _standalone(scratch: Scratch, _project: Path) -> None:
    scratch.hold("no", more="Le_RealKeyPath='/etc/other/key.pem'\n")


def _installed(scratch: Scratch, project: Path) -> None:
    install(scratch, project, allow="192.0.2.0/24")
    make_project(project, "second")


def _install_again(scratch: Scratch, project: Path) -> None:
    install(scratch, project, allow="198.51.100.0/24")


def _uninstall(scratch: Scratch, _project: Path) -> None:
    uninstall(scratch)


RUNS: dict[str, tuple[Begin, Begin]] = {
    "first installation": (_nothing, _install_again),
    "a certificate that wants port 80": (_standalone, _install_again),
    "upgrade": (_installed, _install_again),
    "removal": (_installed, _uninstall),
}
runs = pytest.mark.parametrize(("begin", "act"), RUNS.values(), ids=RUNS.keys())


def _said_by(act: Begin, scratch: Scratch, project: Path) -> str | None:
    """The line of a run that failed."""
    try:
        act(scratch, project)
    except InstallError as e:
        return str(e)
    return None


@pytest.mark.parametrize("half", [False, True], ids=["at once", "when its work was done"])
@runs
def test_a_program_that_fails_leaves_all_as_it_was(
    tmp_path: Path, begin: Begin, act: Begin, half: bool
) -> None:
    failed = 0
    for number in itertools.count():
        scratch = Scratch(tmp_path / str(number), half=half)
        project = make_project(tmp_path / "project")
        begin(scratch, project)
        before, ran = tree(scratch.root), scratch.running
        scratch.calls.clear()
        # The way back needs programs too, so one call alone fails.
        scratch.fails = lambda at, _words, number=number: at == number  # type: ignore[misc]
        said = _said_by(act, scratch, project)
        if said is not None:
            assert said.endswith("all is as it was")
            assert "\n" not in said
            assert difference(before, tree(scratch.root)) == [], said
            assert scratch.running == ran, said
            failed += 1
        if len(scratch.calls) <= number:
            break
    assert failed >= 3  # some only look, and theirs is no failure


@runs
def test_a_step_that_fails_leaves_all_as_it_was(tmp_path: Path, begin: Begin, act: Begin) -> None:
    def fail(_changes: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/a/file")

    for number in itertools.count():
        scratch = Scratch(tmp_path / str(number))
        project = make_project(tmp_path / "project")
        begin(scratch, project)
        before, ran = tree(scratch.root), scratch.running
        order = Order(Answers(domain=DOMAIN), allow="198.51.100.0/24", project=project)
        steps = (
            uninstall_steps(order.answers)
            if act is _uninstall
            else install_steps(scratch.machine, order)
        )
        if number > len(steps):
            break
        steps[number:] = [Step("the next", "fail", fail, remedy="make room")]
        with pytest.raises(InstallError) as caught:
            take_all(steps, scratch.machine, lambda _: None)
        reason = "No space left on device: /a/file"
        assert str(caught.value) == f"the next: {reason}; make room; all is as it was"
        assert difference(before, tree(scratch.root)) == [], number
        assert scratch.running == ran, number


@runs
def test_a_disk_that_fails_leaves_all_as_it_was(
    tmp_path: Path, begin: Begin, act: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, failing, failed = 0, -1, 0

    def once(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object, **names: object) -> object:
            nonlocal calls
            calls += 1
            if calls - 1 == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **names)

        return call

    patched = {name: once(name) for name in ("rename", "replace", "symlink", "mkdir", "chmod")}
    for number in itertools.count():
        scratch = Scratch(tmp_path / str(number))
        project = make_project(tmp_path / "project")
        begin(scratch, project)
        before, ran = tree(scratch.root), scratch.running
        with monkeypatch.context() as patch:
            for name, function in patched.items():
                patch.setattr(os, name, function)
            calls, failing = 0, number
            said = _said_by(act, scratch, project)
        if said is None and calls <= number:
            break
        if said is None:
            continue  # where a folder is there already, failing to make it is none
        failed += 1
        assert said.endswith("all is as it was")
        assert difference(before, tree(scratch.root)) == [], number
        assert scratch.running == ran, number
    assert failed > 3


def test_a_release_that_does_not_start_gives_way_to_the_one_before(
    scratch: Scratch, project: Path
) -> None:
    install(scratch, project)
    before, ran = tree(scratch.root), scratch.running
    with pytest.raises(InstallError, match="start: the mirror does not start: the mirror said why"):
        install(scratch, make_project(project, "does not start"))
    assert difference(before, tree(scratch.root)) == []
    assert scratch.running == ran


def test_a_mirror_that_runs_and_does_not_answer_gives_way_too(
    scratch: Scratch, project: Path
) -> None:
    install(scratch, project)
    before, ran = tree(scratch.root), scratch.running
    scratch.trouble = "Connection reset by peer"
    with pytest.raises(InstallError, match="answer: the mirror runs, but does not answer: Conn"):
        install(scratch, make_project(project, "second"))
    assert difference(before, tree(scratch.root)) == []
    assert scratch.running == ran


def test_a_name_that_does_not_lead_here_is_said(scratch: Scratch, project: Path) -> None:
    scratch.proves = False
    before = tree(scratch.root)
    with pytest.raises(InstallError) as caught:
        install(scratch, project)
    assert str(caught.value) == (
        "certificate: acme.sh failed: mirror.example.com: Invalid status.; does mirror.example.com"
        " lead to this machine, on IPv6 too if it has such an address, and does its firewall let"
        " port 80 in?; all is as it was"
    )
    assert difference(before, tree(scratch.root)) == []


# ---- Choices


def test_without_tuning_the_kernel_is_left(scratch: Scratch, project: Path) -> None:
    before = tree(scratch.at("/proc"))
    install(scratch, project, tune=False)
    assert difference(before, tree(scratch.at("/proc"))) == []
    assert list(scratch.at("/etc/sysctl.d").iterdir()) == []
    assert list(scratch.at("/etc/modules-load.d").iterdir()) == []


@pytest.mark.parametrize(
    ("webroot", "issued"),
    [("no", 1), ("apache", 1), ("/var/www/html", 1), ("dns_cf", 0), (places.WEBROOT, 0)],
)
def test_a_certificate_is_taken_anew_where_its_renewal_would_want_port_80(
    scratch: Scratch, project: Path, webroot: str, issued: int
) -> None:
    scratch.hold(webroot)
    install(scratch, project)
    assert scratch.issued == issued
    kept = places.WEBROOT if issued else webroot
    assert f"Le_Webroot='{kept}'" in scratch.text(f"{HOME}/{DOMAIN}_ecc/{DOMAIN}.conf")


OPEN = {
    "nobody said": (None, None, True),
    "everyone": ("", None, True),
    "some": ("192.0.2.0/24", None, False),
    "some, before": (None, "192.0.2.0/24", False),
    "everyone, after all": ("", "192.0.2.0/24", True),
    "everyone, in other words": ("0.0.0.0/0, ::/0", None, True),
    "everyone of one kind, before": (None, "192.0.2.0/24,::/0", True),
}


@pytest.mark.parametrize(("said", "before", "answer"), OPEN.values(), ids=OPEN.keys())
def test_a_mirror_for_everyone_is_known_as_such(
    scratch: Scratch, said: str | None, before: str | None, answer: bool
) -> None:
    if before is not None:
        scratch.put(places.SETTINGS, settings.with_values("", {"docxy_allow": before}))
    assert is_open(scratch.machine, Order(Answers(domain=DOMAIN), allow=said)) is answer


def test_the_units_patience_follows_the_setting(scratch: Scratch, project: Path) -> None:
    install(scratch, project)
    with scratch.at(places.SETTINGS).open("a") as file:
        file.write("docxy_drain_timeout: 300\n")
    install(scratch, project)
    assert "\nTimeoutStopSec=315\n" in scratch.text(places.UNIT)


def test_a_wrong_patience_is_said_before_anything_is_done(scratch: Scratch) -> None:
    scratch.put(places.SETTINGS, "docxy_drain_timeout: long\n")
    with pytest.raises(InstallError, match="'long', not a number"):
        install_steps(scratch.machine, Order(Answers(domain=DOMAIN)))
