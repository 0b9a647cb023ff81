"""One Hub and one mirror for each module of tests; the Hub is as new for each test.

Tests that use them carry `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.hub import Hub
from tests.running import Mirror, running_mirror, settings_arguments

# On one of mitmproxy's lines alone, for the time that it takes.
collect_ignore = [] if sys.version_info >= (3, 12) else ["test_confined.py"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_hub() -> AsyncIterator[Hub]:
    """The module's Hub, for its other fixtures."""
    async with Hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """More options for the module's mirror."""
    return {}


# For modules whose tests tell what one stream does: on a busy machine even loopback is a long line.
ONE_STREAM = {"docxy_pieces": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(
    shared_hub: Hub, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mirror]:
    """The module's mirror, plain HTTP on loopback; each test sees all that it asks upstream."""
    confdir: Path = tmp_path_factory.mktemp("confdir")
    words = settings_arguments({"docxy_remember": "false", **settings})
    async with running_mirror(shared_hub, confdir, *words) as mirror:
        yield mirror


@pytest.fixture
def hub(shared_hub: Hub) -> Hub:
    """The module's Hub without faults, with an empty log and nothing pulled yet."""
    for role in (shared_hub.registry, shared_hub.token, shared_hub.cdn):
        role.faults.clear()
    shared_hub.state.pulls.clear()
    shared_hub.requests.clear()
    return shared_hub
