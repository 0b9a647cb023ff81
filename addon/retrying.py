"""What is tried again, and when: the start of a request that changes nothing upstream."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_any,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
)

MAX_TRIES = 4
FIRST_PAUSE = 0.2
# Seconds of `Retry-After` that a client can be let wait; beyond that, it gets the answer.
LONGEST_PAUSE = 5.0

T = TypeVar("T")


def pause(tries: int, retry_after: str | None) -> float:
    """Seconds before the next try: what the upstream asks for, else twice as long each time."""
    if retry_after and retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    return float(FIRST_PAUSE * 2 ** (tries - 1))


async def tried(
    ask: Callable[[], Awaitable[T]],
    *,
    may_pass: Callable[[BaseException], bool],
    asks_to_wait: Callable[[T], str | None],
    drop: Callable[[T], Awaitable[None]],
) -> T:
    """What `ask` gives in the end, the last failure included.

    Args:
        ask: one try.
        may_pass: whether an error may be gone with the next try.
        asks_to_wait: of an answer that may be another one next time, its `Retry-After` ("" where
            it has none); None for every answer that is to be taken.
        drop: ends an answer that is not taken.
    """

    def wait(state: RetryCallState) -> float:
        return pause(state.attempt_number, _retry_after(state))

    def _retry_after(state: RetryCallState) -> str | None:
        outcome = state.outcome
        return None if outcome is None or outcome.failed else asks_to_wait(outcome.result())

    def is_to_be_tried(answer: T) -> bool:
        asked = asks_to_wait(answer)
        return asked is not None and pause(1, asked) <= LONGEST_PAUSE

    async def before_sleep(state: RetryCallState) -> None:
        if state.outcome is not None and not state.outcome.failed:
            await drop(state.outcome.result())

    def give(state: RetryCallState) -> T:
        assert state.outcome is not None  # noqa: S101 - tenacity calls this after a try
        result: T = state.outcome.result()
        return result

    retrying = AsyncRetrying(
        sleep=sleep,
        stop=stop_after_attempt(MAX_TRIES),
        wait=wait,
        retry=retry_any(retry_if_exception(may_pass), retry_if_result(is_to_be_tried)),
        before_sleep=before_sleep,
        retry_error_callback=give,
    )
    return await retrying(ask)
