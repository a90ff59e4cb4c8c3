"""In which order objects are placed: what is related to much first, then what is related to what is placed."""

import numpy as np


def placing_order(
    count: int, ends: np.ndarray, rng: np.random.Generator, given: np.ndarray | None = None
) -> np.ndarray:
    """The rank of each of `count` objects [O]; `ends` [R, 2] are the objects that relations join.

    Those that are `given` (bool [O]) come first. Next is always the object with the most relations to those before it,
    then with the most relations at all; `rng` decides between equals.
    """
    degree = np.bincount(ends.reshape(-1), minlength=count).astype(float)
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for a, b in ends.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    score = degree / (1 + degree.sum()) + rng.random(count) * 1e-6  # relations to those before count whole
    if given is not None:
        score[given] += 1 + 2 * len(ends)
    rank = np.zeros(count, np.int64)
    for place in range(count):
        best = int(score.argmax())
        rank[best] = place
        score[best] = -np.inf
        for other in neighbours[best]:
            score[other] += 1
    return rank
