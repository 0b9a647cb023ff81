"""The folders of an installation, and who may do what in them."""

from __future__ import annotations

from addon.install import places
from addon.install.account import owner
from addon.install.changes import ROOT, Changes
from addon.install.steps import Step

_ALL = (places.PROGRAM, places.ETC, places.STATE, places.WEBROOT)


def make_folders() -> Step:
    """The step that makes them."""
    return Step(
        "folders",
        f"make {places.ETC} and {places.TLS} (root's, readable by the mirror), {places.STATE} (the"
        f" mirror's), {places.WEBROOT} (root's)",
        _make,
    )


def remove_folders() -> Step:
    """The step that removes them, with all that is in them."""
    return Step("folders", f"remove {', '.join(_ALL)}", _remove)


def _make(changes: Changes) -> None:
    user, group = owner(changes.machine)
    changes.folder(places.ETC, 0o755)
    changes.folder(places.TLS, 0o750, (0, group))
    changes.folder(places.WEBROOT, 0o755)
    changes.folder(places.STATE, 0o700, (user, group))
    changes.folder(places.CONFDIR, 0o700, (user, group))
    # mitmproxy reads its settings where it keeps its own authority's key, which is not for /etc.
    changes.link(f"{places.CONFDIR}/config.yaml", places.SETTINGS, ROOT)


def _remove(changes: Changes) -> None:
    for path in _ALL:
        changes.remove(path)
