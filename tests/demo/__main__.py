"""`./run.sh demo`: a whole pull on this machine alone, and what the mirror makes of it."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    # Loading the rest takes a moment, in which Ctrl-C would be a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .command import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
