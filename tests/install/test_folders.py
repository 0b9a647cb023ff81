from __future__ import annotations

import os

from addon.install import places
from addon.install.account import make_user
from addon.install.folders import make_folders, remove_folders
from addon.install.steps import take_all
from tests.install.scratch import Scratch


def test_what_acme_sh_writes_into_is_not_below_what_the_mirrors_user_owns(
    scratch: Scratch,
) -> None:
    # Root would follow a link that this user has made there.
    take_all([make_user(), make_folders()], scratch.machine, lambda _: None)
    assert not places.WEBROOT.startswith(f"{places.STATE}/")
    assert scratch.at(places.WEBROOT).stat().st_uid == os.geteuid()
    assert scratch.at(places.WEBROOT).stat().st_mode & 0o7777 == 0o755


def test_folders_go_with_what_is_in_them(scratch: Scratch) -> None:
    take_all([make_user(), make_folders()], scratch.machine, lambda _: None)
    scratch.put(f"{places.STATE}/destinations.json", "{}")
    take_all([remove_folders()], scratch.machine, lambda _: None)
    assert not any(scratch.machine.has(p) for p in (places.STATE, places.ETC, places.WEBROOT))
