from __future__ import annotations

from dataclasses import dataclass

import pytest

from addon.blob import retrying
from addon.blob.retrying import FIRST_PAUSE, Tries, pause, tried

TRIES = Tries()
MAX_TRIES = TRIES.most
LONGEST_PAUSE = TRIES.longest_pause


@dataclass
class Given:
    status: int
    retry_after: str = ""


class Service:
    """Gives one answer after the other, the last again and again."""

    def __init__(self, *answers: Given | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.dropped: list[Given] = []

    async def ask(self) -> Given:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def drop(self, answer: Given) -> None:
        self.dropped.append(answer)

    async def result(self, tries: Tries = TRIES) -> Given:
        return await tried(
            self.ask,
            tries,
            may_pass=lambda error: isinstance(error, ConnectionError),
            asks_to_wait=lambda given: given.retry_after if given.status == 503 else None,
            drop=self.drop,
        )


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited; nobody waits."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(retrying, "sleep", sleep)
    return waited


OK = Given(200)
BUSY = Given(503)


@pytest.mark.parametrize(
    ("tries", "retry_after", "seconds"),
    [
        (1, None, FIRST_PAUSE),
        (2, None, 2 * FIRST_PAUSE),
        (3, "", 4 * FIRST_PAUSE),
        (1, "2", 2.0),
        (3, "2", 2.0),
        (1, "0", 0.0),
        # What is no number of seconds is as if nothing were said.
        (1, "Wed, 21 Oct 2026 07:28:00 GMT", FIRST_PAUSE),
        (1, "-5", FIRST_PAUSE),
        (1, "1.5", FIRST_PAUSE),
        (1, "\u00b2", FIRST_PAUSE),
    ],
)
def test_a_pause_is_what_is_asked_for_or_twice_as_long_each_time(
    tries: int, retry_after: str | None, seconds: float
) -> None:
    assert pause(tries, retry_after) == seconds


async def test_what_is_good_is_taken_at_once(pauses: list[float]) -> None:
    service = Service(OK)
    assert await service.result() is OK
    assert (service.asked, pauses) == (1, [])


async def test_an_error_that_may_pass_is_tried_again(pauses: list[float]) -> None:
    service = Service(ConnectionResetError(), ConnectionRefusedError(), OK)
    assert await service.result() is OK
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE]


async def test_another_error_is_not(pauses: list[float]) -> None:
    service = Service(ValueError("a slip"))
    with pytest.raises(ValueError, match="a slip"):
        await service.result()
    assert (service.asked, pauses) == (1, [])


async def test_the_last_error_is_raised(pauses: list[float]) -> None:
    service = Service(ConnectionResetError("first"), ConnectionResetError("last"))
    with pytest.raises(ConnectionResetError, match="last"):
        await service.result()
    assert service.asked == MAX_TRIES


async def test_an_answer_that_asks_to_wait_is_dropped_and_waited_for(pauses: list[float]) -> None:
    first = Given(503, "3")
    service = Service(first, BUSY, OK)
    assert await service.result() is OK
    assert pauses == [3.0, 2 * FIRST_PAUSE]
    assert service.dropped == [first, BUSY]


async def test_the_last_answer_is_given_and_not_dropped(pauses: list[float]) -> None:
    service = Service(BUSY)
    assert await service.result() is BUSY
    assert service.asked == MAX_TRIES
    assert len(service.dropped) == MAX_TRIES - 1


@pytest.mark.parametrize("seconds", [str(int(LONGEST_PAUSE) + 1), "3600", "9" * 400])
async def test_no_client_waits_longer_than_it_may(pauses: list[float], seconds: str) -> None:
    service = Service(Given(503, seconds), OK)
    assert (await service.result()).status == 503
    assert (service.asked, pauses, service.dropped) == (1, [], [])


async def test_the_longest_wait_is_waited(pauses: list[float]) -> None:
    service = Service(Given(503, str(int(LONGEST_PAUSE))), OK)
    assert await service.result() is OK
    assert pauses == [LONGEST_PAUSE]


@pytest.mark.parametrize("most", [1, 2, 7])
async def test_tries_are_as_many_as_the_owner_says(pauses: list[float], most: int) -> None:
    service = Service(BUSY)
    assert await service.result(Tries(most)) is BUSY
    assert (service.asked, len(pauses)) == (most, most - 1)


@pytest.mark.parametrize("longest", [0.0, 0.3, 1.0])
async def test_a_pause_grows_no_longer_than_the_owner_says(
    pauses: list[float], longest: float
) -> None:
    service = Service(BUSY)
    await service.result(Tries(2000, longest))
    assert max(pauses) == longest
    assert service.asked == 2000
