"""From options to a mirror that answers, with mitmproxy's options and no socket."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from mitmproxy import exceptions, optmanager
from mitmproxy.addonmanager import Loader
from mitmproxy.test import taddons

from addon.hooks import Flows
from addon.inspection.ownflows import OwnFlows
from addon.limits.doorkeeper import Doorkeeper
from addon.metrics.readiness import Readiness
from addon.protocol.registry import parse_registry
from addon.redaction.loglines import LogLines
from addon.settings import defaults
from addon.settings.bounds import parse_bounds
from addon.settings.options import OPTIONS, Settings
from addon.settings.wayout import OutboundSettings
from addon.startup import Deferred, Startup, announcement
from addon.tls.tls import Certificates

MODE = ["reverse:https://registry.example"]


@dataclass
class Started:
    context: taddons.context
    startup: Startup
    flows: Flows


@pytest_asyncio.fixture
async def started() -> AsyncIterator[Started]:
    flows, certificates = Flows(), Certificates()
    readiness = Readiness(lambda: None, certificates)
    startup = Startup(flows, certificates, OwnFlows(), Doorkeeper(), readiness, readiness)
    with taddons.context(startup, certificates) as context:  # type: ignore[no-untyped-call]
        yield Started(context, startup, flows)
        await startup.done()


def configure(started: Started, **values: object) -> None:
    started.context.configure(started.startup, **values)  # type: ignore[no-untyped-call]


async def test_the_options_are_declared_and_make_a_mirror(started: Started) -> None:
    assert all(option.name in started.context.options for option in OPTIONS)
    configure(started, mode=MODE)
    assert started.flows.answering is not None


async def test_secrets_are_shown_only_where_the_owner_says_so(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("mitmproxy.proxy")
    shown = []
    configure(started, mode=MODE)
    for shows_secrets in (None, True, False):
        if shows_secrets is not None:
            configure(started, docxy_show_secrets=shows_secrets)
        shown.append(started.flows.shows_secrets)
        logger.error("password=a")
    assert shown == [False, True, False]
    assert caplog.messages == ["password=[redacted]", "password=a", "password=[redacted]"]


async def test_the_lines_of_the_log_are_left_alone_afterwards(started: Started) -> None:
    await started.startup.done()
    assert not isinstance(logging.getLogRecordFactory(), LogLines)


async def test_a_wrong_option_is_an_error_in_the_log_while_starting(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    """mitmproxy ends a start that logged an error."""
    configure(started, mode=MODE, docxy_public_url="nonsense")
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.getMessage().startswith("docxy_public_url: ")
    assert error.exc_info is None


async def test_a_wrong_option_is_refused_while_running(started: Started) -> None:
    configure(started, mode=MODE)
    await started.startup.running()
    with pytest.raises(exceptions.OptionsError, match="docxy_public_url"):
        configure(started, docxy_public_url="nonsense")
    assert started.context.options.docxy_public_url == ""


async def test_a_port_that_is_opened_later_needs_a_mode(started: Started) -> None:
    configure(started, server=False)
    await started.startup.running()
    with pytest.raises(exceptions.OptionsError, match=r"^mode\b"):
        configure(started, server=True)


async def test_an_option_that_nobody_has_is_an_error(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    configure(started, mode=MODE)
    started.context.options.deferred["docxy_regsitry"] = "a"
    await started.startup.running()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [error.getMessage() for error in errors] == [
        "docxy_regsitry is not an option of mitmproxy or the mirror"
    ]


async def test_an_option_of_another_program_of_mitmproxys_is_none(
    started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    configure(started, mode=MODE)
    for name in ("web_port", "console_layout", "keepserving"):
        started.context.options.deferred[name] = "a"
    await started.startup.running()
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(optmanager._UnconvertedStrings(["many"]), id="by --set"),
        pytest.param("many", id="by config.yaml"),
    ],
)
async def test_a_waiting_value_of_the_wrong_type_is_one_line_that_names_it(
    started: Started, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    started.context.options.deferred.update(docxy_http_port=value, docxy_service="a")
    Deferred().load(Loader(started.context.master))  # type: ignore[no-untyped-call]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "docxy_http_port" in errors[0].getMessage()
    assert started.context.options.docxy_service == "a"


async def test_transfers_go_on_through_the_pool_that_they_began_in(started: Started) -> None:
    startup = started.startup
    configure(started, mode=MODE)
    configure(started, docxy_public_url="https://mirror.example.com")
    pools = dict(startup._outbounds)
    assert len(pools) == 1
    configure(started, docxy_connect_timeout=3)
    assert len(startup._outbounds) == 2
    assert pools.items() <= startup._outbounds.items()


# Defaults.


async def test_what_was_remembered_under_other_options_is_let_go(started: Started) -> None:
    configure(started, mode=MODE)
    fetcher = started.startup.fetcher
    assert fetcher
    fetcher._upkeep.begin()
    before, memory = weakref.ref(fetcher), weakref.ref(fetcher.upstream.small_blobs)
    del fetcher
    configure(started, docxy_tag_ttl=7)
    await asyncio.sleep(0)
    gc.collect()
    assert (before(), memory()) == (None, None)
    assert started.startup.fetcher


def test_only_what_the_user_left_is_set() -> None:
    values: dict[str, object] = {**defaults.NEEDED, "http2": True, "flow_detail": 1}
    assert defaults.missing(values, lambda _: True, listens=True) == {
        "http2": False,
        "flow_detail": 0,
    }
    assert defaults.missing(values, lambda name: name != "http2", listens=True) == {
        "flow_detail": 0
    }


def test_what_a_tool_lacks_is_not_set() -> None:
    assert defaults.missing({"http2": True}, lambda _: True, listens=True) == {"http2": False}


@pytest.mark.parametrize("name", defaults.REFUSED)
def test_what_breaks_pulls_is_refused_by_name(name: str) -> None:
    defaults.check_refused(lambda _: True)
    with pytest.raises(ValueError, match=name):
        defaults.check_refused(lambda asked: asked != name)


# What is said.


@pytest.mark.parametrize(
    ("host", "public_url", "config"),
    [
        pytest.param(
            "127.0.0.1",
            "",
            '{"registry-mirrors": ["http://127.0.0.1:8080"]}',
            id="loopback, which Docker trusts",
        ),
        pytest.param(
            "192.168.1.2",
            "",
            '{"registry-mirrors": ["http://192.168.1.2:8080"],'
            ' "insecure-registries": ["192.168.1.2:8080"]}',
            id="plain HTTP on a LAN",
        ),
        pytest.param(
            "10.0.0.1",
            "https://mirror.example.com",
            '{"registry-mirrors": ["https://mirror.example.com"]}',
            id="a public address",
        ),
        pytest.param(
            "172.17.0.2",
            "http://127.0.0.1:8080",
            '{"registry-mirrors": ["http://127.0.0.1:8080"]}',
            id="a container's, published on loopback",
        ),
    ],
)
def test_docker_is_told_what_it_needs(host: str, public_url: str, config: str) -> None:
    registry = parse_registry("https://registry.example", "", "", "library")
    bounds = parse_bounds({option.name: option.default for option in OPTIONS})
    settings = Settings(registry, OutboundSettings(), bounds, public_url)
    lines = announcement(settings, Certificates(), [(host, 8080)])
    assert f"Docker: put {config} into" in lines[1]
    assert announcement(settings, Certificates(), []) == []


@pytest.mark.parametrize(
    ("host", "said"),
    [
        pytest.param("127.0.0.1", [], id="loopback"),
        pytest.param("10.0.0.1", ['put {"insecure-registries": ["10.0.0.1:8080"]} into'], id="LAN"),
    ],
)
def test_docker_is_told_to_name_the_mirror_of_another_registry(host: str, said: list[str]) -> None:
    registry = parse_registry("https://ghcr.io", "", "", "")
    bounds = parse_bounds({option.name: option.default for option in OPTIONS})
    settings = Settings(registry, OutboundSettings(), bounds, "")
    _, *config, pull = announcement(settings, Certificates(), [(host, 8080)])
    assert pull == f"Docker: name the mirror, docker pull {host}:8080/OWNER/IMAGE"
    assert len(config) == len(said)
    assert all(part in line for part, line in zip(said, config, strict=True))


@pytest.mark.parametrize(
    ("listening", "where"),
    [
        pytest.param([("127.0.0.1", 80)], "127.0.0.1:80", id="IPv4"),
        pytest.param([("0.0.0.0", 443), ("::", 443)], "0.0.0.0:443, [::]:443", id="all"),
        pytest.param([("::1", 80)], "[::1]:80", id="IPv6"),
        pytest.param([("", 80)], ":80", id="no address"),
    ],
)
def test_it_is_said_where_it_listens(listening: list[tuple[str, int]], where: str) -> None:
    registry = parse_registry("https://registry.example", "", "", "library")
    bounds = parse_bounds({option.name: option.default for option in OPTIONS})
    settings = Settings(registry, OutboundSettings(), bounds, "")
    lines = announcement(settings, Certificates(), listening)
    assert lines[0].endswith(f"(listening: {where})")


def test_every_option_of_the_mirrors_says_what_it_is_for() -> None:
    assert all(option.help.endswith(".") for option in OPTIONS)
