from __future__ import annotations

import asyncio

import pytest

from addon.protocol.errors import Refusal
from addon.protocol.form import MAX_FORM, Form, drop


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="empty"),
        pytest.param([b"a=b"], id="one piece"),
        pytest.param([b"a", b"=", b"b&", b"c"], id="several pieces"),
        pytest.param([bytes([n % 256]) for n in range(1000)], id="all bytes, one by one"),
        pytest.param([b"x" * MAX_FORM], id="as large as may be"),
        pytest.param([b"x" * (MAX_FORM - 1), b"y"], id="as large as may be, in two"),
    ],
)
async def test_a_form_is_read_once_it_has_ended(pieces: list[bytes]) -> None:
    form = Form()
    reading = asyncio.ensure_future(form.read())
    for piece in pieces:
        assert form.take(piece) == b""
    await asyncio.sleep(0)
    assert not reading.done()
    assert form.take(b"") == b""
    assert await reading == b"".join(pieces)
    assert await form.read() == b"".join(pieces)
    assert form.whole == b"".join(pieces)


def test_a_form_is_whole_only_once_it_has_ended() -> None:
    form = Form()
    form.take(b"a=b")
    assert form.whole is None
    form.take(b"x" * MAX_FORM)
    form.take(b"")
    assert form.whole is None


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"x" * (MAX_FORM + 1)], id="a byte too much"),
        pytest.param([b"x" * MAX_FORM, b"y"], id="a byte too much, in two"),
        pytest.param([b"x" * 1000] * 100, id="in many pieces"),
    ],
)
async def test_too_large_a_form_is_refused_before_its_end(pieces: list[bytes]) -> None:
    form = Form()
    for piece in pieces:
        assert form.take(piece) == b""
    for _ in range(2):
        with pytest.raises(Refusal, match=str(MAX_FORM)) as refused:
            await asyncio.wait_for(form.read(), 5)
        assert (refused.value.status, refused.value.code) == (413, "SIZE_INVALID")


async def test_a_form_that_goes_on_and_on_is_not_kept() -> None:
    form = Form()
    for _ in range(100):
        form.take(b"x" * 1000)
    kept = sum(len(piece) for piece in form._pieces)
    assert kept <= MAX_FORM


async def test_a_client_that_leaves_ends_the_reading() -> None:
    reading = asyncio.ensure_future(Form().read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def test_every_other_body_is_dropped() -> None:
    assert drop(b"a layer") == b""
    assert drop(b"") == b""
