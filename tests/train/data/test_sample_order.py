"""The order of samples: epochs without a scene left out, the same wherever one begins to ask."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest

from train.data.sample_order import POOL, SampleOrder

NESTED = np.arange(0, 100, 10)


def epoch(order: SampleOrder, number: int = 0) -> list[int]:
    return [order[index] for index in range(number * len(order), (number + 1) * len(order))]


@pytest.mark.parametrize("starts", [(0,), range(0, 100, 3)])
def test_every_scene_comes_once_in_an_epoch(starts):
    order = SampleOrder(100, 0, starts=starts)
    first, second = epoch(order), epoch(order, 1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second and first != list(range(100))


@pytest.mark.parametrize("starts", [(0,), range(0, 100, 3)])
def test_an_order_that_begins_in_the_middle_goes_on_as_the_whole_one(starts):
    """As a resumed run does, and as each process of several does with its own samples."""
    whole, order = SampleOrder(100, 5, starts=starts), SampleOrder(100, 5, starts=starts)
    expected = [whole[index] for index in range(250)]
    assert [order[index] for index in range(137, 250)] == expected[137:]
    assert [order[index] for index in range(249, -1, -1)] == expected[::-1]


def test_the_seed_chooses_the_order():
    assert epoch(SampleOrder(100, 0)) != epoch(SampleOrder(100, 1))


@pytest.mark.parametrize("starts", [(0,), range(0, 100, 7)])
def test_what_is_repeated_makes_its_rate_of_an_epoch(starts):
    order = SampleOrder(100, 0, repeated=NESTED, rate=0.4, starts=starts)
    times = Counter(epoch(order))
    assert len(order) == pytest.approx(100 / 0.6, abs=1)
    assert all(times[place] == 1 for place in range(100) if place not in NESTED)
    assert {times[place] for place in NESTED} <= {7, 8}  # as evenly as can be


def test_nothing_is_repeated_where_there_is_nothing():
    assert sorted(epoch(SampleOrder(50, 0, repeated=np.zeros(0, int), rate=0.4))) == list(range(50))


def test_few_shards_are_read_at_a_time():
    """In any stretch as long as a pool no more than two pools' shards; and shards do not come as they lie."""
    order = SampleOrder(2000, 0, starts=range(0, 2000, 20))
    shards = [place // 20 for place in epoch(order)]
    assert all(len(set(shards[i : i + POOL * 20])) <= 2 * POOL for i in range(0, 2000 - POOL * 20, 20))
    assert len(set(shards[: POOL * 20])) == POOL
    again = [place // 20 for place in epoch(order, 1)[: POOL * 20]]
    assert len({frozenset(range(POOL)), frozenset(shards[: POOL * 20]), frozenset(again)}) == 3
    assert any(a != b for a, b in zip(shards, shards[1:20], strict=False)), "not shuffled within a pool"


def test_what_fits_into_one_pool_comes_in_the_same_order_as_without_shards():
    """So that a training on shards of a small set is the one on its pictures."""
    plain, shards = SampleOrder(100, 3), SampleOrder(100, 3, starts=range(0, 100, 100 // POOL + 1))
    assert [plain[i] for i in range(300)] == [shards[i] for i in range(300)]


def test_a_million_scenes_are_shuffled_once_an_epoch_and_take_little_memory():
    tracemalloc.start()
    order = SampleOrder(1_000_000, 0)
    places = {order[index] for index in range(0, 1_000_000, 1000)}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(places) == 1000 and order._pool.cache_info().misses == 1
    assert peak < 40e6
