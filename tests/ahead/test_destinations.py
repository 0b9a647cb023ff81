from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from addon.ahead.destinations import FILE_NAME, MAX_ORIGINS, MAX_REGISTRIES, Destinations

HUB = "https://registry-1.docker.io"
CDN = "https://cdn.example"
OTHER = "https://other.example:8443"


def test_the_last_one_asked_comes_first() -> None:
    destinations = Destinations()
    for url in (f"{CDN}/a?Signature=x", f"{OTHER}/b", f"{CDN}/c"):
        destinations.note(HUB, url)
    assert destinations.of(HUB) == (CDN, OTHER)
    assert destinations.of("https://quay.io") == ()


def test_only_a_new_one_is_told_of() -> None:
    destinations = Destinations()
    told: list[tuple[str, ...]] = []
    destinations.on_new = lambda: told.append(destinations.of(HUB))
    for url in (f"{CDN}/a", f"{CDN}/b", f"{OTHER}/b", f"{CDN}/c"):
        destinations.note(HUB, url)
    assert told == [(CDN,), (OTHER, CDN)]


def test_as_many_as_a_cdn_has_names_are_kept() -> None:
    destinations = Destinations()
    for number in range(MAX_ORIGINS + 1):
        destinations.note(HUB, f"https://cdn{number}.example/")
    kept = destinations.of(HUB)
    assert len(kept) == MAX_ORIGINS
    assert "https://cdn0.example" not in kept


def test_registries_are_bounded() -> None:
    destinations = Destinations()
    for number in range(MAX_REGISTRIES + 1):
        destinations.note(f"https://r{number}.example", CDN)
    assert destinations.of("https://r0.example") == ()
    assert destinations.of(f"https://r{MAX_REGISTRIES}.example") == (CDN,)


def test_the_next_run_knows_what_this_one_learnt(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "deeper"
    now = Destinations()
    now.note(HUB, f"{CDN}/path?Expires=1&Signature=secret")
    now.note(HUB, f"{OTHER}/path")
    now.save(folder)
    later = Destinations()
    later.load(folder)
    assert later.of(HUB) == (OTHER, CDN)


def test_the_file_is_the_owners_and_holds_no_presigned_address(tmp_path: Path) -> None:
    destinations = Destinations()
    destinations.note(HUB, f"{CDN}/path?Expires=1&Signature=secret")
    destinations.save(tmp_path)
    file = tmp_path / FILE_NAME
    assert json.loads(file.read_text()) == {HUB: [CDN]}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_known_goes_before_what_a_file_says(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({HUB: [OTHER, CDN]}))
    destinations = Destinations()
    destinations.note(HUB, CDN)
    destinations.load(tmp_path)
    assert destinations.of(HUB) == (CDN, OTHER)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[" * 60_000, id="deep"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"https://registry-1.docker.io": "https://cdn.example"}', id="no list"),
        pytest.param(b'{"https://registry-1.docker.io": [1, null, {}]}', id="no texts"),
        *(
            pytest.param(json.dumps({HUB: [text]}).encode(), id=text)
            for text in (
                "cdn.example",
                "ftp://cdn.example",
                "https://",
                "https://cdn.example/",
                "https://cdn.example/path?Signature=x",
                "https://user@cdn.example",
                "https://cdn.example:99999",
                "https://[::1",
                "https://cdn.example\r\nX: y",
            )
        ),
    ],
)
def test_rubbish_in_the_file_is_no_loss(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    destinations = Destinations()
    destinations.load(tmp_path)
    assert destinations.of(HUB) == ()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    destinations = Destinations()
    destinations.note(HUB, CDN)
    with pytest.raises(OSError, match="directory"):
        destinations.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
