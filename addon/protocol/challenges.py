"""`WWW-Authenticate`: parse, change the realm, write it again.

RFC 9110, section 11.6.1 (RFC 7235, 4.1): a field holds one or more challenges, each a scheme and
either a token68 or parameters, and a comma separates both challenges and parameters; so a
challenge begins where a word is not followed by '='.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from addon.protocol.fields import first_of

_BLANK = r"[ \t]*"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's token, not a secret
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,|$))")
_PARAMETER = re.compile(rf"({_TOKEN}){_BLANK}={_BLANK}({_QUOTED}|{_TOKEN}|(?=,|$))")
_UNQUOTED_URL = re.compile(rf"({_TOKEN}){_BLANK}={_BLANK}([^\s\",]+)")
_TOKEN68 = re.compile(rf"([A-Za-z0-9._~+/-]+=*)(?={_BLANK}(?:,|$))")
_SEPARATOR = re.compile(r"[ \t,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: its scheme as it came, and a token68 or parameters in their order."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()
    token68: str = ""

    def get(self, name: str) -> str | None:
        """A parameter's value, unquoted; names are case-insensitive, the first one counts."""
        return first_of(self.parameters, name)

    @property
    def is_bearer(self) -> bool:
        """Whether it asks for a token of a token service (RFC 6750, section 3)."""
        return self.scheme.lower() == "bearer"

    def with_realm(self, realm: str) -> Challenge:
        """The same challenge with this realm alone, in front, whether it had one or not."""
        rest = [(n, v) for n, v in self.parameters if n.lower() != "realm"]
        return replace(self, parameters=(("realm", realm), *rest))

    def format(self) -> str:
        """The challenge as a field value, every parameter quoted."""
        if self.token68:
            return f"{self.scheme} {self.token68}"
        parameters = ",".join(f"{name}={_quote(value)}" for name, value in self.parameters)
        return f"{self.scheme} {parameters}".rstrip()


def bearer(realm: str, service: str) -> Challenge:
    """The challenge of a registry whose tokens come from `realm`."""
    return Challenge("Bearer", (("realm", realm), ("service", service)))


def parse_challenges(value: str) -> tuple[Challenge, ...]:
    """All challenges of one field value.

    Raises:
        ValueError: the field does not follow the grammar.
    """
    found: list[Challenge] = []
    at = _skip(value, 0)
    while at < len(value):
        scheme = _SCHEME.match(value, at)
        if not scheme:
            raise ValueError(f"no challenge at character {at} of {value!r}")
        challenge, at = _read_rest(value, scheme.end(), scheme[1])
        found.append(challenge)
        at = _skip(value, at)
    return tuple(found)


def rewrite_realm(values: Iterable[str], realm: str) -> tuple[str, ...]:
    """Field values with the realm of every Bearer challenge replaced.

    Raises:
        ValueError: a field does not follow the grammar.
    """
    challenges = [challenge for value in values for challenge in parse_challenges(value)]
    return tuple((c.with_realm(realm) if c.is_bearer else c).format() for c in challenges)


def _read_rest(value: str, at: int, scheme: str) -> tuple[Challenge, int]:
    parameters: list[tuple[str, str]] = []
    token68 = _TOKEN68.match(value, at)
    # `a=` is a token68 by the grammar, where a parameter has a value; but Bearer knows parameters
    # only (RFC 6750, section 3).
    if token68 and (scheme.lower() != "bearer" or not _PARAMETER.match(value, at)):
        return Challenge(scheme, token68=token68[1]), token68.end()
    while at < len(value):
        parameter = _PARAMETER.match(value, at)
        if parameter and not _ends_parameter(value, parameter.end()):
            parameter = None
        parameter = parameter or _UNQUOTED_URL.match(value, at)
        if not parameter:
            break
        parameters.append((parameter[1], _unquote(parameter[2])))
        at = _skip(value, parameter.end())
    return Challenge(scheme, tuple(parameters)), at


def _ends_parameter(value: str, at: int) -> bool:
    return at == len(value) or value[at] in " \t,"


def _skip(value: str, at: int) -> int:
    separator = _SEPARATOR.match(value, at)
    return separator.end() if separator else at


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])
