"""Which objects are kept apart, and along which axis.

Those that no relation joins, neither directly nor through a third object, and that would lie over one another; but not
where that would take moves which the prior finds absurd, as of a sky from behind everything.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..graph.spatial_wordings import INSIDE
from .placement import GAP, Apart
from .rules import AXIS, Rule
from .task import Task, cornered

MOST_PAIRS = 400  # in one round, the worst first: what HiGHS does in a tenth of a second
UNDECIDED = 0.05  # standard deviation, in parts of the picture, of what a seed prefers of the two axes
ABSURD = 1.0  # standard deviations of a move; real pictures' strangers overlap about as much


def kept_apart(task: Task, places: np.ndarray, known: Sequence[Apart], rng: np.random.Generator) -> list[Apart]:
    """The further pairs that are to be kept apart, for centres and sides [O, 4] as they are now."""
    may = _separable(task)
    may[[pair.first for pair in known], [pair.second for pair in known]] = False
    may[[pair.second for pair in known], [pair.first for pair in known]] = False
    boxes = cornered(places)
    offset = places[None, :, :2] - places[:, None, :2]  # [O, O, 2] from the row's object to the column's
    gaps = np.maximum(boxes[None, :, :2] - boxes[:, None, 2:], boxes[:, None, :2] - boxes[None, :, 2:])  # [O, O, 2]
    ones, others = np.nonzero(np.triu(may & (gaps.max(axis=-1) < GAP - 1e-6), 1))
    directed = {frozenset(rule.ends): rule for rule in task.rules if rule.meaning != INSIDE}
    chosen = _axes(task, gaps[ones, others], ones, others, directed, rng)
    overlap = np.minimum(-gaps, boxes[:, None, 2:] - boxes[:, None, :2]).prod(axis=-1)[ones, others]
    pairs = []
    for i in np.argsort(-overlap, kind="stable")[:MOST_PAIRS]:
        if chosen[i] >= 0:
            one, other, axis = int(ones[i]), int(others[i]), int(chosen[i])
            rule = directed.get(frozenset((one, other)))
            ahead = offset[one, other, axis] or task.target[other, axis] - task.target[one, axis]
            is_ahead = ahead >= 0 if rule is None else rule.first == one
            pairs.append(Apart(one, other, axis) if is_ahead else Apart(other, one, axis))
    return pairs


def _axes(
    task: Task,
    gaps: np.ndarray,
    ones: np.ndarray,
    others: np.ndarray,
    directed: Mapping[frozenset[int], Rule],
    rng: np.random.Generator,
) -> np.ndarray:
    """For P pairs with gaps [P, 2] the axis [P] that parts them with least ado, as a seed sees it; -1 for neither."""
    freedom = task.spread[ones, :2] + task.spread[others, :2]  # [P, 2]
    freedom = np.where(task.given[ones, None], task.spread[others, :2], freedom)
    freedom = np.where(task.given[others, None], task.spread[ones, :2], freedom)
    ado = (GAP - gaps) / freedom
    noise = rng.normal(0, UNDECIDED, gaps.shape) / freedom
    axes = (ado + noise).argmin(axis=1)
    for i, pair in enumerate(zip(ones.tolist(), others.tolist(), strict=True)):
        rule = directed.get(frozenset(pair))
        axes[i] = axes[i] if rule is None else AXIS[rule.meaning]
    axes[np.take_along_axis(ado, axes[:, None], axis=1)[:, 0] > ABSURD] = -1
    return axes


def _separable(task: Task) -> np.ndarray:
    """Whether two objects [O, O] may be kept apart: neither nested, nor joined by a relation without rules.

    What is related to something in a park is no stranger to the park: left of it or not, it may be in there, too.
    """
    tied, nested, directed = (np.eye(task.count, dtype=bool) for _ in range(3))
    for tie in task.ties:
        tied[tie.subject, tie.object] = tied[tie.object, tie.subject] = True
    for rule in task.rules:
        if rule.meaning == INSIDE:
            nested[rule.first, rule.second] = True
        else:
            directed[rule.first, rule.second] = directed[rule.second, rule.first] = True
    for _ in range(max(1, int(np.ceil(np.log2(task.count))))):
        nested = _joined(nested, nested)
    at_home = _joined(tied | directed, nested) & ~directed
    joined = _joined(tied, tied) | nested | nested.T | at_home | at_home.T
    return ~(joined | (task.given[:, None] & task.given))


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which objects [O, O] are joined by a step of one kind and then one of the other."""
    return (one.astype(np.float32) @ other.astype(np.float32)) > 0
