"""Comments where mitmdump prints flows: above each, what the mirror tells of it.

mitmproxy's page and terminal program show a flow's comment; its Dumper, which prints for mitmdump,
does not. `match` and `echo` are the Dumper's; tests/inspection/test_comments.py fails without them.
"""

from __future__ import annotations

from mitmproxy import ctx, http
from mitmproxy.addons.dumper import Dumper

from addon.views.escaping import printable


class Comments:
    """Prints a flow's comment before the Dumper prints the flow."""

    def response(self, flow: http.HTTPFlow) -> None:
        """It has been answered."""
        self._print(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """It broke off."""
        self._print(flow)

    def _print(self, flow: http.HTTPFlow) -> None:
        dumper = ctx.master.addons.get("dumper")  # type: ignore[no-untyped-call]
        # None where it has nothing to do, and in mitmproxy's other programs.
        if flow.comment and isinstance(dumper, Dumper) and dumper.match(flow):  # type: ignore[no-untyped-call]
            dumper.echo(printable(flow.comment), bold=True)
