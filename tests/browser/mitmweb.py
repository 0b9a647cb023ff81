"""mitmweb as a person has it before him: its page in a browser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from tests.browser.chromium import Tab
from tests.inspecting import Page

# The parts of its page, by mitmweb's own names; a test here says when one has another.
_ROWS = ".flow-table tbody tr:has(td.col-path)"
_DETAIL = ".flow-detail"
_BODY = ".flow-detail .contentview"
_EVENTS = ".eventlog"
_TABS = "document.querySelectorAll('.flow-detail nav a')"
_IS_SHOWN = "!/loading/i.test(document.querySelector('.flow-detail .contentview').innerText)"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    path: str
    method: str
    status: str
    comment: str
    mark: str


@dataclass(frozen=True, slots=True)
class Mitmweb:
    """The page of a mirror, in a tab."""

    tab: Tab
    page: Page

    async def open(
        self, flow: str = "", part: str = "response", *, search: str = "", events: bool = False
    ) -> None:
        """Open it anew: one flow chosen (its id), those that a filter finds, the log below."""
        place = f"/flows/{flow}/{part}" if flow else "/flows"
        more = "&".join(
            [*([f"s={quote(search)}"] if search else []), *(["e=true"] if events else [])]
        )
        # Another fragment alone would be no other page.
        await self.tab.open("about:blank")
        await self.tab.open(f"{self.page.url}/?token={self.page.token}#{place}?{more}")
        for name in (_EVENTS if events else _ROWS, *((_DETAIL,) if flow else ())):
            await self.tab.until(f"document.querySelector({json.dumps(name)}) !== null")

    async def rows(self, count: int = 1) -> list[Row]:
        """The lines of the list, once there are so many."""
        script = f"""
            Array.from(document.querySelectorAll({json.dumps(_ROWS)}), row => {{
                const text = name => row.querySelector(name)?.textContent ?? "";
                const mark = text(".marker");
                return {{
                    path: text(".col-path").slice(mark.length), method: text(".col-method"),
                    status: text(".col-status"), comment: text(".col-comment"), mark,
                }};
            }})
        """
        await self.tab.until(f"({script}).length >= {count}")
        return [Row(**each) for each in await self.tab.value(script)]

    async def all_rows(self) -> list[Row]:
        """The lines of the list, once it has one for each flow that there is."""
        return await self.rows(count=len(await self.page.get("/flows")))

    async def body(self, *texts: str) -> str:
        """What is shown of the chosen flow's body, once it holds all of this."""
        return await self._text(_BODY, *texts)

    async def detail(self, *texts: str) -> str:
        """What is shown of the chosen flow, once it holds all of this."""
        return await self._text(_DETAIL, *texts)

    async def events(self, *texts: str) -> str:
        """The log below, once it holds all of this."""
        return await self._text(_EVENTS, *texts)

    async def markup(self) -> str:
        """All that the page holds, seen or not."""
        return str(await self.tab.value("document.documentElement.outerHTML"))

    async def choose(self, number: int) -> list[str]:
        """Choose a line of the list; the names of what is to be seen of its flow."""
        rows = f"document.querySelectorAll({json.dumps(_ROWS)})"
        await self.tab.value(f"{rows}[{number}].click()")
        await self.tab.until(f"{rows}[{number}]?.classList.contains('selected')")
        return list(await self.tab.until(f"Array.from({_TABS}, each => each.textContent)"))

    async def see(self, part: str) -> str:
        """All that the page holds once a part of the chosen flow is shown."""
        tab = f"Array.from({_TABS}).find(each => each.textContent === {json.dumps(part)})"
        await self.tab.value(f"{tab}.click()")
        await self.tab.until(f"{tab}?.classList.contains('active')")
        # The body comes after the rest; there is none of what was streamed.
        await self.tab.until(f"!document.querySelector({json.dumps(_BODY)}) || {_IS_SHOWN}")
        return await self.markup()

    async def _text(self, name: str, *texts: str) -> str:
        script = f"document.querySelector({json.dumps(name)})?.innerText ?? ''"
        held = " && ".join(f"text.includes({json.dumps(text)})" for text in texts) or "text"
        await self.tab.until(f"(text => {held})({script})")
        return str(await self.tab.value(script))
