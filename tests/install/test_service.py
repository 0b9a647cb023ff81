from __future__ import annotations

import pytest

from addon.install import places
from addon.install.machine import InstallError
from addon.install.service import install_unit, is_active, remove_service, start_service
from addon.install.steps import take_all
from tests.install.scratch import Scratch


def take(scratch: Scratch, *steps: object) -> None:
    take_all(steps, scratch.machine, lambda _: None)  # type: ignore[arg-type]  # steps


@pytest.fixture
def ready(scratch: Scratch) -> Scratch:
    scratch.put(f"{places.PROGRAM}/1/addon/__init__.py", "")
    scratch.at(places.CURRENT).symlink_to("1")
    return scratch


def test_a_unit_is_loaded_and_started_at_boot_once(ready: Scratch) -> None:
    for _ in range(2):
        take(ready, install_unit("[Unit]\n"))
    verbs = [words[1] for words in ready.calls]
    assert verbs == ["daemon-reload", "enable"]


def test_a_mirror_that_runs_is_restarted_only_if_something_has_changed(ready: Scratch) -> None:
    take(ready, install_unit("[Unit]\n"), start_service())
    assert is_active(ready.machine)
    ready.calls.clear()
    take(ready, install_unit("[Unit]\n"), start_service())
    assert [words[1] for words in ready.calls] == ["is-active"]
    take(ready, install_unit("[Unit]\n[Service]\n"), start_service())
    assert "restart" in [words[1] for words in ready.calls]


def test_a_mirror_that_does_not_start_is_told_by_its_own_last_line(ready: Scratch) -> None:
    ready.put(f"{places.PROGRAM}/1/addon/__init__.py", ready.refused)
    with pytest.raises(InstallError, match="the mirror does not start: the mirror said why; jour"):
        take(ready, install_unit("[Unit]\n"), start_service())
    assert not ready.machine.has(places.UNIT)


def test_a_service_that_is_not_there_needs_no_removal(ready: Scratch) -> None:
    take(ready, remove_service())
    assert ready.calls == []
