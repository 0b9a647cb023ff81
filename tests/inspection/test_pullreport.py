from __future__ import annotations

from addon.inspection.pullreport import Pull, report, step_line, summary
from addon.inspection.steps import Step
from addon.protocol.imagename import ImageName
from addon.protocol.platforms import Platform
from tests.clock import Clock

DIGEST = "sha256:0123456789abcdef" + 48 * "0"
STEPS = [
    Step("ping", "/v2/", 401, 93, 0.0, 0.004, "mirror"),
    Step("token", "/auth/token?service=a&scope=b", 200, 3000, 0.01, 0.02, "memory"),
    Step("layer", f"/v2/alpine/blobs/{DIGEST}", 200, 3_400_000, 1.0, 2.25, "begun ahead"),
]


def a_pull(*steps: Step) -> tuple[Pull, Clock]:
    clock = Clock(10.0)
    pull = Pull(ImageName("alpine", "latest"), Platform("linux", "amd64"), clock)
    pull.steps += steps
    clock.now += 1.5
    return pull, clock


def test_a_pull_that_went_well_is_a_table_and_a_line() -> None:
    pull, _ = a_pull(*STEPS)
    pull.end(left="74 of 100 pulls left")
    assert report(pull).splitlines() == [
        "alpine:latest for linux/amd64: 3 requests, 3.4 MB in 1,500 ms, all digests right",
        "  request                                         status    size      time  from",
        "  ping     /v2/                                      401    93 B      4 ms  mirror",
        "  token    /auth/token                               200  3.0 kB     10 ms  memory",
        "  layer    /v2/alpine/blobs/sha256:0123456789ab…     200  3.4 MB  1,250 ms  begun ahead",
        "  74 of 100 pulls left",
    ]


def test_one_under_way_says_how_far_it_is() -> None:
    pull, clock = a_pull(STEPS[0])
    assert (
        summary(pull)
        == "alpine:latest for linux/amd64: under way, 1 request, 93 B in 1,500 ms so far"
    )
    clock.now += 1
    assert "2,500 ms so far" in report(pull)


def test_one_that_failed_says_why_on_one_line() -> None:
    pull, clock = a_pull(Step("manifest", "/v2/a/manifests/1", 0, 0, 0.0, 0.5))
    pull.end("GET /v2/a/manifests/1: status 404\n\x1b[31m")
    clock.now += 9
    first, _, row = report(pull).splitlines()
    assert first.startswith(
        "alpine:latest for linux/amd64: failed, GET /v2/a/manifests/1: status 404"
    )
    assert first.endswith("(1 request, 0 B in 1,500 ms)")
    assert "\x1b" not in first
    assert row.split() == ["manifest", "/v2/a/manifests/1", "none", "0", "B", "500", "ms"]


def test_a_request_is_a_line_of_the_log() -> None:
    assert step_line(STEPS[2]) == (
        "layer /v2/alpine/blobs/sha256:0123456789ab…: 200, 3.4 MB in 1,250 ms, begun ahead"
    )
    assert step_line(Step("ping", "/v2/", 401, 93, 0.0, 0.004)) == "ping /v2/: 401, 93 B in 4 ms"


def test_a_table_has_an_end() -> None:
    pull, _ = a_pull(*[STEPS[0]] * 2000)
    pull.end()
    lines = report(pull).splitlines()
    assert len(lines) < 600
    assert "more" in lines[-1]
