"""mitmproxy's own addons that have nothing to do in a mirror, out of the way.

mitmproxy walks all its addons for each hook of each flow: a quarter of the CPU of small pulls. In
mitmdump, those whose options leave them nothing to do are taken out of its chain, and come back,
for good, when somebody sets one of their options. mitmweb and the console keep them all: people
use them there by hand. Those stay here that a command may give work to (the replays).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from mitmproxy import ctx
from mitmproxy.tools.dump import DumpMaster

# Addons by name, and the options that give each something to do when they are not at their
# defaults. Some without options have nothing to do in a mirror whatever is set: they are for DNS,
# for what the mirror never gives on (Alt-Svc), or hold commands, which work all the same.
# DisableH2C stays: it ends an HTTP/2 connection that a client begins without asking. ProxyAuth
# stays: it must see a request before the mirror takes the credentials out of what is shown.
NOTHING_TO_DO: Final[Mapping[str, tuple[str, ...]]] = {
    "anticache": ("anticache",),
    "anticomp": ("anticomp",),
    "block": ("block_global", "block_private"),
    "blocklist": ("block_list",),
    "browser": (),
    "commandhistory": ("command_history",),
    "comment": (),
    "cut": (),
    "dnsresolver": ("dns_use_hosts_file", "dns_name_servers"),
    "dumper": ("flow_detail", "dumper_filter", "dumper_default_contentview"),
    "export": ("export_preserve_original_ip",),
    "keepserving": (),
    "maplocal": ("map_local",),
    "mapremote": ("map_remote",),
    "modifybody": ("modify_body",),
    "modifyheaders": ("modify_headers",),
    "onboarding": ("onboarding", "onboarding_host"),
    "readfilestdin": ("rfile", "readfile_filter"),
    "save": ("save_stream_file", "save_stream_filter"),
    "savehar": ("hardump",),
    "stickyauth": ("stickyauth",),
    "stickycookie": ("stickycookie",),
    "stripdnshttpsrecords": ("strip_ech",),
    "updatealtsvc": ("keep_alt_svc_header",),
    "upstreamauth": ("upstream_auth",),
}

# With these an addon has nothing to do, although mitmproxy's default is another.
IDLE_VALUES: Final[Mapping[str, object]] = {
    "block_global": False,
    "flow_detail": 0,
    "onboarding": False,
}

# Those that show or save flows. What else mitmdump has reads none that has ended.
LOOKING: Final = frozenset({"dumper", "save", "savehar"})
# What mitmdump loads; a script that loads it with others may have these look.
MIRROR: Final = Path(__file__).resolve().parent.parent / "mirror.py"


class IdleAddons:
    """Takes them out once mitmproxy runs, and puts them back when they are wanted.

    mitmproxy's own way back, `AddonManager.add`, loads an addon anew, which sets its options to
    their defaults. So one that comes back becomes an addon of this one's (mitmproxy gives its hooks
    to all in `addons`, and looks there after each hook of this one's own): it hears of the very
    change that it is put back for.
    """

    def __init__(self) -> None:
        self.addons: list[Any] = []
        self._put_back: dict[str, Any] = {}
        self._parked: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def running(self) -> None:
        """Take them out, once every addon knows that mitmproxy runs."""
        if isinstance(ctx.master, DumpMaster):
            asyncio.get_running_loop().call_soon(self._park)

    def is_anybody_looking(self) -> bool:
        """Whether anybody may read what is told in a flow that has ended: not in a plain mitmdump.

        A script of somebody's may, and whatever is no addon of mitmproxy's.
        """
        scripts = ctx.options.scripts
        is_alone = len(scripts) == 1 and _is_the_mirror(scripts[0])
        if not is_alone or not self._parked.keys() >= LOOKING:
            return True
        return not all(_is_mitmproxys(addon) for addon in ctx.master.addons.chain)

    def configure(self, updated: set[str]) -> None:
        """Put back whose options were set."""
        for name in list(self._parked):
            if not updated.isdisjoint(NOTHING_TO_DO[name]) and not is_idle(name):
                addon = self._put_back[name] = self._parked.pop(name)
                self.addons.append(addon)
                ctx.master.addons.lookup[name] = addon

    def done(self) -> None:
        """The mirror goes and mitmproxy may stay: leave it as it was."""
        if ctx.master.should_exit.is_set():
            return
        for name, addon in (self._put_back | self._parked).items():
            ctx.master.addons.chain.append(addon)
            ctx.master.addons.lookup[name] = addon
        self.addons.clear()
        self._put_back.clear()
        self._parked.clear()

    def _park(self) -> None:
        for name in NOTHING_TO_DO:
            addon = ctx.master.addons.get(name)  # type: ignore[no-untyped-call]
            if _is_mitmproxys(addon) and is_idle(name):
                ctx.master.addons.remove(addon)  # type: ignore[no-untyped-call]
                self._parked[name] = addon


@cache
def _is_the_mirror(script: str) -> bool:
    return Path(script).expanduser().resolve() == MIRROR


def _is_mitmproxys(addon: object) -> bool:
    return type(addon).__module__.startswith("mitmproxy.addons.")


def is_idle(name: str) -> bool:
    """Whether an addon's options leave it nothing to do."""
    return all(_is_idle_value(option) for option in NOTHING_TO_DO[name])


def _is_idle_value(option: str) -> bool:
    if option not in ctx.options:
        return True
    if option in IDLE_VALUES:
        return bool(getattr(ctx.options, option) == IDLE_VALUES[option])
    return not ctx.options.has_changed(option)  # type: ignore[no-untyped-call]
