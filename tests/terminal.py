"""A program in a terminal: tmux draws it, and says what a person would see."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0
COLUMNS, LINES = 160, 50
_POLL_SECONDS = 0.05


def has_tmux() -> bool:
    """Whether there is one."""
    return shutil.which("tmux") is not None


@dataclass(frozen=True, slots=True)
class Terminal:
    """A tmux of its own, with one window in which one program runs."""

    socket: Path

    async def screen(self) -> str:
        """What is on the screen now."""
        return await self.tmux("capture-pane", "-p")

    async def shows(self, *texts: str, seconds: float = SECONDS) -> str:
        """The screen once all of this is on it, waited for; a line that is broken counts as one."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            screen = await self.screen()
            lines = "".join(line.rstrip() for line in screen.splitlines())
            if all(text in screen or text in lines for text in texts):
                return screen
            assert loop.time() < end, f"no {texts} on the screen:\n{screen}"
            await asyncio.sleep(_POLL_SECONDS)

    async def changes(self, before: str, seconds: float = SECONDS) -> str:
        """The screen once it is another one, waited for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (screen := await self.screen()) == before:
            assert loop.time() < end, f"nothing happens:\n{screen}"
            await asyncio.sleep(_POLL_SECONDS)
        return screen

    async def type(self, text: str) -> None:
        """Press the keys of a text, as they are."""
        await self.tmux("send-keys", "-l", text)

    async def press(self, *keys: str) -> None:
        """Press keys that have names: Enter, Tab, Escape, Down."""
        await self.tmux("send-keys", *keys)

    async def pid(self) -> int:
        """Of the program."""
        return int(await self.tmux("display-message", "-p", "#{pane_pid}"))

    async def exit_code(self, seconds: float = SECONDS) -> int:
        """The program's, once it has ended."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not (status := await self.tmux("display-message", "-p", "#{pane_dead_status}")):
            assert loop.time() < end, f"it does not end:\n{await self.screen()}"
            await asyncio.sleep(_POLL_SECONDS)
        return int(status)

    async def tmux(self, *words: str, environ: Mapping[str, str] | None = None) -> str:
        """What a command of tmux says."""
        process = await asyncio.create_subprocess_exec(
            "tmux",
            *("-f", "/dev/null", "-S", str(self.socket)),
            *words,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, failed = await process.communicate()
        assert process.returncode == 0, (words, failed.decode())
        return said.decode().rstrip("\n")


@contextlib.asynccontextmanager
async def terminal(
    folder: Path, *command: str, environ: Mapping[str, str], lines: int = LINES
) -> AsyncIterator[Terminal]:
    """A program in a terminal, ended with the block."""
    made = Terminal(folder / "tmux")
    shape = ("-x", str(COLUMNS), "-y", str(lines))
    environ = {**environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh"}
    # One call: a program that ends at once would take the window with it before it is told to stay.
    stay = ("set-option", "-g", "remain-on-exit", "on", ";")
    await made.tmux(
        "start-server", ";", *stay, "new-session", "-d", *shape, *command, environ=environ
    )
    try:
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            await made.tmux("kill-server")
