"""The challenge of a registry that is not Docker Hub, learnt by one request."""

from __future__ import annotations

import asyncio

from addon.flows.story import meant_as
from addon.outbound.outbound import Outbound
from addon.outbound.received import discard
from addon.protocol.challenges import Challenge, parse_challenges
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.headers import to_registry
from addon.protocol.registry import Registry


class LearntRegistry:
    """A registry whose token service is known, or asked for once, by however many wait for it."""

    def __init__(self, registry: Registry, outbound: Outbound) -> None:
        self._registry = registry
        self._outbound = outbound
        self._lock = asyncio.Lock()
        self._learnt = registry.knows_challenge
        self._failure: UpstreamFailure | None = None

    @property
    def now(self) -> Registry:
        """The registry as far as it is known."""
        return self._registry

    async def known(self) -> Registry:
        """The registry with its token service; without one where it asks for no token.

        Raises:
            UpstreamFailure: the registry did not answer, or with something else.
        """
        if self._learnt:
            return self._registry
        before = self._failure
        async with self._lock:
            if not self._learnt:
                # Who waited shares the failure: one after the other would wait for a time-out each.
                if self._failure is not None and self._failure is not before:
                    raise self._failure
                await self._learn_once()
        return self._registry

    async def _learn_once(self) -> None:
        try:
            self._registry = await self._learn()
        except UpstreamFailure as e:
            self._failure = e
            raise
        self._learnt = True

    async def _learn(self) -> Registry:
        registry = self._registry
        with meant_as("challenge"):
            answer = await self._outbound.request("GET", f"{registry.url}/v2/", to_registry([]))
        await discard(answer)
        if answer.status == 200:
            return registry
        challenge = _bearer(answer.get_all("WWW-Authenticate"))
        if answer.status != 401 or not challenge:
            raise failure(registry.authority, f"/v2/ answered {answer.status} without a challenge")
        try:
            return registry.learn(challenge)
        except ValueError as e:
            raise failure(registry.authority, str(e)) from e


def _bearer(values: list[str]) -> Challenge | None:
    try:
        challenges = [c for value in values for c in parse_challenges(value)]
    except ValueError:
        return None
    return next((c for c in challenges if c.is_bearer and c.get("realm")), None)
