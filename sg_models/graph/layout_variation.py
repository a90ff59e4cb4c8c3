"""Another layout for every seed: places and sizes drawn at random among those that say the same as a given layout.

A box predictor gives each graph the one layout that suits all pictures best. Here its objects walk about at random
(Metropolis et al. 1953, with every layout that is allowed equally likely): a step is taken if all that held before
still holds. What held is that each spatial relation of the graph is as clear as it was, up to a margin, that no two
objects come nearer to each other than they were, up to a gap, and that all stay in the picture. Objects that lie over
one another, or that a relation joins which says nothing of places ("wearing"), keep together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from .scene_graph import Box, SceneGraph
from .spatial_relations import INVERSE
from .spatial_wordings import ABOVE, BELOW, INSIDE, LEFT, RIGHT, SURROUNDING, spatial_meaning

SWEEPS = 60  # steps of each object
SCALE = 0.12  # by which a side may grow or shrink: within it, large things stay large and small ones small
MARGIN = 0.05  # in parts of the picture: how clearly a direction has to hold; less where it was less
GAP = 0.03  # kept free between two objects; less where it was less
BORDER = 0.015  # kept free along the picture's edge; less where it was less
ROOM = 0.9  # of an ellipse in a box, in which something inside it stays whatever its outline
REACHES = (0.02, 0.1, 0.4)  # standard deviations of a step, in parts of the picture
AXES = {LEFT: (-1.0, 0.0), RIGHT: (1.0, 0.0), ABOVE: (0.0, -1.0), BELOW: (0.0, 1.0)}


def vary_layout(graph: SceneGraph, boxes: Sequence[Box], seed: int) -> list[Box]:
    """The boxes [O] of a graph's objects, varied by a seed; those that the graph itself gives stay where they are.

    Seed 0 gives `boxes` back: that is the layout as it was predicted.
    """
    if seed == 0:
        return list(boxes)
    walk = _Walk(graph, np.array(boxes, float))
    rng = np.random.default_rng(seed)
    for _ in range(SWEEPS):
        for unit in walk.units:
            walk.step(unit, rng)
    return [tuple(map(float, box)) for box in walk.boxes]  # type: ignore[misc]


@dataclass(frozen=True)
class _Direction:
    """A relation between two objects: how far the subject lies along an axis, beyond how far it lies across."""

    subject: int
    object: int
    axis: tuple[float, float]
    margin: float  # that it keeps


class _Walk:
    """The boxes [O, 4] on their way, and what they have to keep."""

    def __init__(self, graph: SceneGraph, boxes: np.ndarray) -> None:
        self.boxes, self.start = boxes, boxes.copy()
        self.bounds = np.minimum(BORDER, np.concatenate([boxes[:, :2], 1 - boxes[:, 2:]], axis=1))  # [O, 4]
        self.gaps = np.minimum(GAP, _gaps(boxes, boxes))  # [O, O], negative where two overlap
        self.directions = _directions(graph, boxes)
        self.holder = _holders(graph, boxes)
        self.units = _units(graph, boxes, self.holder)

    def step(self, unit: np.ndarray, rng: np.random.Generator) -> None:
        """Moves the objects of a unit together, or scales them, where all still holds."""
        boxes = self.boxes.copy()
        if rng.random() < 0.3:
            boxes[unit] = _scaled(boxes[unit], rng.uniform(1 - SCALE, 1 + SCALE))
            sides, before = boxes[unit, 2:] - boxes[unit, :2], self.start[unit, 2:] - self.start[unit, :2]
            if (np.abs(sides / before - 1) > SCALE).any():
                return
        else:
            boxes[unit] += np.tile(rng.normal(0, rng.choice(REACHES), 2), 2)
        if self._holds(boxes, unit):
            self.boxes = boxes

    def _holds(self, boxes: np.ndarray, unit: np.ndarray) -> bool:
        moved = boxes[unit]
        if (np.concatenate([moved[:, :2], 1 - moved[:, 2:]], axis=1) < self.bounds[unit]).any():
            return False
        others = np.setdiff1d(np.arange(len(boxes)), unit)
        near = _gaps(moved, boxes[others]) < self.gaps[np.ix_(unit, others)]
        for row, thing in enumerate(unit):
            holder = self.holder.get(int(thing))
            if holder is not None and holder in others:
                if not _in_ellipse(boxes[thing], boxes[holder]):
                    return False
                near[row, np.flatnonzero(others == holder)] = False
        return not near.any() and all(_clearness(boxes, d) >= d.margin - 1e-9 for d in self.directions)


def _directions(graph: SceneGraph, boxes: np.ndarray) -> list[_Direction]:
    """The directions that a graph states and that hold."""
    found = []
    for relation in graph.relations:
        axis = AXES.get(spatial_meaning(relation.predicate) or "")
        if axis is not None:
            clearness = _clearness(boxes, _Direction(relation.subject, relation.object, axis, 0.0))
            if clearness > 0:
                found.append(_Direction(relation.subject, relation.object, axis, min(MARGIN, clearness)))
    return found


def _clearness(boxes: np.ndarray, direction: _Direction) -> float:
    """How far a direction is from being another one, in parts of the picture; negative where it does not hold."""
    (ax, ay), (x, y) = direction.axis, _centres(boxes[direction.subject]) - _centres(boxes[direction.object])
    return float(x * ax + y * ay - abs(x * ay - y * ax))


def _holders(graph: SceneGraph, boxes: np.ndarray) -> dict[int, int]:
    """For each object that is said to be inside another, and safely is, that other one."""
    found = {}
    for relation in graph.relations:
        meaning = spatial_meaning(relation.predicate)
        if meaning in (INSIDE, SURROUNDING):
            pair = (relation.subject, relation.object)
            inner, outer = pair if meaning == INSIDE else pair[::-1]
            if _in_ellipse(boxes[inner], boxes[outer]):
                found[inner] = outer
    return found


def _units(graph: SceneGraph, boxes: np.ndarray, holders: dict[int, int]) -> list[np.ndarray]:
    """What moves together, and what moves alone within something else; nothing that the graph gives a box."""
    together = nx.Graph()
    together.add_nodes_from(range(len(boxes)))
    together.add_edges_from((int(one), int(other)) for one, other in np.argwhere(np.triu(_gaps(boxes, boxes) < 0, 1)))
    for relation in graph.relations:
        if spatial_meaning(relation.predicate) not in INVERSE:
            together.add_edge(relation.subject, relation.object)
    units = [*map(sorted, nx.connected_components(together)), *([inner] for inner in sorted(holders))]
    return [np.array(unit) for unit in units if all(graph.objects[place].box is None for place in unit)]


def _gaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far boxes [A, 4] and [B, 4] are apart along the axis that parts them best: [A, B], negative in overlap."""
    apart = np.maximum(a[:, None, :2] - b[None, :, 2:], b[None, :, :2] - a[:, None, 2:])
    return apart.max(axis=-1)


def _in_ellipse(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether a box [4] keeps within the ellipse that fits into another one, a little room left."""
    half = (outer[2:] - outer[:2]) / 2 * ROOM
    corners = np.abs(_centres(inner) - _centres(outer)) + (inner[2:] - inner[:2]) / 2
    return bool(np.hypot(*(corners / half)) <= 1)


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _scaled(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes [U, 4], larger by a factor around their common centre."""
    centre = np.tile((boxes[:, :2].min(axis=0) + boxes[:, 2:].max(axis=0)) / 2, 2)
    return centre + (boxes - centre) * factor
