"""Who is served at all, by address."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.client import ask
from tests.e2e.mirrors import mirror_with
from tests.hub import Hub

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_client_that_is_not_allowed_costs_no_upstream_request(
    hub: Hub, tmp_path: Path
) -> None:
    hub.add_image()
    async with mirror_with(hub, tmp_path, {"docxy_allow": "192.0.2.0/24, 2001:db8::/32"}) as mirror:
        for target in ("/v2/", "/v2/library/alpine/manifests/latest", "/auth/token"):
            refused = await ask(mirror, target)
            assert refused.error == (403, "DENIED")
            assert "docxy_allow" in refused.message
        assert (await ask(mirror, "/health")).status == 200
        assert not hub.requests


async def test_a_client_that_is_allowed_is_served(hub: Hub, tmp_path: Path) -> None:
    async with mirror_with(hub, tmp_path, {"docxy_allow": "127.0.0.0/8"}) as mirror:
        assert (await ask(mirror, "/v2/")).status == 401
