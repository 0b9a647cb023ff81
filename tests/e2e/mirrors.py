"""Mirrors in front of a Hub with other options than the tests' usual ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.hub import Hub
from tests.ports import free_port
from tests.running import Mirror, reverse_mode, running_mirror, settings_arguments

HOST = "127.0.0.1"


def mirror_with(
    hub: Hub,
    confdir: Path,
    options: Mapping[str, str | None],
    *,
    modes: list[str] | None = None,
    port: int = 0,
    environ: Mapping[str, str] | None = None,
    words: Sequence[str] = (),
) -> AbstractAsyncContextManager[Mirror]:
    """As `running_mirror`, with these options in place of the usual ones; None leaves one out."""
    usual: dict[str, str] = {
        "docxy_token_service": hub.token_url,
        "docxy_service": hub.service,
        "docxy_redirect_private": "127.0.0.0/8",
        "docxy_remember": "false",
    }
    if hub.registry_url.startswith("https"):
        usual["ssl_verify_upstream_trusted_ca"] = str(hub.ca_file)
    settings = {n: v for n, v in {**usual, **options}.items() if v is not None}
    port = port or free_port(HOST)
    modes = modes or reverse_mode(hub.registry_url, HOST, port)
    said = [*settings_arguments(settings), *words]
    # mitmproxy takes an option once, so the Hub's own are not said by `running_mirror`.
    return running_mirror(None, confdir, *said, port=port, modes=modes, environ=environ)
