"""What a worker is told, and its share of what is for the whole mirror."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.settings.options import OPTIONS
from addon.workers.worker import SHARED, Worker, format_worker, parse_worker, shared

WORKER = Worker(1, 3, {("", 443): (5, 6), ("127.0.0.1", 80): (7,)}, 9, True)


def test_what_is_told_is_understood() -> None:
    told = format_worker(WORKER)
    assert parse_worker(told) == WORKER
    assert told["DOCXY_WORKERS"] == "3"
    assert not WORKER.speaks


@pytest.mark.parametrize("environ", [{}, {"DOCXY_WORKERS": "4"}, {"DOCXY_WORKER": ""}])
def test_whoever_is_told_nothing_is_alone(environ: dict[str, str]) -> None:
    assert parse_worker(environ) is None


def test_a_worker_has_its_share_of_the_mirrors_budgets_and_the_whole_of_all_else() -> None:
    values = {option.name: option.default for option in OPTIONS}
    assert shared(values, None) == values
    mine = shared(values, WORKER)
    differing = {name for name in values if mine[name] != values[name]}
    assert differing == SHARED.keys() & values.keys()
    assert differing
    assert mine["docxy_memory_blobs"] == 64 * 1024 * 1024 // 3


@pytest.mark.parametrize(("whole", "share"), [(0, 0), (1, 1), (2, 1), (3, 1), (6, 2), (-1, -1)])
def test_a_share_of_little_is_not_none(whole: int, share: int) -> None:
    assert shared({"docxy_memory_blobs": whole}, WORKER) == {"docxy_memory_blobs": share}


def test_one_client_is_served_as_well_by_one_of_many_workers() -> None:
    values = {option.name: option.default for option in OPTIONS}
    mine = shared(values, replace(WORKER, of=64))
    assert mine["docxy_bytes_in_flight"] == values["docxy_blob_bytes_in_flight"]
    assert mine["docxy_client_connections"] == values["docxy_address_connections"]
    assert mine["docxy_memory_blobs"] == values["docxy_memory_blob_size"]
    assert mine["docxy_memory_manifests"] == 16 * 1024 * 1024 // 64
    # Whoever allows less in all has said so.
    few = shared({**values, "docxy_client_connections": 100}, WORKER)
    assert few["docxy_client_connections"] == 100
