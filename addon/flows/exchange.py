"""One client's request on its way through mitmproxy: what the hooks note of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from addon.flows.story import Story, new_story
from addon.protocol.form import Form
from addon.redaction.records import Hidden, Recorder

# What the client asked, for whoever looks at a flow that shows the upstream's address.
ASKED = "docxy_asked"
# What became of it, in plain values: addon/flows/telling.py says which.
STORY = "docxy_story"


@dataclass(slots=True)
class Exchange:
    """A flow on its way: who asked, when, and the upstream's address if one is asked."""

    client: str
    started: float  # on the monotonic clock
    url: str = ""
    shown: str = ""  # the address in the flow, for a flow that goes to the inner connection
    holds_secret: bool = False
    is_config: bool = False
    form: Form | None = None
    hidden: Hidden = field(default_factory=Hidden)
    recorder: Recorder | None = None
    story: Story = field(default_factory=new_story)

    @property
    def is_inner(self) -> bool:
        """Whether the answer comes through the inner connection."""
        return bool(self.shown)
