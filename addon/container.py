"""The same mirror in a container: ports that need no right, and an address that clients know."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from addon import launch
from addon.start.terminal import say
from addon.start.words import parse_words

TLS_PORT = 8443
PLAIN_PORT = 8080


def in_container(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """What the user said, after what else is meant in a container.

    An engine passes chosen ports on, so every address is listened on, and which port it is does
    not matter; but then the mirror cannot see the address that clients use.

    Raises:
        ValueError: the mirror cannot start; the message is the line for the user.
    """
    words = parse_words(arguments)
    if not words.listens or words.modes:
        return tuple(arguments)
    if not words.setting("docxy_public_url"):
        raise ValueError(
            "in a container the mirror cannot see the address that its clients use; name it:"
            " --set docxy_public_url=https://mirror.example.com"
        )
    ahead: list[str] = []
    if words.listen_host is None:
        ahead += ["--listen-host", ""]
    if words.listen_port is None:
        ahead += ["-p", str(TLS_PORT if launch.has_certificate(words, environ) else PLAIN_PORT)]
    # Two `--set` of one name would be a list.
    if not words.setting("docxy_http_port"):
        ahead += ["--set", f"docxy_http_port={PLAIN_PORT}"]
    return (*ahead, *arguments)


def main() -> int:
    """Start mitmdump, as run.sh does."""
    try:
        sys.argv[1:] = in_container(sys.argv[1:], os.environ)
    except ValueError as e:
        say(e)
        return 2
    return launch.main()


if __name__ == "__main__":
    sys.exit(main())
