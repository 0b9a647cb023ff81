from __future__ import annotations

import pytest

from addon.settings.defaults import NEEDED, REFUSED, check_refused, is_of_another_program, missing

# Something else than a mirror needs, for each option.
MITMPROXYS: dict[str, object] = {name: f"not {value}" for name, value in NEEDED.items()}


def test_what_a_mirror_needs_is_set_where_nobody_said_otherwise() -> None:
    assert missing(MITMPROXYS, lambda _: True, listens=True) == dict(NEEDED)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_the_user_says_stays(name: str) -> None:
    changed = missing(MITMPROXYS, lambda option: option != name, listens=True)
    assert changed == {n: value for n, value in NEEDED.items() if n != name}


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_is_right_already_is_not_set_again(name: str) -> None:
    assert name not in missing({**MITMPROXYS, name: NEEDED[name]}, lambda _: True, listens=True)


@pytest.mark.parametrize("said", [0, 1, None], ids=["nothing", "a line each", "not said"])
def test_who_reads_a_recording_sees_bodies_unless_he_says_otherwise(said: int | None) -> None:
    values = {**MITMPROXYS, "flow_detail": 1 if said is None else said}
    changed = missing(values, lambda name: name != "flow_detail" or said is None, listens=False)
    assert changed.get("flow_detail") == (3 if said is None else None)


def test_options_that_nobody_set_break_no_pull() -> None:
    check_refused(lambda _: True)


@pytest.mark.parametrize(
    "name", ["body_size_limit", "store_streamed_bodies", "stream_large_bodies"]
)
def test_an_option_that_breaks_pulls_is_refused_by_name(name: str) -> None:
    assert name in REFUSED
    with pytest.raises(ValueError, match=f"^{name} "):
        check_refused(lambda option: option != name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web_password", True),
        ("console_focus_follow", True),
        ("view_filter", True),
        ("intercept", True),
        ("flow_detail", True),
        ("webport", False),
        ("docxy_web_port", False),
        ("listen_prot", False),
    ],
)
def test_options_of_another_program_of_mitmproxys_are_known(name: str, expected: bool) -> None:
    assert is_of_another_program(name) is expected
