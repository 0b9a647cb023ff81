from __future__ import annotations

from pathlib import Path

import pytest

from tests.install.scratch import Scratch, make_project


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "root")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")
