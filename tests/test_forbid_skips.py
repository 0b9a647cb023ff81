from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

SKIPPED = {
    "a marked test": "@pytest.mark.skip(reason='no client')\ndef test_it(): pass",
    "a test that skips itself": "def test_it(): pytest.skip('no client')",
    "a whole module": "pytest.skip('no client', allow_module_level=True)",
}


def run_pytest(tmp_path: Path, source: str, *, forbid: str) -> tuple[int, str]:
    (tmp_path / "test_sample.py").write_text(f"import pytest\n{source}\n")
    environ = {**os.environ, "DOCXY_FORBID_SKIPS": forbid, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "pytest", "-p", "tests.forbid_skips", "test_sample.py"]
    # With a test that passes, or pytest would complain that there was none.
    (tmp_path / "test_other.py").write_text("def test_passes(): pass\n")
    done = subprocess.run(
        [*command, "test_other.py"], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("source", SKIPPED.values(), ids=SKIPPED.keys())
def test_a_skip_fails_the_run_by_name_where_skips_are_forbidden(
    tmp_path: Path, source: str
) -> None:
    code, output = run_pytest(tmp_path, source, forbid="1")
    assert code != 0
    assert "test_sample.py" in output
    assert "DOCXY_FORBID_SKIPS is set, and this was skipped" in output
    assert "no client" in output


@pytest.mark.parametrize("source", SKIPPED.values(), ids=SKIPPED.keys())
def test_a_skip_is_a_skip_elsewhere(tmp_path: Path, source: str) -> None:
    code, output = run_pytest(tmp_path, source, forbid="")
    assert code == 0
    assert "1 skipped" in output


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    code, output = run_pytest(
        tmp_path, "@pytest.mark.xfail\ndef test_it(): assert False", forbid="1"
    )
    assert code == 0
    assert "1 xfailed" in output
