"""What holds for the tree as a whole."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from addon.flows.exchange import STORY
from addon.inspection import oldest
from addon.inspection.ownflows import SENT
from addon.log import logs
from addon.metrics import monitoring
from addon.mitm import congestion
from addon.service import drain
from addon.settings import options
from addon.tls import tls

ROOT = Path(__file__).parent.parent
ADDON = ROOT / "addon"
DOCS = ROOT / "docs"
PAGES = [Path("README.md"), *sorted(p.relative_to(ROOT) for p in DOCS.glob("*.md"))]
# A table of metrics, which look like options.
METRICS = (DOCS / "operation.md").read_text().partition("\n## Metrics\n")[2]
# By their names below `addon`, with dots: "hooks", "views.token".
MODULES = {
    ".".join(path.relative_to(ADDON).with_suffix("").parts): path for path in ADDON.rglob("*.py")
}

# A version or a line of text alone, and what mitmproxy loads under a name of its own: the
# end-to-end tests do.
UNTESTED = {"install.places", "mirror", *(m for m in MODULES if m.endswith("__init__"))}

# Modules with I/O, or mitmproxy's own shape. All others work with neither mitmproxy nor aiohttp.
WITH_MITMPROXY = {
    "container",
    "flows.endings",
    "flows.exchange",
    "flows.messages",
    "flows.replays",
    "hooks",
    "inspection.comments",
    "inspection.contentviews",
    "inspection.inspection",
    "inspection.oldest",
    "inspection.ownclients",
    "inspection.ownflows",
    "inspection.pulls",
    "inspection.webpage",
    "inspector",
    "launch",
    "limits.doorkeeper",
    "log.logs",
    "metrics.monitoring",
    "mirror",
    "mitm.idle",
    "mitm.inner",
    "mitm.packets",
    "mitm.sockets",
    "mitm.wire",
    "recorder",
    "redaction.records",
    "service.drain",
    "service.reload",
    "service.service",
    "startup",
    "tls.tls",
    "workers.inherited",
}
# These know the outbound client, and so the client's module.
WITH_AIOHTTP = {
    "ahead.blobsahead",
    "ahead.spares",
    "ahead.warming",
    "answering.answering",
    "answering.fetching",
    "answering.manifestmemory",
    "answering.manifestsource",
    "answering.pullblob",
    "answering.pullmanifest",
    "answering.readers",
    "answering.unknownblobs",
    "answering.upstreamblobs",
    "blob.blobs",
    "blob.blobsource",
    "blob.location",
    "blob.redirects",
    "blob.registryblob",
    "blob.ways",
    "inspection.loopback",
    "memory.inventory",
    "memory.learning",
    "memory.upstream",
    "metrics.levels",
    "metrics.readiness",
    "outbound.causes",
    "outbound.outbound",
    "outbound.pool",
    "outbound.responses",
    "settings.bounds",
    "settings.options",
}
PURE = set(MODULES) - WITH_MITMPROXY - WITH_AIOHTTP


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def packages(module: str, seen: set[str]) -> set[str]:
    """The packages that a module of ours needs, by itself or through others of ours."""
    if module in seen:
        return set()
    seen.add(module)
    found: set[str] = set()
    for name in imports(MODULES[module]):
        package, _, rest = name.partition(".")
        found.add(package)
        if package == "addon" and rest in MODULES:
            found |= packages(rest, seen)
    return found


@pytest.mark.parametrize("module", sorted(set(MODULES) - UNTESTED))
def test_a_module_has_a_test_file_of_its_name(module: str) -> None:
    *package, name = module.split(".")
    folders = (ROOT / "tests").joinpath(*package), ROOT / "tests" / "e2e"
    assert any((folder / f"test_{name}.py").is_file() for folder in folders)


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_needs_neither_mitmproxy_nor_aiohttp(module: str) -> None:
    assert packages(module, set()).isdisjoint({"mitmproxy", "aiohttp", "yarl"})


@pytest.mark.parametrize("module", sorted(WITH_AIOHTTP))
def test_what_asks_upstreams_does_not_need_mitmproxy(module: str) -> None:
    assert "mitmproxy" not in packages(module, set())


def test_aiohttp_is_for_the_way_out_and_its_failures_and_for_the_mirrors_own_port() -> None:
    importing = {m for m, path in MODULES.items() if "aiohttp" in imports(path)}
    assert importing == {
        "inspection.loopback",
        *(f"outbound.{name}" for name in ("causes", "outbound", "pool", "responses")),
    }


def test_every_package_is_installed() -> None:
    packages = {str(path.parent.relative_to(ROOT)) for path in MODULES.values()}
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {package.replace("/", ".") for package in packages} == set(named)


@pytest.mark.parametrize("module", sorted(WITH_MITMPROXY | WITH_AIOHTTP | UNTESTED))
def test_a_module_that_is_listed_here_is_there(module: str) -> None:
    assert module in MODULES


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("install.")))
def test_the_installer_needs_the_standard_library_alone(module: str) -> None:
    # It runs before anything else is installed.
    assert packages(module, set()) <= {"addon", *sys.stdlib_module_names}


def test_imports_are_found_wherever_they_are() -> None:
    # Otherwise the tests above could not fail.
    assert "mitmproxy" in packages("mirror", set())
    assert "aiohttp" in packages("settings.options", set())
    assert "mitmproxy" in packages("launch", set())
    assert "cachetools" in packages("views.manifest", set())


DECLARED = {
    option.name
    for option in (
        *options.OPTIONS,
        *tls.OPTIONS,
        congestion.OPTION,
        monitoring.OPTION,
        oldest.OPTION,
        logs.OPTION,
        drain.OPTION,
    )
}


@pytest.mark.parametrize("option", sorted(DECLARED))
@pytest.mark.parametrize("page", ["options.md", "options.ko.md"])
def test_an_option_has_a_row_in_the_table(option: str, page: str) -> None:
    # mitmdump --options does not list the options of a script.
    assert f"| `{option}` |" in (DOCS / page).read_text()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_option_that_is_written_of_is_declared(page: Path) -> None:
    text = (ROOT / page).read_text()
    # tests/e2e/test_dashboard.py looks at these.
    metrics = set(re.findall(r"^\| `(docxy_\w+)`", METRICS, re.MULTILINE))
    others = {"docxy_mitmproxy", SENT, STORY} | metrics
    assert set(re.findall(r"\bdocxy_[a-z_]*[a-z]\b", text)) <= DECLARED | others


def anchors(page: Path) -> set[str]:
    """What a link into a page may name, as GitHub makes it of the headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text())
    for link in links:
        if link.startswith("https:"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", ["design", "development", "operation", "options"])
def test_a_page_and_its_twin_have_the_same_parts(page: str) -> None:
    def parts(name: str) -> tuple[list[str], set[str]]:
        text = (DOCS / name).read_text()
        return re.findall(r"^(#+|```\w*)", text, re.MULTILINE), set(
            re.findall(r"\bdocxy_\w+", text)
        )

    assert parts(f"{page}.md") == parts(f"{page}.ko.md")
