"""How much of a reply was heard: what the listener's player does with the audio that it is sent."""

from collections.abc import Callable

Clock = Callable[[], float]


class Playback:
    """Plays what comes as it comes, on a clock in seconds. A gap in the middle of a reply is an underrun."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent_s = 0.0
        self.underruns, self.underrun_s = 0, 0.0
        self._ends = 0.0

    def add(self, seconds: float) -> None:
        """Audio of so many seconds arrives now."""
        now = self.clock()
        if self.sent_s and now > self._ends:
            self.underruns += 1
            self.underrun_s += now - self._ends
        self._ends = max(self._ends if self.sent_s else now, now) + seconds
        self.sent_s += seconds

    @property
    def ahead_s(self) -> float:
        """Seconds that were sent and not played yet."""
        return max(0.0, self._ends - self.clock()) if self.sent_s else 0.0

    @property
    def heard_s(self) -> float:
        return self.sent_s - self.ahead_s
