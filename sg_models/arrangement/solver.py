"""From where the prior wants objects to boxes that obey the rules: place, keep apart, keep from nesting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .deadline import Deadline
from .nesting import Firmness, Nesting, wrong_nestings
from .obstacles import satisfiable
from .placement import Apart, place
from .rules import LEAST, Rule
from .separation import kept_apart
from .task import Task, cornered

LARGE = 300  # rules, beyond which a graph is none of a picture, and time is short
ROUNDS = 3  # of keeping objects apart
CUTS = 5  # rounds of keeping boxes from nesting


@dataclass(frozen=True)
class Solved:
    """Boxes [O, 4] in parts of a picture of area 1, the task whose rules they obey, and the rules that had to go."""

    boxes: np.ndarray
    task: Task
    left_out: list[Rule]


def solve(task: Task, rng: np.random.Generator, clock: Deadline) -> Solved:
    """The boxes nearest to a task's target by as many of its rules as can hold."""
    left_out: list[Rule] = []
    is_large = len(task.rules) > LARGE
    places, apart = (None, []) if is_large else _placed(task, rng, clock)
    if places is None:
        task, left_out, found = satisfiable(task, clock, may_be_finer=not is_large)
        places, apart = _apart(task, found, 1, rng, clock) if is_large else _placed(task, rng, clock)
    if places is None:
        return Solved(_snapped(task, task.target), task.with_rules(()), [*left_out, *task.rules])
    unnested = (1, (Firmness.IF_IT_CAN_BE,)) if is_large else (CUTS, tuple(Firmness))
    return Solved(_unnested(task, places, apart, *unnested, clock), task, left_out)


def _placed(task: Task, rng: np.random.Generator, clock: Deadline) -> tuple[np.ndarray | None, list[Apart]]:
    """See `_apart`; it starts where the rules hold: at the target, if they do there already."""
    start = task.target if task.failure() == 0 else place(task, (), (), clock)
    return _apart(task, start, ROUNDS, rng, clock)


def _apart(
    task: Task, start: np.ndarray | None, rounds: int, rng: np.random.Generator, clock: Deadline
) -> tuple[np.ndarray | None, list[Apart]]:
    """The places [O, 4] when those are kept apart that would lie over one another, and which those are.

    None where the rules cannot hold, or time is up.
    """
    if start is None:
        return None, []
    places, apart = None if start is task.target else start, list[Apart]()
    for _ in range(rounds):
        more = kept_apart(task, start if places is None else places, apart, rng)
        further = place(task, [*apart, *more], (), clock) if more or places is None else None
        if further is None:
            break
        places, apart = further, [*apart, *more]
    return places, apart


def _unnested(
    task: Task, places: np.ndarray, apart: list[Apart], rounds: int, firmness: Sequence[Firmness], clock: Deadline
) -> np.ndarray:
    """The boxes [O, 4] of places, moved where one lies inside another that it has a direction to."""
    cuts: list[Nesting] = []
    for _ in range(rounds):
        boxes = _snapped(task, places)
        wrong = [cut for cut in wrong_nestings(task.rules, boxes) if cut not in cuts]
        further = None
        while wrong and firmness and further is None:
            further = place(task, apart, [*cuts, *wrong], clock, firmness[0])
            firmness = firmness if further is not None else firmness[1:]
        if further is None:
            return boxes
        places, cuts = further, [*cuts, *wrong]
    return _snapped(task, places)


def _snapped(task: Task, places: np.ndarray) -> np.ndarray:
    """The boxes [O, 4] of places; what is at the picture's edge within the solver's precision is at it."""
    boxes, edge = cornered(places), np.tile(task.size, 2)
    boxes = np.where(boxes < LEAST, 0.0, np.where(boxes > edge - LEAST, edge, boxes))
    return np.where(task.given[:, None], cornered(task.target), boxes)
