"""What is left of workers that are dead, with real files of prometheus_client's."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from addon.metrics.buried import bury, reading

COUNTS = """
from prometheus_client import Counter, Gauge, Histogram
Counter("asked", "x", ["by"]).labels("a").inc(2)
Histogram("took", "x", buckets=[1, 5]).observe(3)
Gauge("open", "x", multiprocess_mode="livesum").set(7)
import os
print(os.getpid())
"""


def count(folder: Path) -> int:
    """Let a process count and end; its number."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTS],
        env={"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def values(folder: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    with reading(folder):
        found = [sample for family in registry.collect() for sample in family.samples]
    return {f"{each.name}{sorted(each.labels.items())}": each.value for each in found}


def test_many_that_are_dead_have_one_file_of_each_kind_and_count_as_before(tmp_path: Path) -> None:
    lives = count(tmp_path)
    for _ in range(3):
        count(tmp_path)
        before = values(tmp_path)
        bury(tmp_path, {lives})
        assert values(tmp_path) == before
    assert before["asked_total[('by', 'a')]"] == 8
    assert before["took_bucket[('le', '1.0')]"] == 0
    assert before["took_bucket[('le', '5.0')]"] == 4
    assert before["took_sum[]"] == 12
    left = sorted(path.name for path in tmp_path.glob("[ch]*_*"))
    assert left == [
        f"counter_{lives}.db",
        "counter_dead.db",
        f"histogram_{lives}.db",
        "histogram_dead.db",
    ]


def test_while_somebody_reads_nothing_moves(tmp_path: Path) -> None:
    count(tmp_path)
    before = sorted(tmp_path.glob("*.db"))
    with reading(tmp_path):
        bury(tmp_path, ())
    assert sorted(tmp_path.glob("*.db")) == before
    bury(tmp_path, ())
    assert {path.name for path in tmp_path.glob("c*.db")} == {"counter_dead.db"}


def test_who_reads_waits_for_what_moves(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code = (
            "import sys\nfrom pathlib import Path\nfrom addon.metrics.buried import reading\n"
            "print('waits', flush=True)\nwith reading(Path(sys.argv[1])): print('reads')"
        )
        words = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waits\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert process.communicate()[0] == "reads\n"
