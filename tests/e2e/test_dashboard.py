"""docs/grafana.json and README against Prometheus' own parser and a running mirror's scrape."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addon.metrics.metering import SOURCES
from tests.e2e.client import ask
from tests.e2e.watched import Scrape, pull, watched
from tests.hub import Hub

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text())
METRICS = (ROOT / "README.md").read_text().partition("\n## Metrics\n")[2]

# Grafana fills these in; the second as it does for "all".
FILLED_IN = {"$__rate_interval": "5m", "$instance": ".*"}
# Prometheus adds these to what it scrapes.
OF_THE_SCRAPE = {"instance", "job"}
# In `{…}`, whose labels stand before an operator, and behind `by`.
METRIC = re.compile(r"\b((?:docxy|process)_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPS = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def targets() -> Iterator[tuple[str, str, str]]:
    """Panel, query and legend of each."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for each in DASHBOARD["annotations"]["list"]:
        yield each["name"], each["expr"], ""


QUERIES = [(f"{title}: {legend}", expr, legend) for title, expr, legend in targets()]


def filled_in(query: str) -> str:
    for variable, value in FILLED_IN.items():
        query = query.replace(variable, value)
    assert "$" not in query, query
    return query


def labels_in(query: str) -> set[str]:
    """The labels that a query groups by."""
    listed = ",".join(GROUPS.findall(query))
    return {name.strip() for name in listed.split(",") if name.strip()}


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scrape(shared_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """Of a mirror with TLS after one pull."""
    folder = tmp_path_factory.mktemp("mirror")
    image = shared_hub.add_image("library/seen", layers=(2000,))
    pair = shared_hub.issue_certificate(folder, "127.0.0.1")
    async with watched(
        shared_hub, folder / "confdir", certificate=pair, ca_file=shared_hub.ca_file
    ) as one:
        await pull(one.mirror, image, "seen")
        assert (await ask(one.mirror, "/health")).status == 200
        return await one.after(5)


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": filled_in(expr)}
        for number, (_, expr, _) in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yaml"
    # JSON is YAML.
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool(), "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


def test_prometheus_refuses_a_query_that_is_none(tmp_path: Path) -> None:
    # Otherwise the test above could not fail.
    rules = [{"record": "query:0", "expr": "sum by (route (docxy_requests_total)"}]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool(), "check", "rules", file], capture_output=True, text=True)
    assert done.returncode != 0


def test_prometheus_reads_the_scrape_and_finds_nothing_to_say(scrape: Scrape) -> None:
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=scrape.text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("expr", "legend"), [q[1:] for q in QUERIES], ids=[q[0] for q in QUERIES])
def test_what_a_query_names_is_in_the_scrape(scrape: Scrape, expr: str, legend: str) -> None:
    found = scrape.labels()
    named = METRIC.findall(expr)
    assert named
    known = set(OF_THE_SCRAPE)
    for metric, selectors in named:
        assert metric in found
        known |= found[metric]
        assert set(LABEL.findall(selectors)) <= found[metric] | OF_THE_SCRAPE, metric
    assert labels_in(expr) <= known
    # What a legend shows must have survived the query's grouping.
    assert set(LEGEND.findall(legend)) <= labels_in(expr)


def test_a_value_that_a_query_wants_is_one_of_a_labels(scrape: Scrape) -> None:
    values = {
        (name, value)
        for family in scrape.families
        for sample in family.samples
        for name, value in sample.labels.items()
    }
    seldom = {("source", each) for each in ("memory", "memory_checked", "stale")}
    wanted = {
        (name, value)
        for _, expr, _ in QUERIES
        for name, text in re.findall(r'(\w+)=~?"([^"$]+)"', expr)
        for value in text.split("|")
    }
    assert wanted - seldom <= values
    assert {value for _, value in seldom} <= set(SOURCES.values())


def test_every_metric_of_the_mirrors_own_is_in_the_readme_and_none_else(
    scrape: Scrape,
) -> None:
    documented = set(re.findall(r"^\| `(docxy_\w+)`", METRICS, re.M))
    suffixes = {"counter": "_total"}
    there = {
        each.name + suffixes.get(each.type, "")
        for each in scrape.families
        if each.name.startswith("docxy_")
    }
    assert documented == there


def test_labels_are_in_the_readme(scrape: Scrape) -> None:
    rows = dict(re.findall(r"^\| `(docxy_\w+)` \| (.*?) \|", METRICS, re.M))
    for metric, labels in rows.items():
        name = metric if metric in scrape.labels() else f"{metric}_count"
        found = scrape.labels()[name]
        assert set(re.findall(r"`(\w+)`", labels)) == found, metric


def test_the_dashboard_shows_what_an_operator_looks_for() -> None:
    asked = " ".join(expr for _, expr, _ in QUERIES)
    for metric in TO_SHOW:
        assert metric in asked


TO_SHOW = (
    "docxy_pulls_total",
    "docxy_requests_total",
    "docxy_sent_bytes_total",
    "docxy_upstream_received_bytes_total",
    "docxy_first_byte_seconds_bucket",
    "docxy_request_duration_seconds_bucket",
    "docxy_look_ahead_used_bytes_total",
    "docxy_look_ahead_wasted_bytes_total",
    "docxy_resumed_transfers_total",
    "docxy_upstream_errors_total",
    "docxy_upstream_connections",
    "docxy_pull_limit_remaining",
    "docxy_certificate_left_seconds",
    "docxy_client_connections",
    "docxy_refused_client_connections_total",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
)


def test_every_panel_has_its_place_and_a_number_of_its_own() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        cells = {(x, y) for x in columns for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells
