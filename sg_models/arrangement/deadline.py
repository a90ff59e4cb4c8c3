"""How much time is left."""

import time

BUSIEST = 50  # how much longer than its work a thread is taken to wait for at most


class Deadline:
    """Some seconds of this thread's own work: on a busy machine it gets them later, and its results stay the same."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._work, self._clock = seconds, time.thread_time(), time.monotonic()

    @property
    def left(self) -> float:
        """Seconds of work that are left; less than 0 when time is up."""
        return self._seconds - (time.thread_time() - self._work)

    @property
    def patience(self) -> float:
        """The same on the clock, if the machine stays as busy as it was: for what can only tell the time."""
        work = max(time.thread_time() - self._work, 1e-3)
        return self.left * min(max(1.0, (time.monotonic() - self._clock) / work), BUSIEST)
