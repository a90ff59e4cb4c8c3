"""The order of samples: epochs in which every scene comes once, as a function of index and seed alone.

So a run that is resumed in the middle of an epoch goes on exactly there, and nothing of the order is ever kept.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

ORDER = 17  # what the random numbers are for, beside other uses of the same seed
POOL = 8  # shards among whose scenes an order is shuffled
NO_PLACES = np.zeros(0, np.int64)


class SampleOrder:
    """Which of `count` scenes a sample's index stands for; indices count up without end.

    An epoch is all scenes, and those of `repeated` so often again that what is repeated makes `rate` of it. `starts`
    are the places at which shards begin, the first one 0: then shards come in random order, and scenes are shuffled
    within pools of `POOL` shards, so that only so many files are read at a time.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        repeated: np.ndarray = NO_PLACES,
        rate: float = 0.0,
        starts: Sequence[int] = (0,),
    ) -> None:
        self.seed = seed
        again = round(count * rate / (1 - rate)) if len(repeated) else 0
        self.places, self.bounds = NO_PLACES, np.array([*starts, count])
        if again:
            more = repeated[np.arange(again) * len(repeated) // again]  # each as often, or once more
            self.places = np.sort(np.concatenate([np.arange(count), more])).astype(np.int32)
            self.bounds = np.searchsorted(self.places, self.bounds)
        # a batch may lie on both sides of a border, and none on more
        self._pools_of, self._pool = lru_cache(2)(self._make_pools), lru_cache(2)(self._make_pool)

    def __len__(self) -> int:
        """Samples of an epoch."""
        return int(self.bounds[-1])

    def __getitem__(self, index: int) -> int:
        """The place of a sample's scene."""
        epoch, position = divmod(index, len(self))
        _, starts = self._pools_of(epoch)
        number = bisect_right(starts, position) - 1
        return int(self._pool(epoch, number)[position - starts[number]])

    def _make_pools(self, epoch: int) -> tuple[list[np.ndarray], list[int]]:
        """Shards of each pool of an epoch, and at which position each pool begins."""
        shards = np.random.default_rng((self.seed, epoch, ORDER)).permutation(len(self.bounds) - 1)
        # in a pool they lie as on the disk: of one pool alone, the order is that of scenes without shards
        pools = [np.sort(shards[first : first + POOL]) for first in range(0, len(shards), POOL)]
        sizes = [int((self.bounds[pool + 1] - self.bounds[pool]).sum()) for pool in pools]
        return pools, [0, *np.cumsum(sizes[:-1]).tolist()]

    def _make_pool(self, epoch: int, number: int) -> np.ndarray:
        """The places of one pool's scenes, shuffled."""
        pools, _ = self._pools_of(epoch)
        places = np.concatenate([self._shard(i) for i in pools[number]])
        return np.random.default_rng((self.seed, epoch, ORDER, number)).permutation(places)

    def _shard(self, number: int) -> np.ndarray:
        """The places of one shard's scenes, as often as they come in an epoch."""
        start, end = self.bounds[number], self.bounds[number + 1]
        # of a million scenes without repetitions, no list is kept
        return self.places[start:end] if len(self.places) else np.arange(start, end, dtype=np.int32)
