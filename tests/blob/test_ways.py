from __future__ import annotations

import asyncio

import pytest

from addon.blob.urgency import Asker, Urgency
from addon.blob.ways import Ways
from tests.cdn import KEY, Cdn, ways_to
from tests.upstreams import settle

WHERE = (KEY, "GET")


class Question:
    """Waits until it is answered; notes who asks."""

    def __init__(self) -> None:
        self.asked: list[Asker] = []
        self.answer = asyncio.Event()

    async def __call__(self, asker: Asker) -> None:
        self.asked.append(asker)
        await self.answer.wait()


def asking(ways: Ways, question: Question, asker: Asker) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(ways.once(WHERE, asker, question))


async def test_all_who_ask_for_the_same_ask_once() -> None:
    ways, question = ways_to(Cdn()), Question()
    tasks = [asking(ways, question, Asker(Urgency.ASKED)) for _ in range(5)]
    await settle()
    question.answer.set()
    await asyncio.gather(*tasks)
    assert len(question.asked) == 1


@pytest.mark.parametrize("urgency", list(Urgency))
async def test_it_is_as_urgent_as_the_most_urgent_of_them(urgency: Urgency) -> None:
    ways, question = ways_to(Cdn()), Question()
    tasks = [asking(ways, question, Asker(each)) for each in (Urgency.AHEAD, urgency)]
    await settle()
    assert [each.urgency for each in question.asked] == [urgency]
    question.answer.set()
    await asyncio.gather(*tasks)


async def test_what_is_claimed_while_it_waits_makes_it_urgent() -> None:
    ways, question, asker = ways_to(Cdn()), Question(), Asker(Urgency.AHEAD)
    task = asking(ways, question, asker)
    await settle()
    asker.claim()
    assert question.asked[0].urgency is Urgency.ASKED
    question.answer.set()
    await task


async def test_the_next_question_is_no_more_urgent_for_the_one_before() -> None:
    ways = ways_to(Cdn())
    # The first one remembers whom it has hurried.
    askers = [Asker(Urgency.AHEAD), Asker(Urgency.NOW)]
    question = Question()
    tasks = [asking(ways, question, each) for each in askers]
    await settle()
    question.answer.set()
    await asyncio.gather(*tasks)
    await asking(ways, question, Asker(Urgency.AHEAD))
    assert [each.urgency for each in question.asked] == [Urgency.NOW, Urgency.AHEAD]
