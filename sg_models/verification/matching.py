"""Which of the things that are seen stands for which object of a graph, in the graph's favour.

All objects that can have one get one; among all ways to give them out the best is taken, first by attributes, then by
relations. That is a quadratic assignment problem, solved here as an integer programme: `x[o, d]` says that detection d
stands for object o, `y[k]` that relation k holds, which each choice for its subject bounds by those for its object.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp
from scipy.sparse import coo_array

MAX_CHOICES = 3000  # pairs of an object and a detection; beyond, attributes alone decide
SECONDS = 2.0  # after which the best that was found so far is taken
PREFERENCE = 0.1  # for what comes first, altogether: less than a relation counts


@dataclass(frozen=True)
class Related:
    """A relation between two objects, by their places; `holds` [D, D] says between which two detections it would."""

    subject: int
    object: int
    holds: np.ndarray


@dataclass(frozen=True)
class Matching:
    """For each object the place of a detection, or None; `by_attributes` where relations had no say in it."""

    places: tuple[int | None, ...]
    by_attributes: bool = False


def match(candidates: Sequence[Sequence[int]], bound: np.ndarray, relations: Sequence[Related]) -> Matching:
    """Gives detections to objects, no detection twice.

    `candidates` are the detections that may stand for each object, the likeliest first: the same for all objects of one
    name, and others for other names. `bound` [O, D] says which have the object's attributes.
    """
    if all(len(places) < 2 for places in candidates) and len({p for c in candidates for p in c}) == sum(
        map(len, candidates)
    ):
        return Matching(tuple(places[0] if places else None for places in candidates))
    choices = [(o, d) for o, places in enumerate(candidates) for d in places]
    if len(choices) <= MAX_CHOICES:
        found = _by_programme(candidates, choices, bound, relations)
        if found is not None:
            return Matching(found)
    return Matching(_by_attributes(candidates, bound), by_attributes=bool(relations))


def _by_programme(
    candidates: Sequence[Sequence[int]], choices: list[tuple[int, int]], bound: np.ndarray, relations: Sequence[Related]
) -> tuple[int | None, ...] | None:
    """None where the time was too short for any solution."""
    column = {choice: k for k, choice in enumerate(choices)}
    relations = [r for r in relations if candidates[r.subject] and candidates[r.object]]
    total = len(choices) + len(relations)
    rows: list[tuple[dict[int, float], float, float]] = []  # coefficients by column, lower and upper bound
    for of_object in ([column[o, d] for d in places] for o, places in enumerate(candidates)):
        rows.append((dict.fromkeys(of_object, 1.0), 0, 1))
    for seen in {d for _, d in choices}:
        rows.append(({k: 1.0 for k, (_, d) in enumerate(choices) if d == seen}, 0, 1))
    for places in {tuple(places) for places in candidates if places}:
        group = [o for o, own in enumerate(candidates) if tuple(own) == places]
        wanted = min(len(group), len(places))  # as many as there are of both
        rows.append(({column[o, d]: 1.0 for o in group for d in places}, wanted, wanted))
    for k, relation in enumerate(relations, start=len(choices)):
        ends = [[column[o, d] for d in candidates[o]] for o in (relation.subject, relation.object)]
        rows += [({k: 1.0, **dict.fromkeys(end, -1.0)}, -np.inf, 0) for end in ends]
        for d, chosen in zip(candidates[relation.subject], ends[0], strict=True):
            fits = [column[relation.object, e] for e in candidates[relation.object] if relation.holds[d, e]]
            rows.append(({k: 1.0, chosen: 1.0, **dict.fromkeys(fits, -1.0)}, -np.inf, 1))
    rank = np.array([candidates[o].index(d) for o, d in choices], float)
    worth = (len(relations) + 1.0) * np.array([bound[choice] for choice in choices])
    worth -= PREFERENCE * rank / max(rank.sum(), 1)
    solved = milp(
        -np.concatenate([worth, np.ones(len(relations))]),
        constraints=_constraints(rows, total),
        integrality=np.arange(total) < len(choices),
        bounds=Bounds(0, 1),
        options={"time_limit": SECONDS, "mip_rel_gap": 0},
    )
    if solved.x is None:
        return None
    chosen = {o: d for (o, d), x in zip(choices, solved.x, strict=False) if x > 0.5}
    return tuple(chosen.get(o) for o in range(len(candidates)))


def _constraints(rows: list[tuple[dict[int, float], float, float]], columns: int) -> LinearConstraint:
    entries = [(i, k, value) for i, (row, *_) in enumerate(rows) for k, value in row.items()]
    i, k, values = zip(*entries, strict=True)
    matrix = coo_array((values, (i, k)), shape=(len(rows), columns)).tocsr()
    low, high = np.array([ends for _, *ends in rows]).T
    return LinearConstraint(matrix, low, high)  # type: ignore[arg-type]


def _by_attributes(candidates: Sequence[Sequence[int]], bound: np.ndarray) -> tuple[int | None, ...]:
    """The same without relations: an assignment for each name."""
    matched: list[int | None] = [None] * len(candidates)
    for places in {tuple(places) for places in candidates if places}:
        group = [o for o, own in enumerate(candidates) if tuple(own) == places]
        for row, column in zip(*linear_sum_assignment(bound[np.ix_(group, places)], maximize=True), strict=True):
            matched[group[row]] = places[column]
    return tuple(matched)
