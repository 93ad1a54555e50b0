"""How long and how hard a store is pruned."""

from dagma.retention.store_pruning import Pace


class Clock:
    """A clock that moves only when it is told to, or when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_after_each_batch_the_store_is_left_alone_for_as_long_as_it_took() -> None:
    clock = Clock()
    pace = Pace(60.0, clock, clock.sleep)
    for seconds in (1.0, 4.0, 0.5):
        assert pace.goes_on()
        clock.now += seconds
    assert pace.goes_on()
    assert clock.slept == [1.0, 4.0, 0.5]


def test_it_ends_when_its_time_is_over_and_stays_so() -> None:
    clock = Clock()
    pace = Pace(10.0, clock, clock.sleep)
    assert pace.goes_on()
    clock.now += 6.0
    assert not pace.goes_on()
    assert pace.is_over
    slept = list(clock.slept)
    assert not pace.goes_on()
    assert clock.slept == slept


def test_its_time_begins_with_the_first_batch() -> None:
    clock = Clock()
    pace = Pace(10.0, clock, clock.sleep)
    clock.now += 1000.0
    assert pace.goes_on()
