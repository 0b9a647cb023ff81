from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from addon.memory.singleflight import SingleFlight


class Service:
    """Answers when it is told to; counts what it was asked, and what of it was given up."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[str]] = []
        self.given_up = 0

    async def ask(self) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self.given_up += 1
            raise


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def flights() -> SingleFlight[str]:
    return SingleFlight()


@pytest.fixture
def asker(service: Service, flights: SingleFlight[str]) -> Callable[[], asyncio.Task[str]]:
    def ask() -> asyncio.Task[str]:
        return asyncio.get_running_loop().create_task(flights.once("key", service.ask))

    return ask


Asker = Callable[[], asyncio.Task[str]]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_at_the_same_time_share_one_request(
    service: Service, flights: SingleFlight[str], asker: Asker
) -> None:
    askers = [asker() for _ in range(50)]
    await settle()
    service.asked[0].set_result("token")
    assert await asyncio.gather(*askers) == ["token"] * 50
    assert len(service.asked) == 1
    assert len(flights) == 0


async def test_who_asks_later_asks_anew(service: Service, asker: Asker) -> None:
    first = asker()
    await settle()
    service.asked[0].set_result("old")
    await first
    second = asker()
    await settle()
    service.asked[1].set_result("new")
    assert await second == "new"


async def test_different_keys_are_different_requests(flights: SingleFlight[str]) -> None:
    async def ask() -> str:
        await asyncio.sleep(0)
        return "x"

    asked = [flights.once(key, ask) for key in ("a", "b")]
    assert await asyncio.gather(*asked) == ["x", "x"]


async def test_all_askers_share_a_failure_and_the_next_asks_anew(
    service: Service, asker: Asker
) -> None:
    askers = [asker() for _ in range(3)]
    await settle()
    service.asked[0].set_exception(OSError("down"))
    results = await asyncio.gather(*askers, return_exceptions=True)
    assert [str(r) for r in results] == ["down"] * 3
    again = asker()
    await settle()
    service.asked[1].set_result("up")
    assert await again == "up"


async def test_an_asker_that_leaves_does_not_end_the_others_request(
    service: Service, asker: Asker
) -> None:
    leaving, staying = asker(), asker()
    await settle()
    leaving.cancel()
    await settle()
    service.asked[0].set_result("x")
    assert await staying == "x"
    assert leaving.cancelled()
    assert service.given_up == 0


async def test_the_first_asker_may_leave_as_any_other(service: Service, asker: Asker) -> None:
    first = asker()
    await settle()
    second = asker()
    await settle()
    first.cancel()
    await settle()
    service.asked[0].set_result("x")
    assert await second == "x"


async def test_the_last_asker_that_leaves_ends_the_request(
    service: Service, flights: SingleFlight[str], asker: Asker
) -> None:
    askers = [asker() for _ in range(3)]
    await settle()
    for each in askers:
        each.cancel()
    await settle()
    assert service.given_up == 1
    assert len(flights) == 0


async def test_who_asks_just_as_the_last_one_leaves_is_not_given_what_was_ended(
    service: Service, asker: Asker
) -> None:
    last = asker()
    await settle()
    last.cancel()
    new = asker()  # runs after `last` has been cancelled, before the request has noticed
    await settle()
    assert len(service.asked) == 2
    service.asked[1].set_result("x")
    assert await new == "x"
    assert service.given_up == 1


async def test_who_leaves_ends_its_own_request_though_another_is_being_given_its_answer(
    service: Service, flights: SingleFlight[str], asker: Asker
) -> None:
    first = asker()
    await settle()
    service.asked[0].set_result("x")
    # The first request is done and out of the table; its asker has not run yet.
    while len(flights):  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not first.done()
    second = flights.once("key", service.ask)
    second.send(None)  # as far as its first wait
    second.close()
    await settle()
    assert await first == "x"
    assert len(flights) == 0


async def test_many_that_come_and_go_leave_nothing(
    service: Service, flights: SingleFlight[str], asker: Asker
) -> None:
    for round_ in range(20):
        askers = [asker() for _ in range(4)]
        for _ in range(round_ % 4):
            await asyncio.sleep(0)
        for each in askers[round_ % 3 :]:
            each.cancel()
        if service.asked and not service.asked[-1].done():
            service.asked[-1].set_result("x")
        for each in askers:
            each.cancel()
        await settle()
    assert len(flights) == 0
    assert all(future.done() for future in service.asked)
