"""Whether what an upstream sends is the part that was asked for, and of the same object."""

from __future__ import annotations

from addon.blob.bodies import Skipping
from addon.outbound.received import Answer
from addon.protocol.errors import UpstreamFailure, failure
from addon.protocol.ranges import Sent, Wanted, parse_sent
from addon.protocol.reply import Body


class SameObject:
    """One object whose parts are asked for one by one: its length, and its entity tag."""

    def __init__(self) -> None:
        self.total: int | None = None
        self._etag: str | None = None

    def note(self, answer: Answer, total: int) -> None:
        """Every later answer must be of the same object as this one."""
        self._etag = answer.get("ETag")
        self.total = total

    def part(self, answer: Answer, wanted: Wanted, host: str) -> Body:
        """The body of an answer of a host's, from the first byte that is wanted on.

        Raises:
            UpstreamFailure: it is another part, or another object; the answer is closed.
        """
        try:
            return self._part(answer, wanted, host)
        except UpstreamFailure:
            answer.body.close()
            raise

    def _part(self, answer: Answer, wanted: Wanted, host: str) -> Body:
        sent = sent_of(answer)
        if sent is None:
            raise failure(host, f"it answered {answer.status} to a part of a blob")
        etag = answer.get("ETag")
        if sent.total != self.total or (etag and self._etag and etag != self._etag):
            raise failure(host, "it has another object there now")
        self._etag = self._etag or etag
        if sent.first == wanted.first:
            return answer.body
        if sent.first == 0:
            return Skipping(answer.body, wanted.first)
        raise failure(host, "it sent another part than was asked for")


def sent_of(answer: Answer) -> Sent | None:
    """Which bytes an answer holds, None where it holds none or does not say."""
    if answer.status == 200 and answer.length:
        return Sent(0, answer.length - 1, answer.length)
    if answer.status != 206:
        return None
    try:
        return parse_sent(answer.get("Content-Range") or "")
    except ValueError:
        return None
