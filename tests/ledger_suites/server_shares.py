"""What batches share at a server: the limit holds over all of them, each gets its part, and none waits for the dead."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dagma.ledger.server_limits import LEASE_SECONDS, ServerLimits, Share, Wish
from ledger_suites.tools import Clock, MakeLedger


def batch_of(make_ledger: MakeLedger, name: str, **limits: Any) -> ServerLimits:
    settings = {"most_in_flight": 16, "most_per_second": None, **limits}
    clock = settings.pop("clock", None) or Clock()
    server = settings.pop("server", "langflow")
    return ServerLimits(make_ledger(clock=clock).database, server, name, **settings)


def renew(
    batch: ServerLimits, slots: int = 8, *, in_flight: int = 0, starts: int = 0, held_seconds: float = 0
) -> Share:
    return batch.renew(Wish(slots=slots, in_flight=in_flight, starts=starts, held_seconds=held_seconds))


class TestServerShares:
    def test_an_eighth_is_left_to_calls_of_no_batch(self, make_ledger: MakeLedger) -> None:
        assert renew(batch_of(make_ledger, "a"), 100).slots == 14
        assert renew(batch_of(make_ledger, "b", most_in_flight=2, server="other"), 100).slots == 1
        assert renew(batch_of(make_ledger, "c", most_in_flight=1, server="third"), 100).slots == 1

    def test_a_second_batch_gets_its_part_as_the_calls_of_the_first_end(self, make_ledger: MakeLedger) -> None:
        first, second = batch_of(make_ledger, "first"), batch_of(make_ledger, "second")
        assert renew(first, 14).slots == 14
        assert renew(second, 14).slots == 0
        assert renew(first, 14, in_flight=14).slots == 7
        assert renew(first, 14, in_flight=9).slots == 7
        assert renew(second, 14).slots == 5
        assert renew(first, 14, in_flight=5).slots == 7
        assert renew(second, 14, in_flight=5).slots == 7

    def test_who_wants_little_gets_it_and_leaves_the_rest(self, make_ledger: MakeLedger) -> None:
        batches = [batch_of(make_ledger, name) for name in "abc"]
        for _ in range(3):
            slots = [renew(batch, wish).slots for batch, wish in zip(batches, (2, 14, 14), strict=True)]
        assert (slots[0], sum(slots)) == (2, 14)
        assert min(slots[1:]) >= 14 // 3

    def test_more_batches_than_calls_take_turns(self, make_ledger: MakeLedger) -> None:
        first, second = (batch_of(make_ledger, name, most_in_flight=2) for name in ("first", "second"))
        assert (renew(first).slots, renew(second).slots) == (1, 0)
        first.give_back()
        assert renew(second).slots == 1

    def test_a_rate_that_is_raised_holds_soon(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        slow, fast = (batch_of(make_ledger, "a", clock=clock, most_per_second=rate) for rate in (0.001, 10))
        assert renew(slow, starts=2).starts == (0.0,)
        clock.advance(seconds=2)
        assert renew(fast, starts=1).starts == ()
        clock.advance(seconds=2)
        assert renew(fast, starts=1).starts == (0.0,)

    def test_the_share_of_a_batch_that_died_is_free_after_a_while(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        renew(batch_of(make_ledger, "died", clock=clock), 14)
        second = batch_of(make_ledger, "second", clock=clock)
        clock.advance(seconds=LEASE_SECONDS - 1)
        assert renew(second, 14).slots == 0
        clock.advance(seconds=2)
        assert renew(second, 14).slots == 14

    def test_another_server_is_shared_by_others(self, make_ledger: MakeLedger) -> None:
        renew(batch_of(make_ledger, "a"), 14, held_seconds=60)
        share = renew(batch_of(make_ledger, "a", server="other"), 14)
        assert (share.slots, share.held_seconds) == (14, 0)

    def test_a_server_that_asks_to_wait_is_left_alone_by_all(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        first, second = (batch_of(make_ledger, name, clock=clock) for name in ("first", "second"))
        assert renew(first, held_seconds=30).held_seconds == 30
        clock.advance(seconds=10)
        assert renew(second, held_seconds=5).held_seconds == 20
        clock.advance(seconds=21)
        assert renew(first).held_seconds == 0

    def test_calls_of_all_batches_begin_one_after_the_other(self, make_ledger: MakeLedger) -> None:
        clock = Clock()
        first, second = (batch_of(make_ledger, name, most_per_second=4, clock=clock) for name in ("first", "second"))
        assert renew(first, starts=3).starts == (0, 0.25, 0.5)
        assert renew(second, starts=9).starts == (0.75, 1.0)
        assert renew(first, starts=9).starts == ()
        clock.advance(seconds=1)
        assert renew(first, starts=1).starts == (0.25,)
        clock.advance(seconds=60)
        assert renew(second, starts=2).starts == (0, 0.25), "what was not used is not saved up"

    def test_a_batch_that_has_no_slot_takes_no_start_from_the_others(self, make_ledger: MakeLedger) -> None:
        first, second = (batch_of(make_ledger, name, most_per_second=4) for name in ("first", "second"))
        renew(first, 14)
        assert renew(second, 14, starts=9).starts == ()
        assert renew(first, 14, starts=2).starts == (0, 0.25)

    def test_batches_that_begin_together_never_pass_the_limit(self, make_ledger: MakeLedger) -> None:
        batches = [batch_of(make_ledger, f"batch {number}") for number in range(8)]
        with ThreadPoolExecutor(len(batches)) as pool:
            slots = [share.slots for share in pool.map(lambda batch: renew(batch, 5), batches)]
        assert sum(slots) <= 14
        assert sum(renew(batch, 5).slots for batch in batches) <= 14
