from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from addon.tls.acme import PairPaths
from addon.tls.certificates import CertificateError, Pair, load_pair
from addon.tls.renewal import Renewal
from tests.acme_sh import Authority

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AUTHORITY = Authority()
FORMER = AUTHORITY.issue(not_before=NOW - DAY, not_after=NOW + DAY)
RENEWED = AUTHORITY.issue(not_before=NOW - DAY, not_after=NOW + 60 * DAY)
EXPIRED = AUTHORITY.issue(not_before=NOW - 2 * DAY, not_after=NOW - DAY)


class Files:
    """The files, the pair in use, and what looks for the next one."""

    def __init__(self, folder: Path, now: datetime = NOW, settling: float = 0.01) -> None:
        self.paths = PairPaths(folder / "fullchain.cer", folder / "a.key")
        self.write(FORMER.key, FORMER.fullchain)
        self.current = load_pair(self.paths)
        self.renewal = Renewal(self.paths, settling=settling, now=lambda: now)

    def write(self, key: bytes | None = None, certificate: bytes | None = None) -> None:
        if key is not None:
            self.paths.key.write_bytes(key)
        if certificate is not None:
            self.paths.certificate.write_bytes(certificate)

    async def look(self) -> Pair | None:
        return await self.renewal.look(self.current)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_unchanged_files_are_no_renewal(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    assert await files.look() is None
    assert caplog.messages == []


async def test_a_complete_pair_replaces_the_former(files: Files) -> None:
    files.write(RENEWED.key, RENEWED.fullchain)
    assert await files.look() == load_pair(files.paths)


async def test_a_new_chain_for_the_same_leaf_is_a_renewal(files: Files) -> None:
    files.write(certificate=FORMER.leaf)
    assert (renewed := await files.look()) is not None
    assert renewed.chain_length == 1


@pytest.mark.parametrize(
    ("key", "certificate", "trouble"),
    [
        pytest.param(b"", None, "is empty", id="key empty"),
        pytest.param(None, b"", "is empty", id="certificate empty"),
        pytest.param(RENEWED.key, None, "does not belong", id="key first"),
        pytest.param(None, RENEWED.fullchain, "does not belong", id="certificate first"),
        pytest.param(RENEWED.key[:99], RENEWED.fullchain, "is cut short", id="half a key"),
        pytest.param(RENEWED.key, RENEWED.fullchain[:-99], "is cut short", id="half a chain"),
        pytest.param(EXPIRED.key, EXPIRED.fullchain, "expired on", id="expired"),
    ],
)
async def test_what_is_not_yet_a_pair_is_told_once_and_taken_later(
    files: Files,
    caplog: pytest.LogCaptureFixture,
    key: bytes | None,
    certificate: bytes | None,
    trouble: str,
) -> None:
    files.write(key, certificate)
    for _ in range(3):
        assert await files.look() is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert trouble in record.getMessage()
    files.write(RENEWED.key, RENEWED.fullchain)
    assert await files.look() == load_pair(files.paths)


async def test_removed_files_are_waited_for(files: Files) -> None:
    shutil.rmtree(files.paths.key.parent)
    assert await files.look() is None
    files.paths.key.parent.mkdir()
    files.write(RENEWED.key, RENEWED.fullchain)
    assert await files.look() == load_pair(files.paths)


async def test_trouble_that_comes_back_is_told_again(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        files.write(key=b"")
        assert await files.look() is None
        files.write(key=FORMER.key)
        assert await files.look() is None
    assert len(caplog.records) == 2


async def test_a_moment_of_emptiness_is_neither_told_nor_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path, settling=0.2)
    files.write(RENEWED.key, b"")
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(files.look())
        await asyncio.sleep(0.1)
        files.write(certificate=RENEWED.fullchain)
    assert looking.result() == load_pair(files.paths)
    assert caplog.messages == []


async def test_a_chain_that_still_grows_is_not_taken(tmp_path: Path) -> None:
    files = Files(tmp_path, settling=0.2)
    files.write(RENEWED.key, RENEWED.leaf)  # a fitting pair, but for the intermediate to come
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(files.look())
        await asyncio.sleep(0.1)
        files.write(certificate=RENEWED.fullchain)
    assert (renewed := looking.result()) is not None
    assert renewed.chain_length == 2


async def test_it_is_read_until_two_readings_agree(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(RENEWED.key, RENEWED.fullchain)
    whole = load_pair(files.paths)
    files.write(certificate=RENEWED.leaf)
    part = load_pair(files.paths)
    readings: Iterator[Pair | CertificateError] = iter(
        [part, CertificateError("cut short"), part, whole, whole]
    )
    taken = 0

    def read(_: PairPaths) -> Pair:
        nonlocal taken
        taken += 1
        reading = next(readings)
        if isinstance(reading, CertificateError):
            raise reading
        return reading

    monkeypatch.setattr("addon.tls.renewal.load_pair", read)
    assert await files.look() == whole
    assert taken == 5
    assert caplog.messages == []


async def test_the_pair_in_use_may_expire_without_being_told_as_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path, now=NOW + 30 * DAY)
    assert await files.look() is None
    assert caplog.messages == []


async def test_a_key_is_never_logged(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    body = RENEWED.key.decode().splitlines()[1]
    files.write(key=RENEWED.key.replace(b"\n", b"\n*", 1))
    await files.look()
    assert "is damaged" in caplog.text
    assert body not in caplog.text
