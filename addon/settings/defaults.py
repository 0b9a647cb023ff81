"""mitmproxy's options as a public mirror needs them, where the user left mitmproxy's default."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# Why each: docs/design.md.
NEEDED: Mapping[str, str | bool | int] = {
    "block_global": False,  # true refuses every client with a public address
    "connection_strategy": "lazy",  # eager opens a connection upstream for each client
    "flow_detail": 0,  # the mirror has a line of its own for each request
    "http2": False,  # an HTTP/2 client costs an inner connection for each request
    "keep_host_header": True,  # what the client asked for, where a redirect to https names it
    "onboarding": False,  # mitmproxy's own page, for whoever sends its magic host
    "upstream_cert": False,  # the certificate is our own; nothing is looked up upstream
}

# They break pulls: the first holds for answers too and ends every large blob, the second hangs a
# client whose answer the mirror gave itself, the third keeps blobs in memory.
REFUSED = ("body_size_limit", "stream_large_bodies", "store_streamed_bodies")

# Options that only some of mitmproxy's programs have. Arguments and a config.yaml are for all of
# them, so where the one that runs lacks one of these, it is no slip of the pen.
_OF_SOME = frozenset({"flow_detail", "keepserving", "termlog_verbosity"})
_OF_SOME_BEGIN = ("console_", "dumper_", "intercept", "view_", "web_")


# Where nothing listens, somebody reads a recording: heads, and bodies as the views show them.
READ: Mapping[str, str | bool | int] = {**NEEDED, "flow_detail": 3}


def missing(
    values: Mapping[str, object], is_default: Callable[[str], bool], *, listens: bool
) -> dict[str, object]:
    """The options that are to be set, of those that there are."""
    return {
        name: value
        for name, value in (NEEDED if listens else READ).items()
        if name in values and values[name] != value and is_default(name)
    }


def check_refused(is_default: Callable[[str], bool]) -> None:
    """Refuse options that break pulls.

    Raises:
        ValueError: one of them is set; the message begins with its name.
    """
    for name in REFUSED:
        if not is_default(name):
            raise ValueError(f"{name} breaks pulls through a mirror; leave it out")


def is_of_another_program(name: str) -> bool:
    """Whether an option that is unknown here belongs to another of mitmproxy's programs."""
    return name in _OF_SOME or name.startswith(_OF_SOME_BEGIN)
