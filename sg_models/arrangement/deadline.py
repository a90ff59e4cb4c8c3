"""How much time is left."""

import time


class Deadline:
    """A number of seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; less than 0 when time is up."""
        return self._end - time.monotonic()
