"""What a flow says of itself, in plain values: the facts that the mirror has put into it.

A recording may come from anybody, so nothing of it is believed to be of the right type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from addon.views.escaping import printable

# Characters of one value that are shown.
MAX_SHOWN = 300
# The largest number that is one: more seconds, or bytes, than any request has.
MOST = 1e15


def number(value: object) -> float | None:
    """A number of seconds, of bytes or of anything; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MOST else None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one flow, each read as what it should be."""

    values: Mapping[str, object] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A text on one line, empty where there is none."""
        value = self.values.get(name)
        return printable(value, MAX_SHOWN) if isinstance(value, str) else ""

    def number(self, name: str) -> float | None:
        """A number that is not negative."""
        return number(self.values.get(name))

    def count(self, name: str) -> int:
        """A number of something, 0 where there is none."""
        return int(self.number(name) or 0)

    def is_set(self, name: str) -> bool:
        """Whether something is so."""
        return self.values.get(name) is True

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        value = self.values.get(name)
        found = value if isinstance(value, list | tuple) else ()
        return [each for each in found if isinstance(each, str)]

    @property
    def host(self) -> str:
        """The host of its address, with the port if it has one."""
        try:
            return urlsplit(self.text("url")).netloc.rpartition("@")[2]
        except ValueError:
            return ""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A client's request; `began` in seconds since 1970, `status` 0 where no answer came."""

    facts: Facts
    began: float
    method: str = "GET"
    target: str = ""
    client: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request of the mirror's own."""

    facts: Facts
    method: str = "GET"
    status: int = 0

    @property
    def began(self) -> float:
        """Seconds since 1970."""
        return self.facts.number("began") or 0.0


class Sendings:
    """All that the mirror has sent, found by whom it served."""

    def __init__(self, own: Iterable[OwnRequest]) -> None:
        self._by_cause: dict[str, list[OwnRequest]] = {}
        self._by_story: dict[str, list[OwnRequest]] = {}
        self._all = sorted(own, key=lambda each: each.began)
        for each in self._all:
            self._by_cause.setdefault(each.facts.text("cause"), []).append(each)
            self._by_story.setdefault(each.facts.text("story"), []).append(each)

    def of(self, asked: ClientRequest) -> list[OwnRequest]:
        """What served a client's request: sent because of it, waited for, or begun ahead of it."""
        facts = asked.facts
        found = list(self._by_cause.get(facts.text("id"), ())) if facts.text("id") else []
        for story in (*facts.texts("waited_for"), facts.text("ahead")):
            found += self._by_story.get(story, ()) if story else ()
        once = {id(each): each for each in found}
        return sorted(once.values(), key=lambda each: each.began)

    def besides(self, asked: Iterable[ClientRequest]) -> list[OwnRequest]:
        """What served none of these."""
        served = {id(own) for each in asked for own in self.of(each)}
        return [each for each in self._all if id(each) not in served]
