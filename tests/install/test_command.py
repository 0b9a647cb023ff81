from __future__ import annotations

import argparse
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from addon.install import command, places
from addon.install.installing import Order
from addon.install.machine import InstallError, Machine
from addon.install.release import PROJECT
from tests.install.scratch import DOMAIN, Scratch
from tests.install.trees import difference, tree


def parse(*words: str) -> argparse.Namespace:
    return command.make_parser().parse_args(words)


@pytest.fixture
def ready(scratch: Scratch, project: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A machine on which the whole of a small project is installed."""
    monkeypatch.setattr(command, "Order", lambda *a, **k: Order(*a, **{**k, "project": project}))
    monkeypatch.setattr(command, "troubles", lambda *_: [])
    return scratch


def run(scratch: Scratch, *words: str, answer: str | None = None) -> list[str]:
    """What is said; `answer` is what somebody says who is asked."""
    said: list[str] = []

    def ask() -> str:
        assert answer is not None, "nobody was to be asked"
        return answer

    command.install(scratch.machine, parse("install", *words), said.append, ask)
    return said


def test_who_may_use_the_mirror_is_asked_once(ready: Scratch) -> None:
    said = run(ready, "--domain", DOMAIN, answer="192.0.2.0/24")
    assert 'docxy_allow: "192.0.2.0/24"' in ready.text(places.SETTINGS)
    assert said[-1].startswith(f"https://{DOMAIN} serves")
    run(ready)  # and all else is known too


def test_a_mirror_for_everyone_is_warned_of(ready: Scratch) -> None:
    assert run(ready, "--domain", DOMAIN, answer="")[-1] == f"warning: {command.OPEN}"
    assert run(ready)[-1] == f"warning: {command.OPEN}"
    assert not run(ready, "--allow", "192.0.2.1")[-1].startswith("warning")


def test_an_email_is_looked_at_before_all_else(ready: Scratch) -> None:
    before = tree(ready.root)
    with pytest.raises(InstallError, match="--email"):
        run(ready, "--domain", DOMAIN, "--email", "a'b@c")
    assert difference(before, tree(ready.root)) == []


def test_who_says_it_is_not_asked(ready: Scratch) -> None:
    run(ready, "--domain", DOMAIN, "--allow", "")
    assert 'docxy_allow: ""' in ready.text(places.SETTINGS)


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    assert command.ask_on_terminal() == ""


def test_a_trial_shows_every_step_and_takes_none(ready: Scratch) -> None:
    before = tree(ready.root)
    said = run(ready, "--domain", DOMAIN, "--dry-run")
    assert difference(before, tree(ready.root)) == []
    names = [line.partition(":")[0] for line in said if ": would " in line]
    assert names == [
        "service before",
        "user",
        "folders",
        "release",
        "bbr loaded",
        "bbr allowed",
        "no slow start after a pause",
        "send buffer",
        "answers",
        "settings",
        "unit",
        "start on port 80",
        "certificate",
        "certificate's copy",
        "renewals",
        "settings",
        "unit",
        "start",
        "answer",
        "old releases",
    ]
    assert {words[0] for words in ready.calls} <= {"systemctl"}


def test_a_trial_of_a_removal_removes_nothing(ready: Scratch) -> None:
    run(ready, "--domain", DOMAIN, "--allow", "")
    before = tree(ready.root)
    said: list[str] = []
    command.uninstall(ready.machine, parse("uninstall", "--dry-run"), said.append)
    assert difference(before, tree(ready.root)) == []
    assert said[0].startswith("service: would stop the mirror")


def test_a_removal_is_made_once(ready: Scratch) -> None:
    run(ready, "--domain", DOMAIN, "--allow", "")
    said: list[str] = []
    for _ in range(2):
        command.uninstall(ready.machine, parse("uninstall"), said.append)
    assert said[-2:] == ["removed", "nothing is installed"]


def test_what_stands_in_the_way_stops_it_before_the_first_step(
    ready: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "troubles", lambda *_: ["first", "second"])
    before = tree(ready.root)
    with pytest.raises(InstallError, match=r"^first; nothing was changed$"):
        run(ready, "--domain", DOMAIN)
    assert difference(before, tree(ready.root)) == []
    assert run(ready, "--domain", DOMAIN, "--dry-run")[-2].endswith("first step: second")


WRONG = {
    "no command": [],
    "another command": ["remove"],
    "another option": ["install", "--domian", "x"],
    "both ways": ["install", "--tune", "--no-tune"],
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_word_is_one_line_and_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(*words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("docxy: ")


def test_it_needs_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _main("install", "--domain", DOMAIN) == 2
    assert capsys.readouterr().err == ("docxy: install needs root: sudo ./run.sh install ...\n")


def test_a_second_installer_waits_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(command, "LOCKED", str(tmp_path))
    with command.alone():
        assert _main("uninstall", "--dry-run") == 1
    assert "another installer is at work" in capsys.readouterr().err


def test_who_may_not_install_holds_nobody_off(monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.stat(command.LOCKED)
    assert (found.st_uid, stat.S_IMODE(found.st_mode) & 0o007) == (0, 0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with command.alone(), command.alone():
        pass


def test_an_interrupted_run_goes_all_the_way_back(tmp_path: Path) -> None:
    # In a process of its own: it is about signals, of which a second must not stop the way back.
    script = f"""
import os, signal, sys, time
from addon.install import command
from addon.install.installing import Step
def slowly_back():
    time.sleep(0.5)
    open({str(tmp_path / "back")!r}, "w").close()
def begin(changes):
    changes.on_failure("x", slowly_back)
    print("begun", flush=True)
    time.sleep(60)
command.is_installed = lambda machine: True
command.uninstall_steps = lambda answers: [Step("slow", "wait", begin)]
os.geteuid = lambda: 0
sys.exit(command.main(["uninstall"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "docxy: slow: interrupted; all is as it was"
    assert (tmp_path / "back").exists()


def test_what_was_kept_and_cannot_be_read_is_said(scratch: Scratch) -> None:
    assert command.read_answers(Machine(scratch.root)) is None
    scratch.put(places.ANSWERS, "{")
    with pytest.raises(InstallError, match="cannot be read"):
        command.read_answers(scratch.machine)


def _main(*words: str) -> int:
    """The command with the signals of this process left as they are."""
    kept = [(n, signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    umask = os.umask(0o022)
    try:
        return command.main(words)
    finally:
        os.umask(umask)
        for number, handler in kept:
            signal.signal(number, handler)
