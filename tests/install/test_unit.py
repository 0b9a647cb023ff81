"""The unit as systemd's own programs judge it, which need no systemd that runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from addon.install import places
from addon.install.unit import DRAIN_SECONDS, OPEN_FILES, unit_text
from addon.service.drain import OPTION as DRAIN

# The most that is asked of it, as `systemd-analyze security` counts it.
EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def value(name: str, text: str = "") -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", text or unit_text(workers="auto"), re.MULTILINE)
    return str(found)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the unit, and with what it starts."""
    (tmp_path / places.UNIT[1:]).parent.mkdir(parents=True)
    (tmp_path / places.UNIT[1:]).write_text(unit_text(workers="auto"))
    for program in (f"{places.CURRENT}/.venv/bin/python", "/bin/kill"):
        path = tmp_path / program[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    # What every unit is ordered by, and what this one is.
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("sysinit", "basic", "shutdown", "network-online", "multi-user"):
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    return tmp_path


@needs_systemd
def test_systemd_finds_nothing_wrong_with_it(root: Path) -> None:
    done = analyze("verify", f"--root={root}", "--man=no", places.SERVICE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_what_is_wrong_is_found(root: Path) -> None:
    # Otherwise the test above could not fail.
    unit = root / places.UNIT[1:]
    unit.write_text(unit.read_text().replace("LimitCORE=0", "LimitCORE=none of these"))
    done = analyze("verify", f"--root={root}", "--man=no", places.SERVICE)
    assert "none of these" in done.stderr


@needs_systemd
def test_it_is_hardly_exposed(root: Path) -> None:
    done = analyze("security", "--offline=true", f"--root={root}", places.SERVICE)
    found = re.search(r"Overall exposure level for docxy.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < EXPOSURE


def test_running_transfers_have_their_time() -> None:
    assert DRAIN.default == DRAIN_SECONDS
    assert int(value("TimeoutStopSec", unit_text(workers="2", drain_seconds=300))) > 300


def test_the_ports_are_bound_with_one_capability_and_no_other() -> None:
    assert value("AmbientCapabilities") == "CAP_NET_BIND_SERVICE"
    assert value("CapabilityBoundingSet") == "CAP_NET_BIND_SERVICE"


def test_the_mirror_is_started_from_the_current_release() -> None:
    assert value("ExecStart").startswith(f"{places.CURRENT}/.venv/bin/python -P -m addon.launch")
    assert int(value("LimitNOFILE")) == OPEN_FILES
