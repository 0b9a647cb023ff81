"""The ways to the Hub that are compared: direct, a plain mitmdump, the mirror."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from addon.settings.options import OPTIONS
from tests.ports import free_port
from tests.running import Mirror, reverse_mode, running_mirror, settings_arguments

from .site import MIRROR_HOST, Site

PLAIN_ADDON: Final = Path(__file__).parent / "plain_addon.py"
_KNOWN: Final = frozenset(option.name for option in OPTIONS)


@dataclass(frozen=True, slots=True)
class Way:
    """Where a client pulls from; `process` is None where nothing stands between."""

    url: str
    process: int | None = None
    mirror: Mirror | None = None


def direct(site: Site) -> Way:
    """The client asks the Hub itself."""
    return Way(site.registry)


@contextlib.asynccontextmanager
async def plain(site: Site) -> AsyncIterator[Way]:
    """mitmdump without the mirror."""
    port = free_port(MIRROR_HOST)
    pem = site.folder / "plain.pem"
    pem.write_text("".join(path.read_text() for path in reversed(site.certificate)))
    settings = {
        "stream_large_bodies": "1",
        "ssl_verify_upstream_trusted_ca": str(site.ca),
        "flow_detail": "0",
    }
    arguments = [*settings_arguments(settings), "--certs", f"*={pem}", "-q"]
    async with running_mirror(
        None,
        site.folder / "plain",
        *arguments,
        port=port,
        modes=reverse_mode(site.registry, MIRROR_HOST, port),
        ca_file=site.ca,
        environ={"PLAIN_TOKEN_SERVICE": site.token},
        addon=PLAIN_ADDON,
    ) as mirror:
        yield Way(mirror.url, mirror.process.pid, mirror)


@contextlib.asynccontextmanager
async def mirror(
    site: Site,
    settings: Mapping[str, str] | None = None,
    *,
    host: str = MIRROR_HOST,
    port: int | None = None,
    prefix: tuple[str, ...] = (),
) -> AsyncIterator[Way]:
    """The mirror with TLS; its state outlives it, so a second start knows what the first learnt."""
    port = port or free_port(host)
    state = site.folder / "state"
    state.mkdir(exist_ok=True)
    given = {
        "docxy_token_service": site.token,
        "docxy_service": site.service,
        "docxy_redirect_private": "127.0.0.0/8,10.77.0.0/16",
        "ssl_verify_upstream_trusted_ca": str(site.ca),
        **({"docxy_state_dir": str(state)} if "docxy_state_dir" in _KNOWN else {}),
        "docxy_warm_time": "900",
        **(settings or {}),
    }
    async with running_mirror(
        None,
        site.folder / "confdir",
        *settings_arguments(given),
        host=host,
        port=port,
        modes=reverse_mode(site.registry, host, port),
        certificate=site.certificate,
        ca_file=site.ca,
        prefix=prefix,
        workers=site.workers,
    ) as running:
        yield Way(running.url, running.process.pid, running)
