"""config.yaml, as far as it must be known before mitmproxy reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NAMES: Final = ("config.yaml", "config.yml")


def config_files(directory: Path) -> list[Path]:
    """The settings in mitmproxy's config directory, which may be there or not.

    mitmproxy takes for no settings what is no file, and a mirror without docxy_allow lets everyone
    in.

    Raises:
        ValueError: one is something else, or a link that leads nowhere.
    """
    files = [directory / name for name in NAMES]
    for path in files:
        if os.path.lexists(path) and not path.is_file():
            raise ValueError(f"{path} is no file")
    return files
