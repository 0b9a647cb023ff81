from __future__ import annotations

from pathlib import Path

import pytest

from addon.install.changes import Changes
from addon.install.machine import InstallError, Machine
from addon.install.steps import Step, take_all


def test_each_step_is_said_and_what_they_note_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    steps = [Step(name, f"do {name}", lambda c: c.notes.append("seen")) for name in ("a", "b")]
    assert take_all(steps, Machine(tmp_path), said.append).notes == ["seen", "seen"]
    assert said == ["a: do a", "b: do b"]


def _and_fail(error: BaseException) -> list[Step]:
    def fail(_changes: Changes) -> None:
        raise error

    made = Step("made", "make", lambda c: c.on_failure("x", lambda: undone.append("made")))
    undone: list[str] = []
    return [made, Step("fails", "fail", fail, remedy="do this")]


FAILURES = {
    "of ours": (InstallError("no way"), "fails: no way; do this; all is as it was"),
    "of the disk": (
        OSError(28, "No space left", "/a"),
        "fails: No space left: /a; do this; all is as it was",
    ),
    "Ctrl-C": (KeyboardInterrupt(), "fails: interrupted; all is as it was"),
}


@pytest.mark.parametrize(("error", "line"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_is_one_line_that_says_what_to_do(
    tmp_path: Path, error: BaseException, line: str
) -> None:
    with pytest.raises(InstallError) as caught:
        take_all(_and_fail(error), Machine(tmp_path), lambda _: None)
    assert str(caught.value) == line


def test_a_mistake_of_ours_is_shown_as_one_and_undone_all_the_same(tmp_path: Path) -> None:
    undone: list[str] = []
    steps = _and_fail(ZeroDivisionError())
    steps.insert(0, Step("a", "a", lambda c: c.on_failure("a", lambda: undone.append("a"))))
    with pytest.raises(ZeroDivisionError):
        take_all(steps, Machine(tmp_path), lambda _: None)
    assert undone == ["a"]


def test_what_is_left_is_told(tmp_path: Path) -> None:
    def stuck() -> None:
        raise OSError("busy")

    steps = _and_fail(InstallError("no"))
    steps.insert(0, Step("a", "a", lambda c: c.on_failure("the door", stuck)))
    with pytest.raises(InstallError, match=r"but this was left: the door: busy$"):
        take_all(steps, Machine(tmp_path), lambda _: None)
