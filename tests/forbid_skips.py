"""A pytest plugin for CI, where everything is installed: DOCXY_FORBID_SKIPS makes a skip fail."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

FORBIDDEN = bool(os.environ.get("DOCXY_FORBID_SKIPS"))


# The outermost wrapper: pytest's own one makes skips out of outcomes.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if FORBIDDEN and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"DOCXY_FORBID_SKIPS is set, and this was skipped: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if FORBIDDEN and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"DOCXY_FORBID_SKIPS is set, and this was skipped: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
