"""A real Chromium without a screen, told what to do by the protocol that it speaks itself.

The DevTools protocol is JSON over a web socket, and aiohttp has one: nothing else is needed, and no
driver whose version must fit the browser's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

# Debian's name for it, and others'.
NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 60.0
SECONDS = 60.0
_POLL_SECONDS = 0.05

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is small in a container
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--mute-audio",
    "--remote-debugging-port=0",
)


def find_chromium() -> str:
    """Its program, "" if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


@dataclass
class Tab:
    """One page."""

    browser: Chromium
    session: str
    errors: list[str] = field(default_factory=list)
    """What went wrong in it: a script, what its policy forbade, what it could not load."""

    async def open(self, url: str) -> None:
        """Go to an address, and wait until the page is there."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def value(self, expression: str) -> Any:
        """What a piece of JavaScript says, as JSON.

        Raises:
            AssertionError: it failed.
        """
        said = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, expression: str, seconds: float = SECONDS) -> Any:
        """Its value once it is true, waited for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not (value := await self.value(expression)):
            assert loop.time() < end, f"not true: {expression}\n{await self.text()}"
            await asyncio.sleep(_POLL_SECONDS)
        return value

    async def text(self) -> str:
        """What a person reads on it."""
        return str(await self.value("document.body ? document.body.innerText : ''"))

    async def has_size(self, width: int, height: int) -> None:
        """Let it have so many pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def picture(self) -> bytes:
        """It as a PNG."""
        said = await self.call("Page.captureScreenshot", format="png")
        return b64decode(said["data"])

    async def call(self, method: str, **parameters: object) -> Any:
        """What the browser answers to a call of the protocol."""
        return await self.browser.call(method, self.session, **parameters)


class Chromium:
    """A browser that runs, and what it says."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tabs: dict[str, Tab] = {}

    async def tab(self) -> Tab:
        """A new page, empty, with nothing of another's."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        made = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        target = made["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, attached["sessionId"])
        self._tabs[tab.session] = tab
        for domain in ("Page", "Runtime", "Log"):
            await tab.call(f"{domain}.enable")
        return tab

    async def call(self, method: str, session: str = "", **parameters: object) -> Any:
        """What it answers to a call of the protocol."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps(message))
        async with asyncio.timeout(SECONDS):
            said = await answer
        assert "error" not in said, (method, said["error"])
        return said["result"]

    async def listen(self) -> None:
        """Take what it says, until it ends."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                waiting = self._answers.pop(said["id"])
                if not waiting.done():
                    waiting.set_result(said)
            elif said.get("sessionId") in self._tabs:
                self._note(self._tabs[said["sessionId"]], said["method"], said["params"])

    @staticmethod
    def _note(tab: Tab, method: str, told: Any) -> None:
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            tab.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            tab.errors.append(str([each.get("value") for each in told["args"]]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            tab.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}".strip())


@contextlib.asynccontextmanager
async def running_chromium(program: str) -> AsyncIterator[Chromium]:
    """A browser with a profile of its own, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program,
            *_ARGUMENTS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            url = await _address(process, Path(folder) / "DevToolsActivePort")
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url, max_msg_size=0) as socket,
            ):
                browser = Chromium(socket)
                listening = asyncio.get_running_loop().create_task(browser.listen())
                try:
                    yield browser
                    await browser.call("Browser.close")
                finally:
                    listening.cancel()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _address(process: asyncio.subprocess.Process, file: Path) -> str:
    """Where it listens, as it writes once it does: the port, and a path that nobody can guess."""
    loop = asyncio.get_running_loop()
    end = loop.time() + START_SECONDS
    while loop.time() < end and process.returncode is None:
        lines = _lines(file)
        if len(lines) >= 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(_POLL_SECONDS)
    raise AssertionError(f"Chromium does not start: {process.returncode}")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.is_file() else []
