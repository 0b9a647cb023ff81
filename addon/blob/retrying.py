"""What is tried again, and when: the start of a request that changes nothing upstream."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_any,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
)

FIRST_PAUSE = 0.2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tries:
    """How often something is tried, and the longest pause between two tries, in seconds.

    An answer that asks for a longer one is taken: nobody can be let wait for it.
    """

    most: int = 4
    longest_pause: float = 5.0


def pause(tries: int, retry_after: str | None) -> float:
    """Seconds after so many tries: what the upstream asks for, else twice as long each time."""
    if retry_after and retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    return float(FIRST_PAUSE * 2 ** min(tries - 1, 30))


async def tried(
    ask: Callable[[], Awaitable[T]],
    tries: Tries,
    *,
    may_pass: Callable[[BaseException], bool],
    asks_to_wait: Callable[[T], str | None],
    drop: Callable[[T], Awaitable[None]],
) -> T:
    """What `ask` gives in the end, the last failure included.

    Args:
        ask: one try.
        tries: how many.
        may_pass: whether an error may be gone with the next try.
        asks_to_wait: of an answer that may be another one next time, its `Retry-After` ("" where
            it has none); None for every answer that is to be taken.
        drop: ends an answer that is not taken.
    """

    def wait(state: RetryCallState) -> float:
        asked = pause(state.attempt_number, _retry_after(state))
        return min(asked, tries.longest_pause)

    def _retry_after(state: RetryCallState) -> str | None:
        outcome = state.outcome
        return None if outcome is None or outcome.failed else asks_to_wait(outcome.result())

    def is_to_be_tried(answer: T) -> bool:
        asked = asks_to_wait(answer)
        return asked is not None and pause(1, asked) <= max(tries.longest_pause, FIRST_PAUSE)

    async def before_sleep(state: RetryCallState) -> None:
        if state.outcome is not None and not state.outcome.failed:
            await drop(state.outcome.result())

    def give(state: RetryCallState) -> T:
        assert state.outcome is not None  # noqa: S101 - tenacity calls this after a try
        result: T = state.outcome.result()
        return result

    retrying = AsyncRetrying(
        sleep=sleep,
        stop=stop_after_attempt(tries.most),
        wait=wait,
        retry=retry_any(retry_if_exception(may_pass), retry_if_result(is_to_be_tried)),
        before_sleep=before_sleep,
        retry_error_callback=give,
    )
    return await retrying(ask)
