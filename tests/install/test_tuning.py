from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from addon.install import tuning
from addon.install.machine import Done
from addon.install.steps import take_all
from tests.install.scratch import NET, Scratch
from tests.install.trees import difference, tree

SYSCTL = "/etc/sysctl.d"


def tune(scratch: Scratch) -> list[str]:
    return take_all(tuning.tune(), scratch.machine, lambda _: None).notes


def untune(scratch: Scratch) -> list[str]:
    return take_all(tuning.untune(), scratch.machine, lambda _: None).notes


def values(scratch: Scratch) -> dict[str, str]:
    return {value.key.rpartition(".")[2]: scratch.text(value.proc) for value in tuning.VALUES}


def test_values_are_set_at_once_and_for_the_next_boot(scratch: Scratch) -> None:
    assert tune(scratch) == []
    assert values(scratch) == {
        "tcp_allowed_congestion_control": "reno cubic bbr\n",
        "tcp_slow_start_after_idle": "0\n",
        "tcp_wmem": "4096 16384 16777216\n",
    }
    files = {path.name: path.read_text() for path in scratch.at(SYSCTL).iterdir()}
    assert files["60-docxy-send-buffer.conf"] == (
        "# Made by Docxy's installer; before: 4096 16384 4194304\n"
        "net.ipv4.tcp_wmem = 4096 16384 16777216\n"
    )
    assert scratch.text(tuning.MODULES) == "tcp_bbr\n"


def test_a_second_time_changes_nothing_and_forgets_nothing(scratch: Scratch) -> None:
    tune(scratch)
    before = tree(scratch.root)
    tune(scratch)
    assert difference(before, tree(scratch.root)) == []


def test_what_was_is_given_back(scratch: Scratch) -> None:
    before = values(scratch)
    tune(scratch)
    untune(scratch)
    assert values(scratch) == before
    assert not any(scratch.at(SYSCTL).iterdir())
    assert not scratch.machine.has(tuning.MODULES)


def test_what_somebody_else_has_set_since_stays(scratch: Scratch) -> None:
    tune(scratch)
    scratch.put(f"{NET}/tcp_wmem", "4096 65536 33554432\n")
    untune(scratch)
    assert scratch.text(f"{NET}/tcp_wmem") == "4096 65536 33554432\n"


WANTED = {
    "bbr is added": (tuning.with_bbr, "reno cubic", "reno cubic bbr"),
    "bbr is there": (tuning.with_bbr, "bbr reno\n", "bbr reno"),
    "little room": (tuning.with_room, "4096\t16384\t4194304", "4096 16384 16777216"),
    "more room already": (tuning.with_room, "4096 65536 33554432", "4096 65536 33554432"),
}


@pytest.mark.parametrize(("rule", "found", "wanted"), WANTED.values(), ids=WANTED.keys())
def test_a_value_is_made_of_the_one_that_is(rule: object, found: str, wanted: str) -> None:
    assert callable(rule)
    assert rule(found) == wanted


def test_a_kernel_without_a_value_is_left_and_said(scratch: Scratch) -> None:
    scratch.at(f"{NET}/tcp_slow_start_after_idle").unlink()
    note = "net.ipv4.tcp_slow_start_after_idle is left: this kernel or container has none"
    assert tune(scratch) == [note]
    assert len(os.listdir(scratch.at(SYSCTL))) == 2


def test_a_container_that_may_not_set_a_value_is_no_failure(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def opened(path: Path, mode: str = "r", **names: str) -> object:
        if "w" in mode and path.name == "tcp_wmem":
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, mode, **names)  # type: ignore[call-overload]  # as it came

    monkeypatch.setattr(Path, "open", opened)
    (note,) = tune(scratch)
    assert note.startswith("net.ipv4.tcp_wmem is left at 4096 16384 4194304: Read-only")
    assert not scratch.machine.has(f"{SYSCTL}/60-docxy-send-buffer.conf")


def test_a_kernel_without_bbr_is_no_failure(scratch: Scratch) -> None:
    scratch.fails = lambda _number, words: words[0] == "modprobe"
    assert tune(scratch)[0].startswith("this kernel has no tcp_bbr to load")
    assert not scratch.machine.has(tuning.MODULES)


def test_a_kernel_that_has_bbr_is_not_asked_to_load_it(scratch: Scratch) -> None:
    scratch.put(f"{NET}/tcp_available_congestion_control", "reno cubic bbr\n")
    tune(scratch)
    assert scratch.calls == []
    assert scratch.machine.run(("true",), {}) == Done(0)
