"""When a connection may be closed in a drain; whole drains are in e2e/test_service.py."""

from __future__ import annotations

import pytest

from addon.drain import HEAD_SECONDS, may_close


@pytest.mark.parametrize(
    ("is_idle", "is_between", "waited", "closes"),
    [
        pytest.param(True, True, 0.0, True, id="between two requests"),
        pytest.param(True, False, 0.0, False, id="has just connected, or sent half a request"),
        pytest.param(True, False, HEAD_SECONDS, True, id="the same, after a second"),
        pytest.param(False, False, 1000.0, False, id="is being answered"),
    ],
)
def test_who_waits_for_nothing_is_let_go(
    is_idle: bool, is_between: bool, waited: float, closes: bool
) -> None:
    assert may_close(is_idle=is_idle, is_between=is_between, waited=waited) is closes
