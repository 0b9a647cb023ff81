"""What an answer that refuses says, in words for whoever looks for the cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from addon.protocol.challenges import Challenge, parse_challenges
from addon.views.error import first_error
from addon.views.escaping import printable

# Characters of an address, or of a word of a challenge, that are shown.
MAX_SHOWN = 200

# RFC 6750, section 3.1, and what registries mean by it.
_ERRORS: Mapping[str, str] = {
    "insufficient_scope": "insufficient_scope, the image is private or does not exist",
    "invalid_token": "invalid_token, it has ended or is of another registry",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer's status, its challenge ("" for none), and its body as far as it is kept."""

    status: int
    challenge: str = ""
    body: bytes = b""
    had_credentials: bool = False

    @property
    def is_failure(self) -> bool:
        """Whether something is wrong: a challenge to whoever shows nothing begins a login."""
        return self.status >= 400 and (self.status != 401 or self.had_credentials)

    @property
    def reason(self) -> str:
        """`answered 404: …`, as far as the answer says why."""
        error = self._bearer.get("error") if self._bearer else None
        if self.status == 401:
            return _joined("refused the credentials", _ERRORS.get(error or "", error or ""))
        return _joined(f"answered {self.status}", first_error(self.body))

    @property
    def realm(self) -> str:
        """Where the client is sent for a token, "" if it is not."""
        realm = self._bearer.get("realm") if self._bearer else None
        return printable(realm or "", MAX_SHOWN)

    @property
    def _bearer(self) -> Challenge | None:
        if self.status != 401:
            return None
        try:
            challenges = parse_challenges(self.challenge)
        except ValueError:
            return None
        return next((each for each in challenges if each.is_bearer), None)


def _joined(what: str, why: str) -> str:
    return f"{what}: {printable(why, MAX_SHOWN)}" if why else what
