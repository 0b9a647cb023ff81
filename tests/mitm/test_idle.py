"""mitmproxy's own addons: out of the way while idle, there as soon as they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, http, io, options
from mitmproxy.test import taddons
from mitmproxy.tools import dump

from addon.mitm.idle import IDLE_VALUES, MIRROR, NOTHING_TO_DO, IdleAddons
from tests.e2e.client import ask, bearer
from tests.hub import Hub
from tests.running import Mirror, running_mirror, settings_arguments

untyped: Any = dump
untyped_taddons: Any = taddons

# Sets an option while the mirror runs, when a request says so.
EXTRA = """
from mitmproxy import ctx

class Setting:
    def requestheaders(self, flow):
        if "x-set" in flow.request.headers:
            name, _, value = flow.request.headers["x-set"].partition("=")
            is_list = isinstance(getattr(ctx.options, name), (list, tuple))
            ctx.options.update(**{name: [value] if is_list else value})

addons = [Setting()]
"""


class Somebodys:
    """An addon of somebody's."""


class Seen:
    """An addon of mitmproxy's, as far as its module's name says."""

    name = "save"
    __module__ = "mitmproxy.addons.save"

    def __init__(self) -> None:
        self.configured: list[set[str]] = []
        self.is_wrong = False

    def configure(self, updated: set[str]) -> None:
        self.configured.append(updated & {"save_stream_file"})
        if self.is_wrong:
            raise exceptions.OptionsError("wrong")  # type: ignore[no-untyped-call]


def idle_master() -> tuple[Any, IdleAddons]:
    """A mitmdump that has started, with its idle addons in place."""
    master = untyped.DumpMaster(options.Options(), with_termlog=False)
    idle = IdleAddons()
    master.addons.add(idle)
    master.options.update(**IDLE_VALUES)
    return master, idle


async def park(idle: IdleAddons) -> None:
    idle.running()
    await asyncio.sleep(0)


async def test_every_addon_and_option_is_one_of_mitmproxys() -> None:
    master, _ = idle_master()
    hint = "mitmproxy has other addons now: look through addon/mitm/idle.py"
    assert set(NOTHING_TO_DO) <= set(master.addons.lookup), hint
    named = {option for names in NOTHING_TO_DO.values() for option in names}
    assert named <= set(master.options.keys()), hint


async def test_what_stays_has_something_to_do() -> None:
    master, idle = idle_master()
    await park(idle)
    assert len(idle) == len(NOTHING_TO_DO)
    assert set(master.addons.lookup) == {
        *("clientplayback", "serverplayback"),  # commands give them work
        *(
            "core",
            "disableh2c",
            "errorcheck",
            "idleaddons",
            "nextlayer",
            "proxyserver",
            "scriptloader",
        ),
        "proxyauth",  # it sees a request before the mirror does
        "tlsconfig",
    }


async def test_an_addon_whose_option_is_set_stays() -> None:
    master, idle = idle_master()
    master.options.update(modify_headers=["/~s/X-A/b"], block_global=True)
    await park(idle)
    assert {"modifyheaders", "block"} <= set(master.addons.lookup)
    assert "modifybody" not in master.addons.lookup


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        pytest.param("save_stream_filter", "~s", "save", id="save"),
        pytest.param("modify_headers", ["/~s/X-A/b"], "modifyheaders", id="modify headers"),
        pytest.param("modify_body", ["/~s/a/b"], "modifybody", id="modify body"),
        pytest.param("map_remote", ["|a|b"], "mapremote", id="map remote"),
        pytest.param("block_list", [":~all:403"], "blocklist", id="block list"),
        pytest.param("block_global", True, "block", id="block"),
        pytest.param("stickyauth", "~all", "stickyauth", id="sticky auth"),
        pytest.param("stickycookie", "~all", "stickycookie", id="sticky cookie"),
        pytest.param("flow_detail", 2, "dumper", id="flow detail"),
        pytest.param("anticache", True, "anticache", id="anticache"),
        pytest.param("onboarding", True, "onboarding", id="onboarding"),
    ],
)
async def test_an_addon_comes_back_when_its_option_is_set(
    option: str, value: object, name: str
) -> None:
    master, idle = idle_master()
    await park(idle)
    assert name not in master.addons.lookup
    master.options.update(**{option: value})
    assert name in master.addons.lookup
    assert len(idle) == len(NOTHING_TO_DO) - 1
    # It knows what was set: a second change to the same must not be needed.
    addon = master.addons.get(name)
    known = {"save": "filt", "modifyheaders": "replacements", "modifybody": "replacements"}
    assert name not in known or getattr(addon, known[name])


async def test_an_addon_that_comes_back_is_told_once() -> None:
    master, idle = idle_master()
    seen = Seen()
    idle._parked["save"] = seen
    master.addons.remove(master.addons.get("save"))
    master.options.update(save_stream_file="x")
    hint = "mitmproxy walks its addons in another way now: look through addon/mitm/idle.py"
    assert seen.configured == [{"save_stream_file"}], hint


async def test_a_wrong_value_is_refused_as_ever() -> None:
    master, idle = idle_master()
    await park(idle)
    with pytest.raises(exceptions.OptionsError, match="Cannot parse"):
        master.options.update(modify_headers=["rubbish"])
    assert list(master.options.modify_headers) == []


async def test_other_options_bring_nothing_back() -> None:
    master, idle = idle_master()
    await park(idle)
    master.options.update(anticomp=False, connection_strategy="lazy")
    assert len(idle) == len(NOTHING_TO_DO)


async def test_when_the_mirror_goes_all_come_back() -> None:
    master, idle = idle_master()
    before = set(master.addons.lookup)
    await park(idle)
    idle.done()
    assert set(master.addons.lookup) == before
    assert len(idle) == 0
    master.options.update(modify_headers=["/~s/X-A/b"])
    assert master.addons.get("modifyheaders").replacements


async def test_what_came_back_stays_when_the_mirror_goes() -> None:
    master, idle = idle_master()
    before = set(master.addons.lookup)
    await park(idle)
    master.options.update(modify_headers=["/~s/X-A/b"])
    master.addons.remove(idle)
    assert set(master.addons.lookup) == before - {"idleaddons"}
    assert master.addons.get("modifyheaders") in master.addons.chain
    assert list(master.options.modify_headers) == ["/~s/X-A/b"]


async def test_an_addon_of_somebody_elses_stays() -> None:
    class Save:
        name = "save"

    master, idle = idle_master()
    master.addons.remove(master.addons.get("save"))
    own = Save()
    master.addons.add(own)
    await park(idle)
    assert master.addons.get("save") is own


async def test_only_mitmdump_loses_any() -> None:
    idle = IdleAddons()
    with untyped_taddons.context(idle, loadcore=False):
        await park(idle)
        assert len(idle) == 0


async def parked_as_a_script(*others: str, script: Path = MIRROR) -> tuple[Any, IdleAddons]:
    """The same master, the idle addons' keeper below the script that it comes from."""
    master, idle = idle_master()
    master.options._options["scripts"].value = [str(script), *others]
    master.addons.get("scriptloader").addons.append(idle)
    master.addons.chain.remove(idle)
    await park(idle)
    return master, idle


async def test_nobody_looks_at_the_flows_of_a_plain_mitmdump() -> None:
    _, idle = await parked_as_a_script()
    assert not idle.is_anybody_looking()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        pytest.param("save_stream_file", "file", id="saved"),
        pytest.param("hardump", "file.har", id="saved as HAR"),
        pytest.param("flow_detail", 1, id="shown"),
    ],
)
async def test_somebody_looks_from_then_on_when_flows_are(
    option: str, value: object, tmp_path: Path
) -> None:
    master, idle = await parked_as_a_script()
    master.options.update(**{option: str(tmp_path / value) if isinstance(value, str) else value})
    assert idle.is_anybody_looking()


async def test_another_script_may_look(tmp_path: Path) -> None:
    _, idle = await parked_as_a_script("another.py")
    assert idle.is_anybody_looking()


async def test_a_script_that_loads_the_mirror_may_look(tmp_path: Path) -> None:
    _, idle = await parked_as_a_script(script=tmp_path / "mirror.py")
    assert idle.is_anybody_looking()


async def test_the_mirror_is_known_by_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(MIRROR)
    monkeypatch.chdir(tmp_path)
    _, idle = await parked_as_a_script(script=Path("link.py"))
    assert not idle.is_anybody_looking()


async def test_an_addon_of_somebody_elses_may_look() -> None:
    master, idle = await parked_as_a_script()
    master.addons.add(Somebodys())
    assert idle.is_anybody_looking()


async def test_before_the_idle_ones_are_known_somebody_may_look() -> None:
    _, idle = idle_master()
    assert idle.is_anybody_looking()


# Whole mirrors.


@pytest.fixture
def extra(tmp_path: Path) -> list[str]:
    script = tmp_path / "extra.py"
    script.write_text(EXTRA)
    return ["-s", str(script)]


@asynccontextmanager
async def mirror_of(
    hub: Hub, confdir: Path, *words: str, at_run_time: str = ""
) -> AsyncIterator[Mirror]:
    async with running_mirror(hub, confdir, *words) as mirror:
        await mirror.log_line("daemon.json")
        if at_run_time:
            await ask(mirror, "/health", headers={"X-Set": at_run_time})
        yield mirror


def setting(name: str, value: str, when: str, extra: list[str]) -> tuple[list[str], str]:
    if when == "at the start":
        return settings_arguments({name: value}), ""
    return extra, f"{name}={value}"


WHEN = pytest.mark.parametrize("when", ["at the start", "while it runs"])


ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}


@WHEN
async def test_flows_are_saved(tmp_path: Path, extra: list[str], when: str) -> None:
    file = tmp_path / "flows"
    words, later = setting("save_stream_file", str(file), when, extra)
    async with Hub() as hub:
        hub.add_image()
        async with mirror_of(hub, tmp_path, *words, at_run_time=later) as mirror:
            token = await bearer(mirror, "alpine")
            target = "/v2/alpine/manifests/latest"
            assert (await ask(mirror, target, headers={**token, **ACCEPT})).status == 200
            await mirror.stop()
        with file.open("rb") as opened:
            flows = [f for f in io.FlowReader(opened).stream() if isinstance(f, http.HTTPFlow)]
        manifest = flows[-1]
        assert manifest.request.url == f"{hub.registry_url}/v2/library/alpine/manifests/latest"
        assert manifest.response
        assert manifest.response.status_code == 200
        assert manifest.comment.startswith("alpine:latest → library/alpine")


@WHEN
async def test_headers_are_modified(tmp_path: Path, extra: list[str], when: str) -> None:
    words, later = setting("modify_headers", "/~s/X-Added/yes", when, extra)
    async with Hub() as hub, mirror_of(hub, tmp_path, *words, at_run_time=later) as mirror:
        assert (await ask(mirror, "/health")).headers["X-Added"] == "yes"


@WHEN
async def test_bodies_are_modified(tmp_path: Path, extra: list[str], when: str) -> None:
    words, later = setting("modify_body", "/~s/ok/changed", when, extra)
    async with Hub() as hub, mirror_of(hub, tmp_path, *words, at_run_time=later) as mirror:
        assert (await ask(mirror, "/health")).json == {"status": "changed"}


@WHEN
async def test_a_file_is_mapped(tmp_path: Path, extra: list[str], when: str) -> None:
    (tmp_path / "mapped").write_text("from a file")
    words, later = setting("map_local", f"|manifests/latest|{tmp_path / 'mapped'}", when, extra)
    async with Hub() as hub, mirror_of(hub, tmp_path, *words, at_run_time=later) as mirror:
        hub.add_image()
        token = await bearer(mirror, "alpine")
        answer = await ask(mirror, "/v2/alpine/manifests/latest", headers=token)
        assert answer.body == b"from a file"


@WHEN
async def test_requests_are_blocked(tmp_path: Path, extra: list[str], when: str) -> None:
    words, later = setting("block_list", ":~all:418", when, extra)
    async with Hub() as hub, mirror_of(hub, tmp_path, *words, at_run_time=later) as mirror:
        token = {"Authorization": "Bearer x"}
        assert (await ask(mirror, "/v2/alpine/manifests/latest", headers=token)).status == 418


@WHEN
async def test_clients_log_in_at_the_proxy(tmp_path: Path, extra: list[str], when: str) -> None:
    words, later = setting("proxyauth", "user:word", when, extra)
    async with Hub() as hub, mirror_of(hub, tmp_path, *words, at_run_time=later) as mirror:
        assert (await ask(mirror, "/health")).status == 401
        login = {"Authorization": "Basic dXNlcjp3b3Jk"}
        assert (await ask(mirror, "/health", headers=login)).status == 200


@WHEN
async def test_flows_are_shown(tmp_path: Path, extra: list[str], when: str) -> None:
    words, later = setting("dumper_filter", "~all", when, extra)
    async with (
        Hub() as hub,
        mirror_of(hub, tmp_path, *words, "--set", "flow_detail=1", at_run_time=later) as mirror,
    ):
        assert (await ask(mirror, "/health?shown")).status == 200
        await mirror.log_line("/health?shown")


async def test_a_saved_flow_is_replayed_and_ends_mitmdump(tmp_path: Path) -> None:
    file = tmp_path / "flows"
    async with Hub() as hub:
        hub.add_image()
        # Without its token the registry would refuse it.
        shown = settings_arguments({"docxy_show_secrets": "true"})
        async with mirror_of(hub, tmp_path, "-w", str(file), *shown) as mirror:
            token = await bearer(mirror, "alpine")
            await ask(mirror, "/v2/alpine/tags/list", headers=token)
            await mirror.stop()
        hub.requests.clear()
        async with mirror_of(hub, tmp_path, "-C", str(file)) as mirror:
            async with asyncio.timeout(20):
                assert await mirror.process.wait() == 0
        assert hub.requests.of("registry", text="/tags/list", status=200)
