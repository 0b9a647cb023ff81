"""Settings read anew while the mirror runs: what has changed is set, all of it or nothing.

mitmproxy reads its command line and config.yaml once. Here both are read into options of their own
(tools/main.py shows the order: `--set`, the file, then the flags), at the start and again; an
option of which both readings say the same stays as it is, even if somebody set it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mitmproxy import exceptions, optmanager
from mitmproxy.tools import cmdline
from mitmproxy.tools.main import process_options

from addon.settings import defaults
from addon.start.configfile import config_files

# What decides where is listened and what is loaded; run.sh has planned it (addon/start/plan.py).
FIXED = frozenset(
    {
        "confdir",
        "docxy_http_port",
        "docxy_metrics",
        "docxy_registry",
        "listen_host",
        "listen_port",
        "mode",
        "scripts",
        "server",
    }
)

# What mitmproxy and the YAML that it reads raise for what is wrong in a file.
_WRONG = (
    exceptions.OptionsError,
    AttributeError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


def read_said(known: optmanager.OptManager, arguments: Sequence[str]) -> dict[str, Any]:
    """What command line, config.yaml and the mirror's defaults say of each known option.

    Raises:
        ValueError: the file cannot be read, or one of its values is wrong; the message is the line
            for the user.
    """
    options = _without_values(known)
    parser = cmdline.mitmdump(options)  # type: ignore[no-untyped-call]
    args = parser.parse_args(list(arguments))
    try:
        options.set(*args.setoptions, defer=True)
        # The command line's own: whoever knows no such option has ended the start.
        options.deferred.clear()
        files = config_files(Path(options.confdir).expanduser())
        optmanager.load_paths(options, *map(str, files))
        process_options(parser, options, args)  # type: ignore[no-untyped-call]
    except (
        exceptions.OptionsError,
        AttributeError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as e:
        raise ValueError(" ".join(str(e).split())) from e
    unknown = [name for name in options.deferred if not defaults.is_of_another_program(name)]
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no option of mitmproxy or the mirror")
    return {name: getattr(options, name) for name, _ in _all(options)}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The options of which something else is said than before."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def _without_values(known: optmanager.OptManager) -> optmanager.OptManager:
    """The same options as nobody has set them yet, with a mirror's defaults."""
    options = optmanager.OptManager()
    for name, option in _all(known):
        default = defaults.NEEDED.get(name, option.default)
        options.add_option(name, option.typespec, default, option.help, option.choices)
    return options


def _all(options: optmanager.OptManager) -> Iterator[tuple[str, Any]]:
    yield from options.items()  # type: ignore[no-untyped-call]
