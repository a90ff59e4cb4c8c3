"""The columns of a linear programme that stand for boxes, and the rows that stand for rules."""

from collections.abc import Sequence
from itertools import product

from ..graph.spatial_wordings import INSIDE
from .linear_programme import LinearProgramme, Terms
from .rules import AXIS, Rule
from .task import Task

Columns = dict[tuple[int, int], int]  # by object and part: centre x, centre y, width, height


def add_boxes(programme: LinearProgramme, task: Task, places: Sequence[int]) -> Columns:
    """Columns for the boxes of some objects: those that are given stay, the others are in the picture."""
    columns: Columns = {}
    for place in places:
        for part, target in enumerate(task.target[place].tolist()):
            least = task.margin if part >= 2 else 0.0
            bounds = (target, target) if task.given[place] else (least, float(task.size[part % 2]))
            columns[place, part] = programme.column(*bounds)
        for axis in () if task.given[place] else (0, 1):
            programme.row(edge(columns, place, axis, 1.0, -1), 0.0)
            programme.row(edge(columns, place, axis, -1.0, 1), -float(task.size[axis]))
    return columns


def add_rule(
    programme: LinearProgramme, columns: Columns, rule: Rule, least: float, slack: Terms = (), by_centres: bool = False
) -> list[int]:
    """The rows by which a rule holds by at least so much, less the slack; of a direction `by_centres` across, too.

    That of two boxes with a direction neither lies inside the other is no matter of rows alone: see `nesting.py`.
    """
    first, second = rule.ends
    if rule.meaning == INSIDE:
        rows = []
        for axis, side in product((0, 1), (-1, 1)):
            out = edge(columns, second, axis, side, side)
            rows.append(programme.row([*out, *edge(columns, first, axis, -side, side), *slack], least))
        return rows
    along = AXIS[rule.meaning]
    apart = [(columns[second, along], 1.0), (columns[first, along], -1.0), *slack]
    if by_centres:
        return [programme.row(apart, least)]
    across = columns[second, 1 - along], columns[first, 1 - along]
    return [programme.row([*apart, (across[0], sign), (across[1], -sign)], least) for sign in (-1.0, 1.0)]


def edge(columns: Columns, place: int, axis: int, factor: float, side: int) -> list[tuple[int, float]]:
    """`factor` times the place of an object's lower (-1) or upper (1) edge along an axis."""
    return [(columns[place, axis], factor), (columns[place, axis + 2], factor * side / 2)]
