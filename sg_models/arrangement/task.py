"""What is to be arranged, in the unit that it is arranged in: a picture of area 1, so that all sides are to scale."""

from dataclasses import dataclass, replace

import numpy as np

from ..graph.scene_graph import SceneGraph
from ..graph.spatial_wordings import INSIDE
from .prior import Proposal
from .rules import AXIS, Rule, Tie

DRAWABLE, OF_MANY = 0.06, 0.3  # of the shorter side: what a model can still draw; less where there are many objects
MARGIN = 0.004  # of the shorter side: by how much a rule holds at least; less where there are many objects


@dataclass(frozen=True)
class Task:
    """O objects, where the prior wants them, and what their boxes have to obey.

    `target` and `spread` [O, 4] are of centre x, centre y, width and height; centres and sides in parts of a picture of
    area 1, the spread of sides in their logarithm. `by_centres` are the relations whose direction needs to hold for
    the centres alone, however far they are across.
    """

    size: np.ndarray  # [2] width and height of the picture
    given: np.ndarray  # [O] whether the graph gives the box
    target: np.ndarray
    spread: np.ndarray
    rules: tuple[Rule, ...]
    ties: tuple[Tie, ...]
    margin: float
    drawable: float  # the least side that is wanted
    by_centres: frozenset[int] = frozenset()

    @property
    def count(self) -> int:
        return len(self.given)

    def with_rules(self, rules: tuple[Rule, ...], by_centres: frozenset[int] = frozenset()) -> "Task":
        """The same with other rules."""
        return replace(self, rules=rules, by_centres=by_centres)

    def failure(self) -> float:
        """By how many standard deviations the target fails the rules, altogether."""
        boxes, total = cornered(self.target), 0.0
        for rule in self.rules:
            one, other = rule.first, rule.second
            if rule.meaning == INSIDE:
                low, high = boxes[other, :2] - boxes[one, :2], boxes[one, 2:] - boxes[other, 2:]
                out = np.maximum(low, 0) + np.maximum(high, 0)
                total += float((out / self.spread[one, :2]).sum())
            else:
                axis, ahead = AXIS[rule.meaning], self.target[other, :2] - self.target[one, :2]
                total += float(max(0.0, abs(ahead[1 - axis]) - ahead[axis]) / self.spread[one, axis])
        return total


def picture_size(aspect: float) -> np.ndarray:
    """Width and height [2] of the picture of area 1 whose width is `aspect` times its height."""
    return np.array([aspect**0.5, aspect**-0.5])


def new_task(graph: SceneGraph, proposal: Proposal, aspect: float, rules: list[Rule], ties: list[Tie]) -> Task:
    """The task of coming as near to a proposal as rules allow."""
    size = picture_size(aspect)
    given = np.array([thing.box is not None for thing in graph.objects])
    target = centred(proposal.boxes * np.tile(size, 2))
    spread = proposal.spread * np.concatenate([size, [1.0, 1.0]])
    margin = min(MARGIN, 0.25 / len(given)) * size.min()
    least = max(min(DRAWABLE, OF_MANY / len(given) ** 0.5) * size.min(), 4 * margin)
    target[:, 2:] = np.where(given[:, None], target[:, 2:], np.clip(target[:, 2:], least, size))
    return Task(size, given, target, spread, tuple(rules), tuple(ties), float(margin), float(least))


def centred(boxes: np.ndarray) -> np.ndarray:
    """Centre and sides [O, 4] of boxes (x0, y0, x1, y1) [O, 4]."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def cornered(places: np.ndarray) -> np.ndarray:
    """The boxes (x0, y0, x1, y1) [O, 4] with these centres and sides [O, 4]."""
    return np.concatenate([places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2], axis=1)
