from __future__ import annotations

import pytest

from addon.blob.location import Location
from addon.blob.urgency import Asker, Urgency
from addon.protocol.headers import Fields
from tests.cdn import Cdn, registry_blob, ways_to
from tests.outbounds import closings


class Member:
    """Shows one token after the other."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.heard: list[int] = []

    @property
    def fields(self) -> Fields:
        return [("Authorization", self._tokens[0])]

    async def renew(self) -> bool:
        if len(self._tokens) > 1:
            del self._tokens[0]
            return True
        return False

    def hear(self, status: int) -> None:
        self.heard.append(status)


class TestCredentials:
    @pytest.mark.parametrize(
        ("tokens", "shown", "heard"),
        [
            pytest.param(["good"], ["good"], [307], id="one that is taken"),
            pytest.param(["old", "good"], ["old", "good"], [307], id="a new one once it is not"),
            pytest.param(["old"], ["old"], [401], id="there is no new one"),
            pytest.param(["old", "older", "good"], ["old", "older"], [401], id="once, not again"),
        ],
    )
    async def test_are_renewed_where_the_registry_takes_them_no_longer(
        self, tokens: list[str], shown: list[str], heard: list[int]
    ) -> None:
        cdn, member = Cdn(token="good"), Member(*tokens)
        ways, blob = ways_to(cdn, is_known=False), registry_blob(member)
        await Location(ways, blob, ways.redirects).status(Asker(Urgency.NOW))
        assert (cdn.shown, member.heard) == (shown, heard)
        assert closings(cdn.answers) == [1] * len(shown)
