from __future__ import annotations

import asyncio
import gc

import pytest

from addon.blob.lanes import HostLanes, Lanes
from addon.blob.urgency import Asker, Urgency
from addon.outbound.received import Answer
from addon.protocol.errors import UpstreamFailure, failure
from tests.outbounds import answer


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def entering(
    lanes: Lanes, order: list[str], name: str, urgency: Urgency = Urgency.ASKED
) -> asyncio.Task[None]:
    async def enter() -> None:
        await lanes.enter(Asker(urgency))
        order.append(name)

    return asyncio.get_running_loop().create_task(enter())


async def has_one_place(lanes: Lanes) -> None:
    """One may enter, and no more."""
    assert await asyncio.wait_for(lanes.enter(Asker(Urgency.ASKED)), 1)
    next_ = asyncio.get_running_loop().create_task(lanes.enter(Asker(Urgency.ASKED)))
    await settle()
    assert not next_.done()
    next_.cancel()


class TestLanes:
    async def test_no_more_enter_than_there_are(self) -> None:
        lanes, order = Lanes(2), list[str]()
        for name in "abc":
            entering(lanes, order, name)
        await settle()
        assert order == ["a", "b"]
        lanes.leave()
        await settle()
        assert order == ["a", "b", "c"]

    async def test_who_waits_longest_goes_first_and_what_is_asked_before_what_is_ahead(
        self,
    ) -> None:
        lanes, order = Lanes(1), list[str]()
        await lanes.enter(Asker(Urgency.AHEAD))
        for name in ("ahead1", "asked1", "ahead2", "asked2"):
            entering(lanes, order, name, Urgency.AHEAD if "ahead" in name else Urgency.ASKED)
        for _ in range(4):
            await settle()
            lanes.leave()
        await settle()
        assert order == ["asked1", "asked2", "ahead1", "ahead2"]

    async def test_what_is_claimed_while_it_waits_goes_before_what_is_ahead(self) -> None:
        lanes, order = Lanes(1), list[str]()
        await lanes.enter(Asker(Urgency.ASKED))
        claimed = Asker(Urgency.AHEAD)
        entering(lanes, order, "ahead", Urgency.AHEAD)

        async def enter() -> None:
            await lanes.enter(claimed)
            order.append("claimed")

        waiting = asyncio.get_running_loop().create_task(enter())
        await settle()
        claimed.claim()
        lanes.leave()
        await settle()
        assert order == ["claimed"]
        assert waiting.done()

    async def test_a_clients_only_stream_needs_no_place(self) -> None:
        lanes = Lanes(1)
        await lanes.enter(Asker(Urgency.ASKED))
        assert await lanes.enter(Asker(Urgency.NOW)) is None

    async def test_who_becomes_one_while_it_waits_goes_on_at_once(self) -> None:
        lanes = Lanes(1)
        place = await lanes.enter(Asker(Urgency.AHEAD))
        asker = Asker(Urgency.AHEAD)
        waiting = asyncio.get_running_loop().create_task(lanes.enter(asker.first))
        await settle()
        asker.claim()
        await settle()
        assert waiting.done()
        assert waiting.result() is None
        assert place
        place.leave()
        await has_one_place(lanes)

    async def test_who_becomes_one_as_it_is_given_a_place_gives_it_back(self) -> None:
        lanes = Lanes(1)
        place = await lanes.enter(Asker(Urgency.AHEAD))
        asker = Asker(Urgency.AHEAD)
        waiting = asyncio.get_running_loop().create_task(lanes.enter(asker))
        await settle()
        assert place
        place.leave()
        asker.claim_now()
        assert await waiting is None
        await has_one_place(lanes)

    async def test_who_becomes_one_later_gives_its_place_back_once(self) -> None:
        lanes = Lanes(1)
        asker = Asker(Urgency.AHEAD)
        place = await lanes.enter(asker)
        for _ in range(2):
            asker.claim_now()
        assert place
        place.leave()
        await has_one_place(lanes)

    async def test_who_leaves_the_queue_takes_no_place(self) -> None:
        lanes, order = Lanes(1), list[str]()
        await lanes.enter(Asker(Urgency.ASKED))
        waiting = [entering(lanes, order, name) for name in "abc"]
        await settle()
        waiting[0].cancel()
        waiting[1].cancel()
        await settle()
        lanes.leave()
        await settle()
        assert order == ["c"]

    async def test_who_leaves_just_as_it_is_given_a_place_gives_it_on(self) -> None:
        lanes, order = Lanes(1), list[str]()
        await lanes.enter(Asker(Urgency.ASKED))
        leaving, next_ = entering(lanes, order, "leaving"), entering(lanes, order, "next")
        await settle()
        lanes.leave()  # the place is `leaving`'s, which has not run yet
        leaving.cancel()
        await settle()
        assert order == ["next"]
        assert next_.done()

    async def test_who_leaves_alone_as_it_is_given_a_place_gives_it_back(self) -> None:
        lanes, order = Lanes(1), list[str]()
        await lanes.enter(Asker(Urgency.ASKED))
        leaving = entering(lanes, order, "leaving")
        await settle()
        lanes.leave()
        leaving.cancel()
        await settle()
        entering(lanes, order, "later")
        await settle()
        assert order == ["later"]

    async def test_no_place_is_lost_however_they_come_and_go(self) -> None:
        lanes, order = Lanes(3), list[str]()
        for round_ in range(50):
            tasks = [entering(lanes, order, str(n), Urgency(1 + n % 2)) for n in range(8)]
            for _ in range(round_ % 3):
                await asyncio.sleep(0)
            for number, task in enumerate(tasks):
                if (number + round_) % 3 == 0:
                    task.cancel()
                if number % 2 and order:
                    order.pop()
                    lanes.leave()
            for _ in range(10):
                await settle()
                while order:
                    order.pop()
                    lanes.leave()
        free = [entering(lanes, order, "x") for _ in range(4)]
        await settle()
        assert [task.done() for task in free] == [True, True, True, False]
        free[3].cancel()


class TestHostLanes:
    async def test_of_a_host_are_the_same_while_somebody_holds_one(self) -> None:
        lanes = HostLanes(2)
        one = lanes.of("cdn.example")
        assert lanes.of("cdn.example") is one
        assert lanes.of("other.example") is not one

    async def test_of_a_host_that_nobody_uses_are_forgotten(self) -> None:
        lanes = HostLanes(2)
        for number in range(10):
            await lanes.of(f"{number}.example").enter(Asker(Urgency.ASKED))
        gc.collect()
        assert len(lanes._lanes) == 0

    @pytest.mark.parametrize("urgency", [Urgency.ASKED, Urgency.AHEAD])
    async def test_an_answers_body_holds_a_place_until_it_is_closed(self, urgency: Urgency) -> None:
        lanes = HostLanes(1)
        given = answer(content=b"bytes")

        async def ask() -> Answer:
            return given

        held = await lanes.answer("a.example", Asker(urgency), ask)
        assert await held.body.read() == b"bytes"
        waiting = asyncio.get_running_loop().create_task(
            lanes.answer("a.example", Asker(urgency), ask)
        )
        await settle()
        assert not waiting.done()
        held.body.close()
        await asyncio.wait_for(waiting, 1)

    async def test_a_clients_only_stream_holds_none(self) -> None:
        lanes = HostLanes(1)
        given = answer()

        async def ask() -> Answer:
            return given

        assert await lanes.answer("a.example", Asker(Urgency.NOW), ask) is given
        await has_one_place(lanes.of("a.example"))

    async def test_where_there_is_no_answer_the_place_is_given_back(self) -> None:
        lanes = HostLanes(1)
        host = lanes.of("a.example")

        async def ask() -> Answer:
            raise failure("a.example", "refused")

        with pytest.raises(UpstreamFailure):
            await lanes.answer("a.example", Asker(Urgency.ASKED), ask)
        await has_one_place(host)
