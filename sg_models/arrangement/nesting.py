"""Keeping boxes with a direction between them from lying one inside the other.

That one box is not inside another means that it sticks out on one of four sides: a choice, which takes integers. So it
is asked only of those pairs for which it was found broken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from ..graph.spatial_relations import box_contains
from ..graph.spatial_wordings import INSIDE
from .linear_programme import LinearProgramme
from .rule_rows import Columns, edge
from .rules import AXIS, LEAST, Rule
from .task import Task

SIDES = [(axis, side) for axis in (0, 1) for side in (-1, 1)]
GROWN = np.array([-LEAST, -LEAST, LEAST, LEAST])  # edges that are rounded apart do not stick out
NESTED = 300.0  # per part of the picture by which a box does not stick out, where it may


class Firmness(Enum):
    """On which side a box is to stick out of another, and whether it has to."""

    NAMED_SIDE = auto()
    ANY_SIDE = auto()
    IF_IT_CAN_BE = auto()


@dataclass(frozen=True)
class Nesting:
    """Object `inner` lies inside object `outer`, and had better stick out along an axis, below (-1) or above (1)."""

    inner: int
    outer: int
    axis: int
    side: int


def wrong_nestings(rules: Sequence[Rule], boxes: np.ndarray) -> list[Nesting]:
    """The pairs with a direction of which one box [O, 4] lies inside the other, or touches its edge from inside."""
    found = []
    for rule in rules:
        for inner, outer, side in ((*rule.ends, -1), (*rule.ends[::-1], 1)):
            if rule.meaning != INSIDE and box_contains(tuple(boxes[outer] + GROWN), tuple(boxes[inner])):
                found.append(Nesting(inner, outer, AXIS[rule.meaning], side))
    return found


def add_cut(programme: LinearProgramme, task: Task, columns: Columns, cut: Nesting, firmness: Firmness) -> None:
    """Rows by which one box sticks out of the other."""
    if firmness != Firmness.ANY_SIDE:
        row = _out(columns, cut, cut.axis, cut.side)
        if firmness == Firmness.IF_IT_CAN_BE:
            row.append((programme.column(cost=NESTED), 1.0))
        programme.row(row, _least(task, cut.outer, cut.axis, cut.side))
        return
    sides = [programme.column(0.0, 1.0, integer=True) for _ in SIDES]
    programme.row([(side, 1.0) for side in sides], 1.0)
    for chosen, (axis, side) in zip(sides, SIDES, strict=True):
        most = float(task.size[axis])
        row = [*_out(columns, cut, axis, side), (chosen, -most - _least(task, cut.outer, axis, side))]
        programme.row(row, -most)


def _out(columns: Columns, cut: Nesting, axis: int, side: int) -> list[tuple[int, float]]:
    """By how much a box sticks out on a side."""
    return [*edge(columns, cut.inner, axis, side, side), *edge(columns, cut.outer, axis, -side, side)]


def _least(task: Task, outer: int, axis: int, side: int) -> float:
    """By how much to stick out: nothing, along the picture's own edge, beyond which there is no place."""
    reach = side * (task.target[outer, axis] + side * task.target[outer, axis + 2] / 2)
    at_edge = abs(reach - (task.size[axis] if side > 0 else 0.0)) < task.margin
    return 0.0 if task.given[outer] and at_edge else task.margin
