from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from addon.metrics.checks import Check, Report, check_certificate, check_serving

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FINE = Check("registry", True, "registry.example answered 401", 0.02)
WRONG = Check("cdn", False, "upstream cdn.example: cannot connect: Connection refused", 1.5)


@pytest.mark.parametrize(
    ("present", "days", "ok", "why"),
    [
        pytest.param(False, None, True, "there is none", id="plain HTTP"),
        pytest.param(True, 30.4, True, "valid until 2026-01-31 09:36 UTC, 30 days", id="valid"),
        pytest.param(True, -1, False, "it expired on 2025-12-31", id="expired"),
        pytest.param(True, None, False, "cannot be read", id="one of mitmproxy's own option"),
    ],
)
def test_a_certificate_is_in_order_while_it_is_valid(
    present: bool, days: float | None, ok: bool, why: str
) -> None:
    ends = None if days is None else NOW + timedelta(days=days)
    check = check_certificate(present, ends, NOW)
    assert check.ok is ok
    assert why in check.why


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_mirror_that_is_about_to_end_serves_nobody_new(is_draining: bool) -> None:
    assert check_serving(is_draining).ok is not is_draining


def test_all_checks_must_be_in_order() -> None:
    assert Report((FINE,)).is_ready
    assert not Report((FINE, WRONG)).is_ready
    assert Report((FINE,)).trouble == ""
    assert Report((FINE, WRONG)).trouble == f"cdn: {WRONG.why}"


def test_whoever_runs_the_mirror_is_told_why() -> None:
    assert json.loads(Report((FINE, WRONG)).json(with_reasons=True)) == {
        "status": "not ready",
        "checks": [
            {"name": "registry", "ok": True, "why": FINE.why, "seconds": 0.02},
            {"name": "cdn", "ok": False, "why": WRONG.why, "seconds": 1.5},
        ],
    }


def test_a_stranger_learns_no_host() -> None:
    assert json.loads(Report((FINE, WRONG)).json(with_reasons=False)) == {
        "status": "not ready",
        "checks": [{"name": "registry", "ok": True}, {"name": "cdn", "ok": False}],
    }
