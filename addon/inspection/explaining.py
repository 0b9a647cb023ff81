"""What the mirror decided for a client's request and why, from the facts in the flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from addon.flows.story import Source
from addon.flows.telling import counted
from addon.inspection.seen import ClientRequest, Facts, OwnRequest, Sendings
from addon.views.sizes import format_size
from addon.views.table import align, bounded

_WHY = {
    Source.MIRROR: "the mirror itself: no upstream is needed for it",
    Source.MEMORY: "memory: it is remembered, and was confirmed lately enough",
    Source.CHECKED: "memory: the registry was asked, and the tag still names what is remembered",
    Source.AHEAD: "begun ahead: a manifest that named it was asked for before",
    Source.NETWORK: "the network: nothing that could be given was remembered",
}


def explain(clients: Iterable[ClientRequest], own: Iterable[OwnRequest]) -> str:
    """A few lines for each client's request, in the order of time."""
    sendings = Sendings(own)
    asked = sorted(clients, key=lambda each: each.began)
    return "\n\n".join("\n".join(explanation(each, sendings.of(each))) for each in asked)


def explanation(asked: ClientRequest, sent: Sequence[OwnRequest]) -> list[str]:
    """The lines for one."""
    facts = asked.facts
    rows = [
        ["asked", _asked(asked)],
        *_named("again", facts.text("replayed")),
        ["answer", _answer(facts)],
        *_named("address", facts.text("url") if facts.count("requests") else ""),
        ["took", _took(facts)],
        *_named("upstream", _unseen(facts) if not sent else ""),
        *([["upstream", line] for line in _sent(sent)]),
        *_named("pull limit", _limit(facts)),
        *_named("token", _realm(facts)),
        *_named("failed", facts.text("error")),
    ]
    title = facts.text("what") or asked.target or "a request"
    return [title, *(f"  {line}" for line in align(rows))]


def _named(name: str, value: str) -> list[list[str]]:
    return [[name, value]] if value else []


def _asked(asked: ClientRequest) -> str:
    target = f" {asked.target}" if asked.target else ""
    client = f" by {asked.client}" if asked.client else ""
    answered = f"answered {asked.status}" if asked.status else "no answer"
    size = asked.facts.number("size")
    return f"{asked.method}{target}{client}: {answered}" + (
        f", {format_size(int(size))}" if size else ""
    )


def _answer(facts: Facts) -> str:
    came_from = facts.text("from")
    if came_from == Source.STALE:
        age = facts.number("age") or 0.0
        return f"a stale copy, last known right {age:.0f} s ago: no upstream could confirm it"
    if came_from == Source.NETWORK and facts.texts("waited_for") and not facts.count("requests"):
        return "another's request: the same was being asked for already, so it waited for that"
    known = {source.value: why for source, why in _WHY.items()}
    return known.get(came_from, came_from or "unknown")


def _took(facts: Facts) -> str:
    parts = (
        ("waited for connections", facts.number("waited") if facts.count("requests") else None),
        ("first byte", facts.number("first_byte")),
        ("whole", facts.number("whole")),
    )
    times = [f"{name} {_ms(value)}" for name, value in parts if value is not None]
    times += [
        counted("resumed", facts.count("resumed")),
        counted("a piece asked for again", facts.count("lagged")),
    ]
    return ", ".join(time for time in times if time)


def _unseen(facts: Facts) -> str:
    """What is said of requests that are no flows here."""
    count = facts.count("requests")
    requests = "1 request" if count == 1 else f"{count} requests"
    return f"{requests}; docxy_own_flows shows each" if count else "nothing was sent"


def _sent(sent: Sequence[OwnRequest]) -> Iterator[str]:
    """A line for each request; those that are alike, such as a blob's parts, share one."""
    alike: dict[tuple[object, ...], list[OwnRequest]] = {}
    for each in sent:
        facts = each.facts
        texts = (facts.text(name) for name in ("purpose", "error", "cut"))
        key = (*texts, facts.host, each.status, facts.is_set("ahead"))
        alike.setdefault(key, []).append(each)
    yield from align(bounded([_cells(each) for each in alike.values()]))


def _cells(alike: Sequence[OwnRequest]) -> list[str]:
    first, count = alike[0], len(alike)
    facts = first.facts
    what = f"{facts.text('purpose')} {facts.text('part') if count == 1 else f'({count})'}".strip()
    answer = f"answered {first.status}" if first.status else "no answer"
    times = [
        f"{name} {_range([each.facts.number(key) for each in alike])}"
        for name, key in (("waited", "waited"), ("first byte", "first_byte"), ("whole", "whole"))
        if any(each.facts.number(key) is not None for each in alike)
    ]
    notes = (
        _connections(sum(each.facts.is_set("opened") for each in alike)),
        "ahead" if facts.is_set("ahead") else "",
        facts.text("error"),
        facts.text("cut"),
    )
    return [what, facts.host, answer, ", ".join([*times, *(note for note in notes if note)])]


def _range(seconds: Sequence[float | None]) -> str:
    known = [each for each in seconds if each is not None]
    least, most = _ms(min(known)), _ms(max(known))
    return most if least == most else f"{least.removesuffix(' ms')} to {most}"


def _connections(count: int) -> str:
    if not count:
        return ""
    return "new connection" if count == 1 else f"{count} new connections"


def _limit(facts: Facts) -> str:
    left, limit = (facts.text(n).partition(";")[0].strip() for n in ("remaining", "limit"))
    if not left:
        return ""
    return f"{left} of {limit} left" if limit else f"{left} left"


def _realm(facts: Facts) -> str:
    realm = facts.text("realm")
    return f"the client is to fetch one at {realm}" if realm else ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
