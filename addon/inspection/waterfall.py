"""Who asked when, and what the mirror sent for it: flows' facts as bars beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from addon.flows.telling import counted
from addon.inspection.seen import ClientRequest, OwnRequest, Sendings
from addon.views.sizes import format_size

# Seconds without any request after which a new picture begins: in one of hours nobody sees a pull.
SILENCE = 5.0
# Marks on an axis, about.
MARKS = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One request; `began` in seconds since 1970, the others from there, each at least the last."""

    label: str
    notes: tuple[str, ...]
    began: float
    waited: float
    first_byte: float
    whole: float
    is_open: bool = False  # it was still on its way
    is_new: bool = False  # it opened a connection
    failure: str = ""

    @property
    def ended(self) -> float:
        """Seconds since 1970."""
        return self.began + self.whole


@dataclass(frozen=True, slots=True)
class Served:
    """A client's request, None for what none of those shown was behind, and what was sent."""

    client: Bar | None
    sent: tuple[Bar, ...]

    @property
    def bars(self) -> Iterator[Bar]:
        """All of its bars."""
        if self.client:
            yield self.client
        yield from self.sent


@dataclass(frozen=True, slots=True)
class Picture:
    """Requests that belong together in time, which is in seconds since 1970."""

    began: float
    ended: float
    served: tuple[Served, ...]

    @property
    def seconds(self) -> float:
        """How long it took, never nothing."""
        return max(self.ended - self.began, 0.001)


def pictures(clients: Iterable[ClientRequest], own: Iterable[OwnRequest]) -> list[Picture]:
    """A picture for each time in which the mirror had something to do."""
    asked = sorted(clients, key=lambda each: each.began)
    sendings = Sendings(own)
    served = [
        Served(client_bar(each), tuple(own_bar(own) for own in sendings.of(each))) for each in asked
    ]
    served += [Served(None, (own_bar(each),)) for each in sendings.besides(asked)]
    return [_picture(each) for each in _apart(sorted(served, key=_began))]


def client_bar(asked: ClientRequest) -> Bar:
    """The bar of a client's request."""
    facts = asked.facts
    size = facts.number("size")
    notes = (
        facts.text("from"),
        _status(asked.status),
        format_size(int(size)) if size else "",
        "waited for another's request" if facts.texts("waited_for") else "",
        counted("resumed", facts.count("resumed")),
    )
    label = facts.text("what") or asked.target
    bar = _bar(asked.began, *(facts.number(n) for n in ("waited", "first_byte", "whole")))
    return replace(
        bar,
        label=f"{asked.method} {label}".strip(),
        notes=tuple(note for note in notes if note),
        failure=facts.text("error"),
    )


def own_bar(own: OwnRequest) -> Bar:
    """The bar of a request of the mirror's own."""
    facts = own.facts
    size = facts.count("bytes")
    notes = (
        _status(own.status),
        format_size(size) if size else "",
        "begun ahead" if facts.is_set("ahead") else "",
        "new connection" if facts.is_set("opened") else "",
        facts.text("cut"),
    )
    label = (facts.text("purpose") or "request", facts.text("part"), facts.host)
    bar = _bar(own.began, *(facts.number(n) for n in ("waited", "first_byte", "whole")))
    return replace(
        bar,
        label=" ".join(each for each in label if each),
        notes=tuple(note for note in notes if note),
        is_new=facts.is_set("opened"),
        failure=facts.text("error") or (f"answered {own.status}" if _is_failure(own) else ""),
    )


def marks(seconds: float) -> list[float]:
    """Round times on an axis of so many seconds, in milliseconds."""
    step = _step(seconds * 1000 / MARKS)
    return [step * number for number in range(int(seconds * 1000 / step) + 1)]


def _step(least: float) -> float:
    step = 0.1
    while True:
        for factor in (1, 2, 5):
            if step * factor >= least:
                return step * factor
        step *= 10


def _bar(began: float, waited: float | None, first: float | None, whole: float | None) -> Bar:
    """A request that came no further than it is known has that as its end."""
    known = max(waited or 0.0, first or 0.0) if whole is None else whole
    # A body's end is the last of its times, whatever the facts say.
    gone = min(waited or 0.0, known)
    # Without a first byte all that follows was waiting for it.
    head = known if first is None else min(max(first, gone), known)
    return Bar("", (), began, gone, head, known, is_open=whole is None)


def _status(status: int) -> str:
    return str(status) if status else "no answer"


def _is_failure(own: OwnRequest) -> bool:
    # A challenge is had by being refused, and of what keeps a connection open no answer counts.
    is_expected = own.status in (401, 416) or own.facts.text("purpose") in ("spare", "warming")
    return own.status >= 400 and not is_expected


def _began(served: Served) -> float:
    return min(bar.began for bar in served.bars)


def _apart(served: Iterable[Served]) -> Iterator[list[Served]]:
    """Those between two silences."""
    group: list[Served] = []
    ended = 0.0
    for each in served:
        if group and _began(each) > ended + SILENCE:
            yield group
            group = []
        ended = max([ended, *(bar.ended for bar in each.bars)])
        group.append(each)
    if group:
        yield group


def _picture(served: list[Served]) -> Picture:
    began = min(_began(each) for each in served)
    ended = max(bar.ended for each in served for bar in each.bars)
    return Picture(began, ended, tuple(served))
