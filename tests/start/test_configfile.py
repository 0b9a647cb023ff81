"""What may stand where settings are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from addon.start.configfile import NAMES, config_files


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "link to nowhere", "pipe"])
def test_what_is_no_file_is_not_taken_for_no_settings(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("nowhere")
    with pytest.raises(ValueError, match=rf"{name} is no file"):
        config_files(tmp_path)


def test_a_file_a_link_to_one_and_none_are_taken(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "config.yaml").symlink_to("elsewhere")
    assert config_files(tmp_path) == [tmp_path / "config.yaml", tmp_path / "config.yml"]
    assert config_files(tmp_path / "none")
