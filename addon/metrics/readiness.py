"""Whether the mirror can do its work: upstreams, certificate, not about to end.

An upstream that has just answered somebody is in order. One that has not is asked by what counts as
no pull and carries no credentials, all of them side by side, once for all who want to know, and
for some seconds not again. Only whoever may see the reasons has them asked: a stranger is told what
is known, and makes the mirror do nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from addon.flows.story import meant_as
from addon.memory.singleflight import SingleFlight
from addon.metrics.checks import Check, Report, check_certificate, check_serving
from addon.outbound.faults import fault_of_status
from addon.outbound.outbound import Outbound
from addon.outbound.received import discard
from addon.outbound.roles import Role, role_of
from addon.outbound.sent import Sent
from addon.protocol.errors import MirrorError
from addon.protocol.headers import to_registry
from addon.protocol.registry import Registry, authority, same_origin

# Seconds for which an answer says that an upstream is there, and for which one is not asked again.
FRESH_SECONDS = 10.0
# Seconds for all upstreams to answer.
ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """An upstream and the request that it is asked by."""

    name: Role
    method: Literal["GET", "HEAD"]
    url: str
    redirected: bool


class Certificate(Protocol):
    """What the mirror's certificate is asked."""

    @property
    def present(self) -> bool:
        """Whether there is one."""

    @property
    def not_after(self) -> datetime | None:
        """When it ends."""


@dataclass(frozen=True, slots=True)
class Way:
    """The registry that is asked, and the way to it."""

    registry: Registry
    outbound: Outbound


class Readiness:
    """What is known of it, from what was sent anyway and from what was asked for this alone."""

    def __init__(
        self,
        way: Callable[[], Way | None],
        certificate: Certificate,
        now: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._way = way
        self._certificate = certificate
        self._is_draining = False
        self._now = now
        self._wall_clock = wall_clock
        self._known: dict[Role, tuple[Check, float]] = {}
        self._flights: SingleFlight[None] = SingleFlight()

    def drains(self) -> None:
        """The mirror takes no new clients from now on."""
        self._is_draining = True

    def known(self) -> Report:
        """As far as it is known; an upstream that nobody has heard of yet may well be there."""
        way = self._way()
        places = places_of(way) if way else []
        upstreams = [self._known[p.name][0] for p in places if p.name in self._known]
        certificate = check_certificate(
            self._certificate.present, self._certificate.not_after, self._wall_clock()
        )
        return Report((*upstreams, certificate, check_serving(self._is_draining)))

    async def look(self) -> Report:
        """The same, once upstreams that were not heard of lately have been asked."""
        way = self._way()
        if way and any(not self._is_fresh(place.name) for place in places_of(way)):
            await self._flights.once("ask", lambda: self._ask(way))
        return self.known()

    # What is sent anyway

    def asked(self, sent: Sent) -> None:
        """A request is about to be sent."""

    def answered(self, sent: Sent) -> None:
        """Its answer's head is here."""
        way = self._way()
        if way and fault_of_status(sent.status) is None:
            took = round(sent.head - sent.asked, 6)
            why = f"{sent.name} answered {sent.status}"
            self._note(Check(role_of(sent.name, way.registry), True, why, took))

    def ended(self, sent: Sent) -> None:
        """It is over."""

    # What is asked for this alone

    async def _ask(self, way: Way) -> None:
        due = [place for place in places_of(way) if not self._is_fresh(place.name)]
        async with asyncio.TaskGroup() as group:
            for place in due:
                group.create_task(self._ask_one(way.outbound, place))

    async def _ask_one(self, outbound: Outbound, place: Place) -> None:
        began = self._now()
        host = authority(place.url)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                with meant_as("readiness"):
                    answer = await outbound.request(
                        place.method, place.url, to_registry([]), redirected=place.redirected
                    )
                await discard(answer)
        except MirrorError as e:
            ok, why = False, e.message
        except TimeoutError:
            ok, why = False, f"upstream {host}: no answer within {ASK_SECONDS:.0f} s"
        else:
            ok, why = answer.status < 500, f"{host} answered {answer.status}"
        self._note(Check(place.name, ok, why, round(self._now() - began, 6)))

    def _note(self, check: Check) -> None:
        self._known[Role(check.name)] = (check, self._now())

    def _is_fresh(self, role: Role) -> bool:
        known = self._known.get(role)
        return known is not None and self._now() - known[1] < FRESH_SECONDS


def places_of(way: Way) -> list[Place]:
    """The upstreams as far as they are known: registry, token service, and CDN."""
    return list(_places(way))


def _places(way: Way) -> Iterable[Place]:
    registry = way.registry
    yield Place(Role.REGISTRY, "GET", f"{registry.url}/v2/", redirected=False)
    service = registry.token_service
    if service and not same_origin(service, registry.url):
        learnt = registry.is_token_service_learnt
        yield Place(Role.TOKEN_SERVICE, "HEAD", service, redirected=learnt)
    for origin in way.outbound.destinations.of(registry.url)[:1]:
        # The rules for redirects hold for what was learnt from them.
        if registry.is_http or origin.startswith("https://"):
            yield Place(Role.CDN, "HEAD", f"{origin}/", redirected=True)
