"""`./run.sh bench`: what the mirror is for, in figures."""

from __future__ import annotations

import sys

from .command import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
