"""The nearest boxes to where the prior wants them in which all rules hold, as a linear programme.

Near is meant in the prior's own standard deviations, summed over centres and sides (the least absolute deviations).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph.spatial_wordings import INSIDE
from .deadline import Deadline
from .linear_programme import LinearProgramme
from .nesting import Firmness, Nesting, add_cut
from .rule_rows import Columns, add_boxes, add_rule, edge
from .task import Task

COMFORT = {INSIDE: 0.02}  # by how much a rule had better hold, in parts of the picture
USUAL_COMFORT = 0.05
GAP = 0.01  # between objects that are kept apart
UNCLEAR, OVERLAP, TINY = 60.0, 30.0, 400.0  # per part of the picture; a standard deviation costs 1
DISTORTION = 1.5  # per unit of the logarithm of width over height
USUAL_SIZES = (0.6, 1.7)  # relative to what the prior says; outside it gets dear
DEAR = 5.0
LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class Apart:
    """Object `first` had better end before object `second` begins, along an axis."""

    first: int
    second: int
    axis: int


def place(
    task: Task,
    apart: Sequence[Apart],
    nesting: Sequence[Nesting],
    clock: Deadline,
    firmness: Firmness = Firmness.NAMED_SIDE,
) -> np.ndarray | None:
    """Centres and sides [O, 4]; None where the rules cannot hold, or time is up.

    `firmness` says what is asked of boxes that must not nest.
    """
    programme = LinearProgramme()
    columns = add_boxes(programme, task, range(task.count))
    for free in np.flatnonzero(~task.given):
        _pull(programme, task, columns, int(free))
    for rule in task.rules:
        if not (task.given[rule.first] and task.given[rule.second]):
            more = COMFORT.get(rule.meaning, USUAL_COMFORT) - task.margin
            unclear = programme.column(0.0, max(more, 0.0), UNCLEAR)
            by_centres = rule.relation in task.by_centres
            add_rule(programme, columns, rule, task.margin + max(more, 0.0), [(unclear, 1.0)], by_centres)
    for tie in task.ties:
        _keep_offset(programme, task, columns, tie.subject, tie.object)
    for pair in apart:
        overlap = programme.column(cost=OVERLAP)
        ahead, behind = edge(columns, pair.second, pair.axis, 1.0, -1), edge(columns, pair.first, pair.axis, -1.0, 1)
        programme.row([*ahead, *behind, (overlap, 1.0)], GAP)
    for cut in nesting:
        add_cut(programme, task, columns, cut, firmness)
    values = programme.solve(clock.patience).values
    return None if values is None else values[: 4 * task.count].reshape(-1, 4)


def _pull(programme: LinearProgramme, task: Task, columns: Columns, place: int) -> None:
    """What it costs to move or resize an object."""
    target, spread = task.target[place].tolist(), np.maximum(task.spread[place], LEAST_SPREAD).tolist()
    for part in (0, 1):
        _near(programme, columns[place, part], target[part], 1 / spread[part])
    for part in (2, 3):
        _near(programme, columns[place, part], target[part], 1 / (spread[part] * target[part]), USUAL_SIZES)
        programme.row([(columns[place, part], 1.0), (programme.column(cost=TINY), 1.0)], task.drawable)
    longer, flatter = programme.column(cost=DISTORTION), programme.column(cost=DISTORTION)
    sides = [(columns[place, 2], 1 / target[2]), (columns[place, 3], -1 / target[3])]
    programme.row([*sides, (longer, -1.0), (flatter, 1.0)], 0.0, is_equal=True)


def _near(
    programme: LinearProgramme, column: int, target: float, cost: float, usual: tuple[float, float] | None = None
) -> None:
    """Makes it cost something that a column differs from its target, and more outside what is usual."""
    terms = [(column, 1.0)]
    for sign in (-1.0, 1.0):
        reach = np.inf if usual is None else abs(usual[int(sign > 0)] - 1) * target
        terms.append((programme.column(0.0, reach, cost), -sign))
        if usual is not None:
            terms.append((programme.column(cost=DEAR * cost), -sign))
    programme.row(terms, target, is_equal=True)


def _keep_offset(programme: LinearProgramme, task: Task, columns: Columns, one: int, other: int) -> None:
    """Makes it cost something that two objects do not stand to each other as the prior has them."""
    for axis in (0, 1):
        spread = max(float(min(task.spread[one, axis], task.spread[other, axis])), LEAST_SPREAD)
        offset = float(task.target[one, axis] - task.target[other, axis])
        terms = [(columns[one, axis], 1.0), (columns[other, axis], -1.0)]
        more, less = programme.column(cost=1 / spread), programme.column(cost=1 / spread)
        programme.row([*terms, (more, -1.0), (less, 1.0)], offset, is_equal=True)
