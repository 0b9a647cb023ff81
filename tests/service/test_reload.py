"""What command line and config.yaml say, read again, with mitmproxy's own options."""

from __future__ import annotations

from pathlib import Path

import pytest
from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.script import ScriptLoader

from addon.metrics import monitoring
from addon.service.reload import FIXED, changed, read_said
from addon.settings.option import declare
from addon.settings.options import OPTIONS


class Known(options.Options):
    """mitmproxy's options with those of its addons that count here, and the mirror's."""

    def __init__(self) -> None:
        super().__init__()
        Proxyserver().load(self)  # type: ignore[no-untyped-call]
        ScriptLoader().load(self)  # type: ignore[no-untyped-call]
        declare(self, [*OPTIONS, monitoring.OPTION])


def said(folder: Path, config: str, *arguments: str) -> dict[str, object]:
    (folder / "config.yaml").write_text(config)
    return read_said(Known(), ["--set", f"confdir={folder}", *arguments])


@pytest.mark.parametrize(
    ("config", "arguments", "name", "value"),
    [
        pytest.param("", [], "docxy_tag_ttl", 30, id="nobody says it"),
        pytest.param("", ["--set", "docxy_tag_ttl=7"], "docxy_tag_ttl", 7, id="the command line"),
        pytest.param("docxy_tag_ttl: 8", [], "docxy_tag_ttl", 8, id="the file"),
        pytest.param(
            "docxy_tag_ttl: 8",
            ["--set", "docxy_tag_ttl=7"],
            "docxy_tag_ttl",
            8,
            id="the file wins over --set",
        ),
        pytest.param(
            "listen_port: 1", ["-p", "2"], "listen_port", 2, id="a flag wins over the file"
        ),
        pytest.param("", [], "connection_strategy", "lazy", id="a mirror's own default"),
        pytest.param("connection_strategy: eager", [], "connection_strategy", "eager", id="or not"),
        pytest.param("web_port: 8081", [], "docxy_tag_ttl", 30, id="another program's option"),
    ],
)
def test_it_is_read_in_mitmproxys_order(
    tmp_path: Path, config: str, arguments: list[str], name: str, value: object
) -> None:
    assert said(tmp_path, config, *arguments)[name] == value


def test_a_value_that_vanishes_goes_back(tmp_path: Path) -> None:
    words = ("--set", "docxy_tag_ttl=7")
    before = said(tmp_path, "docxy_tag_ttl: 8\ndocxy_pieces: 2", *words)
    assert changed(before, said(tmp_path, "", *words)) == {"docxy_tag_ttl": 7, "docxy_pieces": 24}
    assert changed(before, before) == {}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        pytest.param("docxy_tag_ttl: [", "line", id="no YAML"),
        pytest.param("- docxy_tag_ttl", "list", id="a list"),
        pytest.param("docxy_tag_ttl: soon", "docxy_tag_ttl", id="a wrong type"),
        pytest.param("a: " + "[" * 3000, "recursion", id="deeper than anybody writes"),
        pytest.param("docxy_tag_tll: 8", "docxy_tag_tll", id="an option that nobody has"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, config: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as error:
        said(tmp_path, config)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_not_taken_for_no_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ValueError, match=r"config\.yaml is no file"):
        read_said(Known(), ["--set", f"confdir={tmp_path}"])


def test_options_that_only_a_restart_changes_are_there() -> None:
    assert set(Known().keys()) >= FIXED  # type: ignore[no-untyped-call]
