from __future__ import annotations

import pytest

from addon.install.account import make_user, owner, remove_user
from addon.install.machine import InstallError
from addon.install.steps import take_all
from tests.install.scratch import Scratch


def test_the_user_has_no_login_and_is_made_once(scratch: Scratch) -> None:
    for _ in range(2):
        take_all([make_user()], scratch.machine, lambda _: None)
    (words,) = scratch.calls
    assert "--shell=/usr/sbin/nologin" in words
    assert "--system" in words
    assert owner(scratch.machine) == (990, 989)


def test_without_the_user_nothing_can_be_its(scratch: Scratch) -> None:
    with pytest.raises(InstallError, match="the user docxy is not there"):
        owner(scratch.machine)


def test_the_user_is_removed_once(scratch: Scratch) -> None:
    for _ in range(2):
        take_all([remove_user()], scratch.machine, lambda _: None)
    assert scratch.calls == []
    take_all([make_user(), remove_user()], scratch.machine, lambda _: None)
    assert scratch.machine.user_ids() is None
