"""An image's config: environment, command, history (image-spec, "Image Configuration")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from addon.protocol.descriptors import CONFIG_TYPES
from addon.views.escaping import UNKNOWN, any_value, cell, one_line, pairs, printable
from addon.views.reading import read_object
from addon.views.table import section

# A CDN gives a config as any other blob: without a type of its own.
_TYPES = CONFIG_TYPES | {"", "application/octet-stream", "binary/octet-stream"}

# What an engine starts and how, in the order in which a Dockerfile's reader thinks of it.
_RUNNING = (
    ("Entrypoint", "entrypoint"),
    ("Cmd", "command"),
    ("User", "user"),
    ("WorkingDir", "working directory"),
    ("ExposedPorts", "ports"),
    ("Volumes", "volumes"),
    ("StopSignal", "stop signal"),
    ("Healthcheck", "health check"),
)
_SECONDS = len("2024-01-27T00:30:48")  # of a time, whose fractions say nothing here

Json = Mapping[str, object]


def show_config(content_type: str, body: bytes) -> str | None:
    """A config in sections, None for what is none; `content_type` in lower case, "" for none."""
    if content_type not in _TYPES:
        return None
    content = read_object(body) or {}
    match content:
        # What a config must have; any JSON may come as a blob without a type.
        case {"os": str(), "architecture": str(), "rootfs": {"diff_ids": list(layers)}}:
            return "\n".join(_lines(content, layers))
    return None


def _lines(content: Json, layers: Sequence[object]) -> list[str]:
    config = content.get("config")
    run: Json = config if isinstance(config, dict) else {}
    history = content.get("history")
    steps = history if isinstance(history, list) else []
    return [
        f"Image config for {_platform(content)}{_made(content)}",
        *section("Environment", [[_variable(each)] for each in _listed(run.get("Env"))]),
        *section("Runs", [[name, _value(run[key])] for key, name in _RUNNING if run.get(key)]),
        *section("Labels", pairs(run.get("Labels"))),
        *section(f"History ({len(steps)} steps, {len(layers)} layers)", _history(steps), right={0}),
        *section("Layers, as unpacked", [[f"{n}", cell(each)] for n, each in enumerate(layers, 1)]),
    ]


def _platform(content: Json) -> str:
    names = ("os", "architecture", "variant")
    platform = "/".join(cell(content[name]) for name in names if content.get(name))
    version = content.get("os.version")
    return f"{platform} {cell(version)}" if version else platform


def _made(content: Json) -> str:
    created = f", made {any_value(content['created'])}" if content.get("created") else ""
    author = f" by {any_value(content['author'])}" if content.get("author") else ""
    return created + author


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _variable(variable: object) -> str:
    return any_value(variable) if isinstance(variable, str) else UNKNOWN


def _value(value: object) -> str:
    # Ports and volumes are the names of an object whose values are empty.
    if isinstance(value, dict) and not any(value.values()):
        return printable(", ".join(value))
    return any_value(value)


def _history(steps: Sequence[object]) -> list[list[str]]:
    """One row a step; a step that changed no file has no layer."""
    rows: list[list[str]] = []
    layer = 0
    for number, entry in enumerate(steps, 1):
        step: Json = entry if isinstance(entry, dict) else {}
        is_empty = step.get("empty_layer") is True
        layer += not is_empty
        made = cell(step.get("created"))[:_SECONDS]
        rows.append([f"{number}", "" if is_empty else f"layer {layer}", made, _command(step)])
    return rows


def _command(step: Json) -> str:
    command, comment = step.get("created_by"), step.get("comment")
    shown = one_line(command) if isinstance(command, str) else UNKNOWN
    return f"{shown}  # {one_line(comment)}" if isinstance(comment, str) and comment else shown
