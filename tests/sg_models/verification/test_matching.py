"""The matching, against all matchings there are, and where there are far too many of them."""

import itertools
import time

import numpy as np
import pytest

from sg_models.verification.matching import Related, match


def worth(places, bound, relations) -> tuple[int, int, int]:
    """Objects found, attributes right, relations right."""
    given = [(o, d) for o, d in enumerate(places) if d is not None]
    held = sum(
        places[r.subject] is not None
        and places[r.object] is not None
        and bool(r.holds[places[r.subject], places[r.object]])
        for r in relations
    )
    return len(given), sum(bool(bound[pair]) for pair in given), held


def all_matchings(candidates):
    for choice in itertools.product(*([*places, None] for places in candidates)):
        given = [d for d in choice if d is not None]
        if len(given) == len(set(given)):
            yield choice


@pytest.mark.parametrize("seed", range(30))
def test_there_is_no_better_matching(seed: int):
    rng = np.random.default_rng(seed)
    names = rng.integers(0, 2, rng.integers(1, 5))  # of objects
    seen = rng.integers(0, 2, rng.integers(0, 5))  # of detections
    candidates = [np.flatnonzero(seen == name).tolist() for name in names]
    bound = rng.random((len(names), len(seen))) < 0.4
    pairs = [pair for pair in itertools.permutations(range(len(names)), 2) if rng.random() < 0.4]
    relations = [Related(s, o, rng.random((len(seen), len(seen))) < 0.4) for s, o in pairs]
    places = match(candidates, bound, relations).places
    given = [d for d in places if d is not None]
    assert len(given) == len(set(given))
    assert all(d is None or d in candidates[o] for o, d in enumerate(places))
    assert worth(places, bound, relations) == max(worth(m, bound, relations) for m in all_matchings(candidates))


def test_ten_of_one_name_in_a_row_are_told_apart_by_their_relations():
    rng = np.random.default_rng(0)
    x = rng.permutation(10)  # where the detections are
    holds = x[:, None] < x[None, :]
    row = [Related(k, k + 1, holds) for k in range(9)]
    places = match([list(range(10))] * 10, np.ones((10, 10), bool), row).places
    assert [x[d] for d in places] == list(range(10))


def test_hundreds_of_one_name_end_soon_and_say_that_relations_had_no_say():
    count = 200
    bound = np.eye(count, dtype=bool)[::-1]
    start = time.perf_counter()
    found = match([list(range(count))] * count, bound, [Related(0, 1, np.ones((count, count), bool))])
    assert found.places == tuple(reversed(range(count))) and found.by_attributes
    assert time.perf_counter() - start < 30


def test_what_comes_first_is_preferred_where_nothing_else_decides():
    assert match([[2, 0, 1]], np.zeros((1, 3), bool), []).places == (2,)
