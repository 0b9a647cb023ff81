"""The views of what registries send, in mitmproxy's own tools and on both of its lines.

mitmproxy 12 has another interface than 11: what is called, with what, and how a view says that a
body is none of its own. Both choose the view of the highest priority, so that one says there
already whether it can show a body, and mitmproxy's own views get all others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mitmproxy import contentviews
from mitmproxy.addonmanager import Loader

from addon.views.config import show_config
from addon.views.error import show_error
from addon.views.manifest import show_manifest
from addon.views.token import show_token

logger = logging.getLogger(__name__)

# Each line lacks the types of the other.
_mitmproxy: Any = contentviews

# mitmproxy's own end at 2: JSON has 1.
PRIORITY = 3.0
NOT_MINE = -1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A kind of body: its name in mitmproxy's menus, and what shows it or gives None."""

    name: str
    show: Callable[[str, bytes], str | None]

    def text(self, content_type: str | None, body: bytes) -> str | None:
        """A body as text, None for what mitmproxy itself is to show."""
        try:
            return self.show((content_type or "").lower(), body)
        except Exception as e:
            # mitmproxy 11 would choose no view at all. What is wrong may hold a secret.
            logger.warning("The view %r failed: %s", self.name, type(e).__name__)
            return None

    def priority(self, content_type: str | None, body: bytes) -> float:
        """Above all others for a body that is shown, below them for one that is not."""
        return NOT_MINE if self.text(content_type, body) is None else PRIORITY


def kinds(now: Callable[[], float] = time.time) -> tuple[Shown, ...]:
    """What there are views of; `now` in seconds since 1970."""

    def show_token_now(content_type: str, body: bytes) -> str | None:
        return show_token(content_type, body, now())

    return (
        Shown("Registry token", show_token_now),
        Shown("Image manifest", show_manifest),
        Shown("Image config", show_config),
        Shown("Registry error", show_error),
    )


class ContentViews:
    """Adds the views to mitmproxy's, and takes them away with the mirror."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._kinds = kinds(now)
        self._added: list[Any] = []

    def load(self, _loader: Loader) -> None:
        """Add them."""
        self.add()

    def done(self) -> None:
        """Take them away."""
        self.remove()

    def add(self) -> None:
        """Add those whose names are free: a view that somebody else has added stays."""
        for kind in self._kinds:
            if _is_taken(kind.name):
                logger.info("There is a content view %r already", kind.name)
                continue
            view = _make(kind)
            _mitmproxy.add(view)
            self._added.append(view)

    def remove(self) -> None:
        """Leave mitmproxy as it was."""
        for view in self._added:
            _remove(view)
        self._added.clear()


def is_of_line_12() -> bool:
    """Whether mitmproxy has the interface that came with 12."""
    return hasattr(_mitmproxy, "Contentview")


def _make(kind: Shown) -> Any:
    return _make_12(kind) if is_of_line_12() else _make_11(kind)


def _make_11(kind: Shown) -> Any:
    class View(_mitmproxy.View):  # type: ignore[misc]
        name = kind.name

        def __call__(self, data: bytes, *, content_type: str | None = None, **_: object) -> Any:
            text = kind.text(content_type, data)
            # None is shown raw.
            return None if text is None else (kind.name, _lines(text))

        def render_priority(
            self, data: bytes, *, content_type: str | None = None, **_: object
        ) -> float:
            return kind.priority(content_type, data)

    return View()


def _lines(text: str) -> Any:
    return ([("text", line)] for line in text.split("\n"))


def _make_12(kind: Shown) -> Any:
    class View(_mitmproxy.Contentview):  # type: ignore[misc]
        name = kind.name

        def prettify(self, data: bytes, metadata: Any) -> str:
            text = kind.text(metadata.content_type, data)
            if text is None:
                # Somebody chose this view; mitmproxy shows them the reason.
                raise ValueError(f"not shown as {kind.name!r}: wrong or too large")
            return text

        def render_priority(self, data: bytes, metadata: Any) -> float:
            return kind.priority(metadata.content_type, data)

    return View()


def _is_taken(name: str) -> bool:
    if is_of_line_12():
        return name.lower() in _mitmproxy.registry
    return _mitmproxy.get(name) is not None


def _remove(view: Any) -> None:
    if not is_of_line_12():
        if view in _mitmproxy.views:
            _mitmproxy.remove(view)
        return
    # mitmproxy 12 has no way to take a view away (its `remove` does nothing), so this is an
    # internal of its registry; tests/inspection/test_contentviews.py says in words when it changes.
    by_name = _mitmproxy.registry._by_name
    if by_name.get(view.name.lower()) is view:
        del by_name[view.name.lower()]
        _mitmproxy.registry.on_change.send(view)
