"""What the user said to mitmproxy, as far as it decides where it listens."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

WORKERS: Final = "--workers"
MOST_WORKERS: Final = 256

# mitmproxy's options that name one file for all flows.
_SAVING: Final = ("hardump", "save_stream_file")


@dataclass(frozen=True, slots=True)
class Words:
    """What the user said, as far as it decides what is listened on."""

    listen_host: str | None = None
    listen_port: str | None = None
    modes: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    certs: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    """``--set`` and the config file in order; several of one name are one list for mitmproxy."""
    serves: bool = True
    """False for what only prints (``--version``, ``--options``, …)."""
    listens: bool = True
    """False for that, and for ``--no-server``."""
    saves: bool = False
    """Whether all flows are written to one file."""

    def setting(self, name: str, default: str = "") -> str:
        """The value of an option that is set without a flag of its own."""
        return dict(self.settings).get(name, default)

    def every(self, name: str) -> tuple[str, ...]:
        """All values of an option that is a list."""
        return tuple(value for key, value in self.settings if key == name and value)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _make_parser() -> _Parser:
    # Long options may be shortened here as they may be in mitmproxy itself: what is ambiguous here
    # is ambiguous there.
    parser = _Parser(add_help=False)
    parser.add_argument("-p", "--listen-port")
    parser.add_argument("--listen-host")
    parser.add_argument("-m", "--mode", action="append", default=[], dest="modes")
    parser.add_argument("-s", "--scripts", action="append", default=[])
    parser.add_argument("--certs", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("-w", "--save-stream-file")
    for silent in (("-h", "--help"), ("--version",), ("--options",), ("--commands",)):
        parser.add_argument(*silent, action="store_false", dest="serves")
    parser.add_argument("-n", "--no-server", action="store_false", dest="listens")
    return parser


def parse_words(arguments: Sequence[str], config: Mapping[str, object] | None = None) -> Words:
    """Pick out of mitmproxy's arguments and config file what decides about listening.

    Raises:
        ValueError: an option stands without its value, or the config file names scripts.
    """
    said, _rest = _make_parser().parse_known_args(list(arguments))
    # mitmproxy's own order: the file wins over `--set`, and the flags over both.
    settings = (*(_setting(text) for text in said.settings), *_config_settings(config or {}))
    words = Words(settings=settings)
    return Words(
        # "" is every address, other than an option that nobody has set.
        listen_host=_either(said.listen_host, dict(settings).get("listen_host")),
        listen_port=_either(said.listen_port, words.setting("listen_port") or None),
        modes=tuple(said.modes) or words.every("mode"),
        scripts=tuple(said.scripts),
        certs=tuple(said.certs) or words.every("certs"),
        settings=settings,
        serves=said.serves,
        listens=said.serves and said.listens and words.setting("server") != "false",
        saves=bool(said.save_stream_file or any(words.setting(name) for name in _SAVING)),
    )


def split_workers(arguments: Sequence[str]) -> tuple[int, list[str]]:
    """How many workers are wanted, and the words that are mitmproxy's.

    Raises:
        ValueError: it is neither a number from 1 on nor auto.
    """
    end = _end_of_options(arguments)
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument(WORKERS, default="1")
    said, rest = parser.parse_known_args(arguments[:end])
    return _parse_workers(said.workers), [*rest, *arguments[end:]]


def without_mark(arguments: Sequence[str]) -> list[str]:
    """The words as mitmproxy takes them: it makes a `--` before a filter part of the filter."""
    end = _end_of_options(arguments)
    return [*arguments[:end], *arguments[end + 1 :]]


def _end_of_options(arguments: Sequence[str]) -> int:
    return list(arguments).index("--") if "--" in arguments else len(arguments)


def _parse_workers(text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    raise ValueError(f"{WORKERS} {text!r}: expected is auto, or a number from 1 to {MOST_WORKERS}")


def refuse_workers(arguments: Sequence[str], command: str) -> None:
    """Refuse several processes where one shows, or saves, all that passes.

    Raises:
        ValueError: they are wanted.
    """
    end = _end_of_options(arguments)
    if any(word.partition("=")[0] == WORKERS for word in arguments[:end]):
        raise ValueError(f"{command} is one process: {WORKERS} is for the mirror alone")


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _config_settings(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if config.get("scripts"):
        # mitmproxy takes the scripts of one place only, and the mirror is one.
        raise ValueError("scripts in config.yaml would replace the mirror; name them with -s")
    for name, value in config.items():
        for item in value if isinstance(value, list) else [value]:
            yield name, str(item).lower() if isinstance(item, bool) else str(item)


def _either(flag: str | None, setting: str | None) -> str | None:
    return setting if flag is None else flag
