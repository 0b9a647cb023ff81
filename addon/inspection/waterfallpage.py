"""A waterfall as one page: nothing is loaded from elsewhere, and nothing in it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from addon.inspection.waterfall import Bar, Picture, Served, marks

_STYLE = """
body{font:13px/1.5 system-ui,sans-serif;margin:1.5em 4em 1.5em 1.5em;color:#222;background:#fff}
h2{font-size:1em;margin:2em 0 .3em}
.row{display:flex;align-items:center;border-top:1px solid #eee}
.row:hover{background:#f5f8ff}
.own .name{padding-left:1.5em;color:#555}
.client{border-top:1px solid #bbb;font-weight:600}
.name{flex:0 0 42%;overflow-wrap:anywhere;padding-right:1em;box-sizing:border-box}
.name small{font-weight:400;color:#777;margin-left:.5em}
.name .failed{color:#b00020}
.time{flex:1;position:relative;height:1.4em}
.time i,.key i{position:absolute;top:.25em;height:.9em;min-width:1px}
.key i{position:static;display:inline-block;width:1.5em;vertical-align:middle;margin:0 .3em 0 1em}
.axis span{position:absolute;color:#777;font-size:.85em;border-left:1px solid #bbb}
.axis span{white-space:nowrap}
.waited{background:#bdbdbd}.first{background:#f2a33a}.rest{background:#3f7fd0}
.new{border-left:3px solid #2e8b57;box-sizing:border-box}
.time i.open{background-image:linear-gradient(90deg,transparent 70%,#fff)}
"""
_KEY = (
    '<p class="key"><i class="waited"></i>waited for a connection'
    '<i class="first"></i>waited for the first byte<i class="rest"></i>the rest'
    '<i class="waited new"></i>on a new connection</p>'
)
# The page may do nothing but look as it does, whatever a name in it says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(shown: Sequence[Picture]) -> str:
    """The whole page."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>Docxy: timeline</title><style>{_STYLE}</style></head><body>",
            "<h1>What clients asked for, and what the mirror sent for it</h1>",
            _KEY,
            *(line for picture in shown for line in _picture(picture)),
            "</body></html>",
            "",
        ]
    )


def _picture(picture: Picture) -> Iterator[str]:
    yield f"<h2>{_clock(picture.began)}, {_ms(picture.seconds)}</h2>"
    yield f'<div class="row axis"><div class="name"></div><div class="time">{_axis(picture)}</div>'
    yield "</div>"
    for served in picture.served:
        yield from _served(served, picture)


def _axis(picture: Picture) -> str:
    return "".join(
        f'<span style="left:{_percent(mark / 1000, picture)}">{mark:g} ms</span>'
        for mark in marks(picture.seconds)
    )


def _served(served: Served, picture: Picture) -> Iterator[str]:
    if served.client:
        yield _row(served.client, "client", picture)
    for bar in served.sent:
        yield _row(bar, "own" if served.client else "own client", picture)


def _row(bar: Bar, kind: str, picture: Picture) -> str:
    notes = "".join(f"<small>{escape(note)}</small>" for note in _notes(bar))
    failed = f'<small class="failed">failed: {escape(bar.failure)}</small>' if bar.failure else ""
    return (
        f'<div class="row {kind}" title="{escape(_times(bar))}">'
        f'<div class="name">{escape(bar.label)}{notes}{failed}</div>'
        f'<div class="time">{"".join(_parts(bar, picture))}</div></div>'
    )


def _notes(bar: Bar) -> Iterable[str]:
    return (*bar.notes, "on its way" if bar.is_open else _ms(bar.whole))


def _parts(bar: Bar, picture: Picture) -> Iterator[str]:
    begun = bar.began - picture.began
    times = (("waited", 0.0, bar.waited), ("first", bar.waited, bar.first_byte))
    parts = [each for each in (*times, ("rest", bar.first_byte, bar.whole)) if each[2] > each[1]]
    for number, (kind, start, end) in enumerate(parts or [("rest", 0.0, 0.0)]):
        classes = kind + (" new" if bar.is_new and number == 0 else "")
        classes += " open" if bar.is_open else ""
        place = f"left:{_percent(begun + start, picture)};width:{_percent(end - start, picture)}"
        yield f'<i class="{classes}" style="{place}"></i>'


def _times(bar: Bar) -> str:
    waited, first = _ms(bar.waited), _ms(bar.first_byte)
    return f"waited {waited}, first byte {first}, whole {_ms(bar.whole)}"


def _percent(seconds: float, picture: Picture) -> str:
    return f"{100 * seconds / picture.seconds:.3f}%"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _clock(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"
