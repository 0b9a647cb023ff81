"""run.sh as it is once installed: with a virtual environment that is this Python's own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from tests.running import PROJECT

RUN_SH = PROJECT / "run.sh"

# What a developer may have set for a real mirror.
_OWN = ("CERT_PATH", "KEY_PATH", "DOMAIN", "DOCXY_PYTHON")


def installed(folder: Path) -> dict[str, str]:
    """The environment in which run.sh finds all installed; its state lies in the folder too."""
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # A link would look for its packages beside itself.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with (PROJECT / "pyproject.toml").open() as file:
        sum_of = subprocess.run(["cksum"], stdin=file, capture_output=True, text=True, check=True)
    stamp = f"{sum_of.stdout.strip()} {platform.python_version()} {PROJECT}\n"
    (folder / "venv" / ".docxy-demo").write_text(stamp)
    return {
        **{name: value for name, value in os.environ.items() if name not in _OWN},
        "DOCXY_VENV": str(folder / "venv"),
        "DOCXY_STATE_DIR": str(folder / "state"),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
    }
