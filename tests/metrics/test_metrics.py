"""The metrics, in one process and in several that answer as one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from addon.metrics.metrics import FOLDER, Metrics
from tests.e2e.watched import Scrape

# Counts, says how much there is, and ends or goes on until its input ends.
WORKER = """
import sys
from addon.metrics.metrics import Metrics
metrics = Metrics()
number = int(sys.argv[1])
metrics.pulls.inc(number)
metrics.requests.labels("ping", "none", "mirror", "401").inc(number)
metrics.first_byte.labels("ping").observe(number / 1000)
metrics.clients.set(number)
metrics.certificate_left.labels("server").set(number)
metrics.pulls_left.labels("address").set(number)
metrics.build.labels("1", "2", "3").set(1)
print("counted", flush=True)
sys.stdin.read()
metrics.leave()
"""


def scrape(metrics: Metrics, accept: str = "") -> Scrape:
    return Scrape(metrics.text(accept)[0].decode())


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "application/openmetrics-text; version=x",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    ],
    ids=["nothing said", "a browser", "Prometheus", "a version that is none"],
)
def test_a_scraper_gets_the_form_that_it_takes(accept: str, media_type: str) -> None:
    content, given = Metrics().text(accept)
    assert given.startswith(media_type)
    assert b"docxy_pulls_total 0.0\n" in content
    assert content.endswith(b"# EOF\n") is ("openmetrics" in media_type)


def test_there_is_one_sample_for_a_counter_and_no_date_beside_it() -> None:
    assert "_created" not in scrape(Metrics()).text


def test_errors_are_there_before_the_first_of_them() -> None:
    found = scrape(Metrics()).labels()["docxy_upstream_errors_total"]
    assert found == {"upstream", "cause"}


def test_prometheus_own_linter_finds_nothing() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    metrics = Metrics()
    text = metrics.text("")[0]
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_several_processes_answer_as_one(tmp_path: Path) -> None:
    environ = {**os.environ, FOLDER: str(tmp_path)}
    workers = []
    try:
        for number in ("3", "4"):
            # One after the other, so that it is known who has heard last.
            workers.append(a_worker(number, environ))
        text = in_a_process_of_its_own(environ)
    finally:
        for worker in workers:
            worker.communicate(timeout=20)
    found = Scrape(text)
    assert found.total("docxy_pulls_total") == 7
    assert found.total("docxy_requests_total", route="ping", status="401") == 7
    assert found.total("docxy_first_byte_seconds_count", route="ping") == 2
    assert found.total("docxy_first_byte_seconds_bucket", route="ping", le="0.0025") == 0
    assert found.total("docxy_first_byte_seconds_bucket", route="ping", le="0.005") == 2
    assert found.total("docxy_client_connections") == 7, "summed up"
    assert found.total("docxy_certificate_left_seconds") == 3, "the one that ends first"
    assert found.total("docxy_pull_limit_remaining") == 4, "what was heard last"
    assert found.total("docxy_build_info") == 1
    assert not any("pid" in labels for labels in found.labels().values())
    # They have ended: what they counted stays, what there was of them does not.
    found = Scrape(in_a_process_of_its_own(environ))
    assert found.total("docxy_pulls_total") == 7
    assert found.total("docxy_client_connections") == 0
    assert "docxy_certificate_left_seconds" not in found.labels()


def a_worker(number: str, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that has counted, and goes on."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, number],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"counted\n"
    return worker


def in_a_process_of_its_own(environ: dict[str, str]) -> str:
    """What a scrape says where the values are shared: that is decided as the library is loaded."""
    code = "from addon.metrics.metrics import Metrics; print(Metrics().text('')[0].decode())"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
