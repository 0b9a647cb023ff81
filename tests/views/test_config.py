"""Configs as environment, command and history."""

from __future__ import annotations

import pytest

from addon.views.config import show_config
from addon.views.reading import MAX_BODY
from tests.views.bodies import (
    BLOB,
    HOSTILE,
    JSON,
    OCI_CONFIG,
    OCI_LAYER,
    config,
    digest,
    encode,
    is_harmless,
)

ROOTFS = {"type": "layers", "diff_ids": [digest(7)]}
ADD = {
    "created": "2024-01-27T00:30:48.624602109Z",
    "created_by": "/bin/sh -c #(nop) ADD file:1 in / ",
}
CMD = {"created": "2024-01-27T00:30:48Z", "created_by": 'CMD ["sh"]', "empty_layer": True}
RUN = {"created": "2024-02-01T00:00:00Z", "created_by": "RUN set -e; \t\tapk add", "comment": "b"}
RUNS = {
    "Env": ["PATH=/usr/bin:/bin", "REDIS_VERSION=7.2"],
    "Entrypoint": ["docker-entrypoint.sh"],
    "Cmd": ["redis-server"],
    "User": "redis",
    "WorkingDir": "/data",
    "ExposedPorts": {"6379/tcp": {}, "80/udp": {}},
    "Volumes": {"/data": {}},
    "StopSignal": "SIGTERM",
    "Labels": {"maintainer": "m", "org.opencontainers.image.version": "1"},
}


def shown(body: bytes, content_type: str = BLOB) -> str:
    text = show_config(content_type, body)
    assert text is not None
    assert is_harmless(text)
    return text


def test_a_config_is_environment_command_and_history() -> None:
    body = config([ADD, CMD, RUN], config=RUNS, created="2024-02-01T00:00:00Z", author="a")
    assert shown(body).splitlines() == [
        "Image config for linux/amd64, made 2024-02-01T00:00:00Z by a",
        "",
        "Environment",
        "  PATH=/usr/bin:/bin",
        "  REDIS_VERSION=7.2",
        "",
        "Runs",
        '  entrypoint         ["docker-entrypoint.sh"]',
        '  command            ["redis-server"]',
        "  user               redis",
        "  working directory  /data",
        "  ports              6379/tcp, 80/udp",
        "  volumes            /data",
        "  stop signal        SIGTERM",
        "",
        "Labels",
        "  maintainer                        m",
        "  org.opencontainers.image.version  1",
        "",
        "History (3 steps, 2 layers)",
        "  1  layer 1  2024-01-27T00:30:48  /bin/sh -c #(nop) ADD file:1 in /",
        '  2           2024-01-27T00:30:48  CMD ["sh"]',
        "  3  layer 2  2024-02-01T00:00:00  RUN set -e; apk add  # b",
        "",
        "Layers, as unpacked",
        f"  1  {digest(7)}",
        f"  2  {digest(8)}",
    ]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        BLOB,
        "binary/octet-stream",
        OCI_CONFIG,
        "application/vnd.docker.container.image.v1+json",
    ],
)
def test_a_config_comes_by_several_types(content_type: str) -> None:
    assert shown(config(), content_type).startswith("Image config for linux/amd64")


@pytest.mark.parametrize("content_type", [JSON, "text/html", OCI_LAYER])
def test_other_types_are_no_config(content_type: str) -> None:
    assert show_config(content_type, config()) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\x1f\x8b\x08" + bytes(100), id="a layer"),
        pytest.param(b"{" * 100_000, id="no JSON"),
        pytest.param(b'{"config": ' + b"[" * 100_000, id="too deep"),
        pytest.param(encode({"os": "linux", "architecture": "amd64"}), id="no rootfs"),
        pytest.param(config(rootfs={"diff_ids": "a"}), id="layers that are no list"),
        pytest.param(config(os=5), id="a system that is a number"),
        pytest.param(config(architecture=None), id="no architecture"),
        pytest.param(config().replace(b'"linux"', b'"\xff"'), id="no UTF-8"),
        pytest.param(config(a=float("nan")), id="not a number"),
    ],
)
def test_what_is_no_config_is_left_to_mitmproxy(body: bytes) -> None:
    assert show_config(OCI_CONFIG, body) is None


@pytest.mark.parametrize(("more", "is_shown"), [(0, True), (1, False)], ids=["at most", "above"])
def test_a_config_is_bounded(more: int, is_shown: bool) -> None:
    assert (show_config(BLOB, config().ljust(MAX_BODY + more)) is not None) == is_shown


@pytest.mark.parametrize(
    ("more", "start"),
    [
        pytest.param({"variant": "v8"}, "linux/amd64/v8\n", id="a variant"),
        pytest.param({"variant": 8}, "linux/amd64/?\n", id="a wrong variant"),
        pytest.param({"os.version": "10.0"}, "linux/amd64 10.0\n", id="a version"),
        pytest.param({"created": 5}, "linux/amd64, made 5\n", id="a wrong time"),
        pytest.param({"author": "\x1b[0m"}, "linux/amd64 by \\x1b[0m\n", id="a hostile author"),
        pytest.param({"config": []}, "linux/amd64\n", id="a wrong config"),
        pytest.param({"config": None}, "linux/amd64\n", id="no config"),
        pytest.param({"history": {}}, "linux/amd64\n", id="a wrong history"),
    ],
)
def test_the_first_line_says_for_what_it_is(more: dict[str, object], start: str) -> None:
    assert shown(config(**more)).startswith(f"Image config for {start}")


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        pytest.param("Env", ["A=\x1b[0m\n", 5], "  A=\\x1b[0m\\n\n  ?\n", id="a hostile variable"),
        pytest.param("Cmd", "sh", "  command  sh\n", id="a command that is a text"),
        pytest.param("Cmd", ["a\x1b"], '  command  ["a\\u001b"]\n', id="a hostile command"),
        pytest.param("Cmd", {"a": 1}, '  command  {"a": 1}\n', id="a command that is an object"),
        pytest.param("ExposedPorts", ["80"], '  ports  ["80"]\n', id="ports that are a list"),
        pytest.param("Volumes", {"\x1b": {}}, "  volumes  \\x1b\n", id="a hostile volume"),
        pytest.param("User", 0.5, "  user  0.5\n", id="a user that is a number"),
        pytest.param("Labels", {"\x1b": ["\x9b"]}, '  \\x1b  ["\\x9b"]\n', id="a hostile label"),
    ],
)
def test_what_it_runs_may_be_wrong(key: str, value: object, line: str) -> None:
    assert line in shown(config(config={key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("Env", "A=1"), ("Env", None), ("Env", {}), ("Labels", ["a"]), ("Cmd", None), ("User", "")],
)
def test_what_is_wrong_or_not_set_is_left_out(key: str, value: object) -> None:
    assert shown(config(config={key: value})) == shown(config())


@pytest.mark.parametrize(
    ("step", "line"),
    [
        pytest.param({}, "  1  layer 1  ?  ?", id="empty"),
        pytest.param(None, "  1  layer 1  ?  ?", id="nothing"),
        pytest.param("RUN", "  1  layer 1  ?  ?", id="a text"),
        pytest.param({"created": 5, "created_by": [1]}, "  1  layer 1  ?  ?", id="wrong types"),
        pytest.param({"empty_layer": "yes"}, "  1  layer 1  ?  ?", id="a wrong truth"),
        pytest.param({"created_by": "a\x1bb"}, "  1  layer 1  ?  a\\x1bb", id="a hostile command"),
        pytest.param({"created_by": "a", "comment": 5}, "  1  layer 1  ?  a", id="a wrong comment"),
    ],
)
def test_a_step_may_be_wrong(step: object, line: str) -> None:
    assert line in shown(config([step])).splitlines()


@pytest.mark.parametrize("diff_id", [None, 5, [], {}, "", HOSTILE])
def test_a_layer_may_be_wrong(diff_id: object) -> None:
    assert "Layers, as unpacked\n  1  " in shown(config(rootfs={"diff_ids": [diff_id]}))


def test_a_base_of_nothing_has_no_layers() -> None:
    assert shown(config(rootfs={"diff_ids": []})) == "Image config for linux/amd64"
