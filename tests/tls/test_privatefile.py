from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon.tls.privatefile import PrivateFile, is_private_file, remove_stale


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, made hostile: a name with a sign of `certs`, an open umask."""
    folder = tmp_path / "a=b"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def file(temporary: Path) -> Iterator[PrivateFile]:
    before = os.umask(0)
    file = PrivateFile()
    yield file
    file.close()
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_read_it(file: PrivateFile) -> None:
    path = file.write(b"secret")
    assert path.read_bytes() == b"secret"
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_each_content_has_a_name_of_its_own(file: PrivateFile) -> None:
    one, two = file.write(b"one"), file.write(b"two")
    assert one != two
    assert (one.read_bytes(), two.read_bytes()) == (b"one", b"two")
    assert file.write(b"one") == one


def test_only_what_is_kept_stays(file: PrivateFile) -> None:
    one, two = file.write(b"one"), file.write(b"two")
    file.keep(two)
    assert list(one.parent.iterdir()) == [two]
    assert file.holds(two)
    assert not file.holds(one)


def test_keeping_nothing_leaves_nothing(file: PrivateFile, temporary: Path) -> None:
    file.write(b"one")
    file.keep(None)
    assert list(temporary.iterdir()) == []


def test_closing_leaves_nothing_and_may_be_repeated(file: PrivateFile, temporary: Path) -> None:
    file.write(b"one")
    file.close()
    file.close()
    assert list(temporary.iterdir()) == []


def test_it_can_be_written_after_a_cleaner_took_it_away(file: PrivateFile) -> None:
    gone = file.write(b"one")
    shutil.rmtree(gone.parent)
    assert not file.holds(gone)
    assert file.write(b"one").read_bytes() == b"one"


def test_a_failed_write_leaves_what_was_there(
    file: PrivateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = file.write(b"one")

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            file.write(b"two")
    file.keep(kept)
    assert list(kept.parent.iterdir()) == [kept]


@pytest.mark.parametrize("end", ["raise RuntimeError", "raise SystemExit(1)", "pass"])
def test_it_is_gone_when_the_interpreter_ends_without_closing(tmp_path: Path, end: str) -> None:
    script = (
        "from addon.tls.privatefile import PrivateFile\n"
        "print(PrivateFile().write(b'secret').exists(), flush=True)\n" + end
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "True\n"
    assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_told_by_its_path(file: PrivateFile, tmp_path: Path) -> None:
    path = file.write(b"one")
    file.close()
    assert is_private_file(path)
    assert not is_private_file(tmp_path / "own.pem")


# What a process left that was killed.


@pytest.fixture(scope="module")
def gone() -> int:
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    return ended.pid


def leave(temporary: Path, name: str) -> Path:
    folder = temporary / name
    folder.mkdir()
    (folder / "key.pem").write_text("secret")
    return folder


def test_the_folder_of_a_process_that_is_gone_is_removed(
    file: PrivateFile, temporary: Path, gone: int
) -> None:
    leave(temporary, f"docxy-tls-{gone}-abc_1234")
    path = file.write(b"one")
    assert list(temporary.iterdir()) == [path.parent]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"docxy-tls-{os.getpid()}-abc_1234", id="of a process that runs"),
        pytest.param("docxy-tls-1-abc_1234", id="of another user's, or of the first"),
        pytest.param("docxy-tls-abcd1234", id="without a process"),
        pytest.param("docxy-tls-99999999999999999999-abcd", id="of what is no process"),
        pytest.param("docxy-tls-0-abcd", id="of a group"),
        pytest.param("docxy-demo-GONE-abcd", id="of something else"),
    ],
)
def test_any_other_folder_is_left_alone(
    file: PrivateFile, temporary: Path, gone: int, name: str
) -> None:
    folder = leave(temporary, name.replace("GONE", str(gone)))
    file.write(b"one")
    assert list(folder.iterdir())


def test_no_link_is_followed(temporary: Path, gone: int) -> None:
    precious = leave(temporary, "precious")
    link = temporary / f"docxy-tls-{gone}-link"
    link.symlink_to(precious)
    inside = leave(temporary, f"docxy-tls-{gone}-inside")
    (inside / "link").symlink_to(precious)
    remove_stale(temporary)
    assert list(precious.iterdir())
    assert link.is_symlink()
    assert not inside.exists()


def test_another_users_folder_is_left_alone(
    temporary: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = leave(temporary, f"docxy-tls-{gone}-abcd")
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    remove_stale(temporary)
    assert list(folder.iterdir())


def test_a_place_that_cannot_be_read_is_no_fault(tmp_path: Path) -> None:
    remove_stale(tmp_path / "gone")
