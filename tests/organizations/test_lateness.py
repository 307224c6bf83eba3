"""By how much work began late: the most of a last while."""

from jumpcloud_modules.organizations.lateness import WINDOW_SECONDS, Lateness


class _Clock:
    seconds = 10 * WINDOW_SECONDS

    def __call__(self) -> float:
        return self.seconds


def test_the_largest_is_told_for_one_to_two_windows() -> None:
    """However often it is asked for; after that it is forgotten, also where nothing began since."""
    clock = _Clock()
    lateness = Lateness(clock)
    told = [lateness.seconds()]
    for seconds in (0.5, 3.0, 0.25):
        lateness.saw(seconds)
    told += [lateness.seconds(), lateness.seconds()]
    clock.seconds += WINDOW_SECONDS
    told.append(lateness.seconds())
    lateness.saw(1.0)
    told.append(lateness.seconds())
    clock.seconds += WINDOW_SECONDS
    told.append(lateness.seconds())
    clock.seconds += WINDOW_SECONDS
    told.append(lateness.seconds())

    assert told == [0.0, 3.0, 3.0, 3.0, 3.0, 1.0, 0.0]
