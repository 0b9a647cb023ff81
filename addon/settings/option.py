"""The one form of an option: how it is declared with mitmproxy, and how a number is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Option:
    """One option as mitmproxy is told of it; a number may be no less than `least`."""

    name: str
    type: type
    default: str | int | bool
    help: str
    least: int | None = None


class Loader(Protocol):
    """Where options are declared: mitmproxy's loader."""

    def add_option(self, name: str, typespec: type, default: Any, help: str) -> None:
        """As mitmproxy has it."""


def declare(loader: Loader, options: Iterable[Option]) -> None:
    """Tell mitmproxy of options."""
    for option in options:
        loader.add_option(option.name, option.type, option.default, option.help)


def check_numbers(options: Iterable[Option], values: Mapping[str, Any]) -> None:
    """Refuse a number that is too low.

    Raises:
        ValueError: one is; the message begins with the option's name.
    """
    for option in options:
        if option.least is not None and values[option.name] < option.least:
            raise ValueError(f"{option.name}: {values[option.name]} is less than {option.least}")
