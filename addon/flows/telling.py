"""A story in one line, for whoever looks at a list of flows, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from urllib.parse import parse_qsl

from addon.flows.story import Source, Story
from addon.outbound.sent import Sent
from addon.protocol.names import is_digest, parse_repository
from addon.protocol.refused import Refused
from addon.protocol.registry import authority
from addon.protocol.routes import (
    AcmeChallenge,
    Blob,
    Health,
    Manifest,
    Ping,
    Ready,
    Referrers,
    Route,
    Tags,
    Token,
)
from addon.redaction.redaction import redact_own_url, redact_text

# Hexadecimal digits of a digest that tell it from others.
DIGITS = 12
# Repositories that are named of those that a token is for.
MAX_NAMES = 4
SEPARATOR = " · "

Plain = str | int | float | bool | None | list[str]
Facts = Mapping[str, Plain]


def story_line(
    story: Story, *, started: float, ended: float, size: int | None, error: str, realm: str = ""
) -> str:
    """What became of a client's request; times on the monotonic clock, `size` in bytes.

    `realm` is where the client was sent for a token.
    """
    failed = f"failed: {error}" if error else ""
    what = caption(story)
    is_blob = isinstance(story.route, Blob) and size and not error
    parts = (
        failed,
        story.replayed,
        f"{what} {_size(size or 0)}" if is_blob else what,
        "" if error and not (story.requests or story.ahead) else _where(story),
        f"to fetch a token at {realm}" if realm else "",
        _times(story, started, ended),
        _limit(story),
    )
    return SEPARATOR.join(part for part in parts if part)


def story_facts(
    story: Story,
    *,
    url: str,
    started: float,
    ended: float,
    size: int | None,
    error: str,
    realm: str = "",
) -> dict[str, Plain]:
    """The same in plain values, which outlive saving and loading; seconds from the start.

    `url` is the upstream's address: mitmproxy gives flows that it loads the host of its own mode.
    """
    ahead = story.ahead
    return {
        "id": story.id,
        "url": redact_own_url(url),
        "what": caption(story),
        "from": story.came_from.value,
        "age": round(story.age, 3),
        "requests": story.requests,
        "waited": round(story.waited, 6),
        "first_byte": round(story.head - started, 6) if story.head else None,
        "whole": round(ended - started, 6),
        "resumed": _resumed(story),
        "lagged": _lagged(story),
        "limit": story.limit,
        "remaining": story.remaining,
        "waited_for": list(story.joined),
        "ahead": ahead.id if ahead else "",
        "begun_by": ahead.begun_by if ahead else "",
        "size": size,
        "realm": realm,
        "error": error,
        "replayed": story.replayed,
    }


def sent_line(sent: Sent) -> str:
    """What became of a request of the mirror's own."""
    what = f"{sent.purpose} {sent.part}".rstrip() if sent.part else sent.purpose
    cause = caption(sent.story).removeprefix("token for ") if sent.story.id else ""
    for_whom = f"{'ahead, ' if sent.story.is_ahead else ''}{f'for {cause}' if cause else ''}"
    parts = (
        _sent_failure(sent),
        what,
        for_whom.removesuffix(", "),
        _sent_times(sent) if sent.end else "on its way",
        _size(sent.bytes) if sent.bytes else "",
        sent.cut,
    )
    return SEPARATOR.join(part for part in parts if part)


def sent_facts(sent: Sent) -> dict[str, Plain]:
    """The same in plain values; seconds from the beginning."""
    return {
        "url": redact_own_url(sent.url),
        "purpose": sent.purpose,
        "cause": sent.cause,
        "story": sent.story.id,
        "ahead": sent.story.is_ahead,
        "part": sent.part,
        "began": sent.began,
        "opened": sent.opened,
        "waited": sent.seconds(sent.gone),
        "first_byte": sent.seconds(sent.head),
        "whole": sent.seconds(sent.end),
        "bytes": sent.bytes,
        "error": sent.error,
        "cut": sent.cut,
    }


def caption(story: Story) -> str:
    """What a client asked for, and what it is called upstream if that is something else."""
    # A tag may be what a token looks like.
    return redact_text(_caption(story))


def _caption(story: Story) -> str:
    match story.route:
        case Manifest(repository=name, reference=reference):
            asked = f"{name}{_reference(reference)}"
        case Blob(repository=name, digest=digest):
            asked = f"{name}{_reference(digest)}"
        case Tags(repository=name):
            asked = f"tags of {name}"
        case Referrers(repository=name, digest=digest):
            asked = f"referrers of {name}{_reference(digest)}"
        case Token(query=query):
            asked, upstream = scope_names(query), scope_names(story.name)
            return f"token for {_remapped(asked, upstream)}" if asked else "token"
        case route:
            return _fixed(route)
    return _remapped(asked, story.name if story.name != name else "")


def _fixed(route: Route | None) -> str:
    match route:
        case Ping():
            return "ping"
        case Health():
            return "health"
        case Ready():
            return "readiness"
        case AcmeChallenge():
            return "ACME challenge"
    return ""


def _remapped(asked: str, upstream: str) -> str:
    return f"{asked} → {upstream}" if upstream and upstream != asked else asked


def _reference(reference: str) -> str:
    if not is_digest(reference):
        return f":{reference}"
    algorithm, _, encoded = reference.partition(":")
    return f"@{algorithm}:{encoded[:DIGITS]}…"


def scope_names(query: str) -> str:
    """The repositories that a token is asked for."""
    scopes = [value for name, value in parse_qsl(query) if name == "scope"]
    found = (_repository(scope) for value in scopes for scope in value.split())
    names = list(islice((name for name in found if name), MAX_NAMES + 1))
    return ", ".join(names if len(names) <= MAX_NAMES else [*names[:-1], "…"])


def _repository(scope: str) -> str:
    """Its name, empty where it has none by the grammar: a client may send anything."""
    kind, _, rest = scope.partition(":")
    try:
        return parse_repository(rest.rpartition(":")[0]) if kind == "repository" else ""
    except ValueError:
        return ""


def _where(story: Story) -> str:
    source = story.came_from
    told = {
        Source.MIRROR: "answered by the mirror",
        Source.MEMORY: "from memory",
        Source.CHECKED: "from memory, tag checked",
        Source.STALE: f"stale copy, {story.age:.0f} s old",
    }.get(source, source.value)
    resumed, lagged = _resumed(story), _lagged(story)
    parts = (
        told,
        "waited for another's request" if story.joined else "",
        counted("resumed", resumed),
        counted("a piece asked for again", lagged),
    )
    return ", ".join(part for part in parts if part)


def counted(what: str, count: int) -> str:
    """What happened so often, empty where it did not."""
    if not count:
        return ""
    return f"{what} once" if count == 1 else f"{what} {count} times"


def _resumed(story: Story) -> int:
    return story.resumed + (story.ahead.resumed if story.ahead else 0)


def _lagged(story: Story) -> int:
    return story.lagged + (story.ahead.lagged if story.ahead else 0)


def _times(story: Story, started: float, ended: float) -> str:
    whole = _ms(ended - started)
    if not story.requests:
        return whole
    head = f"first byte {_ms(story.head - started)}, " if story.head else ""
    return f"waited {_ms(story.waited)}, {head}whole {whole}"


def _sent_failure(sent: Sent) -> str:
    if sent.error:
        return f"failed: {sent.error}"
    return f"failed: {authority(sent.url)} answered {sent.status}" if sent.has_failed else ""


def _sent_times(sent: Sent) -> str:
    connection = "new connection, " if sent.opened else ""
    waited = f"waited {_ms(sent.gone - sent.asked)}, " if sent.gone else ""
    head = f"first byte {_ms(sent.head - sent.asked)}, " if sent.head else ""
    return f"{connection}{waited}{head}whole {_ms(sent.end - sent.asked)}"


def _limit(story: Story) -> str:
    left, limit = (each.partition(";")[0].strip() for each in (story.remaining, story.limit))
    if not left:
        return ""
    return f"pull limit {left} of {limit}" if limit else f"pull limit {left} left"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def cause_of(story: Story, refused: Refused, url: str, broken: str) -> str:
    """Why a client's request counts as failed, empty where it does not.

    Args:
        story: what was noted of it.
        refused: the answer, its status 0 where there was none.
        url: the upstream's address, empty where none was asked.
        broken: what mitmproxy says of a flow that broke off.
    """
    if broken:
        return story.failure or broken
    if story.failure and refused.status >= 400:
        return story.failure
    if not refused.is_failure:
        return ""
    who = authority(url) if url and story.requests else "the mirror"
    return f"{who} {refused.reason}"
