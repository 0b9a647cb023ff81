"""How the demo looks: lines of 100 columns that need no colour."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from addon.views.sizes import format_size
from tests.hub import Seen

from .asked import Asked

_TEXT = 66
_HEX = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")
_CDN_FOLDER = re.compile(r"^/registry-v2/.*/(?=[0-9a-f]{64}/)")


def row(kind: str, text: str, status: str = "", size: str = "", took: str = "") -> str:
    if len(text) > _TEXT:
        text = f"{text[: _TEXT - 1]}…"
    return f"{kind:<9} {text:<{_TEXT}} {status:>4} {size:>9} {took:>8}".rstrip()


def heading() -> str:
    return row("", "The client asks Docxy, and → Docxy asks the Hub:", "", "size", "time")


def client_row(asked: Asked) -> str:
    size = "" if asked.size is None else format_size(asked.size)
    took = format_seconds(asked.ended - asked.started)
    return row(asked.kind, f"{asked.method} {shorten(asked.target)}", status(asked), size, took)


def hub_rows(asked: Asked, came_of_it: Iterable[Seen]) -> list[str]:
    rows = [hub_row(seen, ahead=seen.time < asked.started) for seen in came_of_it]
    return rows or [row("", "→ nothing: answered by the mirror itself")]


def hub_row(seen: Seen, *, ahead: bool = False) -> str:
    text = f"→ {seen.role:<8} {seen.method} {shorten(seen.target)}"
    return row("", text, status(seen), "", "ahead" if ahead else "")


def status(of: Asked | Seen) -> str:
    return "-" if of.status is None else str(of.status)


def shorten(target: str) -> str:
    """A target with the beginning of its digests, and of its query no more than the scopes."""
    path, _, query = target.partition("?")
    path = _HEX.sub(r"\1…", _CDN_FOLDER.sub("/registry-v2/…/", path))
    if not query:
        return path
    parameters = parse_qsl(query)
    shown = [f"scope={value}" for name, value in parameters if name == "scope"]
    # A signature is as good as a password until it expires.
    shown += ["Signature=…" for name, _ in parameters if name == "Signature"]
    return f"{path}?{'&'.join(['…', *shown])}"


def format_seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"
